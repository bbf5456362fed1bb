"""What it costs to read a source and write a target: a ledger of arithmetic, cache and traffic.

Arithmetic is what matrix products do, two operations for each multiplication with its addition;
norms, activations and softmax are left out, and so are embeddings, which only look up. The cache
is what must be kept to write on. Traffic is what must come out of memory: weights once for every
pass through a stack, keys and values once for every pass that attends to them.

Every entry is a polynomial of degree two in the lengths of source and target (`coefficients`).

Symbols: `source` tokens that are read, `target` tokens that are written, `batch` sequences side by
side, `inner` = heads · d_kv, `passes` runs of the decoder, of which the first may take many tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from encdec.config import TransformerConfig
from encdec.recurrent import RecurrentConfig

ENCODER = "encoder"
PROJECTION = "keys and values of the source"
LAYERS = "decoder layers"
SELF = "self-attention of the decoder"
CROSS = "cross-attention"
OUTPUT = "output layer"


@dataclass(frozen=True)
class Ledger:
    """The costs of one task, part by part.

    Args:
        flops: floating-point operations.
        cache: bytes kept when the last token is written.
        traffic: bytes that come out of memory.
    """

    flops: Mapping[str, int]
    cache: Mapping[str, int]
    traffic: Mapping[str, int]

    @property
    def total_flops(self) -> int:
        """All floating-point operations."""
        return sum(self.flops.values())

    @property
    def total_cache(self) -> int:
        """All bytes kept."""
        return sum(self.cache.values())

    @property
    def total_traffic(self) -> int:
        """All bytes that come out of memory."""
        return sum(self.traffic.values())


def encoder_decoder(
    config: TransformerConfig,
    source: int,
    target: int,
    *,
    batch: int = 1,
    bytes_per_number: int = 4,
    encoded: bool = False,
) -> Ledger:
    """Count what an `EncoderDecoder` does: it encodes once and writes token by token.

    Args:
        config: the model's description.
        source: tokens in the source.
        target: tokens that are written; the decoder makes as many passes, the first one on the
            start token.
        batch: sequences side by side, all of these lengths.
        bytes_per_number: 4 for float32, 2 for half precision.
        encoded: whether an earlier task has read this source already, so that its keys and values
            are at hand.

    Returns:
        The ledger.

    Raises:
        ValueError: if a number is below 1, or the model has no encoder.
    """
    _check(source=source, target=target, batch=batch, bytes_per_number=bytes_per_number)
    if not config.num_layers:
        raise ValueError("num_layers=0: this model has no encoder; use costs.decoder_only")
    layers, inner = config.num_decoder_layers, decoder_inner(config)
    reading = 0 if encoded else batch
    written = target * (target + 1) // 2  # pass t attends to t positions
    encoder, projection = encoder_weights(config), layers * 2 * config.d_model * inner
    decoder, output = decoder_weights(config), config.d_model * config.target_vocab_size
    attended = 4 * config.num_heads * config.d_kv * config.num_layers * source**2
    flops = {
        ENCODER: reading * (2 * encoder * source + attended),
        PROJECTION: reading * 2 * projection * source,
        LAYERS: batch * 2 * decoder * target,
        SELF: batch * 4 * inner * layers * written,
        CROSS: batch * 4 * inner * layers * source * target,
        OUTPUT: batch * 2 * output * target,
    }
    kept = 2 * inner * layers * bytes_per_number  # a key and a value in each layer
    cache = {SELF: batch * kept * target, CROSS: batch * kept * source}
    traffic = {
        ENCODER: 0 if encoded else bytes_per_number * encoder,
        PROJECTION: 0 if encoded else bytes_per_number * projection,
        LAYERS: bytes_per_number * decoder * target,
        SELF: batch * kept * written,
        CROSS: batch * kept * source * target,
        OUTPUT: bytes_per_number * output * target,
    }
    return Ledger(flops, cache, traffic)


def decoder_only(
    config: TransformerConfig,
    source: int,
    target: int,
    *,
    batch: int = 1,
    bytes_per_number: int = 4,
    cached: int = 0,
    count_masked: bool = False,
) -> Ledger:
    """Count what a `DecoderOnly` does: one pass over the source, then one for each further token.

    Args:
        config: the model's description; its `num_decoder_layers` count.
        source: tokens in the prompt.
        target: tokens that are written. The first one comes from the pass over the prompt, and the
            last one is never read.
        batch: sequences side by side, all of these lengths.
        bytes_per_number: 4 for float32, 2 for half precision.
        cached: how many tokens at the start of the prompt earlier tasks have left in the cache.
        count_masked: whether the pass over the prompt also computes the scores that the causal
            mask then hides, as a kernel without blocks does.

    Returns:
        The ledger.

    Raises:
        ValueError: if a number is below 1, or nothing of the prompt is left to read.
    """
    _check(source=source, target=target, batch=batch, bytes_per_number=bytes_per_number)
    if not 0 <= cached < source:
        raise ValueError(
            f"cached={cached} must be at least 0 and less than source={source}: the last token of "
            "the prompt is read to write the first one of the target"
        )
    layers, inner = config.num_decoder_layers, decoder_inner(config)
    length = source + target - 1  # positions in the cache at the end
    decoder = decoder_weights(config, cross=False)
    output = config.d_model * config.target_vocab_size
    pairs = (length * (length + 1) - cached * (cached + 1)) // 2  # position p attends to p
    if count_masked:
        new = source - cached
        pairs += new * (new - 1) // 2
    flops = {
        LAYERS: batch * 2 * decoder * (length - cached),
        SELF: batch * 4 * inner * layers * pairs,
        OUTPUT: batch * 2 * output * target,
    }
    kept = 2 * inner * layers * bytes_per_number
    read = target * source + target * (target - 1) // 2  # pass t reads source + t - 1 positions
    traffic = {
        LAYERS: bytes_per_number * decoder * target,
        SELF: batch * kept * read,
        OUTPUT: bytes_per_number * output * target,
    }
    return Ledger(flops, {SELF: batch * kept * length}, traffic)


def teacher_forced(config: TransformerConfig, source: int, target: int, *, one_stack: bool) -> int:
    """Count the operations of one forward pass in training, where the whole target is known.

    Unlike in writing, all positions are computed at once, and scores that the causal mask then
    hides are computed too. A step of training takes three times as many: backwards, each product
    becomes two.

    Args:
        config: the model's description.
        source: tokens that are read.
        target: tokens that are to be predicted.
        one_stack: whether source and target run through the decoder one after the other, as in a
            decoder-only model or a prefix LM; logits are formed for the target only.

    Returns:
        Floating-point operations of one sequence.

    Raises:
        ValueError: if a length is below 1, or two stacks are asked of a model without an encoder.
    """
    _check(source=source, target=target)
    layers, inner = config.num_decoder_layers, decoder_inner(config)
    output = 2 * config.d_model * config.target_vocab_size * target
    if one_stack:
        length = source + target
        decoder = 2 * decoder_weights(config, cross=False) * length
        return decoder + 4 * inner * layers * length**2 + output
    if not config.num_layers:
        raise ValueError("num_layers=0: this model has no encoder; give one_stack=True")
    read = 2 * encoder_weights(config) * source
    read += 4 * config.num_heads * config.d_kv * config.num_layers * source**2
    projected = 2 * layers * 2 * config.d_model * inner * source
    attended = 4 * inner * layers * (target**2 + source * target)
    return read + projected + 2 * decoder_weights(config) * target + attended + output


def recurrent(config: RecurrentConfig, source: int, target: int) -> int:
    """Count the operations of one forward pass of a `RecurrentEncoderDecoder`.

    Writing token by token takes as many: the state of an LSTM is its cache.

    Args:
        config: the model's description.
        source: tokens that are read.
        target: tokens that are written.

    Returns:
        Floating-point operations of one sequence.

    Raises:
        ValueError: if a length is below 1.
    """
    _check(source=source, target=target)
    d, pairs = config.d_model, source * target
    # four gates; the encoder's two directions have half the width each
    encoder = 2 * config.num_layers * 2 * 4 * (d // 2) * (d + d // 2)
    decoder = 2 * config.num_layers * 4 * d * 2 * d
    keys = 0 if config.attention == "none" else 2 * d * d * source
    queries = 2 * d * d * target if config.attention == "additive" else 0
    attended = 0 if config.attention == "none" else 4 * d * pairs + 2 * 2 * d * d * target
    output = 2 * d * config.target_vocab_size * target
    return encoder * source + decoder * target + keys + queries + attended + output


def encoder_weights(config: TransformerConfig) -> int:
    """Count the numbers in the matrices of the encoder's layers.

    Args:
        config: the model's description.

    Returns:
        How many.
    """
    inner = config.num_heads * config.d_kv
    attention = 4 * config.d_model * inner  # queries, keys, values, output
    return config.num_layers * (attention + feed_forward_weights(config, config.d_ff))


def decoder_weights(config: TransformerConfig, *, cross: bool = True) -> int:
    """Count the numbers in the matrices that a pass through the decoder uses.

    Args:
        config: the model's description.
        cross: whether there is cross-attention. Its keys and values are made once for a source and
            don't count here.

    Returns:
        How many.
    """
    attention = (6 if cross else 4) * config.d_model * decoder_inner(config)
    inside = feed_forward_weights(config, config.decoder_d_ff)
    return config.num_decoder_layers * (attention + inside)


def feed_forward_weights(config: TransformerConfig, d_ff: int) -> int:
    """Count the numbers in the matrices of one feed-forward network.

    Args:
        config: the model's description.
        d_ff: width between the two layers.

    Returns:
        How many.
    """
    return (3 if config.gated else 2) * config.d_model * d_ff


def decoder_inner(config: TransformerConfig) -> int:
    """Tell how wide all heads of a decoder's attention are together.

    Args:
        config: the model's description.

    Returns:
        heads · d_kv.
    """
    same = config.decoder_num_heads == config.num_heads
    return config.num_heads * config.d_kv if same else config.d_model


def coefficients(count: Callable[[int, int], int]) -> list[float]:
    """Find the polynomial behind an entry of a ledger, so that another language can evaluate it.

    With s = source - 1 and t = target - 1 the entry is c₀ + c₁s + c₂t + c₃s² + c₄st + c₅t².

    Args:
        count: the entry for a source and a target of given lengths; of degree two.

    Returns:
        The six coefficients.
    """
    corner, s, ss, t, tt, st = (
        count(*lengths) for lengths in ((1, 1), (2, 1), (3, 1), (1, 2), (1, 3), (2, 2))
    )
    bend_s, bend_t = (ss - 2 * s + corner) / 2, (tt - 2 * t + corner) / 2
    slopes = (s - corner - bend_s, t - corner - bend_t)
    return [corner, *slopes, bend_s, st - s - t + corner, bend_t]


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
