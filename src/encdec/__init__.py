"""Helpers of the book *Encoder–Decoder LLMs for Instruction Tasks*.

Names are imported when they are first asked for, so that ``python -m encdec --help`` and a program
that needs one module don't wait for PyTorch and transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "DecoderOnly",
    "EncoderDecoder",
    "PrefixLM",
    "RecurrentConfig",
    "RecurrentEncoderDecoder",
    "TransformerConfig",
    "beam_search",
    "check",
    "device",
    "generate",
    "greedy_search",
    "sample",
    "setup",
    "stream",
    "zoo",
]

if TYPE_CHECKING:
    from encdec import check, zoo
    from encdec.config import TransformerConfig
    from encdec.decoding import beam_search, generate, greedy_search, sample, stream
    from encdec.environment import device, setup
    from encdec.recurrent import RecurrentConfig, RecurrentEncoderDecoder
    from encdec.transformer import DecoderOnly, EncoderDecoder, PrefixLM
else:
    _MODULES = {
        "config": ("TransformerConfig",),
        "decoding": ("beam_search", "generate", "greedy_search", "sample", "stream"),
        "environment": ("device", "setup"),
        "recurrent": ("RecurrentConfig", "RecurrentEncoderDecoder"),
        "transformer": ("DecoderOnly", "EncoderDecoder", "PrefixLM"),
    }
    _HOMES = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> object:
        """What the package is asked for the first time; afterwards it is at hand."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{_HOMES.get(name, name)}")
        value = getattr(module, name) if name in _HOMES else module
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
