"""What the package raises when the world, not the caller's code, is at fault."""


class EncdecError(Exception):
    """Something the reader can mend; the message is one sentence that says what and how."""
