"""Many images through a predictor: what fails is reported, the rest is done."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from iuv.cli.sources import Source
from iuv.images import read_image

if TYPE_CHECKING:
    from iuv.predictor import Predictor
    from iuv.results import People

__all__ = ["Batch", "Pixels"]

Pixels: TypeAlias = npt.NDArray[np.uint8]

# What one image can do wrong: unreadable, too large for the memory, no person for a preset, a name
# too long for the disk. Anything else is a defect of iuv and ends the run.
_ImageFailure = (ValueError, OSError, RuntimeError, MemoryError)


class _Waiting(NamedTuple):
    """A source whose views were given to the predictor, which has not returned them all yet."""

    source: Source
    image: Pixels
    views: list[Pixels]
    found: list[People]


@dataclass
class Batch:
    """Reads, predicts and saves images one after the other; nothing accumulates."""

    predictor: Predictor
    views: Callable[[Pixels], list[Pixels]]
    """Called with each image [H, W, 3] RGB: what of it to predict, e.g. itself, or at another size.
    At least one."""
    save: Callable[[Source, Pixels, list[People]], None]
    """Called with each source, its image and the people in each view."""
    report: Callable[[Source, Exception | None], None]
    """Called once for each source: with None when it is saved, or with what went wrong."""
    batch_size: int = 1
    """Views that go through the network together."""
    _waiting: deque[_Waiting] = field(default_factory=deque, init=False)

    def run(self, sources: Iterable[Source]) -> None:
        """Do all sources.

        Raises:
            OSError: the disk is full, which no further image would survive either.
        """
        for source, image, _, found in self._predict(iter(sources)):
            try:
                self.save(source, image, found)
            except _ImageFailure as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise
                self.report(source, error)
            else:
                self.report(source, None)

    def _predict(self, sources: Iterator[Source]) -> Iterator[_Waiting]:
        stream = self.predictor.stream(self._read(sources), batch_size=self.batch_size)
        while True:
            try:
                people = next(stream, None)
            except _ImageFailure:
                if not self._waiting:
                    raise  # not the fault of an image
                yield from self._one_by_one()
                stream = self.predictor.stream(self._read(sources), batch_size=self.batch_size)
                continue
            if people is None:
                return
            first = self._waiting[0]
            first.found.append(people)
            if len(first.found) == len(first.views):
                yield self._waiting.popleft()

    def _read(self, sources: Iterator[Source]) -> Iterator[Pixels]:
        for source in sources:
            try:
                image = read_image(source.path)
                views = self.views(image)
            except _ImageFailure as error:
                self.report(source, error)
                continue
            self._waiting.append(_Waiting(source, image, views, []))
            yield from views

    def _one_by_one(self) -> Iterator[_Waiting]:
        """Predict the images of a failed batch singly, to see which one it was."""
        while self._waiting:
            source, image, views, _ = self._waiting.popleft()
            try:
                found = [self.predictor(view) for view in views]
            except _ImageFailure as error:
                self.report(source, error)
            else:
                yield _Waiting(source, image, views, found)
