"""Many images through a predictor: what fails is reported, the rest is done."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from iuv.cli.sources import Source
from iuv.images import read_image
from iuv.pipeline import WORKERS, behind, in_order

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


class _Failed(NamedTuple):
    """A source that cannot be read."""

    source: Source
    error: Exception


@dataclass
class Batch:
    """Predicts images, while threads read the next and save the last ones; nothing accumulates."""

    predictor: Predictor
    views: Callable[[Pixels], list[Pixels]]
    """Called with each image [H, W, 3] RGB: what of it to predict, e.g. itself, or at another size.
    At least one. In a thread."""
    save: Callable[[Source, Pixels, list[People]], None]
    """Called with each source, its image and the people in each view. In a thread."""
    report: Callable[[Source, Exception | None], None]
    """Called once for each source: with None when it is saved, or with what went wrong. In the
    caller's thread; in order, but that failures of later images may come first."""
    batch_size: int = 1
    """Views that go through the network together."""
    _waiting: deque[_Waiting] = field(default_factory=deque, init=False)

    def run(self, sources: Iterable[Source]) -> None:
        """Do all sources.

        Raises:
            OSError: the disk is full, which no further image would survive either.
        """
        with (
            closing(in_order(self._load, sources, workers=WORKERS, ahead=WORKERS)) as loaded,
            closing(self._predict(loaded)) as predicted,
            closing(behind(self._save, predicted, workers=WORKERS, most=WORKERS + 1)) as saved,
        ):
            for source, error in saved:
                self.report(source, error)

    def _load(self, source: Source) -> _Waiting | _Failed:
        try:
            image = read_image(source.path)
            return _Waiting(source, image, self.views(image), [])
        except _ImageFailure as error:
            return _Failed(source, error)

    def _save(self, done: _Waiting) -> tuple[Source, Exception | None]:
        try:
            self.save(done.source, done.image, done.found)
        except _ImageFailure as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            return done.source, error
        return done.source, None

    def _predict(self, loaded: Iterator[_Waiting | _Failed]) -> Generator[_Waiting, None, None]:
        while True:
            views = self._read(loaded)
            with closing(self.predictor.stream(views, batch_size=self.batch_size)) as stream:
                try:
                    for people in stream:
                        self._waiting[0].found.append(people)
                        if len(self._waiting[0].found) == len(self._waiting[0].views):
                            yield self._waiting.popleft()
                    return
                except _ImageFailure:
                    if not self._waiting:
                        raise  # not the fault of an image
            yield from self._one_by_one()

    def _read(self, loaded: Iterator[_Waiting | _Failed]) -> Iterator[Pixels]:
        for item in loaded:
            if isinstance(item, _Failed):
                self.report(item.source, item.error)
                continue
            self._waiting.append(item)
            yield from item.views

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
