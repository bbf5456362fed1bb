"""One description for the Transformers of this book: a flag for each way in which they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

# What sets the families apart; everything else is size. `TransformerConfig.family` starts here.
FAMILIES: dict[str, dict[str, Any]] = {
    "t5": {
        "norm": "rms_norm",
        "norm_first": True,
        "final_norm": True,
        "final_dropout": True,
        "norm_eps": 1e-6,
        "positions": "relative",
        "max_positions": None,
        "activation": "relu",
        "bias": False,
        "scale_attention": False,
        "scale_output": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    },
    "bart": {
        "norm_embedding": True,
        "positions": "learned",
        "position_offset": 2,
        "activation": "gelu",
        "output_bias": True,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": 2,
    },
    "marian": {
        "positions": "sinusoidal",
        "scale_embedding": True,
        "activation": "swish",
        "output_bias": True,
        "eos_token_id": 0,
        "forced_eos_token_id": 0,
    },
    "pegasus": {
        "norm_first": True,
        "final_norm": True,
        "positions": "sinusoidal",
        "scale_embedding": True,
        "activation": "relu",
        "output_bias": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "forced_eos_token_id": 1,
    },
    "gpt2": {
        "num_layers": 0,
        "norm_first": True,
        "final_norm": True,
        "positions": "learned",
        "activation": "gelu_new",
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "pad_token_id": 50256,
        "decoder_start_token_id": None,
    },
}
FAMILIES["t5-v1.1"] = {
    **FAMILIES["t5"],
    "activation": "gelu_new",
    "gated": True,
    "scale_output": False,
    "tie_output": False,
}
FAMILIES["mt5"] = FAMILIES["t5-v1.1"]
FAMILIES["mbart"] = {
    **FAMILIES["bart"],
    "norm_first": True,
    "final_norm": True,
    "scale_embedding": True,
    "decoder_start_token_id": None,
}

ACTIVATIONS = ("relu", "gelu", "gelu_new", "swish")
NORMS = ("layer_norm", "rms_norm")
POSITIONS = ("relative", "learned", "sinusoidal", "rotary", "none")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Everything that a Transformer of this package needs to know about itself.

    Args:
        model_type: family whose checkpoint layout `save_pretrained` writes, as in a Hugging Face
            `config.json`: "t5", "mt5", "bart", "mbart", "marian", "pegasus" or "gpt2".
        vocab_size: number of tokens that the encoder (and a shared decoder) knows.
        decoder_vocab_size: number of target tokens, if source and target have tables of their own;
            None for one shared table.
        d_model: width of the model.
        d_kv: width of one head; d_model / num_heads if not given.
        d_ff: width of the feed-forward layers.
        num_layers: encoder layers; 0 for a decoder alone.
        num_decoder_layers: decoder layers; as many as the encoder has if not given.
        num_heads: heads of the encoder, and of the decoder unless it has its own number.
        decoder_num_heads: heads of the decoder; as in the encoder if not given.
        decoder_d_ff: feed-forward width of the decoder; as in the encoder if not given.
        norm: "layer_norm", or "rms_norm" without mean and bias.
        norm_first: normalise before each sublayer ("pre-norm") or after it ("post-norm").
        final_norm: whether each stack ends with a norm.
        norm_embedding: whether embeddings are normalised before the first layer.
        norm_eps: what is added to the variance.
        positions: "relative" (T5), "learned", "sinusoidal", "rotary", or "none".
        position_offset: unused rows at the start of a learned table.
        max_positions: rows of a learned table; without meaning for the other kinds.
        relative_num_buckets: buckets of T5's table.
        relative_max_distance: distance from which on T5 counts all as the same.
        scale_embedding: multiply embeddings by √d_model.
        activation: "relu", "gelu", "gelu_new" (tanh approximation) or "swish".
        gated: multiply the activation by a second projection.
        bias: whether linear layers have biases.
        scale_attention: divide attention scores by √d_kv. T5 folds that into its initialisation.
        tie_output: use the embedding table as output layer.
        scale_output: multiply the last states by d_model^-0.5, which T5 does where tables are tied.
        output_bias: whether a bias is added to the logits.
        dropout: share dropped after embeddings and sublayers.
        attention_dropout: share of attention weights dropped.
        activation_dropout: share dropped inside feed-forward layers.
        final_dropout: whether the output of each stack is dropped out too.
        init_std: standard deviation of fresh weights; None for one that keeps the variance of
            the states: 1 / √(inputs).
        pad_token_id: fills short rows.
        bos_token_id: starts a text, where the family has one.
        eos_token_id: ends a text; several ids may do so.
        decoder_start_token_id: first input of the decoder.
        forced_bos_token_id: first output, whatever the model thinks.
        forced_eos_token_id: last output when the length limit is reached.
        bad_words_ids: sequences of tokens that are never written.
        suppress_tokens: tokens that are never written.
        generation: other defaults that a checkpoint recommends to `generate`, by option name.

    Raises:
        ValueError: if a value is impossible, or two contradict each other.
    """

    model_type: str = "t5"
    vocab_size: int
    decoder_vocab_size: int | None = None
    d_model: int = 512
    d_kv: int = 0
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int = -1
    num_heads: int = 8
    decoder_num_heads: int = 0
    decoder_d_ff: int = 0
    norm: Literal["layer_norm", "rms_norm"] = "layer_norm"
    norm_first: bool = False
    final_norm: bool = False
    norm_embedding: bool = False
    norm_eps: float = 1e-5
    positions: Literal["relative", "learned", "sinusoidal", "rotary", "none"] = "sinusoidal"
    position_offset: int = 0
    max_positions: int | None = 1024
    relative_num_buckets: int = 32
    relative_max_distance: int = 128
    scale_embedding: bool = False
    activation: Literal["relu", "gelu", "gelu_new", "swish"] = "relu"
    gated: bool = False
    bias: bool = True
    scale_attention: bool = True
    tie_output: bool = True
    scale_output: bool = False
    output_bias: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    final_dropout: bool = False
    init_std: float | None = None
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
        # 0 and -1 stand for "as usual", so that the types stay plain numbers
        usual = {
            "d_kv": self.d_kv or self.d_model // max(self.num_heads, 1),
            "num_decoder_layers": self.num_layers
            if self.num_decoder_layers < 0
            else self.num_decoder_layers,
            "decoder_num_heads": self.decoder_num_heads or self.num_heads,
            "decoder_d_ff": self.decoder_d_ff or self.d_ff,
        }
        for name, value in usual.items():
            object.__setattr__(self, name, value)
        for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_heads", "decoder_num_heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name, allowed in (
            ("norm", NORMS),
            ("positions", POSITIONS),
            ("activation", ACTIVATIONS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} must be one of {', '.join(allowed)}"
                )
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0 and less than 1")
        if self.positions == "learned" and not self.max_positions:
            raise ValueError(
                f"max_positions={self.max_positions} must be at least 1 when positions are learned"
            )
        paired = {"sinusoidal": "d_model", "rotary": "d_kv"}.get(self.positions)
        if paired and getattr(self, paired) % 2:
            raise ValueError(
                f"{paired}={getattr(self, paired)} must be even when positions are {self.positions}"
            )
        if self.decoder_vocab_size is not None and self.decoder_vocab_size < 1:
            raise ValueError(
                f"decoder_vocab_size={self.decoder_vocab_size} must be at least 1, or None"
            )

    @classmethod
    def family(cls, name: str, **changes: Any) -> Self:
        """Describe a model of a known family.

        Args:
            name: "t5", "t5-v1.1", "mt5", "bart", "mbart", "marian", "pegasus" or "gpt2".
            **changes: sizes, and whatever else differs.

        Returns:
            The configuration.

        Raises:
            ValueError: if the family is unknown.
            TypeError: if a change names no field.
        """
        if name not in FAMILIES:
            raise ValueError(f"family {name!r} is unknown; known are {', '.join(sorted(FAMILIES))}")
        known = {each.name for each in fields(cls)}
        for change in changes:
            if change not in known:
                raise TypeError(
                    f"{change!r} is no field of {cls.__name__}; its fields are "
                    f"{', '.join(sorted(known))}"
                )
        model_type = "t5" if name == "t5-v1.1" else name
        ids: dict[str, Any] = {}
        if name == "marian":  # the family's padding is its last token, and starts the decoder
            last = (changes.get("decoder_vocab_size") or changes["vocab_size"]) - 1
            ids = {"pad_token_id": last, "decoder_start_token_id": last}
        return cls(**{"model_type": model_type, **FAMILIES[name], **ids, **changes})

    @property
    def target_vocab_size(self) -> int:
        """Number of tokens that can be written."""
        return self.decoder_vocab_size or self.vocab_size

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """All ids that end a text, possibly none."""
        return as_ids(self.eos_token_id)


def as_ids(ids: int | Sequence[int] | None) -> tuple[int, ...]:
    """Write "none", "one" or "several" token ids in one way.

    Args:
        ids: a token id, several, or None.

    Returns:
        A tuple.
    """
    if ids is None:
        return ()
    return (ids,) if isinstance(ids, int) else tuple(ids)
