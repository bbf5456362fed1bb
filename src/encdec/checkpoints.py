"""Checkpoints: folders in Hugging Face's layout, or names on the Hub, into models and back.

Only safetensors are read. Weights of other formats are Python programs, which can do anything when
they are opened.
"""

import copy
import json
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from encdec.config import TransformerConfig
from encdec.layouts import (
    from_hugging_face,
    is_tied,
    read_config,
    to_hugging_face,
    usual_names,
    write_config,
)

Model = TypeVar("Model", bound=nn.Module)

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def load(
    model_class: type[Model],
    path_or_hub_id: str | PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
) -> Model:
    """Load a checkpoint; `from_pretrained` of the models is this.

    Args:
        model_class: `EncoderDecoder` or `DecoderOnly`.
        path_or_hub_id: a folder, or a name on the Hub.
        dtype: type of the weights.
        revision: branch, tag or commit on the Hub.

    Returns:
        The model, in evaluation mode.

    Raises:
        ValueError: if the checkpoint is not of a supported kind; the message says what is wrong.
        FileNotFoundError: if there are no safetensors.
        ConnectionError: if the Hub cannot be reached.
    """
    from safetensors.torch import load_file

    folder = Path(path_or_hub_id)
    if not folder.is_dir():
        folder = download(str(path_or_hub_id), revision)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no config.json: it is not a checkpoint in Hugging Face's layout"
        )
    given = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "encdec_class" in given:
        return load_own(model_class, folder, dtype=dtype)
    advice = folder / "generation_config.json"
    generation = json.loads(advice.read_text(encoding="utf-8")) if advice.is_file() else None
    config = read_config(given, generation)
    wants_encoder = hasattr(model_class, "encode")
    if wants_encoder != (config.num_layers > 0):
        kind = "an encoder–decoder" if config.num_layers else "a decoder alone"
        raise ValueError(
            f"model_type={config.model_type!r} is {kind}, which {model_class.__name__} is not: use "
            f"{'EncoderDecoder' if config.num_layers else 'DecoderOnly'}.from_pretrained"
        )
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        tensors |= load_file(file)
    tensors = usual_names(config, tensors)
    config = replace(config, tie_output=is_tied(config, tensors))
    state = {name: tensor.to(dtype) for name, tensor in from_hugging_face(config, tensors).items()}
    with torch.device("meta"):  # nothing is drawn or allocated: every tensor is replaced
        model = model_class(config)
    if config.output_bias and "output_bias" not in state:
        state["output_bias"] = torch.zeros(config.target_vocab_size, dtype=dtype)
    for name, tensor in model.state_dict().items():
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"{name} has shape {tuple(state[name].shape)} in the checkpoint, but config.json "
                f"makes it {tuple(tensor.shape)}"
            )
    model.load_state_dict(state, assign=True)
    return rebuild_buffers(model, dtype).eval()


def rebuild_buffers(model: Model, dtype: torch.dtype) -> Model:
    """Make the tensors that no file stores, after a model was built without memory.

    Args:
        model: the model.
        dtype: type of its weights.

    Returns:
        The same model.
    """
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(module, name, torch.empty(buffer.shape, dtype=dtype))
    return model


def weight_files(folder: Path) -> list[Path]:
    """Find the safetensors of a folder.

    Args:
        folder: where to look.

    Returns:
        One file, or the parts that an index names.

    Raises:
        FileNotFoundError: if there are none. Pickled weights are never read, since reading them
            can run anything.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    raise FileNotFoundError(
        f"{folder} holds no {WEIGHTS}: only safetensors are read, never pickled weights; a "
        "repository on the Hub may have them under another revision"
    )


def download(hub_id: str, revision: str | None = None) -> Path:
    """Fetch a checkpoint's configuration and safetensors from the Hub, or find them in its cache.

    Args:
        hub_id: name on the Hub.
        revision: branch, tag or commit.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: if there is no such repository, or it has no safetensors.
        ConnectionError: if the Hub cannot be reached and the files are not in the cache.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(hub_id, name, revision=revision))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None

    try:
        config = fetch("config.json")
        if config is None:
            raise FileNotFoundError(f"{hub_id} on the Hub holds no config.json: it is not a model")
        fetch("generation_config.json")
        if fetch(WEIGHTS) is None:
            index = fetch(INDEX)
            if index is not None:
                parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
                for part in sorted(set(parts)):
                    fetch(part)
            elif revision is None and (converted := conversion(hub_id)):
                return download(hub_id, converted)
    except HFValidationError as error:
        raise FileNotFoundError(
            f"{hub_id} is neither a folder here nor a name on the Hub"
        ) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{hub_id} is neither a folder here nor a repository on the Hub"
        ) from error
    except FileNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise _unreachable(hub_id) from error
        raise
    except OSError as error:
        raise _unreachable(hub_id) from error
    return config.parent


