"""A data set of synthetic people: every picture from nothing but a seed and its own number.

The folder, all of it in formats that the rest of iuv reads:

    annotations.json    COCO with DensePose annotations; there when all pictures are
    images/000000.jpg   compressed once, as much as the scene says
    dense/000000.npz    if asked for: part, uv, depth, instance, for every pixel, as in `Frame`
    mesh.npz            the body's surface, for scoring
    symmetry.npz        the body's left and right, for training
    synth.json          what the pictures depend on

H, W: of the pictures.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.synth.annotations import CATEGORY, annotate
from iuv.synth.backgrounds import Backgrounds
from iuv.synth.effects import encode_jpeg
from iuv.synth.journal import Journal, Record
from iuv.synth.mesh import ChartedMesh
from iuv.synth.person import rest_body, sample_person
from iuv.synth.render import Frame, render
from iuv.synth.scene import SHORTEST_PICTURE, PeopleSource, sample_scene
from iuv.synth.symmetry import body_symmetry, mesh_symmetry
from iuv.synth.user_body import UserBody
from iuv.writers import atomic_write

__all__ = [
    "ANNOTATIONS",
    "JOURNAL",
    "DatasetError",
    "Recipe",
    "Sample",
    "SampleWriter",
    "check_folder",
    "complete",
    "make_folder",
    "write_settings",
]

ANNOTATIONS, JOURNAL = "annotations.json", "records.part"

_SETTINGS, _MESH, _SYMMETRY = "synth.json", "mesh.npz", "symmetry.npz"
_FOLDERS = ("images", "dense")
_GENERATION = 5  # grows whenever the same seed and number give other pictures or annotations
_QUALITY = 95  # of pictures whose scene says nothing of compression: no blocks are seen
_LONGEST_PICTURE = 4096  # pixels; more take gigabytes of each worker
_MOST_PEOPLE = 10  # of a scene; their ids are the picture's, times this, and their number


class DatasetError(ValueError):
    """A data set cannot be made as asked; says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recipe:
    """What the pictures of a data set depend on.

    Raises:
        DatasetError: a number is out of its range, or people come without their surface or the
            other way round.
    """

    seed: int = 0
    """0 or more."""
    size: tuple[int, int] = (320, 320)
    """Height and width, pixels."""
    backgrounds: Backgrounds | None = None
    """Pictures to put behind half of the scenes."""
    people: PeopleSource = sample_person
    """Makes a person of random numbers; can be sent to another process."""
    surface: ChartedMesh | None = None
    """Where these people's charts are, in a rest pose; None: it is our own body."""

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or self.seed < 0:
            raise DatasetError(f"the seed must be a whole number, 0 or more, got {self.seed!r}")
        if not isinstance(self.size, tuple) or list(map(type, self.size)) != [int, int]:
            raise DatasetError(f"size must be (height, width), two whole numbers, got {self.size}")
        height, width = self.size
        if min(self.size) < SHORTEST_PICTURE or max(self.size) > _LONGEST_PICTURE:
            raise DatasetError(
                f"pictures of people must have sides of at least {SHORTEST_PICTURE} and at most "
                f"{_LONGEST_PICTURE} pixels, got {width} x {height} (width x height)"
            )
        if (self.people is sample_person) != (self.surface is None):
            raise DatasetError(
                "people and their surface belong together: give both (for a user's body, "
                "people=body and surface=body.mesh), or neither"
            )

    def settings(self) -> dict[str, Any]:
        """Return what tells this recipe from others, as JSON."""
        return {
            "generation": _GENERATION,
            "seed": self.seed,
            "size": list(self.size),
            "backgrounds": None if self.backgrounds is None else _digest(self.backgrounds),
            "body": "iuv" if self.surface is None else self._digest_of_body(self.surface),
        }

    def _digest_of_body(self, mesh: ChartedMesh) -> str:
        arrays = [mesh.vertices, mesh.faces, mesh.face_part, mesh.corner_uv]
        if isinstance(self.people, UserBody):
            arrays += self.people.rig
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return f"mesh {digest.hexdigest()[:16]}"


