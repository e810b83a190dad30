"""A video, frame by frame: what comes out of each, and what becomes of interruptions."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from iuv.cli.errors import explain
from iuv.cli.outputs import OutputError, Outputs
from iuv.cli.progress import progress_bar
from iuv.cli.sources import Source
from iuv.engine.stopping import StopRequest
from iuv.results import ByteArray, People
from iuv.video import Chosen, FrameSource, VideoReader, VideoWriter, check_video_path
from iuv.visualize.draw import KINDS, draw
from iuv.visualize.presets import NobodyFoundError, Preset, apply_preset, prepare

__all__ = ["ClipReport", "Plan", "run_clip"]

_DEFAULT_DRAWING = "overlay"
_DEFAULT_FILES = "overlay,iuv"
_DEFAULT_EXTRA_FILES = "npz,iuv"
_SHOWN_FAILURES = 5
_LEAST_SECONDS = 1e-3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is made of a video."""

    video: Path | None
    """The file to write; None: files of frames only."""
    drawing: str
    """The kind of picture, where there is no preset."""
    preset: Preset | None
    files: Outputs | None
    """What is written for each frame."""
    lossless: bool = False

    @classmethod
    def parse(
        cls,
        out: Path,
        *,
        drawing: str | None,
        preset: str | None,
        save: str | None,
        frames: Path | None,
        lossless: bool,
    ) -> Plan:
        """Read the options of the command line.

        Raises:
            OutputError: options contradict each other, or OUT cannot hold what is asked for.
            VideoError: a video of this name cannot be written.
            PresetError: an unknown preset; the message lists the nearest.
        """
        if drawing and preset:
            raise OutputError("--draw and --preset: a video holds one of them; run twice")
        if out.is_dir() or not out.suffix:
            return cls._folder(out, drawing, preset, save, frames)
        check_video_path(out, lossless=lossless)
        if save and frames is None:
            raise OutputError(f"--save: say by --frames DIR where to, as {out} is a video")
        extra = None
        if frames is not None:
            extra = _outputs(frames, save or _DEFAULT_EXTRA_FILES, None)
        drawing = drawing or _DEFAULT_DRAWING
        _outputs(Path(), drawing, None)  # refuses an unknown kind, with near ones
        if drawing.split("+")[0] not in KINDS or "," in drawing:
            raise OutputError(f"--draw: {drawing} is no drawing; choose from {', '.join(KINDS)}")
        wanted = _outputs(Path(), None, preset).preset if preset else None
        if wanted is not None:
            _check_fits_video(wanted, lossless=lossless)
            if extra and wanted.input_size:
                raise OutputError(
                    f"--frames: the preset {wanted.name} looks at frames of another size, so that "
                    "their files would not fit the video; run twice"
                )
        return cls(video=out, drawing=drawing, preset=wanted, files=extra, lossless=lossless)

    @classmethod
    def _folder(
        cls,
        out: Path,
        drawing: str | None,
        preset: str | None,
        save: str | None,
        frames: Path | None,
    ) -> Plan:
        if drawing or frames:
            raise OutputError(
                f"--draw, --frames: {out} is a folder; --save says what goes into it. For a video, "
                "give OUT a name such as out.mp4"
            )
        files = _outputs(out, save or (None if preset else _DEFAULT_FILES), preset)
        if files.preset and files.preset.input_size and files.kinds:
            raise OutputError(
                f"--save: the preset {preset} looks at frames of another size; run twice"
            )
        return cls(video=None, drawing=_DEFAULT_DRAWING, preset=files.preset, files=files)

    def check(self, source: Path | None) -> None:
        """See, before the work begins, that all can be written, and nothing over the input.

        Raises:
            OutputError: it cannot.
        """
        same = source and self.video and os.path.realpath(source) == os.path.realpath(self.video)
        if same:
            raise OutputError(f"{self.video}: would overwrite the input; choose another name")
        if self.video is not None:
            Outputs(folder=self.video.parent).check([])
        if self.files is not None:
            self.files.check([])

    def view(self, image: ByteArray) -> ByteArray:
        """Return what of a frame the network is to see."""
        return image if self.preset is None else prepare(self.preset, image)

    @property
    def keeps_shape(self) -> bool:
        """Whether pictures have the size of the frames."""
        return not (self.preset and (self.preset.input_size or self.preset.output_size))

    def picture(self, image: ByteArray, people: People) -> ByteArray:
        """Return a frame of the video; an empty canvas where a preset needs a person."""
        if self.preset is None:
            return draw(image, people, self.drawing)
        ((_, array),) = apply_preset(replace(self.preset, needs_person=False), image, people, "all")
        return array

    def missing(self, people: People) -> None:
        """Complain if the video's preset needs a person and there is none.

        Raises:
            NobodyFoundError: so it is.
        """
        if self.preset and self.preset.needs_person and not people:
            raise NobodyFoundError(
                f"the preset {self.preset.name} needs a person, and nobody is found"
            )


