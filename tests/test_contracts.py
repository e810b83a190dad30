"""What keeps the code base as it was meant: direction of imports, few hops, small pieces.

Docstrings, branches and parameters are ruff's to check (see pyproject.toml).
"""

from __future__ import annotations

import ast
import io
import operator
import re
import subprocess
import sys
import tokenize
import zipfile
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import CodeType, FrameType

import pytest
import torch

import iuv
from hashing import manifest
from iuv.checkpoint.keys import from_released, to_released
from iuv.modeling.rcnn import RCNN
from iuv.zoo import ZOO

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PACKAGE = str(Path(iuv.__file__).parent)
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): TREES[path] for path in FILES}
SHORT = [path.relative_to(SOURCE).as_posix() for path in FILES]

# fmt: off
LEVELS = {
    0: {"sectioned", "config", "training_config", "results", "targets", "bodyparts", "ops",
        "processes", "pickle_depth", "pipeline", "image_files", "locking"},
    1: {"zoo", "recipes", "detectron2_keys", "detectron2_yaml", "modeling", "losses", "data",
        "synth", "visualize", "writers", "images", "decode"},
    2: {"checkpoint", "resolve", "runtime", "evaluation"},
    3: {"predictor", "tta", "video", "engine", "export"},
    4: {"bench"},
    5: {"cli"},
    6: {"", "__main__"},  # the package itself
}
# fmt: on
LEVEL = {part: level for level, parts in LEVELS.items() for part in parts}
WITHOUT_NETWORKS = {"ops", "losses", "data", "synth", "visualize", "writers"}
SEES_RESULTS_ONLY = {"visualize", "writers"}


