"""Between encoder–decoder and decoder-only: designs of chapter 12, from the same parts.

`PrefixLM`, the simplest of them, stands in `encdec.transformer`.

Shape letters: `batch` sentences, `passages` texts read for each, `source` tokens of one text,
`target` decoder positions, `rows` sequences being written, `window` keys that a local layer sees,
`heads` attention heads, `d_model` width of the model, `d_kv` width of one head, `vocab` tokens.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from encdec.attention import MultiHeadAttention
from encdec.cache import KVCache
from encdec.config import TransformerConfig
from encdec.layers import DecoderLayer, FeedForward, Residual, clamp_half, make_norm
from encdec.masks import check_attention_mask, left_padding
from encdec.positions import RotaryPositions
from encdec.stacks import ModelOutput, Record, Stack
from encdec.transformer import (
    DecoderOnly,
    EncoderDecoder,
    LanguageModel,
    PrefixLM,
    check_ids,
    token_positions,
)

__all__ = [
    "DecoderDecoder",
    "DecoderDecoderConfig",
    "FusionInDecoder",
    "PrefixLM",
    "PromptedDecoder",
    "SharedEncoderDecoder",
    "warm_start",
]


class SharedEncoderDecoder(EncoderDecoder):
    """An encoder–decoder whose two stacks are one: half the weights, nearly the same quality.

    Layer n of the encoder and layer n of the decoder have the same self-attention, feed-forward
    network and norms; only cross-attention is the decoder's own.

    Args:
        config: the model's description, with as many encoder as decoder layers of the same sizes.

    Raises:
        ValueError: if the stacks differ in a size.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 3.2.2
    ("Enc-dec, shared").
    """

    own_layout = True

    def __init__(self, config: TransformerConfig) -> None:
        pairs = {
            "num_decoder_layers": (config.num_decoder_layers, config.num_layers),
            "decoder_num_heads": (config.decoder_num_heads, config.num_heads),
            "decoder_d_ff": (config.decoder_d_ff, config.d_ff),
        }
        for name, (decoder, encoder) in pairs.items():
            if decoder != encoder:
                raise ValueError(
                    f"{name}={decoder} must be {encoder} as in the encoder: the stacks share "
                    "their weights"
                )
        super().__init__(config)
        shared = ["self_attention", "self_attention_residual"]
        shared += ["feed_forward", "feed_forward_residual"]
        for encoder_layer, decoder_layer in zip(
            self.encoder.layers, self.decoder.layers, strict=True
        ):
            for name in shared:
                setattr(encoder_layer, name, getattr(decoder_layer, name))


class PromptedDecoder(PrefixLM):
    """A decoder-only model that is called like an encoder–decoder: source, start token, target.

    It differs from `PrefixLM` in the mask and in nothing else: every position, those of the source
    too, sees only what stands before it. So a comparison of both measures that mask alone.

    Args:
        config: the model's description; its `num_decoder_layers` count.

    Raises:
        ValueError: if positions are relative.

    From "Exploring the Limits of Transfer Learning" (Raffel et al., 2020), section 3.2.1
    ("language model").
    """

    two_way = False


class FusionInDecoder(EncoderDecoder):
    """Read many passages one by one, and write with all of them in view.

    The encoder sees each passage alone, so its cost grows linearly with their number; the decoder
    attends to all of them as if they were one source.

    Args:
        config: the model's description.

    From "Leveraging Passage Retrieval with Generative Models for Open Domain Question Answering"
    (Izacard and Grave, 2021), section 3.
    """

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        record: Record | None = None,
    ) -> Tensor:
        """Read the passages.

        Args:
            input_ids: (batch, passages, source).
            attention_mask: 1 or True for real tokens, (batch, passages, source).
            record: notebook for attention weights and states.

        Returns:
            encoder_hidden_states, (batch, passages * source, d_model).

        Raises:
            ValueError: if ids are out of range, or shapes do not fit.
        """
        if input_ids.dim() != 3:
            raise ValueError(
                f"input_ids has shape {tuple(input_ids.shape)}, but must be "
                "(batch, passages, source)"
            )
        flat = input_ids.flatten(0, 1)  # (batch * passages, source)
        mask = None if attention_mask is None else attention_mask.flatten(0, 1)
        states = super().encode(flat, mask, record=record)  # (batch * passages, source, d_model)
        # (batch * passages, source, d_model) -> (batch, passages * source, d_model)
        return states.unflatten(0, input_ids.shape[:2]).flatten(1, 2)

    def cross_mask(self, attention_mask: Tensor | None) -> Tensor | None:
        """Lay the passages' masks side by side, as the decoder sees them.

        Args:
            attention_mask: (batch, passages, source), or None.

        Returns:
            (batch, 1, 1, passages * source), or None if every position may be seen.
        """
        return super().cross_mask(None if attention_mask is None else attention_mask.flatten(1, 2))


def warm_start(decoder_only: DecoderOnly, *, num_layers: int | None = None) -> EncoderDecoder:
    """Make an encoder–decoder out of a trained decoder, to be trained on.

    The encoder starts as the decoder's layers without the causal mask, the decoder as a copy of
    them. Its cross-attention, which has no counterpart, starts from the self-attention of the same
    layer: it is better than noise, since it looks for the same things in another place.

    Args:
        decoder_only: the trained model.
        num_layers: encoder layers, the first so many of the decoder's; all if not given.

    Returns:
        A model with fresh memory of its own; the given one is not changed.

    Raises:
        ValueError: if there are not so many layers.

    From "Encoder-Decoder Gemma: Improving the Quality-Efficiency Trade-Off via Adaptation"
    (Zhang et al., 2025), section 3.
    """
    given = decoder_only.config
    layers = given.num_decoder_layers if num_layers is None else num_layers
    if not 1 <= layers <= given.num_decoder_layers:
        raise ValueError(
            f"num_layers={layers} must be between 1 and the decoder's {given.num_decoder_layers}"
        )
    start = (
        given.bos_token_id if given.decoder_start_token_id is None else given.decoder_start_token_id
    )
    config = replace(given, model_type="", num_layers=layers, decoder_start_token_id=start)
    model = EncoderDecoder(config)
    state = {}
    for name, tensor in decoder_only.state_dict().items():
        state[name] = tensor
        if name.startswith("decoder."):
            part = name.removeprefix("decoder.")
            if not part.startswith("layers.") or int(part.split(".")[1]) < layers:
                state[f"encoder.{part}"] = tensor
        if ".self_attention.qkv." in name:
            query, key, value = tensor.chunk(3)
            state[name.replace("self_attention.qkv", "cross_attention.q")] = query
            state[name.replace("self_attention.qkv", "cross_attention.kv")] = torch.cat(
                [key, value]
            )
        elif ".self_attention.out." in name or ".self_attention_residual." in name:
            state[name.replace("self_attention", "cross_attention")] = tensor
    model.load_state_dict(state)
    return model.to(decoder_only.device, decoder_only.tokens.weight.dtype)


# --- decoder–decoder -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DecoderDecoderConfig(TransformerConfig):
    """A `TransformerConfig` with a local and a global half.

    Args:
        window: how many keys, itself included, a position of the local layers sees.
        num_local_layers: how many of the `num_decoder_layers` are local; half if not given.

    Raises:
        ValueError: if a value is impossible.
    """

    window: int = 64
    num_local_layers: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        local = self.num_local_layers or self.num_decoder_layers // 2
        object.__setattr__(self, "num_local_layers", local)
        if self.positions == "relative":
            raise ValueError(
                'positions="relative" is not supported here: use "rotary" or "learned"'
            )
        if self.window < 1:
            raise ValueError(f"window={self.window} must be at least 1")
        if not 1 <= local < self.num_decoder_layers:
            raise ValueError(
                f"num_local_layers={local} must leave at least one of num_decoder_layers="
                f"{self.num_decoder_layers} on either side"
            )


class WindowKVCache:
    """Keys and values of the last few positions, for layers that see no others.

    Args:
        num_layers: number of local layers.
        window: how many keys, itself included, a position sees.
    """

    def __init__(self, num_layers: int, window: int) -> None:
        self.window = window
        self.length = 0  # positions kept
        self.kept: list[tuple[Tensor, Tensor] | None] = [None] * num_layers

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values that are kept."""
        return sum(each.nbytes for pair in self.kept if pair for each in pair)

    def update(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put new keys and values behind those kept, and keep what a later position can see.

        Args:
            layer: number of the layer.
            key: (rows, heads, new, d_kv).
            value: (rows, heads, new, d_kv).

        Returns:
            Keys and values, each (rows, heads, kept + new, d_kv).
        """
        if (old := self.kept[layer]) is not None:
            key, value = torch.cat([old[0], key], dim=2), torch.cat([old[1], value], dim=2)
        first = max(key.shape[2] - (self.window - 1), 0)
        self.kept[layer] = (key[:, :, first:], value[:, :, first:])
        return key, value

    def advance(self, new: int) -> None:
        """Count the positions that every layer has written.

        Args:
            new: number of positions.
        """
        self.length = min(self.length + new, self.window - 1)

    def reorder(self, beam_index: Tensor) -> None:
        """Let row i continue what row `beam_index[i]` has written.

        Args:
            beam_index: (new rows,).
        """
        self.kept = [pair and (pair[0][beam_index], pair[1][beam_index]) for pair in self.kept]


@dataclass
class DecoderDecoderCache:
    """A short cache for the local layers, and one long one that all global layers share.

    Args:
        local: the last few keys and values of each local layer.
        shared: keys and values of all positions, once for all global layers.
    """

    local: WindowKVCache
    shared: KVCache

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values that both keep."""
        return self.local.nbytes + self.shared.nbytes

    def reorder(self, beam_index: Tensor) -> None:
        """Let row i continue what row `beam_index[i]` has written.

        Args:
            beam_index: (new rows,).
        """
        self.local.reorder(beam_index)
        self.shared.reorder(beam_index)

    def repeat(self, times: int) -> None:
        """Repeat every row.

        Args:
            times: how often.
        """
        if (first := self.local.kept[0]) is not None:
            rows = torch.arange(len(first[0]), device=first[0].device)
            self.local.reorder(rows.repeat_interleave(times))
        self.shared.repeat(times)


class SharedMemory(nn.Module):
    """Make the one pair of keys and values that all global layers read.

    Args:
        config: the model's description.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.norm = make_norm(config)
        self.kv = nn.Linear(config.d_model, 2 * config.num_heads * config.d_kv, bias=config.bias)

    def forward(
        self, hidden_states: Tensor, angles: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Project.

        Args:
            hidden_states: output of the local layers, (batch, target, d_model).
            angles: rotary positions, or None.

        Returns:
            Keys and values, each (batch, heads, target, d_kv).
        """
        kv = self.kv(self.norm(hidden_states)).unflatten(2, (2, self.num_heads, -1))
        key, value = kv.permute(2, 0, 3, 1, 4).unbind(0)  # 2 × (batch, heads, target, d_kv)
        return key if angles is None else RotaryPositions.rotate(key, angles), value


class GlobalLayer(nn.Module):
    """Attend to keys and values that another layer has made, then the feed-forward network.

    Args:
        config: the model's description.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.cross_attention = MultiHeadAttention(
            config.d_model,
            config.num_heads,
            config.d_kv,
            bias=config.bias,
            dropout=config.attention_dropout,
            cross=True,
            projects=False,
        )
        self.cross_attention_residual = Residual(config)
        self.feed_forward = FeedForward(config, config.decoder_d_ff)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None,
        memory: tuple[Tensor, Tensor],
        angles: tuple[Tensor, Tensor] | None = None,
        attentions: list[Tensor] | None = None,
    ) -> Tensor:
        """Refine.

        Args:
            hidden_states: (batch, target, d_model).
            mask: boolean, broadcasts to (batch, heads, target, written).
            memory: shared keys and values, each (batch, heads, written, d_kv).
            angles: rotary positions of the queries.
            attentions: a list to which the weights are appended.

        Returns:
            (batch, target, d_model).
        """
        frame = self.cross_attention_residual
        made = self.cross_attention(
            frame.before(hidden_states), mask, memory=memory, angles=angles, attentions=attentions
        )
        hidden_states = frame.after(hidden_states, made)
        frame = self.feed_forward_residual
        hidden_states = frame.after(hidden_states, self.feed_forward(frame.before(hidden_states)))
        return clamp_half(hidden_states)


class DecoderDecoder(LanguageModel):
    """Two decoders in a row that keep keys and values once instead of once a layer ("YOCO").

    The first half attends locally and keeps a window. Its output is projected to keys and values a
    single time, and all layers of the second half attend to these. So the cache is about as large
    as one layer's; and of a prompt, all but the last position can stop half-way.

    Args:
        config: the model's description.

    From "You Only Cache Once: Decoder-Decoder Architectures for Language Models"
    (Sun et al., 2024), section 2, with sliding-window attention in the first half.
    """

    config_class: ClassVar[type[TransformerConfig]] = DecoderDecoderConfig
    target_is_separate = False
    own_layout = True

    def __init__(self, config: DecoderDecoderConfig) -> None:
        super().__init__(config)
        self.window = config.window
        local = config.num_local_layers
        self.stack = Stack(config, config.num_heads, bidirectional=False)
        self.local_layers = nn.ModuleList([DecoderLayer(config, cross=False) for _ in range(local)])
        self.shared = SharedMemory(config)
        layers = [GlobalLayer(config) for _ in range(config.num_decoder_layers - local)]
        self.global_layers = nn.ModuleList(layers)
        self.initialise()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        output_attentions: bool = False,
    ) -> Tensor | ModelOutput:
        """Score every next token of a text.

        Args:
            input_ids: (batch, target).
            attention_mask: 1 or True for real tokens, (batch, target).
            output_attentions: whether to return the attention weights of all layers too.

        Returns:
            Logits, (batch, target, vocab), float32; or a `ModelOutput`.

        Raises:
            ValueError: if ids are out of range or the mask does not fit.
        """
        check_ids(input_ids, self.config.vocab_size, "input_ids")
        index = torch.arange(input_ids.shape[1], device=input_ids.device)
        real, positions = None, index
        if attention_mask is not None:
            real = check_attention_mask(attention_mask, input_ids)
            positions = token_positions(real)  # (batch, target)
        record = Record(output_attentions)
        attentions = record.decoder_attentions if output_attentions else None
        embedded = self.embed(self.tokens, input_ids)
        hidden_states, angles = self.stack.embed(embedded, positions, len(index))
        mask = self.visible(index, index, real, self.window)
        for layer in self.local_layers:
            hidden_states = layer(hidden_states, mask, angles=angles, attentions=attentions)
        memory = self.shared(hidden_states, angles)
        mask = self.visible(index, index, real)
        for layer in self.global_layers:
            hidden_states = layer(hidden_states, mask, memory, angles, attentions)
        logits = self.logits(self.stack.finish(hidden_states))
        return ModelOutput.of(logits, None, record) if output_attentions else logits

    @staticmethod
    def visible(
        queries: Tensor, keys: Tensor, real: Tensor | None, window: int | None = None
    ) -> Tensor:
        """Tell which keys each query may see.

        Args:
            queries: where they stand, (target,).
            keys: where they stand, (written,).
            real: True for keys that are no padding, (batch, written), or None for all.
            window: how many keys, itself included, a query sees; None for all before it.

        Returns:
            Boolean mask, (target, written) or (batch, 1, target, written).
        """
        distance = queries[:, None] - keys[None, :]  # (target, written)
        mask = distance >= 0 if window is None else (distance >= 0) & (distance < window)
        return mask if real is None else mask & real[:, None, None, :]

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        prompt: Tensor | None = None,
        max_length: int | None = None,
        record: Record | None = None,
    ) -> tuple[Tensor, DecoderDecoderCache]:
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
        shared = KVCache(1, max_length, padding)
        return input_ids, DecoderDecoderCache(
            WindowKVCache(len(self.local_layers), self.window), shared
        )

    def step(
        self, tokens: Tensor, cache: DecoderDecoderCache, record: Record | None = None
    ) -> Tensor:
        """Score the next token (part of the protocol of `encdec.decoding`).

        Args:
            tokens: what was written since the last step, (rows, new).
            cache: what was written before; it grows by the new tokens.
            record: not used: weights of both kinds of layers have different widths.

        Returns:
            Logits, (rows, vocab).
        """
        start, new = cache.shared.length, tokens.shape[1]
        index = torch.arange(start + new, device=tokens.device)
        queries = positions = index[start:]
        real = None
        if cache.shared.left_padding is not None:
            real = index >= cache.shared.left_padding[:, None]  # (rows, written)
            positions = (queries - cache.shared.left_padding[:, None]).clamp(min=0)  # (rows, new)
        embedded = self.embed(self.tokens, tokens)
        hidden_states, angles = self.stack.embed(embedded, positions, start + new)
        near = index[start - cache.local.length :]  # keys that the local layers still have
        near_real = None if real is None else real[:, -len(near) :]
        mask = self.visible(queries, near, near_real, self.window)
        for number, layer in enumerate(self.local_layers):
            hidden_states = layer(
                hidden_states, mask, cache=cache.local, layer=number, angles=angles
            )
        cache.local.advance(new)
        memory = cache.shared.update(0, *self.shared(hidden_states, angles))
        cache.shared.advance(new)
        hidden_states = hidden_states[:, -1:]  # the others have left what is asked of them
        if angles is not None:
            angles = (angles[0][..., -1:, :], angles[1][..., -1:, :])
        all_real = None if real is None else real[:, None, None, :]  # (rows, 1, 1, written)
        for layer in self.global_layers:
            hidden_states = layer(hidden_states, all_real, memory, angles)
        return self.logits(self.stack.finish(hidden_states))[:, 0]  # (rows, vocab)

    room = DecoderOnly.room
