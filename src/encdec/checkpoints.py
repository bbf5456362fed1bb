"""Checkpoints: folders in Hugging Face's layout, or names on the Hub, into models and back.

Only safetensors are read. Weights of other formats are Python programs, which can do anything when
they are opened.
"""

import copy
import errno
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
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
SUFFIX = ".safetensors"
# The file by which each kind of tokenizer is known.
TOKENIZERS = (
    *("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("source.spm", "vocab.json", "vocab.txt"),
)
# Of this machine, not of the Hub: no right to write, no space, a read-only disk.
LOCAL_FAULTS = (errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS, errno.EFBIG)


class DamagedError(ConnectionError):
    """What came from the Hub is not what it said it would send."""


class UnreachableError(ConnectionError):
    """The Hub does not answer, and what is asked for is not in its cache."""


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
    folder = Path(path_or_hub_id)
    if not folder.is_dir():
        folder = download(str(path_or_hub_id), revision)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no config.json: it is not a checkpoint in Hugging Face's layout"
        )
    given = read_json(folder / "config.json")
    if "encdec_class" in given:
        return load_own(model_class, folder, dtype=dtype)
    try:
        return _build(model_class, folder, given, dtype)
    except (TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError(
            f"{folder}/config.json does not describe the weights beside it: {error!r:.200}"
        ) from error


def _build(
    model_class: type[Model], folder: Path, given: dict[str, Any], dtype: torch.dtype
) -> Model:
    """The model that a folder in Hugging Face's layout holds."""
    advice = folder / "generation_config.json"
    generation = read_json(advice) if advice.is_file() else None
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
        tensors |= read_weights(file)
    layers = config.num_layers + config.num_decoder_layers
    if layers > len(tensors):  # found before any of them is made
        raise ValueError(
            f"{folder}/config.json asks for {layers} layers, but there are only {len(tensors)} "
            "tensors"
        )
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of a checkpoint that holds keys and values.

    Raises:
        ValueError: it holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged, it is not JSON: remove it and fetch the model again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold keys and values, but holds {content!r:.60}")
    return content


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of safetensors.

    Raises:
        ValueError: it is damaged.
        FileNotFoundError: it is not there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged ({error}): remove it and fetch or train the model again"
        ) from error


def parts(index: Path) -> list[str]:
    """Names of the files that the index of a large checkpoint lists.

    Raises:
        ValueError: the index is damaged, or names a file outside of its folder.
    """
    listed = read_json(index).get("weight_map")
    names: set[Any] = set(map(str, listed.values())) if isinstance(listed, dict) else {None}
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or Path(name).suffix != SUFFIX:
            raise ValueError(f"{index} should name {SUFFIX} files beside it, but names {name!r}")
    return sorted(names)


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
        return [folder / name for name in parts(folder / INDEX)]
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
    with _in_one_sentence(hub_id):
        config = _fetch(hub_id, "config.json", revision)
        if config is None:
            raise FileNotFoundError(f"{hub_id} on the Hub holds no config.json: it is not a model")
        _fetch(hub_id, "generation_config.json", revision)
        converted = None
        if not _fetch_weights(hub_id, revision) and revision is None:
            converted = conversion(hub_id)
    return download(hub_id, converted) if converted else config.parent


def has_tokenizer(hub_id: str) -> bool:
    """Ask the Hub, or its cache, whether a repository holds a tokenizer of any kind.

    Args:
        hub_id: name on the Hub.

    Raises:
        ConnectionError: if the Hub cannot be reached.
    """
    with _in_one_sentence(hub_id):
        return any(_fetch(hub_id, name, None) for name in TOKENIZERS)


def _fetch(hub_id: str, name: str, revision: str | None) -> Path | None:
    """Fetch one file, or find it in the cache; None if the repository does not hold it."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    known = try_to_load_from_cache(hub_id, name, revision=revision)
    try:
        path = Path(hf_hub_download(hub_id, name, revision=revision))
    except LocalEntryNotFoundError:  # the Hub could not be asked
        raise
    except EntryNotFoundError:
        return None
    if not isinstance(known, str):
        verify(path)
    return path


def _fetch_weights(hub_id: str, revision: str | None) -> bool:
    """Fetch the safetensors, one file or the parts that an index names; False if there are none."""
    if _fetch(hub_id, WEIGHTS, revision):
        return True
    index = _fetch(hub_id, INDEX, revision)
    for part in parts(index) if index else ():
        _fetch(hub_id, part, revision)
    return index is not None


@contextmanager
def _in_one_sentence(hub_id: str) -> Iterator[None]:
    """Say in one sentence what goes wrong inside, whatever the Hub's client says."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        yield
    except HFValidationError as error:
        raise FileNotFoundError(
            f"{hub_id} is neither a folder here nor a name on the Hub"
        ) from error
    except (GatedRepoError, LocalEntryNotFoundError) as error:
        raise refusal(hub_id, error) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{hub_id} is neither a folder here nor a repository on the Hub"
        ) from error
    except (FileNotFoundError, DamagedError):  # these are sentences already
        raise
    except OSError as error:
        raise refusal(hub_id, error) from error
    except Exception as error:
        if not type(error).__module__.startswith("httpx"):  # the client's, of whatever version
            raise
        raise ConnectionError(
            f"{hub_id} did not arrive whole, the connection broke: run the same command again"
        ) from error


def verify(path: Path) -> None:
    """Throw away a file in the Hub's cache that is not what the Hub said it would send.

    The cache calls large files by their SHA-256; the Hub's client looks at their length only.

    Raises:
        DamagedError: it is another file.
    """
    blob = path.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return
    with blob.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != blob.name:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise DamagedError(
            f"{path.name} was damaged on its way, its SHA-256 differs from the Hub's, and was "
            "removed: run the same command again"
        )


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


ANSWERS = {  # of the Hub, and what a reader can do
    401: "log in with `hf auth login`, or choose a public model",
    403: "ask for access on the model's page, or choose a public model",
    429: "wait some minutes and run the same command again",
}


def refusal(hub_id: str, error: BaseException) -> OSError:
    """An error of the Hub's client as one sentence that says what to do.

    Args:
        hub_id: name on the Hub.
        error: what the client raised; it may hide the server's answer among its causes.
    """
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            advice = ANSWERS.get(status, "it is the Hub's fault: run the same command again later")
            return ConnectionError(f"{hub_id} was refused: the Hub answered {status}; {advice}")
        if isinstance(cause, OSError) and cause.errno in LOCAL_FAULTS:
            return cause  # says which file and why
        cause = cause.__cause__ or cause.__context__
    return UnreachableError(
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
    content = read_json(folder / "config.json")
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
