"""Recurrent encoder–decoders: what stood before the Transformer, with and without attention.

Shape letters: `batch` sentences, `source` encoder positions, `target` decoder positions, `rows`
sequences being written (sentences × beams), `layers` LSTM layers, `d_model` width of embeddings and
of the decoder's states, `vocab` tokens that can be written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from encdec.attention import AdditiveAttention, scaled_dot_product_attention
from encdec.cache import moved_sentences
from encdec.config import as_ids
from encdec.masks import check_attention_mask
from encdec.stacks import ModelOutput, Record
from encdec.transformer import check_ids, shift_right

ATTENTIONS = ("none", "additive", "dot")


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Everything that a recurrent encoder–decoder needs to know about itself.

    Args:
        vocab_size: number of tokens that the encoder (and a shared decoder) knows.
        decoder_vocab_size: number of target tokens, if they have a table of their own.
        d_model: width of embeddings and of the decoder's states, even.
        num_layers: LSTM layers of the encoder, and of the decoder.
        attention: "none": the source is one vector; "additive" or "dot": the decoder looks back.
        dropout: share dropped after embeddings and between layers.
        pad_token_id: fills short rows.
        bos_token_id: starts a text, where there is one.
        eos_token_id: ends a text.
        decoder_start_token_id: first input of the decoder.
        forced_bos_token_id: first output, whatever the model thinks.
        forced_eos_token_id: last output when the length limit is reached.
        bad_words_ids: sequences of tokens that are never written.
        suppress_tokens: tokens that are never written.
        generation: other defaults for `generate`, by option name.

    Raises:
        ValueError: if a value is impossible.
    """

    vocab_size: int
    decoder_vocab_size: int | None = None
    d_model: int = 256
    num_layers: int = 1
    attention: Literal["none", "additive", "dot"] = "additive"
    dropout: float = 0.1
    pad_token_id: int = 0
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = 1
    decoder_start_token_id: int | None = 0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | tuple[int, ...] | None = None
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    generation: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ValueError(f"attention={self.attention!r} must be one of {', '.join(ATTENTIONS)}")
        if self.d_model < 2 or self.d_model % 2:
            raise ValueError(
                f"d_model={self.d_model} must be even: the encoder reads both ways, half each"
            )
        for name in ("vocab_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and less than 1")

    @property
    def target_vocab_size(self) -> int:
        """Number of tokens that can be written."""
        return self.decoder_vocab_size or self.vocab_size

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """All ids that end a text, possibly none."""
        return as_ids(self.eos_token_id)


State = tuple[Tensor, Tensor]
"""Hidden and cell state of an LSTM, each (layers, rows, d_model)."""


@dataclass
class Memory:
    """What the encoder hands to the decoder.

    Args:
        states: one for each source word, (batch, source, d_model).
        keys: what attention compares queries with, (batch, source, d_model); computed once.
        mask: boolean, True for real source positions, (batch, source), or None for all.
        state: where the decoder starts.
    """

    states: Tensor
    keys: Tensor
    mask: Tensor | None
    state: State


@dataclass
class RecurrentCache:
    """What the decoder keeps between steps: one state a row, however long the text.

    Args:
        memory: from the encoder, one row a sentence: beams share it.
        state: of the decoder, each (layers, rows, d_model).
        beams: rows for each sentence.
    """

    memory: Memory
    state: State
    beams: int = 1

    def reorder(self, beam_index: Tensor) -> None:
        """Let row i continue what row `beam_index[i]` has written.

        Args:
            beam_index: (new rows,); the beams of one sentence stay together.

        Raises:
            ValueError: if the beams of one sentence came from several.
        """
        memory = self.memory
        sentences = moved_sentences(beam_index, self.beams, len(memory.states))
        self.state = (self.state[0][:, beam_index], self.state[1][:, beam_index])
        if sentences is not None:
            mask = None if memory.mask is None else memory.mask[sentences]
            start = (memory.state[0][:, sentences], memory.state[1][:, sentences])
            self.memory = Memory(memory.states[sentences], memory.keys[sentences], mask, start)

    def repeat(self, times: int) -> None:
        """Give every sentence its beams.

        Args:
            times: beams for each row of now.
        """
        hidden, cell = self.state
        self.state = (hidden.repeat_interleave(times, 1), cell.repeat_interleave(times, 1))
        self.beams *= times


