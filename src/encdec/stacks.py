"""Stacks of layers: the encoder, the decoder, and the notebook in which they write on request.

Shape letters: `batch` sentences, `source` encoder positions, `target` decoder positions, `written`
decoder positions so far, `heads` attention heads, `d_model` width of the model, `d_kv` width of one
head, `vocab` tokens that can be written.
"""

import math
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from encdec.cache import KVCache
from encdec.config import TransformerConfig
from encdec.layers import DecoderLayer, EncoderLayer, make_norm
from encdec.masks import causal_mask
from encdec.positions import (
    LearnedPositions,
    RelativePositionBias,
    RotaryPositions,
    SinusoidalPositions,
)


@dataclass
class Record:
    """A notebook in which a forward pass writes down what it looks at, one entry a layer.

    Args:
        attentions: whether attention weights are wanted. They cost time: the fused kernel never
            forms them.
        states: whether the states between layers are wanted.
    """

    attentions: bool = True
    states: bool = False
    encoder_attentions: list[Tensor] = field(default_factory=list)
    decoder_attentions: list[Tensor] = field(default_factory=list)
    cross_attentions: list[Tensor] = field(default_factory=list)
    encoder_states: list[Tensor] = field(default_factory=list)
    decoder_states: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class ModelOutput:
    """Logits, and on request what led to them; what was not asked for is None.

    Args:
        logits: (batch, target, vocab), float32.
        encoder_hidden_states: the encoder's output, (batch, source, d_model).
        encoder_attentions: (layers, batch, heads, source, source).
        decoder_attentions: (layers, batch, heads, target, target).
        cross_attentions: (layers, batch, heads, target, source).
        encoder_states: embeddings, then the output of each layer,
            (layers + 1, batch, source, d_model).
        decoder_states: the same of the decoder, (layers + 1, batch, target, d_model).
    """

    logits: Tensor
    encoder_hidden_states: Tensor | None = None
    encoder_attentions: Tensor | None = None
    decoder_attentions: Tensor | None = None
    cross_attentions: Tensor | None = None
    encoder_states: Tensor | None = None
    decoder_states: Tensor | None = None

    @classmethod
    def of(cls, logits: Tensor, encoder_hidden_states: Tensor | None, record: Record) -> Self:
        """Close the notebook of a forward pass.

        Args:
            logits: (batch, target, vocab).
            encoder_hidden_states: (batch, source, d_model), or None.
            record: what the pass wrote down.

        Returns:
            The output.
        """
        names = (
            "encoder_attentions",
            "decoder_attentions",
            "cross_attentions",
            "encoder_states",
            "decoder_states",
        )
        lists = {name: getattr(record, name) for name in names}
        stacked = {
            name: torch.stack(entries) if entries else None for name, entries in lists.items()
        }
        return cls(logits, encoder_hidden_states, **stacked)


