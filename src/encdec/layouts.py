"""How Hugging Face's files describe and name what each family's models are made of.

`config.json` is read into a `TransformerConfig` and written from one; and one table for each family
says which of its tensors make which of ours. Where we keep several in one matrix (queries, keys and
values), loading joins them and saving splits them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from encdec.config import FAMILIES, TransformerConfig, as_ids
from encdec.positions import sinusoidal_table

# options of `generate` that a generation_config.json may recommend
RECOMMENDED = (
    "num_beams",
    "length_penalty",
    "early_stopping",
    "no_repeat_ngram_size",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "num_return_sequences",
)
IDS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bad_words_ids",
    "suppress_tokens",
)
# transformers' own values: recommending them says nothing
USUAL = {"num_beams": 1, "length_penalty": 1.0, "early_stopping": False, "no_repeat_ngram_size": 0}
USUAL |= {"max_length": 20, "min_length": 0, "do_sample": False, "repetition_penalty": 1.0}
USUAL |= {"temperature": 1.0, "top_p": 1.0, "top_k": 50, "num_return_sequences": 1}

ACTIVATION_NAMES = {"silu": "swish", "gelu_pytorch_tanh": "gelu_new", "gelu_fast": "gelu_new"}


@dataclass(frozen=True)
class Source:
    """Where one of our tensors comes from.

    Args:
        names: tensors in the file, joined along their first axis.
        transposed: whether the file has them as (inputs, outputs), as GPT-2 does.
        optional: whether a file may do without; then the fresh value stays.
    """

    names: tuple[str, ...]
    transposed: bool = False
    optional: bool = False


# --- config.json -> TransformerConfig ------------------------------------------------------------


def read_config(
    given: Mapping[str, Any], generation: Mapping[str, Any] | None = None
) -> TransformerConfig:
    """Understand a Hugging Face configuration.

    Args:
        given: what `config.json` holds.
        generation: what `generation_config.json` holds, if there is one; it takes precedence.

    Returns:
        Our configuration.

    Raises:
        ValueError: if the architecture is unknown or a flag not supported; the message names it.
    """
    model_type = given.get("model_type")
    if model_type not in READERS:
        raise ValueError(
            f"model_type={model_type!r} is not supported; supported are {', '.join(READERS)}"
        )
    if given.get("quantization_config") is not None:
        raise ValueError("quantization_config is set: quantized checkpoints are not supported")
    architectures = given.get("architectures") or []
    if architectures and not set(architectures) & set(ARCHITECTURES[model_type]):
        raise ValueError(
            f"architectures={architectures} is not supported; for model_type={model_type!r} "
            f"supported are {', '.join(ARCHITECTURES[model_type])}"
        )
    config = READERS[model_type](given)
    return with_generation_defaults(config, given, generation or {})


def with_generation_defaults(
    config: TransformerConfig, given: Mapping[str, Any], generation: Mapping[str, Any]
) -> TransformerConfig:
    """Collect special token ids and recommended options; old files have them in `config.json`.

    Args:
        config: what is known so far.
        given: what `config.json` holds.
        generation: what `generation_config.json` holds.

    Returns:
        The configuration with both.
    """
    found = {**given, **{key: value for key, value in generation.items() if value is not None}}
    ids: dict[str, Any] = {name: found[name] for name in IDS if name in found}
    if ids.get("pad_token_id", 0) is None:  # GPT-2 has none; what ends a text may fill its row
        ids["pad_token_id"] = as_ids(ids.get("eos_token_id"))[0]
    for name in ("eos_token_id", "forced_eos_token_id"):
        if isinstance(ids.get(name), list):
            ids[name] = tuple(ids[name])
    ids["bad_words_ids"] = tuple(tuple(word) for word in ids.get("bad_words_ids") or ())
    ids["suppress_tokens"] = tuple(ids.get("suppress_tokens") or ())
    advice = {
        name: found[name]
        for name in RECOMMENDED
        if found.get(name) is not None and (name in generation or found[name] != USUAL.get(name))
    }
    return replace(config, **ids, generation=advice)


def _activation(name: str) -> Any:
    return ACTIVATION_NAMES.get(name, name)


def _refuse(given: Mapping[str, Any], **expected: Any) -> None:
    """Refuse flags whose value would need code that is not here."""
    for name, value in expected.items():
        if name in given and given[name] != value:
            raise ValueError(
                f"{name}={given[name]!r} in config.json is not supported, only {value!r}"
            )


def _read_t5(given: Mapping[str, Any]) -> TransformerConfig:
    _refuse(given, is_encoder_decoder=True, is_decoder=False)
    model_type = given["model_type"]
    projection = given.get("feed_forward_proj", "gated-gelu" if model_type == "mt5" else "relu")
    gated = projection.startswith("gated-")
    name = projection.removeprefix("gated-")
    # "gated-gelu" means the tanh approximation, by a convention of the first T5 v1.1 files
    activation = "gelu_new" if projection == "gated-gelu" else _activation(name)
    tied = given.get("tie_word_embeddings", True) is not False
    dropout = given.get("dropout_rate", 0.1)
    return TransformerConfig(
        **{
            **FAMILIES["t5"],
            "model_type": model_type,
            "vocab_size": given.get("vocab_size", 32128),
            "d_model": given.get("d_model", 512),
            "d_kv": given.get("d_kv", 64),
            "d_ff": given.get("d_ff", 2048),
            "num_layers": given.get("num_layers", 6),
            "num_decoder_layers": given.get("num_decoder_layers") or given.get("num_layers", 6),
            "num_heads": given.get("num_heads", 8),
            "relative_num_buckets": given.get("relative_attention_num_buckets", 32),
            "relative_max_distance": given.get("relative_attention_max_distance", 128),
            "norm_eps": given.get("layer_norm_epsilon", 1e-6),
            "activation": activation,
            "gated": gated,
            "tie_output": tied,
            "scale_output": model_type == "t5" and given.get("scale_decoder_outputs", tied),
            "dropout": dropout,
            "attention_dropout": dropout,
            "activation_dropout": dropout,
        }
    )


def _read_bart(given: Mapping[str, Any]) -> TransformerConfig:
    model_type = given["model_type"]
    family = FAMILIES[model_type]
    _refuse(given, is_encoder_decoder=True, is_decoder=False)
    _refuse(given, encoder_layerdrop=0.0, decoder_layerdrop=0.0)
    _refuse(given, static_position_embeddings=family["positions"] == "sinusoidal")
    _refuse(given, tie_word_embeddings=True)
    shared = given.get("share_encoder_decoder_embeddings", True)
    d_model = given.get("d_model", 1024)
    heads = given.get("encoder_attention_heads", 16)
    decoder_heads = given.get("decoder_attention_heads", 16)
    for name, number in (
        ("encoder_attention_heads", heads),
        ("decoder_attention_heads", decoder_heads),
    ):
        if d_model % number:
            raise ValueError(f"{name}={number} in config.json must divide d_model={d_model}")
    return TransformerConfig(
        **{
            **family,
            "model_type": model_type,
            "vocab_size": given["vocab_size"],
            "decoder_vocab_size": None
            if shared
            else given.get("decoder_vocab_size") or given["vocab_size"],
            "d_model": d_model,
            "d_kv": d_model // heads,
            "d_ff": given.get("encoder_ffn_dim", 4096),
            "num_layers": given.get("encoder_layers", 12),
            "num_decoder_layers": given.get("decoder_layers", 12),
            "num_heads": heads,
            "decoder_num_heads": decoder_heads,
            "decoder_d_ff": given.get("decoder_ffn_dim", 4096),
            # files of the first mBART call themselves "bart" and say so in these flags
            "norm_first": given.get("normalize_before", family.get("norm_first", False)),
            "final_norm": given.get("add_final_layer_norm", family.get("final_norm", False)),
            "norm_embedding": given.get("normalize_embedding", family.get("norm_embedding", False)),
            "max_positions": given.get("max_position_embeddings", 1024),
            "scale_embedding": given.get("scale_embedding", False),
            "activation": _activation(given.get("activation_function", "gelu")),
            "dropout": given.get("dropout", 0.1),
            "attention_dropout": given.get("attention_dropout", 0.0),
            "activation_dropout": given.get("activation_dropout", 0.0),
            "init_std": given.get("init_std", 0.02),
        }
    )


def _read_gpt2(given: Mapping[str, Any]) -> TransformerConfig:
    _refuse(
        given,
        scale_attn_by_inverse_layer_idx=False,
        reorder_and_upcast_attn=False,
        add_cross_attention=False,
        tie_word_embeddings=True,
    )
    d_model, heads = given.get("n_embd", 768), given.get("n_head", 12)
    if d_model % heads:
        raise ValueError(f"n_head={heads} in config.json must divide n_embd={d_model}")
    return TransformerConfig(
        **{
            **FAMILIES["gpt2"],
            "model_type": "gpt2",
            "vocab_size": given.get("vocab_size", 50257),
            "d_model": d_model,
            "d_ff": given.get("n_inner") or 4 * d_model,
            "num_decoder_layers": given.get("n_layer", 12),
            "num_heads": heads,
            "max_positions": given.get("n_positions", 1024),
            "norm_eps": given.get("layer_norm_epsilon", 1e-5),
            "activation": _activation(given.get("activation_function", "gelu_new")),
            "scale_attention": given.get("scale_attn_weights", True),
            "dropout": given.get("resid_pdrop", 0.1),
            "attention_dropout": given.get("attn_pdrop", 0.1),
            "init_std": given.get("initializer_range", 0.02),
        }
    )


READERS: dict[str, Callable[[Mapping[str, Any]], TransformerConfig]] = {
    "t5": _read_t5,
    "mt5": _read_t5,
    "bart": _read_bart,
    "mbart": _read_bart,
    "marian": _read_bart,
    "pegasus": _read_bart,
    "gpt2": _read_gpt2,
}
ARCHITECTURES = {
    "t5": ("T5ForConditionalGeneration", "T5WithLMHeadModel"),
    "mt5": ("MT5ForConditionalGeneration",),
    "bart": ("BartForConditionalGeneration", "BartModel"),
    "mbart": ("MBartForConditionalGeneration",),
    "marian": ("MarianMTModel",),
    "pegasus": ("PegasusForConditionalGeneration",),
    "gpt2": ("GPT2LMHeadModel",),
}


# --- TransformerConfig -> config.json ------------------------------------------------------------


def write_config(config: TransformerConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Say in Hugging Face's words what a model is.

    Args:
        config: our configuration.

    Returns:
        Contents of `config.json` and of `generation_config.json`.

    Raises:
        ValueError: if the family has no words for a flag; the message names the flag.
    """
    if config.model_type not in READERS:
        raise ValueError(
            f"model_type={config.model_type!r} cannot be saved; known layouts are "
            f"{', '.join(READERS)}"
        )
    if config.model_type == "gpt2":
        words = _write_gpt2(config)
    elif config.model_type in ("t5", "mt5"):
        words = _write_t5(config)
    else:
        words = _write_bart(config)
    ids: dict[str, Any] = {name: getattr(config, name) for name in IDS}
    ids["bad_words_ids"] = [list(word) for word in config.bad_words_ids] or None
    ids["suppress_tokens"] = list(config.suppress_tokens) or None
    ids |= {
        name: list(ids[name])
        for name in ("eos_token_id", "forced_eos_token_id")
        if isinstance(ids[name], tuple)
    }
    special = {name: ids[name] for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    words = {
        "architectures": [ARCHITECTURES[config.model_type][0]],
        "model_type": config.model_type,
        "is_encoder_decoder": config.model_type != "gpt2",
        "tie_word_embeddings": config.tie_output,
        **special,
        **({"decoder_start_token_id": ids["decoder_start_token_id"]} if config.num_layers else {}),
        **words,
    }
    # what was written must mean what was meant
    meant = with_generation_defaults(READERS[config.model_type](words), words, ids)
    for each in fields(config):
        ours, theirs = getattr(config, each.name), getattr(meant, each.name)
        if each.name not in ("generation", "init_std") and ours != theirs:
            raise ValueError(
                f"{each.name}={ours!r} cannot be said in the layout of model_type="
                f"{config.model_type!r}, which would read {theirs!r}"
            )
    advice = {
        name: value for name, value in {**ids, **config.generation}.items() if value is not None
    }
    return words, advice


def _write_t5(config: TransformerConfig) -> dict[str, Any]:
    projection = (
        {"gelu_new": "gelu"}.get(config.activation, config.activation)
        if config.gated
        else config.activation
    )
    words = {
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_kv": config.d_kv,
        "d_ff": config.d_ff,
        "num_layers": config.num_layers,
        "num_decoder_layers": config.num_decoder_layers,
        "num_heads": config.num_heads,
        "relative_attention_num_buckets": config.relative_num_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "layer_norm_epsilon": config.norm_eps,
        "feed_forward_proj": f"gated-{projection}" if config.gated else projection,
        "dropout_rate": config.dropout,
    }
    if config.model_type == "t5":
        words["scale_decoder_outputs"] = config.scale_output
    return words


def _write_bart(config: TransformerConfig) -> dict[str, Any]:
    words = {
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "encoder_layers": config.num_layers,
        "decoder_layers": config.num_decoder_layers,
        "encoder_attention_heads": config.num_heads,
        "decoder_attention_heads": config.decoder_num_heads,
        "encoder_ffn_dim": config.d_ff,
        "decoder_ffn_dim": config.decoder_d_ff,
        "max_position_embeddings": config.max_positions,
        "scale_embedding": config.scale_embedding,
        "activation_function": config.activation,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "init_std": config.init_std or 0.02,
    }
    if config.model_type == "marian":
        words["share_encoder_decoder_embeddings"] = config.decoder_vocab_size is None
        words["decoder_vocab_size"] = config.target_vocab_size
    return words


def _write_gpt2(config: TransformerConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "n_embd": config.d_model,
        "n_inner": config.d_ff,
        "n_layer": config.num_decoder_layers,
        "n_head": config.num_heads,
        "n_positions": config.max_positions,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": config.activation,
        "scale_attn_weights": config.scale_attention,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.attention_dropout,
        "initializer_range": config.init_std or 0.02,
    }


# --- names of tensors ----------------------------------------------------------------------------


def tensor_sources(config: TransformerConfig) -> dict[str, Source]:
    """List where each of our tensors stands in the file of a family.

    Args:
        config: our configuration.

    Returns:
        Our names, and where their values come from.
    """
    if config.model_type == "gpt2":
        return dict(_gpt2_names(config))
    if config.model_type in ("t5", "mt5"):
        return dict(_t5_names(config))
    return dict(_bart_names(config))


def _t5_names(config: TransformerConfig) -> Iterator[tuple[str, Source]]:
    yield "tokens.weight", Source(("shared.weight",))
    if not config.tie_output:
        yield "output.weight", Source(("lm_head.weight",))
    for stack, layers in (("encoder", config.num_layers), ("decoder", config.num_decoder_layers)):
        first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield f"{stack}.positions.weight", Source((first,))
        yield f"{stack}.final_norm.weight", Source((f"{stack}.final_layer_norm.weight",))
        for number in range(layers):
            ours, theirs = f"{stack}.layers.{number}", f"{stack}.block.{number}.layer"
            sublayers = (
                ["SelfAttention", "EncDecAttention"] if stack == "decoder" else ["SelfAttention"]
            )
            for place, attention in enumerate(sublayers):
                base = f"{theirs}.{place}.{attention}"
                kind = "cross_attention" if place else "self_attention"
                yield from _projections(
                    f"{ours}.{kind}", bool(place), base, ("q", "k", "v"), "o", ("weight",)
                )
                norm = f"{theirs}.{place}.layer_norm.weight"
                yield f"{ours}.{kind}_residual.norm.weight", Source((norm,))
            last = f"{theirs}.{len(sublayers)}"
            wi = ("wi_0", "wi_1") if config.gated else ("wi",)
            yield (
                f"{ours}.feed_forward.wi.weight",
                Source(tuple(f"{last}.DenseReluDense.{name}.weight" for name in wi)),
            )
            yield f"{ours}.feed_forward.wo.weight", Source((f"{last}.DenseReluDense.wo.weight",))
            yield (
                f"{ours}.feed_forward_residual.norm.weight",
                Source((f"{last}.layer_norm.weight",)),
            )


def _bart_names(config: TransformerConfig) -> Iterator[tuple[str, Source]]:
    if config.decoder_vocab_size is None:
        yield "tokens.weight", Source(("model.shared.weight",))
    else:
        yield "tokens.weight", Source(("model.encoder.embed_tokens.weight",))
        yield "decoder_tokens.weight", Source(("model.decoder.embed_tokens.weight",))
    yield "output_bias", Source(("final_logits_bias",), optional=True)
    both = ("weight", "bias")
    for stack, layers in (("encoder", config.num_layers), ("decoder", config.num_decoder_layers)):
        if config.positions == "learned":
            yield f"{stack}.positions.weight", Source((f"model.{stack}.embed_positions.weight",))
        for kind in both:
            if config.norm_embedding:
                yield (
                    f"{stack}.embedding_norm.{kind}",
                    Source((f"model.{stack}.layernorm_embedding.{kind}",)),
                )
            if config.final_norm:
                yield f"{stack}.final_norm.{kind}", Source((f"model.{stack}.layer_norm.{kind}",))
        for number in range(layers):
            ours, theirs = f"{stack}.layers.{number}", f"model.{stack}.layers.{number}"
            pairs = [("self_attention", "self_attn"), ("cross_attention", "encoder_attn")]
            for place, (mine, yours) in enumerate(pairs if stack == "decoder" else pairs[:1]):
                names = ("q_proj", "k_proj", "v_proj")
                yield from _projections(
                    f"{ours}.{mine}", bool(place), f"{theirs}.{yours}", names, "out_proj", both
                )
                for kind in both:
                    yield (
                        f"{ours}.{mine}_residual.norm.{kind}",
                        Source((f"{theirs}.{yours}_layer_norm.{kind}",)),
                    )
            for kind in both:
                yield f"{ours}.feed_forward.wi.{kind}", Source((f"{theirs}.fc1.{kind}",))
                yield f"{ours}.feed_forward.wo.{kind}", Source((f"{theirs}.fc2.{kind}",))
                # BART's `final_layer_norm` of a layer is its feed-forward norm, not the stack's
                norm = f"{theirs}.final_layer_norm.{kind}"
                yield f"{ours}.feed_forward_residual.norm.{kind}", Source((norm,))


def _gpt2_names(config: TransformerConfig) -> Iterator[tuple[str, Source]]:
    yield "tokens.weight", Source(("transformer.wte.weight",))
    yield "decoder.positions.weight", Source(("transformer.wpe.weight",))
    for kind in ("weight", "bias"):
        turned = kind == "weight"  # GPT-2's matrices are (inputs, outputs)
        yield f"decoder.final_norm.{kind}", Source((f"transformer.ln_f.{kind}",))
        for number in range(config.num_decoder_layers):
            ours, theirs = f"decoder.layers.{number}", f"transformer.h.{number}"
            yield (
                f"{ours}.self_attention.qkv.{kind}",
                Source((f"{theirs}.attn.c_attn.{kind}",), turned),
            )
            yield (
                f"{ours}.self_attention.out.{kind}",
                Source((f"{theirs}.attn.c_proj.{kind}",), turned),
            )
            yield f"{ours}.self_attention_residual.norm.{kind}", Source((f"{theirs}.ln_1.{kind}",))
            yield f"{ours}.feed_forward.wi.{kind}", Source((f"{theirs}.mlp.c_fc.{kind}",), turned)
            yield f"{ours}.feed_forward.wo.{kind}", Source((f"{theirs}.mlp.c_proj.{kind}",), turned)
            yield f"{ours}.feed_forward_residual.norm.{kind}", Source((f"{theirs}.ln_2.{kind}",))


def _projections(
    ours: str,
    cross: bool,
    base: str,
    names: tuple[str, ...],
    out: str,
    kinds: tuple[str, ...],
) -> Iterator[tuple[str, Source]]:
    """Join a layer's separate projections as `MultiHeadAttention` has them."""
    q, k, v = names
    for kind in kinds:
        if cross:
            yield f"{ours}.q.{kind}", Source((f"{base}.{q}.{kind}",))
            yield f"{ours}.kv.{kind}", Source((f"{base}.{k}.{kind}", f"{base}.{v}.{kind}"))
        else:
            yield f"{ours}.qkv.{kind}", Source(tuple(f"{base}.{each}.{kind}" for each in (q, k, v)))
        yield f"{ours}.out.{kind}", Source((f"{base}.{out}.{kind}",))


# --- tensors in and out --------------------------------------------------------------------------


def from_hugging_face(
    config: TransformerConfig, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Turn a file's tensors into ours.

    Args:
        config: our configuration.
        tensors: everything in the file.

    Returns:
        Our state, by our names.

    Raises:
        ValueError: if a tensor is missing or unknown, or two that must be the same are not; the
            message names them.
    """
    sources = tensor_sources(config)
    left = dict(tensors)
    state = {}
    missing = []
    for ours, source in sources.items():
        absent = [name for name in source.names if name not in left]
        if absent:
            missing += [] if source.optional else absent
            continue
        parts = [left.pop(name) for name in source.names]
        if ours == "output_bias":
            parts = [part.flatten() for part in parts]  # (1, vocab) -> (vocab,)
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        state[ours] = joined.t().contiguous() if source.transposed else joined
    if missing:
        raise ValueError(
            f"the checkpoint lacks {_listed(missing)}, which model_type={config.model_type!r} needs"
        )
    unknown = [
        name for name, tensor in left.items() if not _is_redundant(config, name, tensor, state)
    ]
    if unknown:
        raise ValueError(
            f"the checkpoint holds {_listed(unknown)}, which this configuration of model_type="
            f"{config.model_type!r} has no place for"
        )
    return state


def _listed(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _is_redundant(
    config: TransformerConfig, name: str, tensor: Tensor, state: Mapping[str, Tensor]
) -> bool:
    """Tell whether a tensor repeats what is known: tied tables, computed positions, old masks."""
    decoder = state.get("decoder_tokens.weight", state.get("tokens.weight"))
    copies = {
        "encoder.embed_tokens.weight": state.get("tokens.weight"),
        "decoder.embed_tokens.weight": decoder,
        "shared.weight": state.get("tokens.weight"),
        "lm_head.weight": decoder,
    }
    copy = copies.get(name.removeprefix("model."))
    if copy is not None:
        if copy.shape == tensor.shape and torch.equal(copy, tensor):
            return True
        raise ValueError(
            f"{name} differs from the token embeddings, although this configuration ties them"
        )
    if config.positions == "sinusoidal" and name.endswith("embed_positions.weight"):
        expected = sinusoidal_table(len(tensor), config.d_model)
        # a file in half precision has rounded them; a table in another order is far off
        if not torch.allclose(tensor.float(), expected, atol=1e-2):
            raise ValueError(f"{name} holds other positions than sines followed by cosines")
        return True
    # GPT-2's causal mask, and a T5 table for cross-attention that was never used
    return name.endswith((".attn.bias", ".attn.masked_bias")) or (
        config.positions == "relative"
        and name.endswith("EncDecAttention.relative_attention_bias.weight")
    )


def to_hugging_face(config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn our tensors into those of a file.

    Args:
        config: our configuration.
        state: our state, by our names.

    Returns:
        Everything for the file, by its names.

    Raises:
        ValueError: if one of ours has no place in the layout; the message names it.
    """
    sources = tensor_sources(config)
    if homeless := [name for name in state if name not in sources]:
        raise ValueError(
            f"{_listed(homeless)} has no place in the layout of model_type={config.model_type!r}"
        )
    tensors: dict[str, Tensor] = {}
    for ours, source in sources.items():
        if ours not in state:
            raise ValueError(
                f"the model lacks {ours}, which the layout of model_type="
                f"{config.model_type!r} needs"
            )
        tensor = state[ours].detach()
        if ours == "output_bias":
            tensor = tensor[None]  # (1, vocab)
        parts = (tensor.t() if source.transposed else tensor).chunk(len(source.names))
        tensors |= {name: part.contiguous() for name, part in zip(source.names, parts, strict=True)}
    return tensors


def usual_names(config: TransformerConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a file's tensors the names that the family's files have today.

    Args:
        config: our configuration.
        tensors: everything in the file.

    Returns:
        The same tensors.
    """
    tensors = dict(tensors)
    if config.model_type in ("t5", "mt5"):
        # a tied table is stored once, under any of its names
        for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
            if "shared.weight" not in tensors and name in tensors:
                tensors["shared.weight"] = tensors[name]
        return tensors
    # files written from the model without its output layer have no prefix
    prefix = "transformer." if config.model_type == "gpt2" else "model."
    if any(name.startswith(prefix) for name in tensors):
        return tensors
    outside = ("final_logits_bias", "lm_head.weight")
    return {name if name in outside else prefix + name: each for name, each in tensors.items()}


def is_tied(config: TransformerConfig, tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the output layer is the embedding table; the file knows better than its config.

    Args:
        config: what `config.json` says.
        tensors: everything in the file.

    Returns:
        Whether no output layer of its own is stored.
    """
    if config.model_type not in ("t5", "mt5"):
        return config.tie_output
    output, table = tensors.get("lm_head.weight"), tensors.get("shared.weight")
    return output is None or (table is not None and torch.equal(output, table))