class RecurrentEncoder(nn.Module):
    """Read the source word by word, forwards and backwards at once.

    Args:
        config: the model's description.

    From "Neural Machine Translation by Jointly Learning to Align and Translate"
    (Bahdanau et al., 2015), section 3.2, with LSTM cells.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        between = config.dropout if config.num_layers > 1 else 0.0
        self.lstm = nn.LSTM(
            config.d_model,
            config.d_model // 2,
            config.num_layers,
            batch_first=True,
            bidirectional=True,
            dropout=between,
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Encode.

        Args:
            embedded: token embeddings, padded on the right, (batch, source, d_model).
            lengths: number of real tokens in each row, (batch,).

        Returns:
            A state for each word, zero on padding, (batch, source, d_model), and the last state
            of both directions side by side, each (layers, batch, d_model).
        """
        # packed, the backward pass starts at each row's last word, not at its padding
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(embedded), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        outputs, (hidden, cell) = self.lstm(packed)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            outputs, batch_first=True, total_length=embedded.shape[1]
        )  # (batch, source, d_model)
        # (layers * 2, batch, d_model / 2) -> (layers, batch, d_model)
        joined = [torch.cat([each[0::2], each[1::2]], dim=2) for each in (hidden, cell)]
        return states, (joined[0], joined[1])


