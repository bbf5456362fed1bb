"""Transformers: encoder–decoder, decoder-only, and a decoder with a two-way prefix.

Shape letters: `batch` sentences, `source` encoder positions, `target` decoder positions, `rows`
sequences being written (sentences × beams), `heads` attention heads, `d_model` width of the model,
`d_kv` width of one head, `vocab` tokens that can be written.
"""

import math
from collections.abc import Iterable
from os import PathLike
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encdec.attention import MultiHeadAttention
from encdec.cache import EncoderDecoderCache, KVCache
from encdec.config import TransformerConfig
from encdec.layers import DecoderLayer
from encdec.masks import (
    causal_mask,
    check_attention_mask,
    for_attention,
    left_padding,
    may_look,
    prefix_lm_mask,
)
from encdec.packed import pack
from encdec.positions import LearnedPositions, RelativePositionBias
from encdec.stacks import Decoder, Encoder, ModelOutput, Record


class LanguageModel(nn.Module):
    """What every Transformer here has: token tables, an output layer, and a way to load weights.

    Args:
        config: the model's description.
    """

    config_class: ClassVar[type[TransformerConfig]] = TransformerConfig
    target_is_separate = True  # whether the output is a sequence of its own
    own_layout = False  # whether checkpoints have a layout that transformers does not know

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding_scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.decoder_tokens = (
            nn.Embedding(config.decoder_vocab_size, config.d_model)
            if config.decoder_vocab_size
            else None
        )
        vocab = config.target_vocab_size
        self.output = None if config.tie_output else nn.Linear(config.d_model, vocab, bias=False)
        self.output_bias = nn.Buffer(torch.zeros(vocab)) if config.output_bias else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tokens.weight.device

    @property
    def target_tokens(self) -> nn.Embedding:
        """The table of the tokens that can be written."""
        return self.tokens if self.decoder_tokens is None else self.decoder_tokens

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Score every token of the vocabulary.

        Args:
            hidden_states: the decoder's output, (batch, target, d_model).

        Returns:
            (batch, target, vocab), float32 whatever the model computes in: softmax over thousands
            of tokens needs the digits.
        """
        if self.config.scale_output:
            hidden_states = hidden_states * self.config.d_model**-0.5
        weight = self.target_tokens.weight if self.output is None else self.output.weight
        logits = F.linear(hidden_states, weight)  # (batch, target, vocab)
        if self.output_bias is not None:
            logits = logits + self.output_bias
        return logits.float()

    def embed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        """Look tokens up.

        Args:
            table: the source's or the target's.
            ids: (batch, length).

        Returns:
            (batch, length, d_model).
        """
        embedded = table(ids)  # (batch, length, d_model)
        return embedded * self.embedding_scale if self.embedding_scale != 1.0 else embedded

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | PathLike[str],
        *,
        dtype: torch.dtype = torch.float32,
        revision: str | None = None,
    ) -> Self:
        """Load a checkpoint in Hugging Face's layout, from a folder or from the Hub.

        Args:
            path_or_hub_id: a folder with `config.json` and `model.safetensors`, or a name such as
                "google-t5/t5-small".
            dtype: type of the weights, whatever type the file has.
            revision: branch, tag or commit on the Hub.

        Returns:
            The model, in evaluation mode.

        Raises:
            ValueError: if the architecture or one of its flags is not supported, or a weight is
                missing or unknown; the message names it.
            FileNotFoundError: if the folder or repository has no safetensors file.
            ConnectionError: if the Hub cannot be reached and the files are not at hand.
        """
        from encdec import checkpoints  # they know the models; only here a model asks for them

        return checkpoints.load(cls, path_or_hub_id, dtype=dtype, revision=revision)

    def save_pretrained(
        self, folder: str | PathLike[str], *, dtype: torch.dtype | None = None
    ) -> None:
        """Write a folder that this package and transformers load.

        Args:
            folder: where `config.json`, `generation_config.json` and `model.safetensors` go; it is
                made if it is not there.
            dtype: type of the weights in the file; the model's own if not given.

        Raises:
            ValueError: if the family's layout cannot express this model; the message says why.
        """
        from encdec import checkpoints

        checkpoints.save(self, folder, dtype=dtype)

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw fresh weights.

        Without `init_std` in the configuration, each matrix gets a standard deviation of
        1 / √(inputs), so that states keep their variance on the way through; where attention
        scores are not divided by √d_kv, queries are drawn that much smaller instead, as T5 does.
        """
        config = self.config
        tables = 1.0 if config.scale_output or not config.tie_output else config.d_model**-0.5
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=config.init_std or module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=config.init_std or tables)
            elif isinstance(module, LearnedPositions | RelativePositionBias):
                nn.init.normal_(module.weight, std=config.init_std or config.d_model**-0.5)
        if not config.scale_attention:
            for module in self.modules():
                if isinstance(module, MultiHeadAttention):
                    queries = module.q.weight if module.cross else module.qkv.weight
                    queries[: module.num_heads * module.d_kv] *= module.d_kv**-0.5


