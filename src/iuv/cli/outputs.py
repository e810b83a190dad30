"""Which files ``iuv predict`` writes for an image, and writing them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.cli.batch import Pixels
from iuv.cli.sources import Source
from iuv.results import People, Selection
from iuv.visualize.draw import KINDS, draw
from iuv.visualize.presets import Preset, apply_preset, get_preset, prepare
from iuv.writers import atomic_write, write_dump, write_iuv_png, write_json, write_npz, write_png

__all__ = ["OutputError", "Outputs", "parse_person"]


class OutputError(ValueError):
    """The results asked for are unknown, or cannot go where they should."""


_Writer = Callable[[Path, Source, Pixels, People], None]


def _write_dump(path: Path, source: Source, _image: Pixels, people: People) -> None:
    write_dump(path, [(str(source.path), people)])


# Kind of --save that is data → the end of the file's name, and who writes it.
_DATA: Mapping[str, tuple[str, _Writer]] = {
    "npz": (".npz", lambda path, source, image, people: write_npz(path, people)),
    "iuv": ("_iuv.png", lambda path, source, image, people: write_iuv_png(path, people)),
    "json": (".json", lambda path, source, image, people: write_json(path, people)),
    "dump": (".pkl", _write_dump),
}


def _draw(kind: str, path: Path, _source: Source, image: Pixels, people: People) -> None:
    write_png(path, draw(image, people, kind))


def _file(kind: str) -> tuple[str, _Writer]:
    """Return the end of the file's name and the writer of one kind of --save.

    Raises:
        OutputError: the kind is unknown; the message lists near ones.
    """
    if kind in _DATA:
        return _DATA[kind]
    for name in kind.split("+"):
        if name not in KINDS:
            known = [*_DATA, *KINDS]
            near = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else f"choose from {', '.join(known)}"
            raise OutputError(f"--save: unknown kind {kind!r}; {hint}")
    return f"_{kind}.png", partial(_draw, kind)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files of each image: those of --save, then those of the preset."""

    folder: Path
    kinds: tuple[str, ...] = ()
    """Names of --save."""
    preset: Preset | None = None
    person: Selection | None = None
    """Whom to keep; None: everybody, and whom the preset wants."""

    @classmethod
    def parse(
        cls, folder: Path, *, save: str | None, preset: str | None, person: str | None
    ) -> Outputs:
        """Read the options of the command line.

        Raises:
            OutputError: an unknown kind, or files that would overwrite each other.
            ValueError: an unknown person.
            PresetError: an unknown preset; the message lists the nearest.
        """
        outputs = cls(
            folder=folder,
            kinds=() if save is None else _parse_kinds(save),
            preset=None if preset is None else get_preset(preset),
            person=None if person is None else parse_person(person),
        )
        suffixes = outputs.suffixes
        if len({suffix.casefold() for suffix in suffixes}) < len(suffixes):
            raise OutputError(
                f"--preset {preset} and --save {save} give files whose names differ in capitals at "
                "most, which not every disk tells apart; save them one after the other, into "
                "different folders"
            )
        return outputs

    @property
    def suffixes(self) -> list[str]:
        """How the names of an image's files end."""
        own = [_file(kind)[0] for kind in self.kinds]
        return own + list(self.preset.suffixes if self.preset else ())

    def paths(self, source: Source) -> list[Path]:
        """Return the files of one image."""
        return [self.folder / f"{source.key}{suffix}" for suffix in self.suffixes]

    def exist(self, source: Source) -> bool:
        """Tell whether all files of an image are there."""
        return all(path.is_file() for path in self.paths(source))

    def check(self, sources: Sequence[Source]) -> None:
        """Make the folder, and see that all can be written, before the work begins.

        Raises:
            OutputError: the folder cannot be written, or a result would overwrite an input or
                another result.
        """
        taken: dict[str, str] = {}
        for source in sources:
            # A result takes the place of a link, but must not take that of what an input links to.
            for path in (source.path, Path(os.path.realpath(source.path))):
                taken[_identity(path)] = f"the input {source.path}"
        for source in sources:
            for path in self.paths(source):
                if owner := taken.get(_identity(path)):
                    raise OutputError(f"{path}: would overwrite {owner}; choose another --out")
                taken[_identity(path)] = f"another result, of {source.path}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise OutputError(
                f"--out {self.folder}: cannot write there ({error.strerror}); "
                "choose a folder that you may write to"
            ) from error

    def views(self, image: Pixels) -> list[Pixels]:
        """Return what of an image the predictor must see for `write`.

        That is the image itself for --save, and its prepared form for a preset that wants one.
        """
        if self.preset is None:
            return [image]
        prepared = prepare(self.preset, image)
        return [image, prepared] if self.kinds and prepared is not image else [prepared]

    def write(self, source: Source, image: Pixels, found: list[People]) -> None:
        """Write the files of one image, each whole or not at all.

        Args:
            source: whose name the files have.
            image: RGB [H, W, 3].
            found: the people in each of its `views`.

        Raises:
            NobodyFoundError: the preset needs a person and there is none.
            OSError: a file cannot be written.
        """
        extra: list[tuple[str, npt.NDArray[Any]]] = []
        if self.preset:  # First of all, as it may refuse: an image that fails leaves no files.
            extra = apply_preset(self.preset, image, found[-1], self.person)
        (self.folder / source.key).parent.mkdir(parents=True, exist_ok=True)
        people = found[0] if self.person is None else found[0].select(self.person)
        for suffix, write in map(_file, self.kinds):
            write(self.folder / f"{source.key}{suffix}", source, image, people)
        for suffix, array in extra:
            _write_array(self.folder / f"{source.key}{suffix}", array)


def _identity(path: Path) -> str:
    """Name the place in a folder that a path means, by whatever links the folder is reached."""
    return os.path.normcase(os.path.join(os.path.realpath(path.parent), path.name))


def _parse_kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(kind.strip() for kind in text.split(",")))
    for kind in kinds:
        _file(kind)  # refuses what is unknown
    return kinds


def parse_person(text: str) -> Selection:
    """Return what --person says.

    Raises:
        ValueError: it says nothing that can be selected; the message lists the choices.
    """
    which: Any = int(text) if text.removeprefix("-").isdecimal() else text
    People((0, 0)).select(which)  # refuses, with the choices, what cannot be selected
    selection: Selection = which
    return selection


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    if path.suffix == ".npy":
        with atomic_write(path) as file:
            np.save(file, array)
    else:
        write_png(path, array)