class RecurrentDecoder(nn.Module):
    """Write the target word by word; with attention, look back at the source at every word.

    The context is read after the LSTM, so a known target is one call and not a loop. (Bahdanau et
    al. feed it into the LSTM instead.)

    Args:
        config: the model's description.

    From "Sequence to Sequence Learning with Neural Networks" (Sutskever et al., 2014), section 2,
    and "Effective Approaches to Attention-based Neural Machine Translation" (Luong et al., 2015),
    section 3.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        size = config.d_model
        between = config.dropout if config.num_layers > 1 else 0.0
        self.attention = config.attention
        self.lstm = nn.LSTM(size, size, config.num_layers, batch_first=True, dropout=between)
        self.additive = (
            AdditiveAttention(size, size, size) if self.attention == "additive" else None
        )
        self.key = nn.Linear(size, size, bias=False) if self.attention == "dot" else None
        self.combine = nn.Linear(2 * size, size) if self.attention != "none" else None
        self.dropout = nn.Dropout(config.dropout)

    def keys(self, states: Tensor) -> Tensor:
        """Make the source's part of the attention scores, once for all steps.

        Args:
            states: (batch, source, d_model).

        Returns:
            (batch, source, d_model).
        """
        if self.additive is not None:
            return self.additive.project(states)
        return states if self.key is None else self.key(states)

    def forward(
        self, embedded: Tensor, memory: Memory, state: State, record: Record | None = None
    ) -> tuple[Tensor, State]:
        """Decode.

        Args:
            embedded: token embeddings, (rows, target, d_model).
            memory: from the encoder; with fewer sentences than rows, beams share them.
            state: where to go on, each (layers, rows, d_model).
            record: notebook for attention weights.

        Returns:
            Hidden states, (rows, target, d_model), and the state after the last word.
        """
        hidden_states, state = self.lstm(self.dropout(embedded), state)  # (rows, target, d_model)
        if self.combine is not None:
            context = self.attend(hidden_states, memory, record)  # (rows, target, d_model)
            joined = torch.cat([context, hidden_states], dim=2)  # (rows, target, 2 * d_model)
            hidden_states = self.combine(joined).tanh()  # (rows, target, d_model)
        return self.dropout(hidden_states), state

    def attend(self, hidden_states: Tensor, memory: Memory, record: Record | None) -> Tensor:
        """Mix the source states for each target word.

        Args:
            hidden_states: (rows, target, d_model).
            memory: from the encoder.
            record: notebook for attention weights.

        Returns:
            Contexts, (rows, target, d_model).
        """
        rows, target, size = hidden_states.shape
        batch = len(memory.states)
        query = hidden_states.reshape(batch, -1, size)  # (batch, beams * target, d_model)
        if self.additive is not None:
            context, weights = self.additive(query, memory.keys, memory.states, memory.mask)
        else:
            mask = None if memory.mask is None else memory.mask[:, None]  # (batch, 1, source)
            context, weights = scaled_dot_product_attention(query, memory.keys, memory.states, mask)
        if record is not None and record.attentions:
            record.cross_attentions.append(weights.reshape(rows, 1, target, -1))
        return context.reshape(rows, target, size)


class RecurrentEncoderDecoder(nn.Module):
    """An LSTM reads the source, another writes the target; it is called like a Transformer.

    Args:
        config: the model's description.

    From "Sequence to Sequence Learning with Neural Networks" (Sutskever et al., 2014).
    """

    config_class = RecurrentConfig
    target_is_separate = True

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        vocab = config.decoder_vocab_size
        self.decoder_tokens = nn.Embedding(vocab, config.d_model) if vocab else None
        self.encoder = RecurrentEncoder(config)
        self.decoder = RecurrentDecoder(config)
        for table in (self.tokens, self.decoder_tokens):
            if table is not None:
                nn.init.normal_(table.weight, std=config.d_model**-0.5)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        output_attentions: bool = False,
    ) -> Tensor | ModelOutput:
        """Score every next token of a known target.

        Args:
            input_ids: source tokens, padded on the right, (batch, source).
            attention_mask: 1 or True for real source tokens, (batch, source).
            decoder_input_ids: target tokens, shifted right, (batch, target).
            labels: target tokens, -100 for padding, (batch, target); shifted right, they serve
                where `decoder_input_ids` are not given.
            output_attentions: whether to return attention weights too, as one layer of one head.

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
            decoder_input_ids = shift_right(labels, self.config)
        check_ids(decoder_input_ids, self.config.target_vocab_size, "decoder_input_ids")
        record = Record(output_attentions)
        memory = self.encode(input_ids, attention_mask)
        embedded = self.target_tokens(decoder_input_ids)  # (batch, target, d_model)
        hidden_states, _ = self.decoder(embedded, memory, memory.state, record)
        logits = self.logits(hidden_states)
        return ModelOutput.of(logits, memory.states, record) if output_attentions else logits

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tokens.weight.device

    @property
    def target_tokens(self) -> nn.Embedding:
        """The table of the tokens that can be written."""
        return self.tokens if self.decoder_tokens is None else self.decoder_tokens

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Memory:
        """Read the source.

        Args:
            input_ids: padded on the right, (batch, source).
            attention_mask: 1 or True for real tokens, (batch, source); all if not given.

        Returns:
            What the decoder needs.

        Raises:
            ValueError: if ids are out of range, or padding stands before a token.
        """
        check_ids(input_ids, self.config.vocab_size, "input_ids")
        lengths = torch.full_like(input_ids[:, 0], input_ids.shape[1])  # (batch,)
        mask = None
        if attention_mask is not None:
            mask = check_attention_mask(attention_mask, input_ids)
            lengths = mask.sum(dim=1)
            expected = torch.arange(mask.shape[1], device=mask.device) < lengths[:, None]
            if not torch.equal(mask, expected):
                rows = (mask != expected).any(dim=1).nonzero().flatten().tolist()
                raise ValueError(
                    f"attention_mask has padding before the last real token in row(s) {rows}: a "
                    "recurrent encoder reads from the left, so pad on the right"
                )
        states, state = self.encoder(self.tokens(input_ids), lengths)
        return Memory(states, self.decoder.keys(states), mask, state)

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Score every token of the vocabulary, with the embedding table as output layer.

        Args:
            hidden_states: (rows, target, d_model).

        Returns:
            (rows, target, vocab), float32.
        """
        return nn.functional.linear(hidden_states, self.target_tokens.weight).float()

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        prompt: Tensor | None = None,
        max_length: int | None = None,
        record: Record | None = None,
    ) -> tuple[Tensor, RecurrentCache]:
        """Begin to write (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: source tokens, (batch, source).
            attention_mask: 1 or True for real tokens, (batch, source).
            prompt: how the target begins, (batch, prompt).
            max_length: not used, a state is as large after any number of words.
            record: not used, the encoder has no attention.

        Returns:
            The prompt, and the cache.

        Raises:
            ValueError: if there is no prompt.
        """
        if prompt is None:
            raise ValueError("prompt is None: the decoder needs a token to start from")
        memory = self.encode(input_ids, attention_mask)
        return prompt, RecurrentCache(memory, memory.state)

    def step(self, tokens: Tensor, cache: RecurrentCache, record: Record | None = None) -> Tensor:
        """Score the next token (part of the protocol of `encdec.decoding`).

        Args:
            tokens: what was written since the last step, (rows, new).
            cache: what was written before; it goes on by the new tokens.
            record: notebook for attention weights.

        Returns:
            Logits, (rows, vocab).
        """
        embedded = self.target_tokens(tokens)  # (rows, new, d_model)
        hidden_states, cache.state = self.decoder(embedded, cache.memory, cache.state, record)
        return self.logits(hidden_states[:, -1:])[:, 0]  # (rows, vocab)

    def room(self, input_ids: Tensor) -> int | None:
        """Tell that there is no limit (part of the protocol of `encdec.decoding`).

        Args:
            input_ids: (batch, source).

        Returns:
            None.
        """
        return None

    @classmethod
    def from_pretrained(
        cls, folder: str | PathLike[str], *, dtype: torch.dtype = torch.float32
    ) -> Self:
        """Load a model from a folder that `save_pretrained` wrote.

        Args:
            folder: where it is.
            dtype: type of the weights.

        Returns:
            The model, in evaluation mode.

        Raises:
            ValueError: if the folder holds another kind of model, or its weights do not fit.
            FileNotFoundError: if it holds none.
        """
        from encdec import checkpoints

        return checkpoints.load_own(cls, folder, dtype=dtype)

    def save_pretrained(
        self, folder: str | PathLike[str], *, dtype: torch.dtype | None = None
    ) -> None:
        """Write the model into a folder.

        Args:
            folder: where to write.
            dtype: type of the weights in the file; the model's own if not given.
        """
        from encdec import checkpoints

        checkpoints.save_own(self, folder, dtype=dtype)
