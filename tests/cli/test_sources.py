"""Files, folders, globs and lists become images in natural order, each with its own name."""

import os
from pathlib import Path

import pytest

from iuv.cli.sources import InputError, find_sources


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Create files by relative path in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def create(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return create


def paths(*inputs, **options):
    return [source.path.as_posix() for source in find_sources(inputs, **options)]


def keys(*inputs, **options):
    return {source.path.as_posix(): source.key for source in find_sources(inputs, **options)}


def test_files_in_natural_order(tree):
    tree("img10.png", "img2.png", "IMG1.png", "b/img1.png")
    expected = ["b/img1.png", "IMG1.png", "img2.png", "img10.png"]
    assert paths("img10.png", "IMG1.png", "b/img1.png", "img2.png") == expected


def test_a_folder_gives_its_images_only(tree):
    tree("in/b.JPG", "in/a.webp", "in/notes.txt", "in/.hidden.png", "in/._b.JPG", "in/sub/c.png")
    tree("in/folder.png/d.txt")
    assert paths("in") == ["in/a.webp", "in/b.JPG"]


def test_recursive(tree):
    tree("in/b.jpg", "in/sub/deep/a.png", "in/.git/c.png", "in/sub/x.dat")
    assert paths("in", recursive=True) == ["in/b.jpg", "in/sub/deep/a.png"]


def test_a_recursive_search_does_not_enter_the_results(tree):
    tree("in/a.jpg", "in/out/a_iuv.png", "in/other/out/b.jpg")
    assert paths("in", recursive=True, results=Path("in/out")) == ["in/a.jpg", "in/other/out/b.jpg"]
    assert paths("in/out", recursive=True, results=Path("in/out")) == ["in/out/a_iuv.png"]
    assert len(paths("in", recursive=True, results=Path("."))) == 3


def test_globs(tree):
    tree("in/a1.jpg", "in/a2.jpg", "in/b.jpg", "in/a.txt", "in/deep/er/a3.jpg")
    assert paths("in/a*") == ["in/a1.jpg", "in/a2.jpg"]
    assert paths("in/**/a*") == ["in/a1.jpg", "in/a2.jpg", "in/deep/er/a3.jpg"]
    assert paths("in/[b]*") == ["in/b.jpg"]


def test_a_file_whose_name_looks_like_a_glob(tree):
    tree("photo[1].jpg", "photo1.jpg")
    assert paths("photo[1].jpg") == ["photo[1].jpg"]


def test_lists(tree):
    root = tree("lists/here.jpg", "there.jpg", "lists/#odd.jpg")
    lines = ["# comment", "", "here.jpg", "  ../there.jpg  ", "./#odd.jpg", str(root / "there.jpg")]
    Path("lists/all.TXT").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    names = sorted(Path(path).name for path in paths("lists/all.TXT"))
    assert names == ["#odd.jpg", "here.jpg", "there.jpg"]


def test_a_list_without_images(tree):
    tree("empty.txt")
    with pytest.raises(InputError, match=r"empty\.txt: this list names no images"):
        find_sources(["empty.txt"])


def test_a_list_that_is_not_text(tree):
    tree()
    Path("list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"list\.txt: .* UTF-8 text, one path a line"):
        find_sources(["list.txt"])


def test_duplicates_count_once(tree):
    root = tree("in/a.jpg", "in/b.jpg")
    assert len(paths("in/a.jpg", "in", "./in/../in/b.jpg", str(root / "in/a.jpg"), "in/*")) == 2


def test_a_folder_without_images(tree):
    tree("in/notes.txt", "in/sub/a.jpg")
    with pytest.raises(InputError, match=r"in: no images in this folder; --recursive searches"):
        find_sources(["in"])
    os.mkdir("empty")
    with pytest.raises(InputError, match=r"empty: no images in this folder$"):
        find_sources(["empty"], recursive=True)


def test_a_glob_without_images(tree):
    tree("in/notes.txt")
    with pytest.raises(InputError, match=r"in/\*: no images match this pattern"):
        find_sources(["in/*"])


def test_missing_files(tree):
    """One that is missing among others is found out when it is read."""
    tree("a.jpg")
    assert paths("a.jpg", "gone.jpg") == ["a.jpg", "gone.jpg"]
    with pytest.raises(InputError, match=r"no such file: gone\.jpg; check the path"):
        find_sources(["gone.jpg"])
    with pytest.raises(InputError, match=r"no such file: 0\.jpg, 1\.jpg, 2\.jpg, \.\.\.; check"):
        find_sources([f"{i}.jpg" for i in range(9)])
    with pytest.raises(InputError, match="no such file"):
        find_sources(["x" * 5000])
    with pytest.raises(InputError, match="no input given"):
        find_sources([])


def test_a_result_has_the_stem_of_its_input(tree):
    tree("in/a.jpg", "in/b.c.png", "other/d", "d.e/f.jpg")
    assert keys("in", "other/d", "d.e/f.jpg") == {
        "in/a.jpg": "a",
        "in/b.c.png": "b.c",
        "other/d": "d",
        "d.e/f.jpg": "f",
    }


def test_same_stem_in_different_folders(tree):
    """Only those that collide keep the path below the folder that all inputs share."""
    tree("in/a/x.jpg", "in/b/c/x.png", "in/x.jpg", "in/b/y.jpg")
    assert keys("in", recursive=True) == {
        "in/a/x.jpg": "a/x",
        "in/b/c/x.png": "b/c/x",
        "in/x.jpg": "x",
        "in/b/y.jpg": "y",
    }
    assert keys("in/a", "in/b/c") == {"in/a/x.jpg": "a/x", "in/b/c/x.png": "b/c/x"}


def test_same_stem_in_one_folder(tree):
    tree("in/x.jpg", "in/x.png", "in/sub/x.png", "in/y.1.jpg", "in/y.1.gif")
    assert keys("in") == {
        "in/x.jpg": "x.jpg",
        "in/x.png": "x.png",
        "in/y.1.jpg": "y.1.jpg",
        "in/y.1.gif": "y.1.gif",
    }
    assert keys("in", recursive=True)["in/sub/x.png"] == "sub/x"
    assert keys("in", recursive=True)["in/x.png"] == "x.png"


def test_results_that_would_still_overwrite_each_other(tree):
    tree("a.jpg", "a.png", "a.jpg.gif")
    with pytest.raises(InputError, match=r"a\.jpg.*: its results \(a\.jpg\.\*\) would overwrite"):
        find_sources(["a.jpg", "a.png", "a.jpg.gif"])


def test_on_several_drives_the_drive_is_a_folder(tree, monkeypatch):
    """Seen on Windows only, where such paths have no folder in common."""

    def several_drives(_):
        raise ValueError("Paths don't have the same drive")

    root = tree("a/x.jpg", "b/x.jpg")
    monkeypatch.setattr(os.path, "commonpath", several_drives)
    expected = Path(root.drive.rstrip(":"), *root.parts[1:]).as_posix()
    assert keys("a", "b") == {"a/x.jpg": f"{expected}/a/x", "b/x.jpg": f"{expected}/b/x"}


def test_double_stars_anywhere_in_a_pattern(tree):
    tree("in/a.jpg", "in/x/b.jpg", "in/x/y/c.jpg", "in/x/y/d.png", "in/z.jpg/e.txt", "ix.jpg")
    assert paths("i*/**/*.jpg") == ["in/a.jpg", "in/x/b.jpg", "in/x/y/c.jpg"]
    assert paths("in/**/y/*") == paths("in/**/y/**") == ["in/x/y/c.jpg", "in/x/y/d.png"]
    assert paths("**/x/**/c.*") == ["in/x/y/c.jpg"]
    assert paths("in/**") == ["in/a.jpg", "in/x/b.jpg", "in/x/y/c.jpg", "in/x/y/d.png"]


def test_double_stars_do_not_enter_the_results(tree):
    tree("in/a.jpg", "in/out/a_iuv.png")
    assert paths("in/**/*.*", results=Path("in/out")) == ["in/a.jpg"]
    assert paths("in/out/**/*.*", results=Path("in/out")) == ["in/out/a_iuv.png"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_circles_of_links_end(tree):
    tree("in/deep/a.jpg")
    for name in ("one", "two"):  # 2 to the power of the system's limit of links, if entered
        os.symlink("..", f"in/deep/{name}")
    assert paths("in/**/*.jpg") == paths("in", recursive=True) == ["in/deep/a.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_results_reached_by_a_link_are_not_entered(tree):
    tree("in/a.jpg", "in/out/a_iuv.png")
    os.symlink("in", "link")
    assert paths("in", recursive=True, results=Path("link/out")) == ["in/a.jpg"]