def conversion(hub_id: str) -> str | None:
    """Find the pull request in which the Hub's converter offers a repository's safetensors.

    Older repositories hold pickled weights on their main branch. The Hub's own bot has converted
    many of them and waits for the owner to accept.

    Args:
        hub_id: name on the Hub.

    Returns:
        The revision to read, for example "refs/pr/4", or None.
    """
    from huggingface_hub import HfApi

    requests = HfApi().get_repo_discussions(
        hub_id, author="SFconvertbot", discussion_type="pull_request"
    )
    revisions = [each.git_reference for each in requests if each.status in ("open", "merged")]
    return revisions[0] if revisions else None


def _unreachable(hub_id: str) -> ConnectionError:
    return ConnectionError(
        f"{hub_id} is no folder here, is not in the local cache of the Hub, and the Hub cannot be "
        "reached: go online, or name a folder"
    )


def save(
    model: nn.Module, folder: str | PathLike[str], *, dtype: torch.dtype | None = None
) -> None:
    """Write a checkpoint; `save_pretrained` of the models is this.

    Args:
        model: `EncoderDecoder` or `DecoderOnly`.
        folder: where to write.
        dtype: type of the weights in the file; the model's own if not given.

    Raises:
        ValueError: if the family's layout cannot express the model; the message says why.
    """
    from safetensors.torch import save_file

    if getattr(model, "own_layout", False):
        save_own(model, folder, dtype=dtype)
        return
    config: TransformerConfig = model.config  # type: ignore[assignment]
    words, advice = write_config(config)
    tensors = to_hugging_face(config, model.state_dict())
    if dtype is not None:
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    words["dtype"] = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("config.json", words), ("generation_config.json", advice)):
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    tensors = {name: tensor.cpu().clone() for name, tensor in tensors.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


# --- models that transformers has no name for ----------------------------------------------------


def save_own(
    model: nn.Module, folder: str | PathLike[str], *, dtype: torch.dtype | None = None
) -> None:
    """Write a model of this package's own kinds: its configuration, and its weights by our names.

    Args:
        model: has a `config` that is a dataclass.
        folder: where to write.
        dtype: type of the weights in the file; the model's own if not given.
    """
    from safetensors.torch import save_model

    config: Any = model.config
    if dtype is not None:
        model = copy.deepcopy(model).to(dtype)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"encdec_class": type(model).__name__, **asdict(config)}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    save_model(model, str(folder / WEIGHTS), metadata={"format": "pt"})


def load_own(
    model_class: type[Model], folder: str | PathLike[str], *, dtype: torch.dtype = torch.float32
) -> Model:
    """Load what `save_own` wrote.

    Args:
        model_class: the kind of model that the folder should hold.
        folder: where it is.
        dtype: type of the weights.

    Returns:
        The model, in evaluation mode.

    Raises:
        ValueError: if the folder holds another kind of model, or its weights do not fit.
        FileNotFoundError: if it holds none.
    """
    from safetensors.torch import load_model

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no config.json: there is no model")
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = content.pop("encdec_class", None)
    if name != model_class.__name__:
        raise ValueError(
            f"{folder} holds a {name or 'model of another layout'}, but {model_class.__name__} was "
            "asked for"
        )
    for key, value in content.items():
        if isinstance(value, list):
            content[key] = tuple(tuple(each) if isinstance(each, list) else each for each in value)
    config_class: Any = model_class.config_class  # type: ignore[attr-defined]
    model = model_class(config_class(**content))
    (file,) = weight_files(folder)
    try:
        load_model(model, file)
    except RuntimeError as error:
        raise ValueError(f"the weights in {file} do not fit its config.json: {error}") from error
    return model.to(dtype).eval()
