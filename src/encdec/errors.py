"""What the package raises when the world, not the caller's code, is at fault."""

from __future__ import annotations

import re


class EncdecError(Exception):
    """Something the reader can mend; the message is one sentence that says what and how."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, or PyTorch's on a processor of whatever kind."""
    name = type(error).__name__  # torch is not imported for this
    return (
        isinstance(error, MemoryError)
        or name == "OutOfMemoryError"
        or (
            isinstance(error, RuntimeError)
            and re.search("not enough memory|can't allocate memory", str(error)) is not None
        )
    )


def explain(error: Exception) -> str | None:
    """One sentence about an error that the reader can mend; None if it is a fault of the code."""
    if is_out_of_memory(error):
        return (
            "memory ran out: close other programs, or take a shorter text, fewer beams "
            "(--num-beams 1) or a smaller model."
        )
    if type(error).__name__ == "SafetensorError":
        return f"a file of weights could not be read or written ({_line(error)})."
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; what was saved before is untouched."
    if isinstance(error, (EncdecError, ValueError, OSError)):
        return _line(error)
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
