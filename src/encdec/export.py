"""An encoder–decoder as ONNX: the graph of the encoder, and the graph of one decoding step.

The graphs are written down node by node from our own layers, so that they hold what a decoding
loop needs and nothing else: the encoder gives the keys and values of cross-attention, once; a step
takes one token in each row and what earlier steps have left, and gives logits, the cache that has
grown, and what cross-attention looked at. Both read one file of weights. Its matrices are 8-bit
integers with a scale for each row; a runtime turns them into floats once, when it loads them, so
that only the rounding of the weights, not the arithmetic, differs from PyTorch.

Shape letters: `source` tokens of the one sentence that is read, `rows` sequences being written
(beams), `written` tokens that are there already, `layers` decoder layers, `heads` attention heads,
`d_model` width of the model, `d_kv` width of one head, `inner` = heads · d_kv.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from encdec.attention import MultiHeadAttention
from encdec.config import as_ids
from encdec.errors import EncdecError
from encdec.layers import DecoderLayer, EncoderLayer, FeedForward, Residual, RMSNorm
from encdec.positions import LearnedPositions, RelativePositionBias, SinusoidalPositions
from encdec.quantization import quantize
from encdec.stacks import Stack
from encdec.transformer import EncoderDecoder

OPSET, IR_VERSION = 17, 9
WEIGHTS = "weights.bin"
FILES = ("encoder.onnx", "decoder.onnx", WEIGHTS, "tokenizer.json", "model.json")
Array = NDArray[Any]


class ExportError(EncdecError):
    """A model can't be exported; the message is one sentence."""


class Weights:
    """The file of weights that both graphs read; a matrix that both use stands there once.

    Args:
        bits: 8 for rounded matrices, 32 for floats as they are.
    """

    def __init__(self, bits: Literal[8, 32]) -> None:
        self.bits = bits
        self.content = bytearray()
        self.places: dict[int, tuple[str, int, Array, Array | None]] = {}
        self.alive: list[Tensor] = []  # an address names a tensor only as long as it lives

    def add(self, weight: Tensor) -> tuple[str, int, Array, Array | None]:
        """Put a matrix into the file, if it is not there yet.

        Args:
            weight: (rows, columns).

        Returns:
            Its name, its place in the file, what stands there, and the scales if it was rounded.
        """
        key = weight.data_ptr()
        if key not in self.places:
            self.alive.append(weight)
            floats = weight.detach().float().cpu()
            values, scales = floats.numpy(), None
            if self.bits == 8:
                rounded = quantize(floats)
                values, scales = rounded.values.numpy(), rounded.scale.numpy()
            self.content += bytes(-len(self.content) % 64)
            place = len(self.content)
            self.content += values.tobytes()
            self.places[key] = (f"matrix{len(self.places)}", place, values, scales)
        return self.places[key]


