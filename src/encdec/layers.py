"""Layers: norms, the feed-forward network, and one layer of encoder and decoder.

Shape letters: `batch` sentences, `length` positions of any sequence, `target` decoder positions,
`source` encoder positions, `d_model` width of the model, `d_ff` width of the feed-forward network.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encdec.attention import MultiHeadAttention
from encdec.cache import LayerCache
from encdec.config import TransformerConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "swish": F.silu,
}


class RMSNorm(nn.Module):
    """Divide by the root of the mean square: `x / sqrt(mean(x²) + eps) * weight`.

    Unlike LayerNorm it leaves the mean where it is and has no bias.

    Args:
        d_model: width of the model.
        eps: what is added to the mean square.

    From "Root Mean Square Layer Normalization" (Zhang and Sennrich, 2019), section 3.
    """

    def __init__(self, d_model: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Normalise each position by itself.

        Args:
            hidden_states: (batch, length, d_model).

        Returns:
            (batch, length, d_model).
        """
        return F.rms_norm(hidden_states, self.weight.shape, self.weight, self.eps)


def make_norm(config: TransformerConfig) -> nn.Module:
    """Build the norm that a configuration asks for.

    Args:
        config: the model's description.

    Returns:
        `RMSNorm` or `nn.LayerNorm`.
    """
    if config.norm == "rms_norm":
        return RMSNorm(config.d_model, config.norm_eps)
    return nn.LayerNorm(config.d_model, config.norm_eps)


class FeedForward(nn.Module):
    """Two linear layers with a bend between them, applied to each position by itself.

    Gated, the bend is `activation(x W) * (x V)`: one half of a wider projection decides how much of
    the other half passes.

    Args:
        config: the model's description.
        d_ff: width between the two layers.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.3, and "GLU Variants Improve
    Transformer" (Shazeer, 2020), section 2.
    """

    def __init__(self, config: TransformerConfig, d_ff: int) -> None:
        super().__init__()
        self.gated = config.gated
        self.activation = ACTIVATIONS[config.activation]
        self.wi = nn.Linear(config.d_model, 2 * d_ff if config.gated else d_ff, bias=config.bias)
        self.wo = nn.Linear(d_ff, config.d_model, bias=config.bias)
        self.dropout = nn.Dropout(config.activation_dropout)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Transform each position.

        Args:
            hidden_states: (batch, length, d_model).

        Returns:
            (batch, length, d_model).
        """
        hidden_states = self.wi(hidden_states)  # (batch, length, d_ff), or 2 * d_ff if gated
        if self.gated:
            gate, passed = hidden_states.chunk(2, dim=-1)  # 2 × (batch, length, d_ff)
            hidden_states = self.activation(gate) * passed
        else:
            hidden_states = self.activation(hidden_states)
        return self.wo(self.dropout(hidden_states))  # (batch, length, d_model)


class Residual(nn.Module):
    """The frame around every sublayer: add what it makes to what came in, and normalise.

    Pre-norm, `x + f(norm(x))`, leaves a clear path from the first layer to the last and trains
    easily; post-norm, `norm(x + f(x))`, is what the first Transformer did. The two halves are
    separate methods, so that a layer reads from top to bottom.

    Args:
        config: the model's description.

    From "On Layer Normalization in the Transformer Architecture" (Xiong et al., 2020), section 3.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.norm = make_norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def before(self, hidden_states: Tensor) -> Tensor:
        """Prepare a sublayer's input.

        Args:
            hidden_states: (batch, length, d_model).

        Returns:
            (batch, length, d_model).
        """
        return self.norm(hidden_states) if self.norm_first else hidden_states

    def after(self, hidden_states: Tensor, made: Tensor) -> Tensor:
        """Add a sublayer's output to the path.

        Args:
            hidden_states: what came into the frame, (batch, length, d_model).
            made: what the sublayer made of it, (batch, length, d_model).

        Returns:
            (batch, length, d_model).
        """
        hidden_states = hidden_states + self.dropout(made)
        return hidden_states if self.norm_first else self.norm(hidden_states)


def clamp_half(hidden_states: Tensor) -> Tensor:
    """Keep float16 states finite: T5 was trained in bfloat16, whose range is larger.

    Args:
        hidden_states: any shape.

    Returns:
        Same shape; other types than float16 pass untouched.
    """
    if hidden_states.dtype != torch.float16:
        return hidden_states
    limit = torch.finfo(torch.float16).max - 1000
    return hidden_states.clamp(-limit, limit)


