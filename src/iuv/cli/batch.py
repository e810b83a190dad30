"""Many images through a predictor: what fails is reported, the rest is done."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

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


@dataclass
class Batch:
    """Reads, predicts and saves images one after the other; nothing accumulates."""

    predictor: Predictor
    save: Callable[[Source, Pixels, People], None]
    """Called with each source, its image [H, W, 3] RGB and the people in it."""
    report: Callable[[Source, Exception | None], None]
    """Called once for each source: with None when it is saved, or with what went wrong."""
    batch_size: int = 1
    """Images that go through the network together."""
    _waiting: deque[tuple[Source, Pixels]] = field(default_factory=deque, init=False)
    """Given to the predictor, which has not returned them yet: at most a batch."""

    def run(self, sources: Iterable[Source]) -> None:
        """Do all sources.

        Raises:
            OSError: the disk is full, which no further image would survive either.
        """
        for source, image, people in self._predict(iter(sources)):
            try:
                self.save(source, image, people)
            except _ImageFailure as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise
                self.report(source, error)
            else:
                self.report(source, None)

    def _predict(self, sources: Iterator[Source]) -> Iterator[tuple[Source, Pixels, People]]:
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
            source, image = self._waiting.popleft()
            yield source, image, people

    def _read(self, sources: Iterator[Source]) -> Iterator[Pixels]:
        for source in sources:
            try:
                image = read_image(source.path)
            except _ImageFailure as error:
                self.report(source, error)
                continue
            self._waiting.append((source, image))
            yield image

    def _one_by_one(self) -> Iterator[tuple[Source, Pixels, People]]:
        """Predict the images of a failed batch singly, to see which one it was."""
        while self._waiting:
            source, image = self._waiting.popleft()
            try:
                people = self.predictor(image)
            except _ImageFailure as error:
                self.report(source, error)
            else:
                yield source, image, people
