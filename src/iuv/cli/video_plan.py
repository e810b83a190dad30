"""What is made of a video: which pictures, which files, and whether they fit together."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from iuv.cli.outputs import OutputError, Outputs
from iuv.results import ByteArray, People
from iuv.video import check_video_path
from iuv.visualize.draw import KINDS, draw
from iuv.visualize.presets import NobodyFoundError, Preset, apply_preset, prepare

__all__ = ["Plan"]

_DEFAULT_DRAWING = "overlay"
_DEFAULT_FILES = "overlay,iuv"
_DEFAULT_EXTRA_FILES = "npz,iuv"


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
