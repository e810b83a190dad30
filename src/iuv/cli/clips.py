"""A video, frame by frame: frames are read ahead, and results written behind, by threads."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rich.console import Console

from iuv.cli.errors import explain
from iuv.cli.progress import progress_bar
from iuv.cli.sources import Source
from iuv.cli.video_plan import Plan
from iuv.engine.stopping import StopRequest
from iuv.pipeline import WORKERS, behind, read_ahead
from iuv.predictor import Predictor
from iuv.results import ByteArray, People
from iuv.video import Chosen, Frame, FrameSource, PeopleTracker, VideoReader, VideoWriter
from iuv.visualize.presets import NobodyFoundError

__all__ = ["Clip", "ClipReport"]

_SHOWN_FAILURES = 5
_LEAST_SECONDS = 1e-3
_USUAL_SECONDS = 0.04


@dataclass
class ClipReport:
    """Counts frames and shows them on stderr. Use it in a ``with`` block."""

    total: int | None
    """Frames to come; None: nobody knows."""
    done: int = 0
    failed: int = 0
    tracks: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = progress_bar(self._console)
        self._task = self._progress.add_task("", total=self.total, rate="")
        self._reasons: Counter[str] = Counter()
        self._start = time.perf_counter()

    def __enter__(self) -> ClipReport:
        self._start = time.perf_counter()
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def frame(self, people: People) -> None:
        """Count a frame."""
        self.done += 1
        self.tracks |= {person.track for person in people if person.track is not None}
        self._progress.update(self._task, advance=1, rate=self._rate())

    def failure(self, frame: int, error: Exception) -> None:
        """Count a frame that lacks something; the first of a kind are shown."""
        self.failed += 1
        self._reasons[str(error)] += 1
        if sum(self._reasons.values()) <= _SHOWN_FAILURES:
            self.say(f"failed: frame {frame}: {explain(error)}")

    def summarise(self, place: Path) -> None:
        """Say how it went, in one line."""
        people = "1 person" if len(self.tracks) == 1 else f"{len(self.tracks)} people"
        failed = f", {self.failed} failed" if self.failed else ""
        self.say(f"{self.done} frames{failed}, {people}, {self._rate()}; results in {place}")

    def say(self, text: str) -> None:
        """Print a line beside the bar."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _rate(self) -> str:
        return f"{self.done / max(time.perf_counter() - self._start, 1e-9):.2f} frames/s"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video that is being done: frames are read ahead, the network runs, results are written."""

    source: FrameSource
    """Of the frames; sound is copied if it collects any."""
    plan: Plan
    """What to make of them."""
    predictor: Predictor
    people_of: PeopleTracker
    """Who is who; made with the same predictor."""
    chosen: Chosen
    """Whom to show."""
    report: ClipReport
    """Is told of every frame."""
    name: str
    """Of the video, for the files of frames."""
    crf: int = 18
    """As for `VideoWriter`."""
    seconds: float | None = None
    """Stop after so much of the video."""
    batch_size: int = 1
    """Frames that go through the first part of the network together."""

    def run(self) -> int | None:
        """Do all frames, or those until a signal comes; what is begun is finished.

        Returns:
            The number of the signal that ended it, or None.

        Raises:
            OSError: something cannot be written.
            VideoError: likewise; no video is left.
        """
        with StopRequest() as stop, self.report, self._writer() as writer:
            with (
                closing(self._read()) as read,
                closing(self._find(read, stop)) as found,
                closing(behind(self._make, found, workers=WORKERS, most=WORKERS + 1)) as made,
                # So many that one that is slow to write does not stop the network.
                closing(
                    behind(partial(_write, writer), made, workers=1, most=WORKERS + 2)
                ) as written,
            ):
                for done in written:
                    if done.failure is not None:
                        self.report.failure(done.frame.index, done.failure)
                    self.report.frame(done.people)
            if writer and not stop.signal:
                writer.write_audio(self._sound())
        return None if stop.signal is None else int(stop.signal)

    def _writer(self) -> VideoWriter | _Nothing:
        plan, info = self.plan, self.source.info
        if plan.video is None:
            return _Nothing()
        return VideoWriter(
            plan.video,
            rate=info.rate,
            time_base=info.time_base,
            crf=self.crf,
            lossless=plan.lossless,
            pixel_aspect=info.pixel_aspect if plan.keeps_shape else Fraction(1),
            audio=self.source.audio_stream if isinstance(self.source, VideoReader) else None,
        )

    def _read(self) -> Generator[_Read, None, None]:
        """Yield frames and their sound; of a file ahead of time, of a camera when asked."""
        ahead = isinstance(self.source, VideoReader)
        return read_ahead(self._frames(), WORKERS) if ahead else self._frames()

    def _frames(self) -> Generator[_Read, None, None]:
        last: Fraction | None = None
        for frame in self.source:
            if self.seconds is not None and frame.time >= self.seconds:
                return
            step = _USUAL_SECONDS if last is None else float(frame.time - last)
            last = frame.time
            view = self.plan.view(frame.image)
            yield _Read(frame, view, max(step, _LEAST_SECONDS), self._sound())

    def _sound(self) -> list[Any]:
        """Packets that were read since the last call, and are wanted."""
        if self.plan.video is None or not isinstance(self.source, VideoReader):
            return []
        packets, limit = self.source.take_audio(), self.seconds
        if limit is None:
            return packets
        return [p for p in packets if p.pts is None or p.pts * Fraction(p.time_base) < limit]

    def _find(self, frames: Iterable[_Read], stop: StopRequest) -> Generator[_Found, None, None]:
        waiting: deque[_Read] = deque()

        def views() -> Iterator[ByteArray]:
            for read in frames:
                if stop.signal:
                    return
                waiting.append(read)
                yield read.view

        if isinstance(self.source, VideoReader):
            looks = self.predictor.looks(views(), batch_size=self.batch_size)
        else:  # a camera's next frame is taken when this one is done
            looks = (self.predictor.look(view) for view in views())
        with closing(looks):
            for look in looks:
                frame, view, step, sound = waiting.popleft()
                people = self.chosen(self.people_of.follow(look, view, step))
                yield _Found(frame, people, sound)
                if stop.signal:
                    return

    def _make(self, found: _Found) -> _Made:
        """Draw a frame's picture, and write its files. In a thread."""
        (frame, people, sound), plan = found, self.plan
        picture = plan.picture(frame.image, people) if plan.video is not None else None
        failure = None
        try:
            if plan.files is not None:
                key = f"{self.name}_{frame.index:06d}"
                plan.files.write(Source(Path(key), key), frame.image, [people])
            else:
                plan.missing(people)
        except NobodyFoundError as error:
            failure = error
        return _Made(frame, people, sound, picture, failure)


class _Read(NamedTuple):
    frame: Frame
    view: ByteArray
    """What the network is to see."""
    step: float
    """Seconds since the frame before."""
    sound: list[Any]
    """Packets that were read with it."""


class _Found(NamedTuple):
    frame: Frame
    people: People
    sound: list[Any]


class _Made(NamedTuple):
    frame: Frame
    people: People
    sound: list[Any]
    picture: ByteArray | None
    failure: NobodyFoundError | None


def _write(writer: VideoWriter | None, made: _Made) -> _Made:
    """Write a frame's picture and sound. In a thread, and one after the other."""
    if writer is not None and made.picture is not None:
        writer.write(made.picture, made.frame.time, made.frame.duration)
        writer.write_audio(made.sound)
    return made


class _Nothing:
    """Where no video is written."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
