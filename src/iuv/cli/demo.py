"""``iuv demo``: what iuv does, shown at once, on any machine, without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from iuv.zoo import EMBEDDED

__all__ = ["demo"]

_PHOTO = Path(__file__).parents[1] / "demo" / "astronaut.jpg"
_PHOTO_ORIGIN = "portrait of Eileen Collins by NASA, public domain"
_SEED, _PICTURE = 2026, 16
_SIZE = (384, 512)  # height, width
_SAVE = "overlay,iuv,npz"

_RESULTS = """\
For each picture:
  _overlay.png  the body parts in colour: look at this first
  _iuv.png      red is the part, 1..24, green is U * 255, blue is V * 255
  .npz          the same as arrays, with boxes and scores
"""
_NEXT = f"""\
{EMBEDDED.name} is a small model that has learnt from synthetic people only, never from a photo, and
is often wrong. It is part of iuv so that this works without a network; for results take a full one.

Next:
  iuv predict photo.jpg --out results
      your photos, by a full model (256 MB, downloaded once)
  iuv models
      which others there are
  iuv synth --images 2000 --out people --sheet
      more people like these, with their true parts, U and V
  iuv train {EMBEDDED.name} --init {EMBEDDED.name} --data people/annotations.json \
--symmetry people/symmetry.npz --out run \
--set solver.max_iter=3000 --set solver.schedule=cosine --set solver.base_lr=0.0002
      teach it more by them, in about two hours
"""


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for pictures and results; made if missing.")
    ] = Path("iuv-demo"),
) -> None:
    """Find people in a photo and in a synthetic scene, without a network, and show what comes out.

    By the small model that is part of iuv.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    import iuv.predictor
    from iuv.cli.outputs import Outputs
    from iuv.cli.sources import Source
    from iuv.images import read_image
    from iuv.synth.dataset import Recipe, Sample
    from iuv.writers import atomic_write

    outputs = Outputs.parse(out, save=_SAVE, preset=None, person=None)
    photo, scene = (Source(out / name, name[:-4]) for name in ("astronaut.jpg", "scene.jpg"))
    sources = [photo, scene]
    written = [path for one in sources for path in (one.path, *outputs.paths(one))]
    _check_others(photo.path, written)
    outputs.check(sources)
    predictor = iuv.predictor.load(EMBEDDED.name, device="cpu", engine="eager")
    sample = Sample.make(Recipe(seed=_SEED, size=_SIZE), _PICTURE)
    typer.echo(f"{EMBEDDED.name} has looked for people in two pictures:")
    for source, content, about in (
        (photo, _PHOTO.read_bytes(), _PHOTO_ORIGIN),
        (scene, sample.jpeg, f"drawn just now by iuv.synth, with {len(sample.annotations)} people"),
    ):
        with atomic_write(source.path) as file:
            file.write(content)
        image = read_image(source.path)
        people = predictor(image)
        outputs.write(source, image, [people])
        typer.echo(f"  {source.path}: {len(people)} found ({about})")
    typer.echo(f"\n{_RESULTS}\n{_NEXT}", nl=False)


def _check_others(photo: Path, written: list[Path]) -> None:
    """Refuse to write over files that are not a former demo's, which had the same photo."""
    from iuv.cli.outputs import OutputError

    if photo.is_file() and photo.read_bytes() == _PHOTO.read_bytes():
        return
    for path in written:
        if os.path.lexists(path):
            raise OutputError(
                f"{path}: is there, and may not be of a former demo; delete it, or choose another "
                "--out"
            )