class Stack(nn.Module):
    """What encoder and decoder have in common: positions at the start and a norm at the end.

    Args:
        config: the model's description.
        num_heads: heads of this stack.
        bidirectional: whether a position sees what comes after it.
    """

    def __init__(self, config: TransformerConfig, num_heads: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.positions: nn.Module | None = None
        if config.positions == "learned":
            self.positions = LearnedPositions(
                config.max_positions or 0, config.d_model, config.position_offset
            )
        elif config.positions == "sinusoidal":
            self.positions = SinusoidalPositions(config.d_model)
        elif config.positions == "relative":
            self.positions = RelativePositionBias(
                num_heads,
                config.relative_num_buckets,
                config.relative_max_distance,
                bidirectional=bidirectional,
            )
        elif config.positions == "rotary":
            self.positions = RotaryPositions(config.d_kv)
        self.embedding_norm = make_norm(config) if config.norm_embedding else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.final_norm = make_norm(config) if config.final_norm else nn.Identity()
        self.final_dropout = nn.Dropout(config.dropout if config.final_dropout else 0.0)

    def embed(
        self, hidden_states: Tensor, positions: Tensor, longest: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Tell token embeddings where they stand.

        Args:
            hidden_states: token embeddings, (batch, length, d_model).
            positions: (length,) or (batch, length).
            longest: one more than the highest position.

        Returns:
            States for the first layer, (batch, length, d_model), and the angles of rotary
            positions, which act inside attention, or None.
        """
        angles = None
        if isinstance(self.positions, LearnedPositions | SinusoidalPositions):
            hidden_states = hidden_states + self.positions(positions, longest)
        elif isinstance(self.positions, RotaryPositions):
            angles = self.positions.angles(positions)
        return self.dropout(self.embedding_norm(hidden_states)), angles

    def finish(self, hidden_states: Tensor) -> Tensor:
        """Close the stack.

        Args:
            hidden_states: (batch, length, d_model).

        Returns:
            (batch, length, d_model).
        """
        return self.final_dropout(self.final_norm(hidden_states))


def add_mask(bias: Tensor, mask: Tensor | None) -> Tensor:
    """Join a position bias and a mask into one tensor, once for all layers.

    Args:
        bias: added to the scores, broadcasts to (batch, heads, target, source).
        mask: boolean, broadcasts to (batch, heads, target, source), or None.

    Returns:
        Additive mask.
    """
    return bias if mask is None else torch.where(mask, bias, -math.inf)


class Encoder(Stack):
    """Read the source; every position sees all others.

    Args:
        config: the model's description.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, config.num_heads, bidirectional=True)
        self.layers = nn.ModuleList([EncoderLayer(config) for _ in range(config.num_layers)])

    def forward(
        self, hidden_states: Tensor, mask: Tensor | None = None, record: Record | None = None
    ) -> Tensor:
        """Encode.

        Args:
            hidden_states: token embeddings, (batch, source, d_model).
            mask: boolean, broadcasts to (batch, heads, source, source).
            record: notebook for attention weights and states.

        Returns:
            (batch, source, d_model).
        """
        source = hidden_states.shape[1]
        positions = torch.arange(source, device=hidden_states.device)
        hidden_states, angles = self.embed(hidden_states, positions, source)
        if isinstance(self.positions, RelativePositionBias):
            bias = self.positions(positions, positions)  # (1, heads, source, source)
            mask = add_mask(bias, mask).to(hidden_states.dtype)
        attentions = record.encoder_attentions if record and record.attentions else None
        for layer in self.layers:
            if record and record.states:
                record.encoder_states.append(hidden_states)
            hidden_states = layer(hidden_states, mask, angles=angles, attentions=attentions)
        hidden_states = self.finish(hidden_states)
        if record and record.states:
            record.encoder_states.append(hidden_states)
        return hidden_states


class Decoder(Stack):
    """Write the target; a position sees itself, what stands before it, and the source.

    Args:
        config: the model's description.
        cross: whether there is a source.
    """

    def __init__(self, config: TransformerConfig, *, cross: bool = True) -> None:
        super().__init__(config, config.decoder_num_heads, bidirectional=False)
        layers = [DecoderLayer(config, cross=cross) for _ in range(config.num_decoder_layers)]
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        memory: list[tuple[Tensor, Tensor]] | None = None,
        cross_mask: Tensor | None = None,
        cache: KVCache | None = None,
        position_bias: Tensor | None = None,
        record: Record | None = None,
    ) -> Tensor:
        """Decode.

        Args:
            hidden_states: token embeddings, (batch, target, d_model).
            mask: boolean, broadcasts to (batch, heads, target, written), where `written` counts
                the positions in the cache too; causal if not given.
            positions: (target,) or (batch, target); those after the cache if not given.
            memory: the encoder's keys and values for each layer.
            cross_mask: boolean, (batch, 1, 1, source).
            cache: keys and values of earlier steps.
            position_bias: relative bias, if the caller has it ready,
                (1, heads, target, written).
            record: notebook for attention weights and states.

        Returns:
            (batch, target, d_model).
        """
        target = hidden_states.shape[1]
        start = cache.length if cache is not None else 0
        written = start + target
        if positions is None:
            positions = torch.arange(start, written, device=hidden_states.device)
        hidden_states, angles = self.embed(hidden_states, positions, written)
        # one new token sees everything; several need the triangle, which the kernel knows itself
        relative = isinstance(self.positions, RelativePositionBias)
        if mask is None and target > 1 and (start or relative):
            mask = causal_mask(target, written, hidden_states.device)  # (target, written)
        if isinstance(self.positions, RelativePositionBias):
            if position_bias is None:
                # distances are what they are, wherever padding has moved the first token to
                keys = torch.arange(written, device=hidden_states.device)
                position_bias = self.positions(keys[start:], keys)  # (1, heads, target, written)
            mask = add_mask(position_bias, mask).to(hidden_states.dtype)
        attentions = record.decoder_attentions if record and record.attentions else None
        cross_attentions = record.cross_attentions if record and record.attentions else None
        for number, layer in enumerate(self.layers):
            if record and record.states:
                record.decoder_states.append(hidden_states)
            hidden_states = layer(
                hidden_states,
                mask,
                is_causal=target > 1,
                memory=memory[number] if memory else None,
                cross_mask=cross_mask,
                cache=cache,
                layer=number,
                angles=angles,
                attentions=attentions,
                cross_attentions=cross_attentions,
            )
        if cache is not None:
            cache.advance(target)
        hidden_states = self.finish(hidden_states)
        if record and record.states:
            record.decoder_states.append(hidden_states)
        return hidden_states
