"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from iuv.writers.atomic import atomic_write


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["result.bin"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def interrupted_write() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_write()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.bin"]


def test_a_full_disk_comes_with_the_name(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    with pytest.raises(OSError, match="No space left") as error, atomic_write(path):
        raise OSError(28, "No space left on device")
    assert error.value.filename == str(path)


def test_a_missing_folder_is_named_with_the_remedy(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"result\.bin.*absent.*create the folder"),
        atomic_write(tmp_path / "absent" / "result.bin"),
    ):
        pass


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with (
        pytest.raises(OSError, match=r"taken.*choose one you may write to"),
        atomic_write(tmp_path / "taken" / "result.bin"),
    ):
        pass


def test_a_very_long_name_fits_beside_its_partial_file(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    with atomic_write(path) as file:
        file.write(b"x")
    assert path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_the_file_has_the_usual_rights(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "result.bin") as file:
        file.write(b"x")
    (tmp_path / "plain").write_bytes(b"x")
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert len(modes) == 1