def short_way(tokens: Tensor, written: int, record: Record | None) -> bool:
    """Tell whether a step can be taken by a packed decoder (`encdec.packed`).

    Args:
        tokens: what is new, (rows, new).
        written: number of tokens in the cache.
        record: notebook for attention weights, which the short way never forms.

    Returns:
        Whether there is one new token after others, nothing is recorded and no gradient is wanted.
    """
    return tokens.shape[1] == 1 and written > 0 and record is None and not torch.is_grad_enabled()


def check_ids(ids: Tensor, vocab_size: int, name: str) -> None:
    """Say what is wrong with token ids, before an embedding fails on them.

    While training on a GPU the values are not looked at, since a look would wait for the device.

    Args:
        ids: (batch, length).
        vocab_size: number of tokens that the model knows.
        name: what the caller calls them.

    Raises:
        ValueError: if they are not integers of shape (batch, length), or empty, or out of range.
    """
    if ids.dim() != 2 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(
            f"{name} must be integers of shape (batch, length), but is {ids.dtype} of shape "
            f"{tuple(ids.shape)}"
        )
    if ids.numel() == 0:
        raise ValueError(
            f"{name} has shape {tuple(ids.shape)}: it must hold at least one row with one token"
        )
    if not may_look(ids):
        return
    low, high = (int(value) for value in ids.aminmax())
    if low < 0 or high >= vocab_size:
        wrong = low if low < 0 else high
        raise ValueError(
            f"{name} holds {wrong}, but ids must lie between 0 and vocab_size - 1 = "
            f"{vocab_size - 1}"
        )


def shift_right(labels: Tensor, config: Any) -> Tensor:
    """Turn a target into the decoder's input: what was written before each token.

    Args:
        labels: target tokens, -100 for padding, (batch, target).
        config: knows what starts the decoder, and what pads.

    Returns:
        decoder_input_ids, (batch, target).

    Raises:
        ValueError: if the configuration does not say what starts the decoder.
    """
    start = config.decoder_start_token_id
    if start is None:
        raise ValueError(
            "decoder_start_token_id is None, so labels cannot be shifted: give decoder_input_ids "
            "(mBART starts with the code of the target language)"
        )
    first = torch.full_like(labels[:, :1], start)  # (batch, 1)
    shifted = torch.cat([first, labels[:, :-1]], dim=1)  # (batch, target)
    return shifted.masked_fill(shifted == -100, config.pad_token_id)