def _digest(backgrounds: Backgrounds) -> str:
    """Names and sizes of the pictures, not their content: there may be gigabytes."""
    parent = os.path.commonpath([path.parent for path in backgrounds.paths])
    listed = [
        f"{path.relative_to(parent).as_posix()} {path.stat().st_size}" for path in backgrounds.paths
    ]
    digest = hashlib.sha256("\n".join(listed).encode(errors="surrogateescape")).hexdigest()
    return f"{len(listed)} pictures, {digest[:16]}"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture, what is seen in it, and its annotations."""

    frame: Frame
    """Its picture is not compressed yet."""
    jpeg: bytes
    annotations: list[dict[str, Any]]
    """COCO's; the id is the person's number in the scene, from 1."""

    @classmethod
    def make(cls, recipe: Recipe, index: int) -> Sample:
        """Make a picture; nothing but the recipe and the index counts, in whatever order.

        Raises:
            ValueError: a background cannot be read.
        """
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([recipe.seed, index])))
        scene = sample_scene(rng, recipe.people, recipe.size, recipe.backgrounds)
        # compressed here, where the file is made: twice would be worse than the scene says
        frame = render(replace(scene, effects=replace(scene.effects, jpeg=None)))
        keypoints = [scene.camera.project(person.keypoints.T) for person in scene.people]
        quality = _QUALITY if scene.effects.jpeg is None else scene.effects.jpeg
        return cls(frame, encode_jpeg(frame.rgb, quality), annotate(frame, keypoints, rng))


@dataclass(frozen=True, slots=True, eq=False)
class SampleWriter:
    """Makes pictures and writes them to a folder; can be sent to another process."""

    recipe: Recipe
    folder: Path
    dense: bool = False
    """Whether to write the dense ground truth, too."""

    def __call__(self, index: int) -> Record:
        """Make a picture and write its files; return what the annotation file says of it.

        Raises:
            OSError: the folder cannot be written.
            ValueError: a background cannot be read.
        """
        sample = Sample.make(self.recipe, index)
        image, dense = self.files(index)
        with atomic_write(self.folder / image) as file:
            file.write(sample.jpeg)
        if dense is not None:
            frame = sample.frame
            _write_arrays(
                self.folder / dense,
                part=frame.part,
                uv=frame.uv,
                depth=frame.depth,
                instance=frame.instance,
            )
        height, width = self.recipe.size
        about = {"id": index, "file_name": image, "height": height, "width": width}
        people = [
            json.dumps(  # numbers first: the journal looks for them there
                {"id": _MOST_PEOPLE * index + person["id"], "image_id": index}
                | {name: value for name, value in person.items() if name != "id"}
            )
            for person in sample.annotations
        ]
        return Record(index, json.dumps(about), tuple(people))

    def files(self, index: int) -> tuple[str, str | None]:
        """Return the names, below the folder, of a picture and of its dense ground truth."""
        return f"images/{index:06}.jpg", f"dense/{index:06}.npz" if self.dense else None

    def missing(self, count: int, known: Mapping[int, Any]) -> list[int]:
        """Return which of the first `count` pictures are still to be made.

        Args:
            count: how many there shall be.
            known: those that there are records of.
        """
        present = {
            f"{name}/{entry.name}"
            for name in _FOLDERS
            if (self.folder / name).is_dir()
            for entry in os.scandir(self.folder / name)
        }

        def is_there(index: int) -> bool:
            return index in known and all(f is None or f in present for f in self.files(index))

        return [index for index in range(count) if not is_there(index)]


def check_folder(writer: SampleWriter) -> None:
    """See that what the folder has, if anything, was made by the same recipe; change nothing.

    Raises:
        DatasetError: it has something else.
        OSError: it cannot be read.
    """
    folder, settings = writer.folder, writer.recipe.settings()
    _check_backgrounds(folder, writer.recipe.backgrounds)
    names = (ANNOTATIONS, JOURNAL, _MESH, _SYMMETRY, *_FOLDERS)
    name = next((name for name in names if _has_something(folder / name)), None)
    if name is None:  # whatever run left its settings made nothing by them
        return
    path = folder / _SETTINGS
    if not path.is_file():
        raise DatasetError(
            f"{folder}: has {name}, but no {_SETTINGS}, so it is another data set; choose another "
            "folder"
        )
    former = _read_settings(path)
    if former.get("generation") != _GENERATION:
        raise DatasetError(
            f"{folder}: the pictures in it were made by another version of iuv, which draws "
            "others; choose another folder, or install that version"
        )
    for name, value in settings.items():
        if former.get(name) != value:
            raise DatasetError(
                f"{folder}: the pictures in it were made with another {name}: "
                f"{former.get(name)}, and this call has {value}; choose another folder, or the "
                "same settings"
            )


def _check_backgrounds(folder: Path, backgrounds: Backgrounds | None) -> None:
    """Keep pictures of people from becoming backgrounds when the data set is continued."""
    if backgrounds is not None and folder.resolve().is_relative_to(backgrounds.folder.resolve()):
        raise DatasetError(
            f"{folder}: is in {backgrounds.folder}, the folder of the backgrounds, where its "
            "pictures would be taken for some; choose another folder"
        )


def make_folder(writer: SampleWriter) -> None:
    """Make the folder and those in it.

    Raises:
        DatasetError: they cannot be made.
    """
    try:
        for name in _FOLDERS if writer.dense else _FOLDERS[:1]:
            (writer.folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{writer.folder}: cannot be the folder of a data set ({error.strerror}); choose one "
            "that you may write to"
        ) from error


def write_settings(writer: SampleWriter) -> None:
    """Write down what the pictures depend on, for whoever continues the data set.

    Raises:
        OSError: the folder cannot be written.
    """
    with atomic_write(writer.folder / _SETTINGS) as file:
        file.write(json.dumps(writer.recipe.settings(), indent=2).encode())


def _has_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_bytes())
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise DatasetError(
            f"{path}: does not say how the pictures were made; choose another folder, or empty it"
        )
    return settings


def complete(writer: SampleWriter, journal: Journal) -> None:
    """Write the annotations and what training and scoring need to know of the body.

    The settings are those in the folder: photos of the background may have gone since.

    Raises:
        DatasetError: the settings are not what `write_settings` writes.
        OSError: the folder cannot be written.
    """
    surface = writer.recipe.surface
    if not (writer.folder / _MESH).exists():
        body = rest_body() if surface is None else surface
        corners = body.chart_vertices()
        _write_arrays(
            writer.folder / _MESH,
            points=body.vertices,
            faces=body.faces,
            parts=corners.parts.astype(np.uint8),
            u=corners.u.astype(np.float32),
            v=corners.v.astype(np.float32),
            vertices=corners.vertices.astype(np.int32),
        )
    if not (writer.folder / _SYMMETRY).exists():
        mirror = body_symmetry() if surface is None else mesh_symmetry(surface)
        _write_arrays(writer.folder / _SYMMETRY, U_transforms=mirror.u, V_transforms=mirror.v)
    info = {
        "description": "synthetic people, made by iuv synth",
        **_read_settings(writer.folder / _SETTINGS),
    }
    journal.publish(writer.folder / ANNOTATIONS, {"info": info, "categories": [CATEGORY]})


def _write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes names for options