def _outputs(folder: Path, save: str | None, preset: str | None) -> Outputs:
    return Outputs.parse(folder, save=save, preset=preset, person="all")


def _check_fits_video(preset: Preset, *, lossless: bool) -> None:
    if len(preset.suffixes) > 1 or not preset.suffixes[0].endswith(".png"):
        raise OutputError(
            f"--preset {preset.name}: what it writes is no video; give a folder as OUT"
        )
    if not (preset.is_picture or lossless):
        raise OutputError(
            f"--preset {preset.name}: its pixels are numbers, which a video changes; give a folder "
            "as OUT, for one file per frame, or add --lossless and name OUT *.mkv"
        )


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


def run_clip(
    source: FrameSource,
    plan: Plan,
    people_of: Callable[[ByteArray, float], People],
    chosen: Chosen,
    report: ClipReport,
    *,
    name: str,
    crf: int = 18,
    seconds: float | None = None,
) -> int | None:
    """Do all frames of a video, or those until a signal comes; what is begun is finished.

    Args:
        source: of the frames; sound is copied if it collects any.
        plan: what to make of them.
        people_of: called with each frame (as the plan's preset wants it) and the seconds since the
            one before.
        chosen: whom to show.
        report: is told of every frame.
        name: of the video, for the files of frames.
        crf: as for `VideoWriter`.
        seconds: stop after so much of the video.

    Returns:
        The number of the signal that ended it, or None.

    Raises:
        OSError: something cannot be written.
        VideoError: likewise; no video is left.
    """
    audio = source if isinstance(source, VideoReader) and source.audio_stream else None
    writer = None
    if plan.video is not None:
        info = source.info
        writer = VideoWriter(
            plan.video,
            rate=info.rate,
            time_base=info.time_base,
            crf=crf,
            lossless=plan.lossless,
            pixel_aspect=info.pixel_aspect if plan.keeps_shape else Fraction(1),
            audio=audio.audio_stream if audio else None,
        )
    limit = None if seconds is None else Fraction(seconds)
    with StopRequest() as stop, report, writer or _Nothing():
        last: Fraction | None = None
        for frame in source:
            if stop.signal or (limit is not None and frame.time >= limit):
                break
            step = 0.04 if last is None else float(frame.time - last)
            last = frame.time
            people = chosen(people_of(plan.view(frame.image), max(step, _LEAST_SECONDS)))
            if writer:
                writer.write(plan.picture(frame.image, people), frame.time, frame.duration)
                if audio:
                    writer.write_audio(_until(audio.take_audio(), limit))
            _save(plan, report, f"{name}_{frame.index:06d}", frame.image, people)
            report.frame(people)
        if writer and audio and not stop.signal:
            writer.write_audio(_until(audio.take_audio(), limit))
    return None if stop.signal is None else int(stop.signal)


class _Nothing:
    """Where no video is written."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _save(plan: Plan, report: ClipReport, key: str, image: ByteArray, people: People) -> None:
    """Write the files of a frame."""
    try:
        if plan.files is not None:
            plan.files.write(Source(Path(key), key), image, [people])
        else:
            plan.missing(people)
    except NobodyFoundError as error:
        report.failure(report.done, error)


def _until(packets: list[Any], limit: Fraction | None) -> list[Any]:
    """Packets that begin before a time."""
    if limit is None:
        return packets
    return [p for p in packets if p.pts is None or p.pts * Fraction(p.time_base) < limit]