class EncoderDecoder(LanguageModel):
    """An encoder reads the source, a decoder writes the target while it looks at the source.

    T5, BART, Marian and Pegasus are this class with different flags.

    Args:
        config: the model's description.

    From "Attention Is All You Need" (Vaswani et al., 2017), figure 1.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.initialise()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> Tensor | ModelOutput:
        """Score every next token of a known target ("teacher forcing").

        Args:
            input_ids: source tokens, (batch, source).
            attention_mask: 1 or True for real source tokens, (batch, source); all if not given.
            decoder_input_ids: target tokens, shifted right, (batch, target).
            labels: target tokens, -100 for padding, (batch, target); shifted right, they serve
                where `decoder_input_ids` are not given.
            output_attentions: whether to return attention weights too.
            output_hidden_states: whether to return the states between layers too.

        Returns:
            Logits, (batch, target, vocab), float32; or a `ModelOutput` if more was asked for.

        Raises:
            ValueError: if ids are out of range, shapes do not fit, or no target is given.
        """
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError(
                    "decoder_input_ids is None and labels is None: one of them must be given"
                )
            decoder_input_ids = self.shift_right(labels)
        record = Record(output_attentions, output_hidden_states)
        encoder_hidden_states = self.encode(input_ids, attention_mask, record=record)
        hidden_states = self.decode(
            decoder_input_ids, encoder_hidden_states, attention_mask, record=record
        )
        logits = self.logits(hidden_states)
        if output_attentions or output_hidden_states:
            return ModelOutput.of(logits, encoder_hidden_states, record)
        return logits

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        record: Record | None = None,
    ) -> Tensor:
        """Read the source.

        Args:
            input_ids: (batch, source).
            attention_mask: 1 or True for real tokens, (batch, source); all if not given.
            record: notebook for attention weights and states.

        Returns:
            encoder_hidden_states, (batch, source, d_model).

        Raises:
            ValueError: if ids are out of range or the mask does not fit.
        """
        check_ids(input_ids, self.config.vocab_size, "input_ids")
        if attention_mask is not None:
            attention_mask = check_attention_mask(attention_mask, input_ids)
        return self.encoder(
            self.embed(self.tokens, input_ids), for_attention(attention_mask), record
        )

    def decode(
        self,
        decoder_input_ids: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
        *,
        record: Record | None = None,
    ) -> Tensor:
        """Write the target, or with a cache its next tokens.

        Args:
            decoder_input_ids: all target tokens, or with a cache the new ones, (batch, target).
            encoder_hidden_states: from `encode`, (batch, source, d_model); not needed with a cache.
            attention_mask: 1 or True for real source tokens, (batch, source).
            cache: from `init_cache`; it grows by the new tokens.
            record: notebook for attention weights and states.

        Returns:
            Hidden states for `logits`, (batch, target, d_model).

        Raises:
            ValueError: if ids are out of range, or neither states nor cache are given.
        """
        table = self.target_tokens
        if cache is None:
            if encoder_hidden_states is None:
                raise ValueError(
                    "encoder_hidden_states is None and cache is None: one of them must be given"
                )
            check_ids(decoder_input_ids, self.config.target_vocab_size, "decoder_input_ids")
            if len(decoder_input_ids) != len(encoder_hidden_states):
                raise ValueError(
                    f"decoder_input_ids has {len(decoder_input_ids)} rows, but the source has "
                    f"{len(encoder_hidden_states)}: they must be the same"
                )
            return self.decoder(
                self.embed(table, decoder_input_ids),
                memory=self.project(encoder_hidden_states),
                cross_mask=self.cross_mask(attention_mask),
                record=record,
            )
        written = cache.length + decoder_input_ids.shape[1]
        bias = cache.position_bias
        if bias is not None:
            # one query at position n - 1 is n - 1 … 0 away from the keys: the longest row's end
            longest = bias.shape[3]
            usable = decoder_input_ids.shape[1] == 1 and written <= longest
            bias = bias[..., longest - written :] if usable else None  # (1, heads, 1, written)
        return self.decoder(
            self.embed(table, decoder_input_ids),
            memory=cache.cross_attention,
            cross_mask=cache.cross_mask,
            cache=cache.self_attention,
            position_bias=bias,
            record=record,
        )

    def cross_mask(self, attention_mask: Tensor | None) -> Tensor | None:
        """Tell the decoder which source positions are real.

        Args:
            attention_mask: 1 or True for real source tokens, (batch, source), or None.

        Returns:
            Boolean, (batch, 1, 1, source), or None if every position may be seen.
        """
        return for_attention(None if attention_mask is None else attention_mask.bool())

    def project(self, encoder_hidden_states: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Make the keys and values that each decoder layer reads from the source.

        Args:
            encoder_hidden_states: (batch, source, d_model).

        Returns:
            For each layer keys and values, each (batch, heads, source, d_kv).
        """
        layers = cast(Iterable[DecoderLayer], self.decoder.layers)
        return [layer.project(encoder_hidden_states) for layer in layers]

    def init_cache(
        self,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        max_length: int | None = None,
    ) -> EncoderDecoderCache:
        """Prepare decoding step by step.

        Args:
            encoder_hidden_states: from `encode`, (batch, source, d_model).
            attention_mask: 1 or True for real source tokens, (batch, source).
            max_length: how long the target can get, if that is known.

        Returns:
            A cache in which nothing is written yet.
        """
        bias = None
        if isinstance(self.decoder.positions, RelativePositionBias):
            keys = torch.arange(max_length or 64, device=encoder_hidden_states.device)
            bias = self.decoder.positions(keys[-1:], keys)  # (1, heads, 1, max_length)
        return EncoderDecoderCache(
            KVCache(self.config.num_decoder_layers, max_length),
            self.project(encoder_hidden_states),
            self.cross_mask(attention_mask),
            bias,
            packed=pack(self),
        )

    def shift_right(self, labels: Tensor) -> Tensor:
        """Turn a target into the decoder's input: what was written before each token.

        Args:
            labels: target tokens, -100 for padding, (batch, target).

        Returns:
            decoder_input_ids, (batch, target).

        Raises:
            ValueError: if the configuration does not say what starts the decoder.
        """
        return shift_right(labels, self.config)

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        prompt: Tensor | None = None,
        max_length: int | None = None,
        record: Record | None = None,
    ) -> tuple[Tensor, EncoderDecoderCache]:
        """Begin to write (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: source tokens, (batch, source).
            attention_mask: 1 or True for real tokens, (batch, source).
            prompt: how the target begins, (batch, prompt).
            max_length: how long the target can get.
            record: notebook for the encoder's attention weights.

        Returns:
            The prompt, and a cache in which nothing is written yet.

        Raises:
            ValueError: if there is no prompt.
        """
        if prompt is None:
            raise ValueError("prompt is None: the decoder needs a token to start from")
        encoder_hidden_states = self.encode(input_ids, attention_mask, record=record)
        return prompt, self.init_cache(encoder_hidden_states, attention_mask, max_length)

    def step(
        self, tokens: Tensor, cache: EncoderDecoderCache, record: Record | None = None
    ) -> Tensor:
        """Score the next token (part of the protocol of `encdec.decoding`).

        Args:
            tokens: what was written since the last step, (rows, new).
            cache: what was written before; it grows by the new tokens.
            record: notebook for attention weights.

        Returns:
            Logits, (rows, vocab).
        """
        if cache.packed is not None and short_way(tokens, cache.length, record):
            return cache.packed.step(tokens, cache)
        hidden_states = self.decode(tokens, cache=cache, record=record)
        return self.logits(hidden_states[:, -1:])[:, 0]  # (rows, vocab)

    def room(self, input_ids: Tensor) -> int | None:
        """Tell how long the target can get (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: (batch, source).

        Returns:
            Number of tokens with the prompt, or None if there is no limit. The last token is not
            read again, so it needs no position.
        """
        return (self.config.max_positions or 0) + 1 if self.config.positions == "learned" else None


