"""How errors read on a terminal."""

from __future__ import annotations

__all__ = ["explain"]


def explain(error: BaseException) -> str:
    """Return what an error says, without the number of an operating-system error."""
    if isinstance(error, OSError) and error.strerror:
        name = error.filename2 or error.filename  # of a rename, the name that was wanted
        return f"{name}: {error.strerror}" if name else error.strerror
    return str(error) or type(error).__name__