class Graph:
    """A computation, written down node by node.

    Args:
        weights: where matrices go.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.ready: dict[str, str] = {}  # matrices as floats, by name
        self.constants: dict[tuple[Any, ...], str] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output.

        Args:
            kind: name of the ONNX operator.
            *inputs: names of values.
            **attributes: of the operator.

        Returns:
            Name of the output.
        """
        output = f"{kind}{len(self.nodes)}"
        self.nodes.append(_onnx().helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Get a constant that stands in the graph itself.

        Args:
            value: anything that numpy takes.
            dtype: its type.

        Returns:
            Its name.
        """
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            name = self.constants[key] = f"constant{len(self.constants)}"
            self.initializers[name] = _onnx().numpy_helper.from_array(array, name)
        return self.constants[key]

    def matrix(self, weight: Tensor) -> str:
        """Get a matrix from the file of weights.

        Args:
            weight: (rows, columns).

        Returns:
            Name of the matrix as floats.
        """
        onnx = _onnx()
        name, place, values, scales = self.weights.add(weight)
        if name not in self.ready:
            kind = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
            tensor = onnx.TensorProto(name=name, data_type=kind, dims=values.shape)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            where = {"location": WEIGHTS, "offset": place, "length": values.nbytes}
            for key, value in where.items():
                tensor.external_data.add(key=key, value=str(value))
            self.initializers[name] = tensor
            if scales is None:
                self.ready[name] = name
            else:  # of constants alone: a runtime computes it once, when it loads the graph
                floats = self.op("Cast", name, to=onnx.TensorProto.FLOAT)
                self.ready[name] = self.op("Mul", floats, self.constant(scales))
        return self.ready[name]

    def vector(self, values: Tensor) -> str:
        """Get a small tensor that is kept as floats.

        Args:
            values: any shape.

        Returns:
            Its name.
        """
        return self.constant(values.detach().float().cpu().numpy())

    def add(self, first: str, second: str) -> str:
        """Add two values."""
        return self.op("Add", first, second)

    def times(self, value: str, factor: float) -> str:
        """Multiply by a number; nothing is computed for 1."""
        return value if factor == 1.0 else self.op("Mul", value, self.constant(factor))

    def reshape(self, value: str, *shape: int) -> str:
        """Give a value another shape; -1 stands for what is left."""
        return self.op("Reshape", value, self.constant(shape, np.int64))

    def pick(self, value: str, index: int) -> str:
        """Take one entry along the first axis, which disappears."""
        return self.op("Gather", value, self.constant(index, np.int64), axis=0)

    def stack(self, values: list[str]) -> str:
        """Put values of one shape side by side along a new first axis."""
        axis = self.constant([0], np.int64)
        return self.op("Concat", *(self.op("Unsqueeze", v, axis) for v in values), axis=0)

    def length(self, value: str, axis: int) -> str:
        """Get the size of an axis, a number of type int64."""
        return self.op("Gather", self.op("Shape", value), self.constant(axis, np.int64), axis=0)

    def linear(self, value: str, weight: Tensor, bias: Tensor | None) -> str:
        """Multiply by a matrix, (positions, inputs) -> (positions, outputs), and add a bias."""
        inputs = [value, self.matrix(weight), *([] if bias is None else [self.vector(bias)])]
        return self.op("Gemm", *inputs, transB=1)

    def norm(self, value: str, module: nn.Module) -> str:
        """Normalise each position, (positions, d_model)."""
        if isinstance(module, nn.Identity):
            return value
        if isinstance(module, nn.LayerNorm):
            weights = self.vector(module.weight), self.vector(module.bias)
            return self.op("LayerNormalization", value, *weights, axis=-1, epsilon=module.eps)
        norm = cast(RMSNorm, module)
        square = self.op("ReduceMean", self.op("Mul", value, value), axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.add(square, self.constant(norm.eps)))
        return self.op("Mul", self.op("Div", value, root), self.vector(norm.weight))

    def activation(self, value: str, name: str) -> str:
        """Bend."""
        if name == "relu":
            return self.op("Relu", value)
        if name == "swish":
            return self.op("Mul", value, self.op("Sigmoid", value))
        if name == "gelu":
            inner = self.op("Erf", self.times(value, 2**-0.5))
        else:  # gelu_new: √(2/π) · (x + 0.044715 x³)
            cube = self.op("Mul", self.op("Mul", value, value), value)
            sum_ = self.add(value, self.times(cube, 0.044715))
            inner = self.op("Tanh", self.times(sum_, math.sqrt(2 / math.pi)))
        return self.op("Mul", self.times(value, 0.5), self.add(inner, self.constant(1.0)))

    def feed_forward(self, value: str, module: FeedForward, activation: str) -> str:
        """Transform each position, (positions, d_model)."""
        value = self.linear(value, module.wi.weight, module.wi.bias)
        if module.gated:
            halves = self.reshape(value, -1, 2, module.wo.in_features)
            gate, passed = (
                self.op("Gather", halves, self.constant(i, np.int64), axis=1) for i in (0, 1)
            )
            value = self.op("Mul", self.activation(gate, activation), passed)
        else:
            value = self.activation(value, activation)
        return self.linear(value, module.wo.weight, module.wo.bias)

    def attend(self, query: str, key: str, value: str, scale: float, bias: str | None) -> list[str]:
        """Attend, in the two last axes.

        Args:
            query: (..., target, d_kv).
            key: (..., d_kv, source).
            value: (..., source, d_kv).
            scale: factor of the scores.
            bias: added to the scores, or None.

        Returns:
            The mixed values, (..., target, d_kv), and the weights, (..., target, source).
        """
        scores = self.times(self.op("MatMul", query, key), scale)
        scores = scores if bias is None else self.add(scores, bias)
        weights = self.op("Softmax", scores, axis=-1)
        return [self.op("MatMul", weights, value), weights]

    def before(self, value: str, frame: Residual) -> str:
        """Prepare a sublayer's input."""
        return self.norm(value, frame.norm) if frame.norm_first else value

    def after(self, value: str, made: str, frame: Residual) -> str:
        """Add what a sublayer has made to what came in."""
        value = self.add(value, made)
        return value if frame.norm_first else self.norm(value, frame.norm)

    def embed(
        self, model: EncoderDecoder, table: nn.Embedding, ids: str, stack: Stack, where: str
    ) -> str:
        """Look tokens up and tell them where they stand.

        Args:
            model: knows the scale of its embeddings.
            table: the source's or the target's.
            ids: (positions,).
            stack: knows its positions.
            where: place of each token, (positions,), int64.

        Returns:
            (positions, d_model).
        """
        value = self.times(
            self.op("Gather", self.matrix(table.weight), ids, axis=0), model.embedding_scale
        )
        kind = stack.positions
        if isinstance(kind, LearnedPositions):
            rows = self.add(where, self.constant(kind.offset, np.int64))
            value = self.add(value, self.op("Gather", self.matrix(kind.weight), rows, axis=0))
        elif isinstance(kind, SinusoidalPositions):
            if kind.layout != "halves":
                raise ExportError("sinusoidal positions that alternate can't be exported.")
            steps = torch.arange(0, kind.d_model, 2, dtype=torch.float64) / kind.d_model
            places = self.op("Cast", self.reshape(where, -1, 1), to=_onnx().TensorProto.FLOAT)
            angles = self.op("Mul", places, self.vector(10000.0**-steps))
            waves = [self.op(wave, angles) for wave in ("Sin", "Cos")]
            value = self.add(value, self.op("Concat", *waves, axis=1))
        elif not isinstance(kind, RelativePositionBias | None):
            raise ExportError(f"positions of the kind {type(kind).__name__} can't be exported.")
        return self.norm(value, stack.embedding_norm)

    def position_bias(self, stack: Stack, distances: str, reach: int) -> str | None:
        """Look T5's bias up, or None for a model without.

        Args:
            stack: knows its positions.
            distances: key minus query, (target, source), int64.
            reach: distance from which on the bias stays the same.

        Returns:
            (heads, target, source).
        """
        kind = stack.positions
        if not isinstance(kind, RelativePositionBias):
            return None
        with torch.no_grad():  # every distance from -reach to reach, once
            table = kind(torch.tensor([reach]), torch.arange(2 * reach + 1))[0, :, 0]
        low, high = self.constant(-reach, np.int64), self.constant(reach, np.int64)
        index = self.add(self.op("Clip", distances, low, high), high)
        return self.op("Gather", self.vector(table), index, axis=1)

    def model(self, inputs: dict[str, Any], outputs: dict[str, Any], named: dict[str, str]) -> Any:
        """Close the graph.

        Args:
            inputs: type and shape of each input.
            outputs: type and shape of each output.
            named: which value each output is.

        Returns:
            An `onnx.ModelProto`.
        """
        helper = _onnx().helper
        for name, value in named.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self.nodes,
            "encdec",
            [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
            [helper.make_tensor_value_info(name, *spec) for name, spec in outputs.items()],
            list(self.initializers.values()),
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="encdec"
        )


def encoder_graph(model: EncoderDecoder, weights: Weights) -> Any:
    """Write the encoder down, and the projections that the decoder reads from it.

    Args:
        model: the model.
        weights: where its matrices go.

    Returns:
        An `onnx.ModelProto`: `input_ids` (source,) to `cross_keys` and `cross_values`, each
        (layers, heads, source, d_kv).
    """
    graph, config, encoder = Graph(weights), model.config, model.encoder
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    where = graph.op("Range", zero, graph.length("input_ids", 0), one)  # (source,)
    x = graph.embed(model, model.tokens, "input_ids", encoder, where)  # (source, d_model)
    distances = graph.op("Sub", where, graph.reshape(where, -1, 1))  # (source, source)
    bias = graph.position_bias(encoder, distances, config.relative_max_distance)
    for layer in cast(list[EncoderLayer], list(encoder.layers)):
        attention, frame = layer.self_attention, layer.self_attention_residual
        qkv = graph.linear(graph.before(x, frame), attention.qkv.weight, attention.qkv.bias)
        qkv = graph.reshape(qkv, -1, 3, attention.num_heads, attention.d_kv)
        qkv = graph.op("Transpose", qkv, perm=[1, 2, 0, 3])  # (3, heads, source, d_kv)
        query, key, value = (graph.pick(qkv, number) for number in range(3))
        key = graph.op("Transpose", key, perm=[0, 2, 1])  # (heads, d_kv, source)
        mixed, _ = graph.attend(query, key, value, attention.scale, bias)
        x = graph.after(x, leave(graph, mixed, attention), frame)
        frame = layer.feed_forward_residual
        made = graph.feed_forward(graph.before(x, frame), layer.feed_forward, config.activation)
        x = graph.after(x, made, frame)
    x = graph.norm(x, encoder.final_norm)
    keys, values = [], []
    for each in cast(list[DecoderLayer], list(model.decoder.layers)):
        cross = cast(MultiHeadAttention, each.cross_attention)
        kv = graph.linear(x, cross.kv.weight, cross.kv.bias)  # type: ignore[arg-type]
        kv = graph.reshape(kv, -1, 2, cross.num_heads, cross.d_kv)
        kv = graph.op("Transpose", kv, perm=[1, 2, 0, 3])  # (2, heads, source, d_kv)
        keys.append(graph.pick(kv, 0))
        values.append(graph.pick(kv, 1))
    types = _onnx().TensorProto
    shape = (len(keys), config.decoder_num_heads, "source", cross.d_kv)
    return graph.model(
        {"input_ids": (types.INT32, ("source",))},
        {"cross_keys": (types.FLOAT, shape), "cross_values": (types.FLOAT, shape)},
        {"cross_keys": graph.stack(keys), "cross_values": graph.stack(values)},
    )


def leave(graph: Graph, mixed: str, attention: MultiHeadAttention) -> str:
    """Bring the heads together again: (heads, positions, d_kv) to (positions, d_model)."""
    flat = graph.op("Transpose", mixed, perm=[1, 0, 2])  # (positions, heads, d_kv)
    flat = graph.reshape(flat, -1, attention.num_heads * attention.d_kv)
    return graph.linear(flat, attention.out.weight, attention.out.bias)


def decoder_graph(model: EncoderDecoder, weights: Weights) -> Any:
    """Write one decoding step down.

    Args:
        model: the model.
        weights: where its matrices go.

    Returns:
        An `onnx.ModelProto`. In: `tokens` (rows,), `past_keys` and `past_values`, each
        (layers, rows, heads, written, d_kv), `cross_keys` and `cross_values` from the encoder. Out:
        `logits` (rows, vocab), `keys` and `values` with the new token, and `cross_attentions`
        (layers, rows, heads, source).
    """
    graph, config, decoder = Graph(weights), model.config, model.decoder
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    written = graph.length("past_keys", 3)  # the new token's place, counted from 0
    x = graph.embed(model, model.target_tokens, "tokens", decoder, graph.reshape(written, 1))
    columns = graph.op("Range", zero, graph.add(written, one), one)  # (written + 1,)
    distances = graph.reshape(graph.op("Sub", columns, written), 1, -1)
    bias = graph.position_bias(decoder, distances, config.relative_max_distance)
    keys, values, looks = [], [], []
    for number, layer in enumerate(cast(list[DecoderLayer], list(decoder.layers))):
        attention, frame = layer.self_attention, layer.self_attention_residual
        heads, d_kv = attention.num_heads, attention.d_kv
        qkv = graph.linear(graph.before(x, frame), attention.qkv.weight, attention.qkv.bias)
        qkv = graph.reshape(qkv, -1, 3, heads, 1, d_kv)
        qkv = graph.op("Transpose", qkv, perm=[1, 0, 2, 3, 4])  # (3, rows, heads, 1, d_kv)
        query, key, value = (graph.pick(qkv, part) for part in range(3))
        key = graph.op("Concat", graph.pick("past_keys", number), key, axis=2)
        value = graph.op("Concat", graph.pick("past_values", number), value, axis=2)
        keys.append(key)  # (rows, heads, written + 1, d_kv)
        values.append(value)
        key = graph.op("Transpose", key, perm=[0, 1, 3, 2])
        mixed, _ = graph.attend(query, key, value, attention.scale, bias)
        flat = graph.reshape(mixed, -1, heads * d_kv)  # (rows, inner)
        made = graph.linear(flat, attention.out.weight, attention.out.bias)
        x = graph.after(x, made, frame)

        cross = cast(MultiHeadAttention, layer.cross_attention)
        frame = cast(Residual, layer.cross_attention_residual)
        query = graph.linear(graph.before(x, frame), cross.q.weight, cross.q.bias)
        query = graph.op("Transpose", graph.reshape(query, -1, heads, d_kv), perm=[1, 0, 2])
        key = graph.op("Transpose", graph.pick("cross_keys", number), perm=[0, 2, 1])
        value = graph.pick("cross_values", number)
        mixed, look = graph.attend(query, key, value, cross.scale, None)  # (heads, rows, ...)
        looks.append(graph.op("Transpose", look, perm=[1, 0, 2]))  # (rows, heads, source)
        x = graph.after(x, leave(graph, mixed, cross), frame)

        frame = layer.feed_forward_residual
        made = graph.feed_forward(graph.before(x, frame), layer.feed_forward, config.activation)
        x = graph.after(x, made, frame)
    x = graph.norm(x, decoder.final_norm)
    x = graph.times(x, config.d_model**-0.5 if config.scale_output else 1.0)
    table = model.target_tokens.weight if model.output is None else model.output.weight
    logits = graph.linear(x, table, model.output_bias)  # (rows, vocab)
    types = _onnx().TensorProto
    past = (len(keys), "rows", heads, "written", d_kv)
    new = (len(keys), "rows", heads, "written + 1", d_kv)
    source = (len(keys), heads, "source", d_kv)
    return graph.model(
        {
            "tokens": (types.INT32, ("rows",)),
            "past_keys": (types.FLOAT, past),
            "past_values": (types.FLOAT, past),
            "cross_keys": (types.FLOAT, source),
            "cross_values": (types.FLOAT, source),
        },
        {
            "logits": (types.FLOAT, ("rows", config.target_vocab_size)),
            "keys": (types.FLOAT, new),
            "values": (types.FLOAT, new),
            "cross_attentions": (types.FLOAT, (len(keys), "rows", heads, "source")),
        },
        {
            "logits": logits,
            "keys": graph.stack(keys),
            "values": graph.stack(values),
            "cross_attentions": graph.stack(looks),
        },
    )


def describe(model: EncoderDecoder, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What a decoding loop has to know beside the graphs.

    Args:
        model: the model.
        tokenizer: the model's.

    Returns:
        Sizes, special tokens, what is never or always written, and what the checkpoint recommends.

    Raises:
        ExportError: if the model forbids sequences of several tokens.
    """
    config = model.config
    if any(len(word) > 1 for word in config.bad_words_ids):
        raise ExportError("a model that forbids sequences of several tokens can't be exported.")
    usual = ("num_beams", "length_penalty", "max_new_tokens")
    forbidden = {*(word[0] for word in config.bad_words_ids), *config.suppress_tokens}
    return {
        "layers": config.num_decoder_layers,
        "heads": config.decoder_num_heads,
        "d_kv": cast(DecoderLayer, model.decoder.layers[0]).self_attention.d_kv,
        "vocab_size": config.target_vocab_size,
        "pad_token_id": config.pad_token_id,
        "eos_token_ids": list(config.eos_token_ids),
        "decoder_start_token_id": config.decoder_start_token_id,
        "forced_bos_token_id": config.forced_bos_token_id,
        "forced_eos_token_ids": list(as_ids(config.forced_eos_token_id)),
        "suppress_tokens": sorted(forbidden),
        "special_tokens": sorted(tokenizer.all_special_ids),
        "max_source": min(int(tokenizer.model_max_length), 512),
        "generation": {
            name: config.generation[name] for name in usual if name in config.generation
        },
    }


def export(
    model: EncoderDecoder,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    bits: Literal[8, 32] = 8,
) -> dict[str, int]:
    """Write a folder that a browser runs with onnxruntime-web, and Python with onnxruntime.

    Args:
        model: an encoder–decoder with cross-attention in every layer.
        tokenizer: the model's, a fast one.
        folder: where `encoder.onnx`, `decoder.onnx`, `weights.bin`, `tokenizer.json` and
            `model.json` go; it is made if it is not there.
        bits: 8 for matrices rounded to 8 bits, 32 for floats as they are.

    Returns:
        The size of each file in bytes.

    Raises:
        ExportError: if the model has a part that has no graph here, or the package `onnx` is
            missing; the message says which.
    """
    if not isinstance(model, EncoderDecoder):
        raise ExportError(
            f"a {type(model).__name__} can't be exported: only an EncoderDecoder has an encoder "
            "and a decoder to write down."
        )
    if bits not in (8, 32):
        raise ExportError(f"bits={bits} must be 8 or 32.")
    weights = Weights(bits)
    graphs = [encoder_graph(model, weights), decoder_graph(model, weights)]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    backend = tokenizer.backend_tokenizer.to_str(pretty=False)
    description = json.dumps({"bits": bits, **describe(model, tokenizer)}, indent=1)
    contents = [graph.SerializeToString() for graph in graphs]
    contents += [bytes(weights.content), backend.encode(), description.encode()]
    for name, content in zip(FILES, contents, strict=True):
        (folder / name).write_bytes(content)
    return {name: len(content) for name, content in zip(FILES, contents, strict=True)}


def _onnx() -> Any:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise ExportError(
            "the package onnx is not here, and an export needs it: pip install onnx"
        ) from error
    return onnx
