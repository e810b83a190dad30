"""Records of pictures, kept one by one, so that a run that was stopped can go on.

A line per picture, the parts of which (the image, then each annotation, all of them JSON) are
separated by tabs. In the annotation file, too, each has a line of its own; so one is turned into
the other without ever reading it all into memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from iuv.writers import atomic_write

__all__ = ["MOST_PICTURES", "Journal", "Record"]

MOST_PICTURES = 1_000_000  # of a data set: their names have six digits

_ID = re.compile(rb'\{"id": (\d+)')
_IMAGE_OF = re.compile(rb'"image_id": (\d+)')
_BEGINNING = b'{"id": '
_BETWEEN = b"\t"
_FRAME = 3  # lines of an annotation file that begin or end a list


class Record(NamedTuple):
    """What the annotation file says of one picture."""

    image_id: int
    image: str
    """JSON."""
    annotations: tuple[str, ...]
    """JSON of each."""


class Journal:
    """A file of records, to be used in a ``with`` block; what is added outlives the process.

    Args:
        path: the file, which is made if it does not exist. What follows the first damaged record,
            such as half a one from a run that was killed, is cut off: it can be made again.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.places: dict[int, int] = {}
        """Index → where its line begins; of several, the last one counts."""
        self._path = path
        self._file = path.open("a+b")
        self._file.seek(0)
        end = 0
        for line in self._file:
            index = _checked(line.rstrip(b"\n").split(_BETWEEN))
            if index is None or not line.endswith(b"\n"):
                break
            self.places[index] = end
            end += len(line)
        self._file.truncate(end)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        """Keep a record."""
        self._write(record.image_id, [record.image.encode(), *map(str.encode, record.annotations)])

    def remove(self) -> None:
        """Close and delete the file: all of it has been published."""
        self._file.close()
        self._path.unlink()

    def _write(self, index: int, parts: list[bytes]) -> None:
        self.places[index] = self._file.seek(0, 2)
        self._file.write(_BETWEEN.join(parts) + b"\n")
        self._file.flush()

    def read_published(self, annotations: Path) -> None:
        """Take over the records of an annotation file that `publish` wrote, if there is one.

        Pictures that have been recorded since then are left as they are. Nothing is taken of a file
        that has been cut or saved by another program, and no record that is damaged.
        """
        if not annotations.is_file() or not _is_published(annotations):
            return
        images: dict[int, bytes] = {}
        with annotations.open("rb") as file:
            lines = (line.rstrip(b",\r\n") for line in file if line.startswith(_BEGINNING))
            for owner, group in groupby(lines, _owner):
                if owner is None:
                    images = {int(found[1]): line for line in group if (found := _ID.match(line))}
                elif owner in images:
                    self._take_over(owner, [images.pop(owner), *group])
        for index, image in images.items():
            self._take_over(index, [image])

    def _take_over(self, index: int, parts: list[bytes]) -> None:
        if index not in self.places and _checked(parts) == index:
            self._write(index, parts)

    def publish(self, path: Path, head: dict[str, Any]) -> None:
        """Write all records as an annotation file, in the order of their indices.

        Args:
            path: the file; replaced when the new one is complete.
            head: what else the file says.
        """
        with atomic_write(path) as file:
            file.write(json.dumps(head)[:-1].encode())
            for name, chosen in (("images", slice(0, 1)), ("annotations", slice(1, None))):
                file.write(f', "{name}": ['.encode())
                first = True
                for parts in self._lines():
                    for part in parts[chosen]:
                        file.write((b"\n" if first else b",\n") + part)
                        first = False
                file.write(b"\n]")
            file.write(b"}\n")

    def _lines(self) -> Iterator[list[bytes]]:
        for _, place in sorted(self.places.items()):
            self._file.seek(place)
            yield self._file.readline().rstrip(b"\n").split(_BETWEEN)


def _checked(parts: list[bytes]) -> int | None:
    """The id of a record's image; None if it is damaged."""
    try:
        image, *people = map(json.loads, parts)
        index = image["id"]
        sound = "file_name" in image and type(index) is int and 0 <= index < MOST_PICTURES
        return index if sound and all(one["image_id"] == index for one in people) else None
    except (ValueError, TypeError, KeyError):
        return None


def _is_published(annotations: Path) -> bool:
    """Whether a file has the lines that `publish` writes: three besides those of records."""
    with annotations.open("rb") as file:
        others = [line for line in file if not line.startswith(_BEGINNING)]
    return len(others) == _FRAME and others[-1].strip() == b"]}"


def _owner(line: bytes) -> int | None:
    """The image that the JSON of an annotation is about; None for that of an image."""
    found = _IMAGE_OF.search(line[:64])
    return None if found is None else int(found[1])
