"""Writing files whole or not at all: a killed run leaves no half file behind."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Yield a binary file, readable and writable, that becomes `path` when the block ends well.

    Until then `path` keeps its old content, or stays absent. Bytes go to a hidden file in the same
    folder (a rename is atomic only within one file system); any error removes it.

    Raises:
        OSError: the folder does not exist or cannot be written; the message says which and what
            to do. Errors from inside the block pass through unchanged.
    """
    target = Path(path)
    partial = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        file = partial.open("x+b")
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot write {target.name!r} into the folder {str(target.parent)!r} "
            f"({error.strerror}); create the folder, or choose one you may write to",
        ) from error
    try:
        with file:
            yield file
        partial.replace(target)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(target)
        raise
