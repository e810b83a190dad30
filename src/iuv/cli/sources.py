"""Which images a command line means, in what order, and under what name each result goes."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple, NoReturn

from iuv.image_files import is_image_file

__all__ = ["InputError", "Source", "find_sources", "result_keys"]


class InputError(ValueError):
    """The inputs of a call name no images, or images whose results cannot be told apart."""


class Source(NamedTuple):
    """One image to read."""

    path: Path
    """As it was named, for messages and for reading."""
    key: str
    """Name of its results below the output folder, without suffix; may hold folders."""


def find_sources(
    inputs: Sequence[str], *, recursive: bool = False, results: Path | None = None
) -> list[Source]:
    """Return the images that files, folders, globs and ``.txt`` lists name, in natural order.

    - A folder gives the images in it (with `recursive`, also below it), hidden ones left out.
    - A glob (quoted, so that the shell leaves it alone) gives the images that match; ``**`` any
      depth of folders.
    - A ``.txt`` list gives one path per line, relative to the list's folder; empty lines and lines
      that start with # are skipped.
    - Anything else is one image. It need not exist: reading it will tell.

    An image named twice counts once. Its key is the file's stem. Images of the same stem in
    different folders keep their path below the folder all inputs have in common; images of the same
    stem in one folder keep their suffix (``a.jpg`` and ``a.png`` become ``a.jpg.npz`` and
    ``a.png.npz``).

    Args:
        inputs: files, folders, globs and lists.
        recursive: search folders to any depth.
        results: where the results go. A recursive search (``**`` too) does not enter this
            folder, so that a second run does not take the first one's pictures for photos.

    Raises:
        InputError: an input names no image, none of the images exists, or two results would still
            overwrite each other.
        OSError: a list or folder cannot be read.
    """
    named = (path for text in inputs for path in _expand(text, recursive, results))
    unique = {os.path.normcase(os.path.abspath(path)): path for path in named}
    paths = sorted(unique.values(), key=_natural)
    if not any(map(os.path.exists, paths)):
        missing = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        raise InputError(f"no such file: {missing}; check the path" if paths else "no input given")
    return [Source(path, key) for path, key in zip(paths, result_keys(paths), strict=True)]


def result_keys(paths: Sequence[Path]) -> list[str]:
    """Return the names of the results of images, as `find_sources` describes them.

    Raises:
        InputError: two results would still overwrite each other.
    """
    absolute = [Path(os.path.abspath(path)) for path in paths]
    keys = [path.stem for path in absolute]
    common = _common_folder(absolute)
    for i in _clashes(keys, [path.parent for path in absolute]):
        keys[i] = _below(common, absolute[i].with_suffix(""))
    for i in _clashes(keys, [path.suffix for path in absolute]):
        keys[i] += absolute[i].suffix
    for i in _clashes(keys, absolute):
        raise InputError(
            f"{paths[i]}: its results ({keys[i]}.*) would overwrite those of another input; "
            "predict them one after the other, into different folders"
        )
    return keys


def _expand(text: str, recursive: bool, results: Path | None) -> Iterable[Path]:
    path = Path(text)
    if os.path.isdir(text):
        below = _walk(path, results) if recursive else path.iterdir()
        hint = "" if recursive else "; --recursive searches the folders in it too"
        return _images(below) or _refuse(f"{path}: no images in this folder{hint}")
    if path.suffix.lower() == ".txt" and os.path.isfile(text):
        return _read_list(path) or _refuse(f"{path}: this list names no images")
    if not os.path.exists(text) and glob.has_magic(text):
        return _images(_glob(text, results)) or _refuse(f"{text}: no images match this pattern")
    return [path]


def _refuse(message: str) -> NoReturn:
    raise InputError(message)


def _glob(pattern: str, results: Path | None) -> Iterator[Path]:
    """Expand a pattern. ``**`` searches as `recursive` does: a circle of links is not endless."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from map(Path, glob.iglob(pattern))
        return
    at = parts.index("**")
    for folder in filter(Path.is_dir, map(Path, glob.iglob(str(Path(*parts[:at]))))):
        for path in _walk(folder, results):
            if _matches(path.relative_to(folder).parts, parts[at:]):
                yield path


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not (path and pattern):
        return not path and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(path, pattern[1:]) or _matches(path[1:], pattern)
    return fnmatch(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _walk(folder: Path, results: Path | None) -> Iterator[Path]:
    skipped = results and os.path.realpath(results)
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(parent, name)) != skipped
        ]
        yield from (Path(parent, name) for name in files)


def _raise(error: OSError) -> NoReturn:
    raise error


def _images(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if is_image_file(path)]


def _read_list(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: a list of images must be UTF-8 text, one path a line") from None
    entries = [line.strip() for line in lines]
    return [path.parent / entry for entry in entries if entry and not entry.startswith("#")]


def _natural(path: Path) -> tuple[list[str], str]:
    """Sort key: folder by folder, capitals among small letters, img2 before img10."""
    parts = [re.sub(r"\d+", lambda n: n[0].zfill(20), part.casefold()) for part in path.parts]
    return parts, str(path)


def _clashes(keys: Sequence[str], origins: Sequence[object]) -> list[int]:
    """Return the positions of the keys that several origins share."""
    owners: defaultdict[str, set[object]] = defaultdict(set)
    for key, origin in zip(keys, origins, strict=True):
        owners[os.path.normcase(key)].add(origin)
    return [i for i, key in enumerate(keys) if len(owners[os.path.normcase(key)]) > 1]


def _common_folder(paths: Iterable[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # Windows: several drives have no folder in common.
        return None


def _below(folder: Path | None, path: Path) -> str:
    if folder is None:
        return Path(path.drive.rstrip(":"), *path.parts[1:]).as_posix()
    return path.relative_to(folder).as_posix()
