"""What reading a result can fail with."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ResultFileError", "reading"]


class ResultFileError(ValueError):
    """The file does not hold results in the expected format, or asks for more than data."""


@contextmanager
def reading(path: str | os.PathLike[str], expected: str) -> Iterator[None]:
    """Turn whatever a damaged or foreign file makes a decoder raise into one error.

    Raises:
        ResultFileError: the file is not what was `expected`; the message names both.
        OSError: the operating system refused, e.g. because there is no such file.
    """
    try:
        yield
    except ResultFileError:
        raise
    except Exception as error:  # zip, its compressions, PNG, pickle, JSON: almost anything
        # Without a number it is the decoder's own; EINVAL is a jump to where no file can be.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = str(error) or type(error).__name__
        raise ResultFileError(f"{os.fspath(path)}: not {expected}: {reason}") from error
