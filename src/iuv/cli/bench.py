"""``iuv bench``: how fast this machine predicts, stage by stage, and how exactly."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from iuv.cli.loading import DEFAULT_MODEL
from iuv.cli.progress import progress_bar
from iuv.zoo import EMBEDDED

if TYPE_CHECKING:
    from iuv.bench.forms import FormName
    from iuv.bench.suite import Suite
    from iuv.config import ModelConfig

__all__ = ["bench"]

_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})")
_NUMBER = re.compile(r"[1-9]\d{0,3}")
_PEOPLE = "5"
_STOPPED = 130


def bench(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help=f"As for `iuv predict`. [default: {DEFAULT_MODEL}; where its weights are not to "
            f"be had, {EMBEDDED.name}]",
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
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights",
            help="Make weights up: they are as fast as the model's own, and need no download.",
        ),
    ] = False,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A photo, and the people who are found in it. [default: one with a fixed number "
            "of boxes in a row]",
            show_default=False,
        ),
    ] = None,
    engines: Annotated[
        str, typer.Option(metavar="NAME,...", help="auto, eager, compile, openvino, onnxruntime.")
    ] = "auto",
    precisions: Annotated[
        str, typer.Option(metavar="NAME,...", help="Each with each engine: fp32, bf16, ...")
    ] = "fp32",
    people: Annotated[
        str | None,
        typer.Option(
            metavar="N,...",
            help=f"How many people; not with --image. [default: {_PEOPLE}]",
            show_default=False,
        ),
    ] = None,
    batch_sizes: Annotated[
        str, typer.Option(metavar="N,...", help="Images that go through the network together.")
    ] = "1",
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="HxW,...",
            help="Height and width of the network's input, e.g. 717x1333. [default: what the model "
            "makes of the photo]",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Timed runs of each, after one that is not.")
    ] = 5,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="[default: torch's choice]", show_default=False),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto (CUDA, else MPS, else CPU), cpu, cuda, ...")
    ] = "auto",
    baseline: Annotated[
        bool, typer.Option(help="Also run the plain form, which all ratios are to.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Write bench.json, bench.md and bench.png there, with all stages.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure speed, memory and exactness of a model on this machine, beside its plain form.

    The plain form is the network as written down, without anything that makes it lean. All forms
    take turns, so that other work on the machine hurts them alike. Ctrl-C shows what is done.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    import torch

    from iuv.bench.scene import default_size
    from iuv.bench.suite import Plan, Suite
    from iuv.runtime.devices import pick_device

    if threads is not None:
        torch.set_num_threads(threads)
    target = pick_device(device)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # what cannot be written is known at once
    forms = _forms(engines, precisions, baseline=baseline)
    if image is not None and people is not None:
        raise ValueError("--people: in a photo are as many as there are; leave out --image")
    counts = [None] if image is not None else _numbers("--people", people or _PEOPLE)
    with tempfile.TemporaryDirectory() as folder:
        name, config, path = _model(model, weights, Path(folder), made_up=random_weights)
        natural = default_size(config.input, image)
        plan = Plan(
            config=config,
            weights=path,
            device=target,
            forms=forms,
            sizes=_sizes(sizes) if sizes else [natural],
            batch_sizes=_numbers("--batch-sizes", batch_sizes),
            people=counts,
            photo=image,
            runs=runs,
        )
        about = _about(name, target, made_up=random_weights)
        stopped = _run(suite := Suite(plan, Path(folder)))
    _report(suite, about, out)
    if stopped:
        raise typer.Exit(_STOPPED)
    if not any(result.runs for result in suite.results):
        raise typer.Exit(1)


def _forms(engines: str, precisions: str, *, baseline: bool) -> list[FormName]:
    from iuv.bench.forms import PLAIN, FormName
    from iuv.predictor import ENGINES, PRECISIONS

    wanted = [_names("--engines", engines, ENGINES), _names("--precisions", precisions, PRECISIONS)]
    forms = [FormName(engine, precision) for engine in wanted[0] for precision in wanted[1]]
    return [*forms, *([PLAIN] if baseline else [])]


def _names(option: str, text: str, known: tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise ValueError(f"{option}: unknown {name!r}; choose from {', '.join(known)}")
    return names


def _numbers(option: str, text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise ValueError(f"{option}: expected numbers from 1, such as 1,5,14, got {text!r}")
    return [int(word) for word in dict.fromkeys(words)]


def _sizes(text: str) -> list[tuple[int, int]]:
    found = [_SIZE.fullmatch(word.strip()) for word in text.split(",")]
    sizes = [(int(size[1]), int(size[2])) for size in found if size]
    if len(sizes) < len(found) or min(map(min, sizes)) < _LEAST:
        raise ValueError(
            f"--sizes: expected height x width of {_LEAST} pixels or more, such as "
            f"717x1333,480x640, got {text!r}"
        )
    return list(dict.fromkeys(sizes))


_LEAST = 32


def _model(
    model: str | None, weights: Path | None, folder: Path, *, made_up: bool
) -> tuple[str, ModelConfig, Path]:
    """Return a name, a configuration and a weights file."""
    from iuv.bench.weights import write_made_up_weights
    from iuv.checkpoint import DownloadError, read_config
    from iuv.detectron2_yaml import read_detectron2_yaml
    from iuv.predictor import resolve_model
    from iuv.zoo import get_model

    if made_up:
        if weights is not None:
            raise ValueError("--random-weights and --weights: give one of them")
        name, path = model or DEFAULT_MODEL, folder / "made-up.safetensors"
        is_yaml = Path(name).suffix.lower() in {".yaml", ".yml"}
        config = read_detectron2_yaml(name) if is_yaml else get_model(name).config
        write_made_up_weights(config, path)
        return name, config, path
    if model is None and weights is not None and read_config(weights) is not None:
        return weights.stem, *resolve_model(weights)  # the file says what it is
    try:
        return Path(model or DEFAULT_MODEL).stem, *resolve_model(model or DEFAULT_MODEL, weights)
    except DownloadError as error:
        if model is not None:
            raise
        notice = (
            f"iuv: NOTE: the weights of {DEFAULT_MODEL} are not to be had: {error}\n"
            f"iuv: NOTE: the small model {EMBEDDED.name} is measured instead; --random-weights "
            f"measures {DEFAULT_MODEL} without them"
        )
        typer.secho(notice, fg="yellow", err=True)
    return EMBEDDED.name, *resolve_model(EMBEDDED.name)


def _about(name: str, device: Any, *, made_up: bool) -> dict[str, Any]:
    from iuv.bench.machine import describe_machine

    return {
        "command": shlex.join(["iuv", *sys.argv[1:]]),
        "model": name,
        "made_up_weights": made_up,
        "machine": describe_machine(device),
    }


def _run(suite: Suite) -> bool:
    """Measure; return whether Ctrl-C has stopped it."""
    console = Console(stderr=True, highlight=False)
    with progress_bar(console) as bar:
        task = bar.add_task("", total=suite.steps, rate="")

        def on_step(what: str) -> None:
            bar.update(task, advance=1, rate=what)

        try:
            suite.run(on_step)
        except KeyboardInterrupt:
            return True
        bar.update(task, completed=suite.steps, rate="done")
    return False


def _report(suite: Suite, about: dict[str, Any], out: Path | None) -> None:
    from iuv.bench.plot import draw_bars
    from iuv.bench.report import page, plain_data
    from iuv.writers import atomic_write

    scenes = {result.scene for result in suite.results}
    typer.echo(page(suite, about, stages=len(scenes) == 1), nl=False)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain_data(suite, about), indent=1)
    for name, content in (
        ("bench.json", text + "\n"),
        ("bench.md", page(suite, about, stages=True)),
    ):
        with atomic_write(out / name) as file:
            file.write(content.encode())
    if (picture := draw_bars(suite.results, about["model"])) is not None:
        with atomic_write(out / "bench.png") as file:
            picture.save(file, "PNG")
