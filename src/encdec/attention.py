"""Attention: every query takes a weighted mean of values, weighted by how well it fits each key.

Shape letters: `batch` sentences, `heads` attention heads, `target` query positions, `source` key
positions, `d_model` width of the model, `d_kv` width of one head, `inner` = heads · d_kv.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encdec.cache import LayerCache
from encdec.positions import RotaryPositions


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Attend, written out for reading; `MultiHeadAttention` calls torch's fused kernel instead.

    Args:
        query: (batch, heads, target, d_kv).
        key: (batch, heads, source, d_kv).
        value: (batch, heads, source, d_kv).
        mask: boolean, True where a query may attend; or numbers that are added to the scores,
            -inf to forbid. Anything that broadcasts to (batch, heads, target, source).
        scale: factor of the scores, 1 / √d_kv if not given: a sum of d_kv products of independent
            numbers of variance 1 has variance d_kv, and softmax saturates on large numbers.
        dropout: share of the weights to drop.

    Returns:
        The mixed values, (batch, heads, target, d_kv), and the weights,
        (batch, heads, target, source), of which each row sums to 1. A query that may see nothing
        gets zeros.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.2.1.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = query @ key.transpose(-2, -1) * scale  # (batch, heads, target, source)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(dim=-1)  # (batch, heads, target, source)
    if mask is not None:
        # softmax of a row of -inf is 0 / 0; such a query stands on padding and must not spread NaN
        weights = weights.masked_fill((scores == -math.inf).all(dim=-1, keepdim=True), 0.0)
    weights = F.dropout(weights, dropout, training=dropout > 0)
    return weights @ value, weights  # (batch, heads, target, d_kv), (batch, heads, target, source)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own projection of the states.

    One matrix makes queries, keys and values together (in cross-attention: keys and values), and
    heads are an axis of a tensor. So a layer is two matrix products however many heads it has.

    Args:
        d_model: width of the model.
        num_heads: number of heads.
        d_kv: width of one head; d_model / num_heads if not given.
        bias: whether the projections have biases.
        scale: factor of the scores; 1 / √d_kv if not given.
        dropout: share of attention weights dropped in training.
        cross: whether keys and values come from another sequence.
        projects: whether a cross-attention makes its keys and values itself, or is given them
            ready, as where several layers share one projection.

    Raises:
        ValueError: if `d_kv` is not given and `num_heads` does not divide `d_model`.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.2.2.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_kv: int | None = None,
        *,
        bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
        cross: bool = False,
        projects: bool = True,
    ) -> None:
        super().__init__()
        if d_kv is None and d_model % num_heads:
            raise ValueError(
                f"num_heads={num_heads} must divide d_model={d_model}, or d_kv must be given"
            )
        self.num_heads = num_heads
        self.d_kv = d_kv or d_model // num_heads
        self.scale = self.d_kv**-0.5 if scale is None else scale
        self.dropout = dropout
        self.cross = cross
        inner = self.num_heads * self.d_kv
        if cross:
            self.q = nn.Linear(d_model, inner, bias=bias)
            self.kv = nn.Linear(d_model, 2 * inner, bias=bias) if projects else nn.Identity()
        else:
            self.qkv = nn.Linear(d_model, 3 * inner, bias=bias)
        self.out = nn.Linear(inner, d_model, bias=bias)

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool = False,
        memory: tuple[Tensor, Tensor] | None = None,
        cache: LayerCache | None = None,
        layer: int = 0,
        angles: tuple[Tensor, Tensor] | None = None,
        attentions: list[Tensor] | None = None,
    ) -> Tensor:
        """Attend from every position, in self-attention to the same sequence.

        Args:
            hidden_states: (batch, target, d_model).
            mask: boolean or additive, broadcasts to (batch, heads, target, source).
            is_causal: without a mask, hide the positions after each query.
            memory: in cross-attention, keys and values from `project`. They may have fewer rows
                than the queries: then every so many rows in turn read the same source.
            cache: in self-attention, what earlier steps have left.
            layer: number of this layer in the cache.
            angles: rotary positions for queries, and in self-attention for keys.
            attentions: a list to which the weights are appended, (batch, heads, target, source).

        Returns:
            (batch, target, d_model).
        """
        batch, target, _ = hidden_states.shape
        if self.cross:
            if memory is None:
                raise ValueError(
                    "memory is missing: cross-attention needs keys and values from `project`"
                )
            key, value = memory  # 2 × (sentences, heads, source, d_kv)
            # beams of one sentence become queries of one sentence
            query = self.q(hidden_states).view(key.shape[0], -1, self.num_heads, self.d_kv)
            query = query.transpose(1, 2)  # (sentences, heads, beams * target, d_kv)
            if angles is not None:
                query = RotaryPositions.rotate(query, angles)
        else:
            qkv = self.qkv(hidden_states).view(batch, target, 3, self.num_heads, self.d_kv)
            qkv = qkv.permute(2, 0, 3, 1, 4)  # (3, batch, heads, target, d_kv)
            query, key, value = qkv.unbind(0)
            if angles is not None:
                query = RotaryPositions.rotate(query, angles)
                key = RotaryPositions.rotate(key, angles)
            if cache is not None:
                key, value = cache.update(layer, key, value)  # 2 × (batch, heads, source, d_kv)
        mixed = self.attend(query, key, value, mask, is_causal, attentions, batch)
        mixed = mixed.transpose(1, 2).reshape(batch, target, -1)  # (batch, target, inner)
        return self.out(mixed)  # (batch, target, d_model)

    def project(self, encoder_hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Make the keys and values of cross-attention, once for all decoding steps.

        Args:
            encoder_hidden_states: (batch, source, d_model).

        Returns:
            Keys and values, each (batch, heads, source, d_kv).
        """
        batch, source, _ = encoder_hidden_states.shape
        kv = self.kv(encoder_hidden_states).view(batch, source, 2, self.num_heads, self.d_kv)
        key, value = kv.permute(2, 0, 3, 1, 4).unbind(0)  # 2 × (batch, heads, source, d_kv)
        return key, value

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        is_causal: bool,
        attentions: list[Tensor] | None,
        batch: int,
    ) -> Tensor:
        """Choose the fused kernel, or the written-out attention if the weights are wanted.

        Args:
            query: (sentences, heads, beams * target, d_kv).
            key: (sentences, heads, source, d_kv).
            value: (sentences, heads, source, d_kv).
            mask: boolean, additive or None.
            is_causal: without a mask, hide the positions after each query.
            attentions: a list to which the weights are appended, or None.
            batch: sentences * beams.

        Returns:
            (sentences, heads, beams * target, d_kv).
        """
        dropout = self.dropout if self.training else 0.0
        if attentions is None:
            return F.scaled_dot_product_attention(
                query,
                key,
                value,
                mask,
                dropout,
                is_causal=is_causal and mask is None,
                scale=self.scale,
            )
        if is_causal and mask is None:
            mask = torch.ones(
                query.shape[2], key.shape[2], dtype=torch.bool, device=query.device
            ).tril()
        mixed, weights = scaled_dot_product_attention(
            query, key, value, mask, scale=self.scale, dropout=dropout
        )
        # (sentences, heads, beams * target, source) -> (batch, heads, target, source)
        weights = weights.unflatten(2, (batch // len(weights), -1)).transpose(1, 2).flatten(0, 1)
        attentions.append(weights)
        return mixed


class AdditiveAttention(nn.Module):
    """The first attention: a small network scores how well a decoder state fits each source word.

    Args:
        query_size: width of the decoder's state.
        key_size: width of the encoder's states.
        hidden_size: width of the scoring network.

    From "Neural Machine Translation by Jointly Learning to Align and Translate"
    (Bahdanau et al., 2015), appendix A.1.2.
    """

    def __init__(self, query_size: int, key_size: int, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, hidden_size, bias=False)
        self.key = nn.Linear(key_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        """Make the keys' part of the score, which is the same at every step.

        Args:
            keys: encoder states, (batch, source, key_size).

        Returns:
            (batch, source, hidden_size).
        """
        return self.key(keys)

    def forward(
        self, query: Tensor, projected_keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mix the values.

        Args:
            query: decoder states, (batch, target, query_size).
            projected_keys: from `project`, (batch, source, hidden_size).
            values: encoder states, (batch, source, key_size).
            mask: boolean, True for real source positions, (batch, source).

        Returns:
            Contexts, (batch, target, key_size), and weights, (batch, target, source).
        """
        projected_query = self.query(query)[:, :, None]  # (batch, target, 1, hidden_size)
        joint = projected_query + projected_keys[:, None]  # (batch, target, source, hidden_size)
        scores = self.score(joint.tanh()).squeeze(3)  # (batch, target, source)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -math.inf)
        weights = scores.softmax(dim=-1)  # (batch, target, source)
        return weights @ values, weights  # (batch, target, key_size), (batch, target, source)