def self_attention(config: TransformerConfig, num_heads: int) -> MultiHeadAttention:
    """Build the attention of a sequence to itself.

    Args:
        config: the model's description.
        num_heads: number of heads.

    Returns:
        The layer.
    """
    return MultiHeadAttention(
        config.d_model,
        num_heads,
        config.d_kv if num_heads == config.num_heads else None,
        bias=config.bias,
        scale=None if config.scale_attention else 1.0,
        dropout=config.attention_dropout,
    )


def cross_attention(config: TransformerConfig) -> MultiHeadAttention:
    """Build the decoder's attention to the encoder.

    Args:
        config: the model's description.

    Returns:
        The layer.
    """
    return MultiHeadAttention(
        config.d_model,
        config.decoder_num_heads,
        config.d_kv if config.decoder_num_heads == config.num_heads else None,
        bias=config.bias,
        scale=None if config.scale_attention else 1.0,
        dropout=config.attention_dropout,
        cross=True,
    )


class EncoderLayer(nn.Module):
    """Self-attention over the whole source, then the feed-forward network.

    Args:
        config: the model's description.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.1.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = self_attention(config, config.num_heads)
        self.self_attention_residual = Residual(config)
        self.feed_forward = FeedForward(config, config.d_ff)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        *,
        angles: tuple[Tensor, Tensor] | None = None,
        attentions: list[Tensor] | None = None,
    ) -> Tensor:
        """Refine the source.

        Args:
            hidden_states: (batch, source, d_model).
            mask: boolean or additive, broadcasts to (batch, heads, source, source).
            angles: rotary positions.
            attentions: a list to which the weights are appended.

        Returns:
            (batch, source, d_model).
        """
        frame = self.self_attention_residual
        made = self.self_attention(
            frame.before(hidden_states), mask, angles=angles, attentions=attentions
        )
        hidden_states = frame.after(hidden_states, made)

        frame = self.feed_forward_residual
        hidden_states = frame.after(hidden_states, self.feed_forward(frame.before(hidden_states)))
        return clamp_half(hidden_states)


class DecoderLayer(nn.Module):
    """Self-attention over what is written, attention to the source, the feed-forward network.

    Args:
        config: the model's description.
        cross: whether there is a source to attend to.

    From "Attention Is All You Need" (Vaswani et al., 2017), section 3.1.
    """

    def __init__(self, config: TransformerConfig, *, cross: bool = True) -> None:
        super().__init__()
        self.self_attention = self_attention(config, config.decoder_num_heads)
        self.self_attention_residual = Residual(config)
        self.cross_attention = cross_attention(config) if cross else None
        self.cross_attention_residual = Residual(config) if cross else None
        self.feed_forward = FeedForward(config, config.decoder_d_ff)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool = False,
        memory: tuple[Tensor, Tensor] | None = None,
        cross_mask: Tensor | None = None,
        cache: LayerCache | None = None,
        layer: int = 0,
        angles: tuple[Tensor, Tensor] | None = None,
        attentions: list[Tensor] | None = None,
        cross_attentions: list[Tensor] | None = None,
    ) -> Tensor:
        """Refine the target.

        Args:
            hidden_states: (batch, target, d_model).
            mask: boolean or additive, broadcasts to (batch, heads, target, written).
            is_causal: without a mask, hide the positions after each query.
            memory: the encoder's keys and values for this layer, each
                (sentences, heads, source, d_kv).
            cross_mask: boolean, (sentences, 1, 1, source).
            cache: keys and values of earlier steps.
            layer: number of this layer in the cache.
            angles: rotary positions.
            attentions: a list to which the weights of self-attention are appended.
            cross_attentions: a list to which the weights of cross-attention are appended.

        Returns:
            (batch, target, d_model).
        """
        frame = self.self_attention_residual
        made = self.self_attention(
            frame.before(hidden_states),
            mask,
            is_causal=is_causal,
            cache=cache,
            layer=layer,
            angles=angles,
            attentions=attentions,
        )
        hidden_states = clamp_half(frame.after(hidden_states, made))

        if self.cross_attention is not None and self.cross_attention_residual is not None:
            frame = self.cross_attention_residual
            made = self.cross_attention(
                frame.before(hidden_states), cross_mask, memory=memory, attentions=cross_attentions
            )
            hidden_states = clamp_half(frame.after(hidden_states, made))

        frame = self.feed_forward_residual
        hidden_states = frame.after(hidden_states, self.feed_forward(frame.before(hidden_states)))
        return clamp_half(hidden_states)

    def project(self, encoder_hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Make this layer's keys and values of the source.

        Args:
            encoder_hidden_states: (batch, source, d_model).

        Returns:
            Keys and values, each (batch, heads, source, d_kv).

        Raises:
            ValueError: if the layer has no cross-attention.
        """
        if self.cross_attention is None:
            raise ValueError("this layer was built with cross=False: it has no source to attend to")
        return self.cross_attention.project(encoder_hidden_states)
