"""``iuv synth``: pictures of people who do not exist, with all that is to be known about them."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from iuv.cli.progress import progress_bar

if TYPE_CHECKING:
    from iuv.synth.dataset import Recipe, SampleWriter

__all__ = ["synth"]

_SIZE = re.compile(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?")
_SHEET, _ON_SHEET = "sheet.png", 24


def synth(  # noqa: PLR0913, PLR0917 - one per option
    images: Annotated[int, typer.Option(metavar="N", min=1, help="How many pictures.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the data set; made if missing.")
    ],
    seed: Annotated[
        int,
        typer.Option(
            metavar="S", min=0, help="Another one gives other pictures, the same one the same."
        ),
    ] = 0,
    size: Annotated[
        str, typer.Option(metavar="N|WxH", help="Pixels of a picture: a square, or width x height.")
    ] = "320",
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Photos without people, to be put behind half of the scenes.",
            show_default=False,
        ),
    ] = None,
    mesh: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Your own body in place of ours: an .obj or .glb with a material per part and U "
            "and V as texture coordinates; posed if it has a rig.",
            show_default=False,
        ),
    ] = None,
    dense: Annotated[
        bool,
        typer.Option(
            "--dense",
            help="Also write part, U, V, depth and instance of every "
            "pixel, as DIR/dense/<name>.npz.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Processes; the pictures do not depend on it. [default: one per core]",
            show_default=False,
        ),
    ] = None,
    sheet: Annotated[
        bool, typer.Option("--sheet", help=f"Also write the first pictures on one, {_SHEET}.")
    ] = False,
) -> None:
    """Make a data set of synthetic people in DensePose-COCO's format, to train and score on.

    What is in DIR is kept: the same call goes on where it was stopped, and a larger N adds
    pictures.
    """
    # Imported here, as OpenCV takes a second that `iuv --help` need not wait for.
    from iuv.synth.backgrounds import Backgrounds
    from iuv.synth.dataset import ANNOTATIONS, Recipe, SampleWriter
    from iuv.synth.production import available_cores

    recipe = Recipe(
        seed=seed,
        size=_read_size(size),
        backgrounds=None if backgrounds is None else Backgrounds(backgrounds),
    )
    if mesh is not None:
        recipe = _with_mesh(recipe, mesh)
    console = Console(stderr=True, highlight=False)
    start = time.perf_counter()
    made = _produce(SampleWriter(recipe, out, dense), images, workers or available_cores(), console)
    rate = made / max(time.perf_counter() - start, 1e-9)
    there = f", {images - made} were there" if made < images else ""
    speed = f", {rate:.2f} images/s" if made else ""
    if sheet:
        _write_sheet(out)
    line = f"{made} images made{there}{speed}; {out / ANNOTATIONS}"
    console.print(line, markup=False, soft_wrap=True)


def _with_mesh(recipe: Recipe, mesh: Path) -> Recipe:
    from iuv.synth.user_body import UserBody

    body = UserBody(mesh)
    return replace(recipe, people=body, surface=body.mesh)


def _read_size(text: str) -> tuple[int, int]:
    """Return height and width."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"--size: expected pixels, such as 320 or 640x480 (width x height), got {text!r}"
        )
    width = int(found[1])
    return int(found[2] or width), width


def _produce(writer: SampleWriter, count: int, workers: int, console: Console) -> int:
    from iuv.synth.production import produce

    start = time.perf_counter()
    with progress_bar(console) as bar:
        task = bar.add_task("", total=None, rate="images")

        def advance(done: int, total: int) -> None:
            rate = done / max(time.perf_counter() - start, 1e-9)
            bar.update(task, completed=done, total=total, rate=f"{rate:.2f} images/s")

        try:
            return produce(writer, count, workers=workers, progress=advance)
        except KeyboardInterrupt:
            bar.stop()
            console.print("stopped; the same call goes on")
            raise


def _write_sheet(folder: Path) -> None:
    from iuv.data.contact import contact_sheet
    from iuv.data.datasets import load_dataset
    from iuv.synth.dataset import ANNOTATIONS
    from iuv.writers import write_png

    write_png(folder / _SHEET, contact_sheet(load_dataset(folder / ANNOTATIONS).images[:_ON_SHEET]))