class DecoderOnly(LanguageModel):
    """A decoder without a source: it continues a text (GPT-2).

    Args:
        config: the model's description; its `num_decoder_layers` count.

    From "Language Models are Unsupervised Multitask Learners" (Radford et al., 2019), section 2.3.
    """

    target_is_separate = False  # the output continues the input: both are one sequence

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.decoder = Decoder(config, cross=False)
        self.initialise()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> Tensor | ModelOutput:
        """Score every next token of a text.

        Args:
            input_ids: (batch, target).
            attention_mask: 1 or True for real tokens, (batch, target); padding may stand on
                either side.
            output_attentions: whether to return attention weights too.
            output_hidden_states: whether to return the states between layers too.

        Returns:
            Logits, (batch, target, vocab), float32; or a `ModelOutput` if more was asked for.

        Raises:
            ValueError: if ids are out of range or the mask does not fit.
        """
        check_ids(input_ids, self.config.vocab_size, "input_ids")
        record = Record(output_attentions, output_hidden_states)
        mask = positions = None
        if attention_mask is not None:
            attention_mask = check_attention_mask(attention_mask, input_ids)
            positions = token_positions(attention_mask)  # (batch, target)
            if (padded := for_attention(attention_mask)) is not None:
                triangle = causal_mask(input_ids.shape[1], device=input_ids.device)
                mask = padded & triangle  # (batch, 1, target, target)
        embedded = self.embed(self.tokens, input_ids)
        hidden_states = self.decoder(embedded, mask, positions=positions, record=record)
        logits = self.logits(hidden_states)
        if output_attentions or output_hidden_states:
            return ModelOutput.of(logits, None, record)
        return logits

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        prompt: Tensor | None = None,
        max_length: int | None = None,
        record: Record | None = None,
    ) -> tuple[Tensor, KVCache]:
        """Begin to continue a text (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: the text so far, padded on the left, (batch, written).
            attention_mask: 1 or True for real tokens, (batch, written).
            prompt: not used, the input is the prompt.
            max_length: how long the text can get.
            record: not used, there is no encoder.

        Returns:
            The text, and a cache in which nothing is written yet.

        Raises:
            ValueError: if ids are out of range, or a row is padded on the right.
        """
        check_ids(input_ids, self.config.vocab_size, "input_ids")
        padding = None
        if attention_mask is not None:
            padding = left_padding(check_attention_mask(attention_mask, input_ids))
        cache = KVCache(self.config.num_decoder_layers, max_length, padding)
        cache.packed = pack(self)
        return input_ids, cache

    def step(self, tokens: Tensor, cache: KVCache, record: Record | None = None) -> Tensor:
        """Score the next token (part of the protocol of `encdec.decoding`).

        Args:
            tokens: what was written since the last step, (rows, new).
            cache: what was written before; it grows by the new tokens.
            record: notebook for attention weights.

        Returns:
            Logits, (rows, vocab).
        """
        if cache.packed is not None and short_way(tokens, cache.length, record):
            return cache.packed.step(tokens, cache)
        mask = positions = None
        if cache.left_padding is not None:
            written = torch.arange(cache.length + tokens.shape[1], device=tokens.device)
            real = written >= cache.left_padding[:, None]  # (rows, written)
            triangle = causal_mask(tokens.shape[1], len(written), tokens.device)  # (new, written)
            mask = real[:, None, None, :] & triangle  # (rows, 1, new, written)
            positions = written[cache.length :] - cache.left_padding[:, None]  # (rows, new)
            positions = positions.clamp(min=0)  # padding needs some position, and is never seen
        embedded = self.embed(self.tokens, tokens)
        hidden_states = self.decoder(
            embedded, mask, positions=positions, cache=cache, record=record
        )
        return self.logits(hidden_states[:, -1:])[:, 0]  # (rows, vocab)

    def room(self, input_ids: Tensor) -> int | None:
        """Tell how long the text can get (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: (batch, written).

        Returns:
            Number of tokens with the input, or None if there is no limit. The last token is not
            read again, so it needs no position.
        """
        return (self.config.max_positions or 0) + 1 if self.config.positions == "learned" else None