def part(module: str) -> str:
    """``iuv.cli.app`` → ``cli``; the package itself → the empty string."""
    return module.removeprefix("iuv").lstrip(".").partition(".")[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """The own modules that a module imports, wherever in the file and also for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are written in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "iuv")


EDGES = {(module, target) for module, tree in MODULES.items() for target in imports(tree)}


def test_every_module_has_a_level():
    assert {part(module) for module in MODULES} <= set(LEVEL)


def test_imports_go_down():
    upwards = {
        (module, target)
        for module, target in EDGES
        if LEVEL[part(target)] > LEVEL[part(module)]
        # the command shows the package's version; nobody else needs the package as a whole
        and (module, target) != ("iuv.cli.app", "iuv")
    }
    assert not upwards


def test_imports_have_no_cycles():
    graph = {module: {b for a, b in EDGES if a == module} for module in MODULES if module != "iuv"}
    TopologicalSorter(graph).prepare()


def test_only_inference_and_training_see_the_networks():
    assert not {
        (module, target)
        for module, target in EDGES
        if part(module) in WITHOUT_NETWORKS and part(target) == "modeling"
    }


def test_drawing_and_writing_see_results_only():
    allowed = SEES_RESULTS_ONLY | {"results", "bodyparts", "pickle_depth"}
    assert not {
        (module, target)
        for module, target in EDGES
        if part(module) in SEES_RESULTS_ONLY and part(target) not in allowed
    }


def third_party(code: str) -> set[str]:
    """The packages, beyond the standard library, that are loaded after `code` has run."""
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) - sys.stdlib_module_names - {"iuv"}


def test_import_loads_torch_and_numpy_only():
    light = "import iuv, iuv.config, iuv.results, iuv.bodyparts; iuv.People, iuv.list_models()"
    assert third_party(light) <= third_party("import torch, numpy")


class Hops:
    """Counts the frames of own functions. Comprehensions, lambdas and module bodies are no hops:
    their frames are named like ``<listcomp>``, and newer Pythons have fewer of them."""

    def __init__(self) -> None:
        self.functions: set[CodeType] = set()
        self.deepest: list[str] = []

    def __call__(self, frame: FrameType | None, event: str, _argument: object) -> None:
        if event == "call" and frame and self._is_own(frame):
            self.functions.add(frame.f_code)
            stack = []
            while frame is not None:
                if self._is_own(frame):
                    stack.append(frame.f_code.co_name)
                frame = frame.f_back
            self.deepest = max(self.deepest, stack, key=len)

    @staticmethod
    def _is_own(frame: FrameType) -> bool:
        code = frame.f_code
        return code.co_filename.startswith(PACKAGE) and code.co_name[0] != "<"


def test_hop_budget(tiny, photo):
    """From photo to IUV: at most 14 own files, 60 functions, 8 frames deep."""
    tiny(photo)  # what is imported on first use is no hop
    hops = Hops()
    sys.setprofile(hops)
    try:
        iuv_image = tiny(photo).iuv()
    finally:
        sys.setprofile(None)
    assert iuv_image.any()
    files = {code.co_filename for code in hops.functions}
    spent = (len(files), len(hops.functions), len(hops.deepest))
    assert all(map(operator.le, spent, (14, 60, 8))), (spent, hops.deepest)
    assert all(map(operator.ge, spent, (10, 30, 5))), f"the count itself is broken: {spent}"


@pytest.mark.parametrize("path", FILES, ids=SHORT)
def test_files_and_functions_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    # Without the signature: a command's is the list of its options.
    long = {
        node.name: length
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := node.body[-1].end_lineno - node.body[0].lineno + 1) > 60
    }
    assert not long


def test_no_drawer_for_odds_and_ends():
    names = {name for path in FILES for name in path.relative_to(SOURCE).with_suffix("").parts}
    assert not names & {"utils", "util", "common", "misc", "base", "helpers"}


@pytest.mark.parametrize("path", FILES, ids=SHORT)
def test_public_names_are_declared(path):
    """`__all__` lists every public function and class; the rest begins with an underscore."""
    body = TREES[path].body
    defined = {
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    declared = [
        set(ast.literal_eval(node.value))
        for node in body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    if defined:
        assert declared, "no __all__"
        assert not defined - declared[0]


@pytest.mark.parametrize("path", FILES, ids=SHORT)
def test_no_assert_in_the_library(path):
    """Python drops assertions with -O, and they tell a user nothing."""
    asserts = [node.lineno for node in ast.walk(TREES[path]) if isinstance(node, ast.Assert)]
    assert not asserts


DIRECTIVE = re.compile(r"#\s*(type:\s*ignore|noqa)(\[[\w, -]+\]|:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?")
SKIPS = {"skip", "skipif", "xfail", "importorskip"}


def unexplained(text: str) -> Iterator[int]:
    """Lines that switch a check or a test off and do not say why."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (directive := DIRECTIVE.match(token.string)):
            reason = re.findall(r"\w+", token.string[directive.end() :])
            if len(reason) < 2:
                yield token.start[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SKIPS:
            named = {keyword.arg for keyword in node.keywords}
            said = ast.unparse(node.func) in ("pytest.skip", "pytest.xfail") and node.args
            if "reason" not in named and not said:
                yield node.lineno


def test_every_exception_has_its_reason():
    folders = [ROOT / name for name in ("src", "tests", "benchmarks")]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        for line in unexplained(path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("x = 1  # type: ignore[assignment]", [1]),
        ("x = 1  # type: ignore[assignment]  # the stub lacks this overload", []),
        ("x = 1  # noqa: PLR0913, PLR0917", [1]),
        ("x = 1  # noqa: PLR0913 - one per option", []),
        ("@pytest.mark.skipif(True)\ndef f(): ...", [1]),
        ("@pytest.mark.skipif(True, reason='needs a GPU')\ndef f(): ...", []),
        ("x = 1  # a word about noqa", []),
        ("pytest.skip()", [1]),
        ("pytest.skip('needs a GPU')", []),
        ("pytest.importorskip('av')", [1]),
    ],
)
def test_unexplained(code, lines):
    assert list(unexplained(code)) == lines


@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)
def test_every_zoo_row_builds_the_released_model(model):
    """Our parameters and the released ones are the same, by name and shape, both ways."""
    config = model.config
    # The two DensePose-1 baselines have the legacy models' parameters.
    legacy = f"R_{config.backbone.depth}_FPN_s1x_legacy"
    released = manifest(legacy if model.name.startswith("DensePose_") else model.name)
    with torch.device("meta"):
        ours = {key: tuple(value.shape) for key, value in RCNN(config).state_dict().items()}
    assert {to_released(key): shape for key, shape in ours.items()} == released
    assert {from_released(key): shape for key, shape in released.items()} == ours


@pytest.mark.slow
def test_wheel(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("iuv-*.whl")
    assert wheel.stat().st_size < 12_000_000
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    demo = {"iuv/demo/README.txt", "iuv/demo/astronaut.jpg"}
    assert files == {*SHORT, "iuv/py.typed", *demo, "iuv/weights/synth-S.safetensors"}


def test_layout_in_contributing_is_the_tree():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^(\S+\.py) +L(\d)  \S", text, flags=re.MULTILINE)
    listed = {f"iuv/{path}": int(level) for path, level in rows}
    assert listed == {
        short: LEVEL[part(module_name(path))]
        for short, path in zip(SHORT, FILES, strict=True)
        if not path.name.startswith("__")
    }


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by base name; two of one name stop a run before its first test."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 50
    assert sorted(names) == sorted(set(names))
