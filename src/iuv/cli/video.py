"""``iuv video``: a video in, a video or the files of its frames out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iuv.cli.loading import (
    DEFAULT_MODEL,
    Calibration,
    Engine,
    MaxProposals,
    MinSize,
    Precision,
    ShortSide,
    load_default,
    load_predictor,
)
from iuv.zoo import EMBEDDED

if TYPE_CHECKING:
    from iuv.cli.video_plan import Plan
    from iuv.predictor import Predictor
    from iuv.results import Selection
    from iuv.video import FrameSource
    from iuv.visualize.presets import Preset

__all__ = ["video"]

_DEFAULT_MIN_SCORE = 0.5
_KEEP = 0.6  # of the minimum score is enough for those who are known already


def video(  # noqa: PLR0913, PLR0917 - one per option
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A video, or the number of a camera: 0 is the first.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A video (.mp4, .mov, .mkv), or a folder for files of each frame.",
            show_default=False,
        ),
    ],
    draw: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What the video shows: overlay, segm, u, v, contour, bbox, tracks; joined by +. "
            "[default: overlay]",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Show exactly what a downstream tool expects, e.g. magic_animate."
        ),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write files of each frame, into this folder."),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            help="Which files, as for `iuv predict`. [default: npz,iuv with --frames; overlay,iuv "
            "where OUT is a folder]",
            show_default=False,
        ),
    ] = None,
    smooth: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            max=0.95,
            help="How steady boxes, parts, U and V are held: 0 not at all.",
        ),
    ] = 0.7,
    every: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Look for people in every N-th frame; follow between."
        ),
    ] = 1,
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=1024, help="Frames that go through the network together."
        ),
    ] = 1,
    audio: Annotated[bool, typer.Option("--audio", help="Copy the sound.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(metavar="S", min=0.001, help="Stop after so much of the video."),
    ] = None,
    crf: Annotated[
        int,
        typer.Option(metavar="Q", min=0, max=51, help="Quality of H.264: 0 is best, 51 smallest."),
    ] = 18,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Keep every value: FFV1, in .mkv, not for browsers.")
    ] = False,
    person: Annotated[
        str | None,
        typer.Option(
            metavar="best|largest|all|INDEX",
            help="Whom to keep; who is chosen is followed. [default: all, or as the preset says]",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="As for `iuv predict`. "
            f"[default: the preset's, or {DEFAULT_MODEL}; where its weights are not to be had, "
            f"{EMBEDDED.name}]",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Weights to use in place of the model's own.",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            min=0,
            max=1,
            help="People must score above this to be shown for the first time. "
            f"[default: the preset's, or {_DEFAULT_MIN_SCORE}]",
            show_default=False,
        ),
    ] = None,
    max_people: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many people per frame.")
    ] = 100,
    min_size: MinSize = 0.0,
    short_side: ShortSide = None,
    max_proposals: MaxProposals = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:1, mps, ..."
        ),
    ] = "auto",
    engine: Annotated[
        Engine, typer.Option(help="What runs the network; auto is the fastest that is installed.")
    ] = Engine.auto,
    precision: Annotated[
        Precision, typer.Option(help="All but fp32 are faster and change results a little.")
    ] = Precision.fp32,
    calibrate: Calibration = None,
) -> None:
    """Find the people in a video and show their body parts, frame by frame, without flicker.

    The video that comes out has the length, the size and the times of the one that goes in.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    from iuv.cli.clips import Clip, ClipReport
    from iuv.cli.video_plan import Plan
    from iuv.video import Chosen, PeopleTracker

    plan = Plan.parse(out, drawing=draw, preset=preset, save=save, frames=frames, lossless=lossless)
    chosen = Chosen(_whom(person, plan.preset))
    is_camera = source.isdecimal() and not Path(source).exists()
    plan.check(None if is_camera else Path(source))
    if min_score is None:
        min_score = plan.preset.min_score if plan.preset else _DEFAULT_MIN_SCORE
    with _open(source, is_camera, audio=audio and plan.video is not None) as clip:
        if audio and clip.info.audio is None:
            typer.echo(f"iuv: NOTE: {source} has no sound to copy", err=True)
        predictor = _load(
            model,
            weights,
            plan,
            device=device,
            engine=engine.value,
            precision=precision.value,
            calibration=calibrate,
            min_score=min_score * (_KEEP if smooth else 1),
            max_people=max_people,
            min_size=min_size,
            short_side=short_side,
            max_proposals=max_proposals,
        )
        people_of = PeopleTracker(predictor, smooth=smooth, every=every, new_score=min_score)
        report = ClipReport(_frames_to_come(clip, seconds))
        signal = Clip(
            source=clip,
            plan=plan,
            predictor=predictor,
            people_of=people_of,
            chosen=chosen,
            report=report,
            name=f"camera{source}" if is_camera else Path(source).stem,
            crf=crf,
            seconds=seconds,
            batch_size=batch_size,
        ).run()
    if clip.problem:
        report.say(f"failed: {source}: {clip.problem}; what could be read is written")
    report.summarise(out)
    if signal is not None and not is_camera:
        raise typer.Exit(128 + signal)
    if clip.problem or report.failed:
        raise typer.Exit(1)


def _whom(person: str | None, preset: Preset | None) -> Selection:
    from iuv.cli.outputs import parse_person

    if person is not None:
        return parse_person(person)
    return "all" if preset is None else preset.person


def _open(source: str, is_camera: bool, *, audio: bool) -> FrameSource:
    from iuv.video import CameraReader, VideoReader

    return CameraReader(int(source)) if is_camera else VideoReader(source, audio=audio)


def _load(model: str | None, weights: Path | None, plan: Plan, **options: Any) -> Predictor:
    made_with = plan.preset.model if plan.preset else None
    if model or weights or made_with:
        return load_predictor(model, weights, fallback=made_with or DEFAULT_MODEL, **options)
    return load_default(**options)


def _frames_to_come(clip: FrameSource, seconds: float | None) -> int | None:
    if seconds is None:
        return clip.info.frames
    wanted = max(1, round(seconds * clip.info.rate))
    return wanted if clip.info.frames is None else min(wanted, clip.info.frames)