def token_positions(attention_mask: Tensor) -> Tensor:
    """Count real tokens, so that padding takes no positions.

    Args:
        attention_mask: boolean, (batch, length).

    Returns:
        Positions, 0 for the first real token and for padding before it, (batch, length).
    """
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


class PrefixLM(DecoderOnly):
    """One stack for source and target: the source is seen both ways, the target only backwards.

    The same weights read and write, and there is no cross-attention; it is called like an
    encoder–decoder. Positions are counted along source and target together.

    Args:
        config: the model's description; its `num_decoder_layers` count. Positions are learned,
            sinusoidal or rotary: T5's causal buckets cannot tell positions to the right apart.

    Raises:
        ValueError: if positions are relative.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 3.2.1.
    """

    target_is_separate = True
    own_layout = True
    two_way = True  # whether the source is seen both ways

    def __init__(self, config: TransformerConfig) -> None:
        if config.positions == "relative":
            raise ValueError(
                'positions="relative" puts everything after a position into one bucket, so a '
                'two-way prefix would have no order: use "learned", "sinusoidal" or "rotary"'
            )
        super().__init__(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> Tensor | ModelOutput:
        """Score every next token of a known target.

        Args:
            input_ids: source tokens, (batch, source).
            attention_mask: 1 or True for real source tokens, (batch, source).
            decoder_input_ids: target tokens, shifted right, (batch, target).
            labels: target tokens, -100 for padding, (batch, target); shifted right, they serve
                where `decoder_input_ids` are not given.
            output_attentions: whether to return attention weights too, over source and target.
            output_hidden_states: whether to return the states between layers too.

        Returns:
            Logits of the target, (batch, target, vocab), float32; or a `ModelOutput`.

        Raises:
            ValueError: if ids are out of range, shapes do not fit, or no target is given.
        """
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError(
                    "decoder_input_ids is None and labels is None: one of them must be given"
                )
            decoder_input_ids = shift_right(labels, self.config)
        check_ids(input_ids, self.config.vocab_size, "input_ids")
        check_ids(decoder_input_ids, self.config.vocab_size, "decoder_input_ids")
        record = Record(output_attentions, output_hidden_states)
        source = input_ids.shape[1]
        real = torch.ones_like(input_ids, dtype=torch.bool)
        if attention_mask is not None:
            real = check_attention_mask(attention_mask, input_ids)
        real = F.pad(real, (0, decoder_input_ids.shape[1]), value=True)  # (batch, source + target)
        prefix = torch.full_like(input_ids[:, 0], source if self.two_way else 0)  # (batch,)
        mask = prefix_lm_mask(prefix, real.shape[1]) & real[:, None, None]  # (batch, 1, both, both)
        embedded = self.embed(self.tokens, torch.cat([input_ids, decoder_input_ids], dim=1))
        hidden_states = self.decoder(embedded, mask, positions=token_positions(real), record=record)
        logits = self.logits(hidden_states[:, source:])  # (batch, target, vocab)
        if output_attentions or output_hidden_states:
            return ModelOutput.of(logits, None, record)
        return logits

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        prompt: Tensor | None = None,
        max_length: int | None = None,
        record: Record | None = None,
    ) -> tuple[Tensor, KVCache]:
        """Read the source both ways and begin to write (part of `encdec.decoding`'s protocol).

        Args:
            input_ids: source tokens, padded on either side, (batch, source).
            attention_mask: 1 or True for real tokens, (batch, source).
            prompt: how the target begins, (batch, prompt).
            max_length: how long the target can get.
            record: not used, there is no encoder.

        Returns:
            The prompt, and a cache that holds the source.

        Raises:
            ValueError: if there is no prompt, or ids are out of range.
        """
        if prompt is None:
            raise ValueError("prompt is None: the target needs a token to start from")
        source = input_ids.shape[1]
        longest = None if max_length is None else max_length + source
        real = torch.ones_like(input_ids, dtype=torch.bool)
        if attention_mask is not None:
            real = check_attention_mask(attention_mask, input_ids)
            # padding to the left, so that what is written follows the source without a gap
            order = real.int().argsort(dim=1, stable=True)  # (batch, source)
            input_ids, real = input_ids.gather(1, order), real.gather(1, order)
        _, cache = super().start(input_ids, real, max_length=longest)
        mask = real[:, None, None].expand(-1, 1, source, -1)  # (batch, 1, source, source)
        if not self.two_way:
            mask = mask & causal_mask(source, device=mask.device)
        self.decoder(
            self.embed(self.tokens, input_ids), mask, positions=token_positions(real), cache=cache
        )
        return prompt, cache

    def room(self, input_ids: Tensor) -> int | None:
        """Tell how long the target can get (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: source tokens, which take positions too, (batch, source).

        Returns:
            Number of tokens with the prompt, or None if there is no limit.
        """
        room = super().room(input_ids)
        return None if room is None else room - input_ids.shape[1]
