"""A decoder packed for writing: the arithmetic of `encdec.stacks` in fewer calls.

One decoding step of a small model is so short that getting to the arithmetic costs more than the
arithmetic: modules, checks, views. Here a decoder's weights are laid out once with their inputs
first, which is how a product with few rows reads them fastest, and a step is a flat list of tensor
operations. The decoder of `encdec.stacks` stays the one that is read and trained; tests hold both
to the same numbers.

Shape letters: `rows` sequences being written (sentences × beams), `sentences` sources being read,
`heads` attention heads, `written` positions so far, the new one included, `source` encoder
positions, `d_model` width of the model, `d_ff` width of the feed-forward network, `d_kv` width of
one head, `vocab` tokens that can be written.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encdec.attention import MultiHeadAttention
from encdec.cache import EncoderDecoderCache, KVCache
from encdec.layers import DecoderLayer, FeedForward, Residual, RMSNorm
from encdec.positions import LearnedPositions, RelativePositionBias, SinusoidalPositions
from encdec.stacks import Decoder

if TYPE_CHECKING:
    from encdec.transformer import LanguageModel

Map = Callable[[Tensor], Tensor]  # of the states, (rows, width)
Fill = Callable[[Tensor, Tensor], Tensor]  # states and a buffer that takes what is made of them
Residue = Callable[[Tensor, Tensor], Tensor]  # path and input of a layer -> path with its output

# What a packed step reproduces. A module of any other type, one that an adapter has put there for
# example, is left to the readable decoder; so is one with a hook, which a packed step can't call.
KNOWN = {
    Decoder,
    DecoderLayer,
    FeedForward,
    LearnedPositions,
    MultiHeadAttention,
    RMSNorm,
    RelativePositionBias,
    Residual,
    SinusoidalPositions,
    nn.Dropout,
    nn.Identity,
    nn.LayerNorm,
    nn.Linear,
    nn.ModuleList,
}


def pack_linear(weight: Tensor, bias: Tensor | None) -> Map:
    """Lay a linear layer out with its inputs first.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.

    Returns:
        A function from (rows, inputs) to (rows, outputs).
    """
    packed = weight.detach().t().contiguous()  # (inputs, outputs)
    if bias is None:
        return lambda states: torch.mm(states, packed)
    shift = bias.detach()
    return lambda states: torch.addmm(shift, states, packed)


def pack_into(linear: nn.Linear) -> Fill:
    """Lay out a linear layer that writes into a buffer.

    Args:
        linear: from `inputs` to `outputs`.

    Returns:
        A function of the layer's input, (rows, inputs), and the buffer, (rows, outputs).
    """
    packed = linear.weight.detach().t().contiguous()  # (inputs, outputs)
    bias: Tensor | None = linear.bias  # torch's type leaves out that it may be None
    if bias is None:
        return lambda states, buffer: torch.mm(states, packed, out=buffer)
    shift = bias.detach()
    return lambda states, buffer: torch.addmm(shift, states, packed, out=buffer)


def pack_residual(linear: nn.Linear) -> Residue:
    """Lay out a linear layer whose output is added to the path.

    Args:
        linear: from `inputs` to `d_model`.

    Returns:
        A function of the path, (rows, d_model), and the layer's input, (rows, inputs).
    """
    packed = linear.weight.detach().t().contiguous()  # (inputs, d_model)
    bias: Tensor | None = linear.bias
    if bias is None:
        return lambda path, states: torch.addmm(path, states, packed)
    shift = bias.detach()
    return lambda path, states: torch.addmm(shift, states, packed).add_(path)


def pack_norm(norm: nn.Module) -> Map:
    """Turn a norm into a function.

    Args:
        norm: `RMSNorm`, `nn.LayerNorm`, or `nn.Identity` for none.

    Returns:
        A function from (rows, d_model) to (rows, d_model).
    """
    if isinstance(norm, RMSNorm):
        # x / √(mean(x²) + eps) is x · √d / √(|x|² + d · eps), and |x| is one fast operation
        width = norm.weight.shape[0]
        gain = norm.weight.detach() * math.sqrt(width)
        floor = gain.new_tensor(math.sqrt(width * norm.eps))

        def rms_norm(states: Tensor) -> Tensor:
            length = torch.linalg.vector_norm(states, dim=-1, keepdim=True)  # (rows, 1)
            return states.div(length.hypot_(floor)).mul_(gain)

        return rms_norm
    if isinstance(norm, nn.LayerNorm):
        shape, eps = list(norm.normalized_shape), norm.eps
        weight, bias = norm.weight.detach(), norm.bias.detach()
        return lambda states: torch.layer_norm(states, shape, weight, bias, eps)
    return lambda states: states


def pack_inner(network: FeedForward) -> Map:
    """Lay out the first half of a feed-forward network: the wide linear layer and the bend.

    Args:
        network: the feed-forward network.

    Returns:
        A function from (rows, d_model) to (rows, d_ff).
    """
    bend: Map = torch.relu_ if network.activation is F.relu else network.activation
    wide = pack_linear(network.wi.weight, network.wi.bias)
    if not network.gated:
        return lambda states: bend(wide(states))

    def gate(states: Tensor) -> Tensor:
        opened, passed = wide(states).chunk(2, dim=-1)  # 2 × (rows, d_ff)
        return bend(opened) * passed

    return gate


def mix(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    scale: float,
    nothing: Tensor,
    mixed: Tensor,
) -> None:
    """Attend, all heads at once.

    Args:
        query: (sentences * heads, beams, d_kv).
        key: (sentences * heads, d_kv, source).
        value: (sentences * heads, source, d_kv).
        bias: broadcasts to (sentences * heads, beams, source), or None.
        scale: factor of the scores.
        nothing: stands where there is no bias; with beta=0 it counts for nothing.
        mixed: takes the result, (sentences * heads, beams, d_kv).
    """
    if bias is None:
        scores = torch.baddbmm(nothing, query, key, beta=0, alpha=scale)
    else:
        scores = torch.baddbmm(bias, query, key, alpha=scale)
    torch.bmm(scores.softmax(-1), value, out=mixed)


class PackedCross:
    """Cross-attention, made ready for one source at a time.

    Args:
        attention: the layer.
        norm: the norm of its frame.
    """

    def __init__(self, attention: MultiHeadAttention, norm: nn.Module) -> None:
        self.norm = pack_norm(norm)
        self.q, self.out = attention.q, attention.out
        self.make_query = pack_into(attention.q)
        self.make_output = pack_residual(attention.out)
        self.heads, self.d_kv, self.scale = attention.num_heads, attention.d_kv, attention.scale

    def read(self, key: Tensor, value: Tensor, mask: Tensor | None, space: "Workspace") -> Residue:
        """Prepare for a source.

        Args:
            key: (sentences * heads, d_kv, source).
            value: (sentences * heads, source, d_kv).
            mask: added to the scores, (sentences * heads, 1, source), or None.
            space: buffers.

        Returns:
            A function of the path and of the normed states, each (rows, d_model).
        """
        if len(key) == self.heads and key.shape[2] <= 2 * self.d_kv:
            return self.absorb(key, value, mask)

        def attend(path: Tensor, states: Tensor) -> Tensor:
            self.make_query(states, space.q)
            space.folded.copy_(space.by_beam)
            mix(
                space.cross_queries,
                key,
                value,
                mask,
                self.scale,
                space.nothing,
                space.cross_mixed,
            )
            space.unfolded.copy_(space.by_head)
            return self.make_output(path, space.cross_flat)

        return attend

    def absorb(self, key: Tensor, value: Tensor, mask: Tensor | None) -> Residue:
        """Multiply the projections into the keys and values of one short source.

        A score is (x Wq) · k = x · (Wq k), and the output Σ w (v Wo): with Wq k and v Wo computed
        once, a step needs neither projection.

        Args:
            key: (heads, d_kv, source).
            value: (heads, source, d_kv).
            mask: (heads, 1, source), or None.

        Returns:
            As of `read`.

        From "DeepSeek-V2" (2024), section 2.1.2, where it serves a compressed cache.
        """
        heads, source = self.heads, key.shape[2]
        query = self.q.weight.detach().unflatten(0, (heads, -1))  # (heads, d_kv, d_model)
        scoring = (query.transpose(1, 2) @ key).transpose(0, 1) * self.scale
        scoring = scoring.reshape(-1, heads * source)  # (d_model, heads * source)
        shift = key.new_zeros(heads, 1, source) if mask is None else mask
        bias: Tensor | None = self.q.bias
        if bias is not None:
            shift = shift + bias.detach().view(heads, 1, -1) @ key * self.scale
        shift = shift.flatten()  # (heads * source,)
        output = self.out.weight.detach().t().unflatten(0, (heads, -1))  # (heads, d_kv, d_model)
        mixing = (value @ output).flatten(0, 1)  # (heads * source, d_model)
        out_bias: Tensor | None = self.out.bias

        def attend(path: Tensor, states: Tensor) -> Tensor:
            scores = torch.addmm(shift, states, scoring).view(-1, heads, source)
            weights = scores.softmax(-1).view(-1, heads * source)
            if out_bias is None:
                return torch.addmm(path, weights, mixing)
            return torch.addmm(out_bias, weights, mixing).add_(path)

        return attend


@dataclass(frozen=True)
class PackedLayer:
    """One decoder layer as functions of the states, (rows, width)."""

    self_norm: Map
    qkv: Fill
    self_out: Residue
    feed_forward_norm: Map
    wi: Map
    wo: Residue
    cross: "PackedCross | None" = None

    @classmethod
    def of(cls, layer: DecoderLayer) -> "PackedLayer":
        """Pack a layer.

        Args:
            layer: the layer, with or without cross-attention.

        Returns:
            The same, packed.
        """
        attention, network = layer.self_attention, layer.feed_forward
        cross = None
        if layer.cross_attention is not None and layer.cross_attention_residual is not None:
            cross = PackedCross(layer.cross_attention, layer.cross_attention_residual.norm)
        return cls(
            self_norm=pack_norm(layer.self_attention_residual.norm),
            qkv=pack_into(attention.qkv),
            self_out=pack_residual(attention.out),
            feed_forward_norm=pack_norm(layer.feed_forward_residual.norm),
            wi=pack_inner(network),
            wo=pack_residual(network.wo),
            cross=cross,
        )


class Workspace:
    """Buffers of one text's attention, and the views of them that a step would else make anew.

    Args:
        rows: sequences being written.
        sentences: sources being read; 0 without an encoder.
        heads: attention heads.
        d_kv: width of one head.
        like: a tensor of the type and on the device that is wanted.
    """

    def __init__(self, rows: int, sentences: int, heads: int, d_kv: int, like: Tensor) -> None:
        self.rows = rows
        self.nothing = like.new_zeros(1)
        self.crosses: list[Residue] = []  # cross-attention of each layer, once the source is known
        self.qkv = like.new_empty(rows, 3 * heads * d_kv)
        parts = self.qkv.view(rows, 3, heads, d_kv)
        self.new = parts[:, 1:].transpose(0, 1)  # keys and values, (2, rows, heads, d_kv)
        self.made_query = parts[:, 0]  # (rows, heads, d_kv)
        # one row's queries lie as attention wants them; those of several have keys between them
        self.query = self.made_query if rows == 1 else like.new_empty(rows, heads, d_kv)
        self.queries = self.query.view(rows * heads, 1, d_kv)
        self.mixed = like.new_empty(rows * heads, 1, d_kv)
        self.flat = self.mixed.view(rows, heads * d_kv)
        if sentences:
            # a layer makes beams before heads; attention wants the beams of each head together
            self.q = like.new_empty(rows, heads * d_kv)
            by_beam = self.q.view(sentences, -1, heads, d_kv).transpose(1, 2)
            self.folded = like.new_empty(by_beam.shape)  # (sentences, heads, beams, d_kv)
            self.by_beam = by_beam
            self.cross_queries = self.folded.flatten(0, 1)  # (sentences * heads, beams, d_kv)
            self.cross_mixed = torch.empty_like(self.cross_queries)
            self.cross_flat = torch.empty_like(self.q)  # (rows, heads * d_kv)
            self.unfolded = self.cross_flat.view(sentences, -1, heads, d_kv).transpose(1, 2)
            self.by_head = self.cross_mixed.view(by_beam.shape)


class PackedDecoder:
    """A decoder and its output layer, for one new token in each row.

    Args:
        model: a model of which `packable` holds.
    """

    def __init__(self, model: "LanguageModel") -> None:
        config, decoder = model.config, cast(Decoder, model.decoder)
        layers = cast(list[DecoderLayer], list(decoder.layers))
        self.heads = layers[0].self_attention.num_heads
        self.d_kv = layers[0].self_attention.d_kv
        self.scale = layers[0].self_attention.scale
        self.norm_first = config.norm_first
        self.layers = [PackedLayer.of(layer) for layer in layers]
        self.embedding = model.target_tokens.weight.detach()  # (vocab, d_model)
        self.embedding_scale = model.embedding_scale
        self.embedding_norm = pack_norm(decoder.embedding_norm)
        self.final_norm = pack_norm(decoder.final_norm)
        self.output_scale = config.d_model**-0.5 if config.scale_output else 1.0
        self.output = pack_linear(
            model.target_tokens.weight if model.output is None else model.output.weight,
            model.output_bias,
        )
        self.positions = decoder.positions
        self.table = self.embedding[:0]  # vectors of the positions met so far

    def step(self, tokens: Tensor, cache: EncoderDecoderCache | KVCache) -> Tensor:
        """Score the next token.

        Args:
            tokens: the newest token of each row, (rows, 1).
            cache: what was written before, at least one token; it grows by the new one.

        Returns:
            Logits, (rows, vocab).
        """
        own = cache.self_attention if isinstance(cache, EncoderDecoderCache) else cache
        rows, norm_first = tokens.shape[0], self.norm_first
        space: Workspace = own.workspace
        if space is None or space.rows != rows:
            space = own.workspace = self.prepare(cache, rows)
        x = self.embed(tokens[:, 0], own)  # (rows, d_model)
        bias = self.bias(cache, rows)
        slots, keys, values = own.open()

        for number, layer in enumerate(self.layers):
            layer.qkv(layer.self_norm(x) if norm_first else x, space.qkv)
            slots[number].copy_(space.new)
            if rows > 1:
                space.query.copy_(space.made_query)
            mix(
                space.queries,
                keys[number],
                values[number],
                bias,
                self.scale,
                space.nothing,
                space.mixed,
            )
            x = layer.self_out(x, space.flat)  # (rows, d_model)
            x = x if norm_first else layer.self_norm(x)

            if layer.cross is not None:
                y = layer.cross.norm(x) if norm_first else x
                x = space.crosses[number](x, y)  # (rows, d_model)
                x = x if norm_first else layer.cross.norm(x)

            y = layer.feed_forward_norm(x) if norm_first else x
            x = layer.wo(x, layer.wi(y))  # (rows, d_model)
            x = x if norm_first else layer.feed_forward_norm(x)

        own.advance(1)
        x = self.final_norm(x)
        return self.output(x if self.output_scale == 1.0 else x * self.output_scale)

    def prepare(self, cache: EncoderDecoderCache | KVCache, rows: int) -> Workspace:
        """Make the buffers for a text, and read its source.

        Args:
            cache: knows the source, if there is one.
            rows: sequences being written.

        Returns:
            The buffers.
        """
        if isinstance(cache, KVCache):
            return Workspace(rows, 0, self.heads, self.d_kv, self.embedding)
        source, mask = cache.folded_source(self.heads)
        sentences = source[0][0].shape[0] // self.heads
        space = Workspace(rows, sentences, self.heads, self.d_kv, self.embedding)
        for layer, (key, value) in zip(self.layers, source, strict=True):
            if layer.cross is not None:
                space.crosses.append(layer.cross.read(key, value, mask, space))
        return space

    def embed(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """Look tokens up and tell them where they stand.

        Args:
            tokens: (rows,).
            cache: knows the position, and where rows begin.

        Returns:
            States for the first layer, (rows, d_model).
        """
        x = torch.embedding(self.embedding, tokens)  # (rows, d_model)
        if isinstance(self.positions, LearnedPositions | SinusoidalPositions):
            if cache.length >= len(self.table):
                self.table = self.grow(cache.length)
            where: Any = cache.length
            if cache.left_padding is not None:
                where = (cache.length - cache.left_padding).clamp(min=0)  # (rows,)
            x = torch.add(self.table[where], x, alpha=self.embedding_scale)
        elif self.embedding_scale != 1.0:
            x = x * self.embedding_scale
        return self.embedding_norm(x)

    def grow(self, position: int) -> Tensor:
        """Make the table of positions longer.

        Args:
            position: the one that is missing.

        Returns:
            Vectors of all positions up to it and some more, (positions, d_model).

        Raises:
            ValueError: if it is beyond the last one that the model has learned.
        """
        longest = max(position + 1, 2 * len(self.table), 256)
        if isinstance(self.positions, LearnedPositions):
            longest = max(position + 1, min(longest, self.positions.max_positions))
        positions = torch.arange(longest, device=self.embedding.device)
        return cast(nn.Module, self.positions)(positions, longest).detach()

    def bias(self, cache: EncoderDecoderCache | KVCache, rows: int) -> Tensor | None:
        """Find what is added to the scores of self-attention.

        Args:
            cache: knows what was written, and where rows begin.
            rows: number of rows.

        Returns:
            (rows * heads, 1, written), or None for nothing.
        """
        relative = self.positions if isinstance(self.positions, RelativePositionBias) else None
        if isinstance(cache, EncoderDecoderCache):
            return None if relative is None else cache.folded_bias(rows, relative)
        columns = torch.arange(cache.length + 1, device=self.embedding.device)
        bias = None
        if relative is not None:
            bias = relative(columns[-1:], columns)[0].repeat(rows, 1, 1)
        if cache.left_padding is not None:
            hidden = columns < cache.left_padding[:, None]  # (rows, written)
            hidden = hidden.repeat_interleave(self.heads, dim=0)[:, None]
            # a finite number, since a row that is all padding so far must not become NaN
            lowest = torch.finfo(torch.float32).min
            bias = torch.zeros_like(hidden, dtype=torch.float32) if bias is None else bias
            bias = bias.masked_fill(hidden, lowest)
        return bias


def packable(model: "LanguageModel") -> bool:
    """Tell whether a packed step would compute what the model's own step does.

    Args:
        model: any model.

    Returns:
        Whether it is in evaluation mode and float32, and made of nothing but the modules that this
        file knows, without hooks.
    """
    decoder = getattr(model, "decoder", None)
    if model.training or type(decoder) is not Decoder:
        return False
    parts = [*decoder.modules(), model.target_tokens, *([model.output] if model.output else [])]
    return all(
        (type(part) in KNOWN or type(part) is nn.Embedding)
        and not (part._forward_hooks or part._forward_pre_hooks)
        for part in parts
    ) and all(
        parameter.dtype == torch.float32 and not parameter.is_inference()
        for part in parts
        for parameter in part.parameters(recurse=False)
    )


@dataclass(frozen=True)
class Mark:
    """By what changed weights are noticed.

    Autograd counts changes, but not those by `.data` or by the fused optimizers of torch; these
    touch all values, and so a few from each weight give them away.

    Args:
        places: address, device and counter of each weight.
        sample: up to 32 values from each weight, (values,).
    """

    places: list[tuple[int, torch.device, int]]
    sample: Tensor

    @classmethod
    def of(cls, weights: list[Tensor]) -> "Mark":
        """Look at the weights.

        Args:
            weights: all of them, on one device.

        Returns:
            The mark.
        """
        places = [(weight.data_ptr(), weight.device, weight._version) for weight in weights]
        rows = [weight.detach().flatten() for weight in weights]
        return cls(places, torch.cat([row[:: len(row) // 32 + 1] for row in rows]))

    def equals(self, other: "Mark") -> bool:
        """Compare.

        Args:
            other: of the same weights at another time.

        Returns:
            Whether nothing has changed in between.
        """
        return self.places == other.places and torch.equal(self.sample, other.sample)


_PACKED: "WeakKeyDictionary[nn.Module, tuple[Mark, PackedDecoder]]" = WeakKeyDictionary()


def pack(model: "LanguageModel") -> PackedDecoder | None:
    """Get a model's packed decoder, made anew if its weights have changed.

    One look takes about as long as a decoding step: enough to look once for each text.

    Args:
        model: any model.

    Returns:
        The packed decoder, or None where `packable` does not hold.
    """
    if not packable(model):
        _PACKED.pop(model, None)
        return None
    weights = [*cast(Decoder, model.decoder).parameters(), model.target_tokens.weight]
    weights += [] if model.output is None else list(model.output.parameters())
    weights += [] if model.output_bias is None else [model.output_bias]
    mark = Mark.of(weights)
    known = _PACKED.get(model)
    if known is None or not known[0].equals(mark):
        known = mark, PackedDecoder(model)
        _PACKED[model] = known
    return known[1]
