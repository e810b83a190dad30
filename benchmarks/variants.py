"""Small models with different dense heads, trained alike on synthetic people and compared.

    python benchmarks/variants.py --data TRAIN.json --minival MINIVAL.json --out DIR
        [--config docs/zoo/synth-S.json] [--init NAME|FILE] [--iterations 1000]
        [--variants s1x,DL,WC1,WC2] [--set FIELD=VALUE]... [--limit N] [--publish]

Both data sets are of `iuv synth`, whose mesh.npz and symmetry.npz lie beside the annotations. A
variant differs from `--config` in what the published model of its name differs in from the plain
one. All of them begin with the same trunk, box head and decoder, `--init`'s if given, and dense
heads of random weights; data, seed, steps and solver are the same.

Every variant has a folder in DIR. The same command goes on where it was stopped; what is done is
not done again. DIR/table.md and DIR/sigma.png are the results; `--publish` puts them into
docs/zoo/variants.md and docs/images/. Seconds are medians over the run, on whatever else the
machine was doing; memory is the peak of a fresh process that trains on 64 pictures for five steps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import sigma
from iuv.checkpoint import read_config, read_state, save_weights
from iuv.modeling.initialise import initialise
from iuv.modeling.rcnn import RCNN
from iuv.predictor import resolve_model
from iuv.recipes import recipe
from iuv.training_config import TrainingConfig
from iuv.zoo import get_model

ROOT = Path(__file__).parents[1]
PAGE, PLOT = ROOT / "docs/zoo/variants.md", ROOT / "docs/images/sigma.png"
MARK = re.compile(r"(<!-- python benchmarks/variants.py -->\n).*?(<!-- end -->)", re.DOTALL)

VARIANTS: Mapping[str, str] = {
    "s1x": "R_50_FPN_s1x",
    "DL": "R_50_FPN_DL_s1x",
    "WC1": "R_50_FPN_WC1_s1x",
    "WC2": "R_50_FPN_WC2_s1x",
}
"""By name: the published model whose dense branch and losses it has, but for their size."""
MEANING: Mapping[str, str] = {
    "s1x": "plain head",
    "DL": "DeepLab head",
    "WC1": "plain head, isotropic confidence of U and V",
    "WC2": "plain head, anisotropic confidence of U and V",
}
TASKS = {"bbox": "box AP", "densepose_gps": "GPS", "densepose_gpsm": "GPSm"}
AT_RANDOM = "dense."  # the dense head and its chart predictor differ between variants
PROBE_IMAGES, PROBE_STEPS = 64, 5


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What all variants share."""

    base: TrainingConfig
    data: Path
    minival: Path
    init: str | None
    out: Path
    limit: int | None


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="annotations to train on")
    parser.add_argument("--minival", type=Path, required=True, help="annotations to score on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--config", type=Path, default=ROOT / "docs/zoo/synth-S.json")
    parser.add_argument("--init", help="a model like --config's: a name, or a weights file")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--limit", type=int, help="score on the first pictures only")
    parser.add_argument("--publish", action="store_true", help="write to docs/")
    args = parser.parse_args(arguments)
    args.variants = args.variants.split(",")
    if unknown := set(args.variants) - set(VARIANTS):
        parser.error(f"--variants: unknown {', '.join(sorted(unknown))}; known: {list(VARIANTS)}")
    return args


def base_config(args: argparse.Namespace) -> TrainingConfig:
    """The recipe, shortened: schedule, warm-up and moving average follow the number of steps."""
    config = TrainingConfig.from_dict(json.loads(args.config.read_bytes()))
    solver, steps = config.solver, args.iterations
    share = steps / solver.max_iter
    changes: dict[str, Any] = {
        "solver.max_iter": steps,
        "solver.steps": tuple(sorted({max(1, round(step * share)) for step in solver.steps})),
        "solver.warmup_iters": min(solver.warmup_iters, steps // 10),
        "run.log_period": max(1, steps // 50),
        "run.checkpoint_period": max(1, steps // 10),
        "run.eval_period": 0,
    }
    if solver.ema_decay:  # a longer memory would still know the random weights
        changes["solver.ema_decay"] = min(solver.ema_decay, max(0.0, 1 - 20 / steps))
    return config.replace(**changes).override(*args.set)


def variant_config(base: TrainingConfig, name: str) -> TrainingConfig:
    """The recipe of a variant: `base`, changed as the published models differ.

    Of the solver nothing is taken over: the published clipping and warm-up belong to SGD. The
    DeepLab head has group norm, so the batch norm of a plain head falls away.
    """
    plain, other = (recipe(get_model(model).config) for model in (VARIANTS["s1x"], VARIANTS[name]))
    dense = other.model.dense
    weight = other.losses.points_weight / plain.losses.points_weight
    return base.replace(
        **{
            "dense.head": dense.head,
            "dense.batch_norm": base.model.dense.batch_norm and dense.head == "conv",
            "dense.nonlocal_block": dense.nonlocal_block,
            "dense.uv_confidence": dense.uv_confidence,
            "losses.points_weight": base.losses.points_weight * weight,
        }
    )


def first_weights(config: TrainingConfig, init: str | None, path: Path) -> None:
    """Write what a variant begins with: random weights by the seed, and what `init` shares."""
    torch.manual_seed(config.run.seed)
    network = RCNN(config.model)
    initialise(network)
    state = dict(network.state_dict())
    if init is not None:  # iuv train refuses the file if anything in it does not fit
        _, weights = resolve_model(init)
        state |= {k: v for k, v in read_state(weights).items() if not k.startswith(AT_RANDOM)}
    save_weights(state, config.model, path)


def run_iuv(*words: object) -> None:
    """Run a command of iuv in a process of its own."""
    subprocess.run([sys.executable, "-m", "iuv", *map(str, words)], check=True)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def train(experiment: Experiment, config: TrainingConfig, folder: Path) -> None:
    """Train a variant, or go on; a run of other settings is refused by `iuv train`."""
    settings, weights = folder / "settings.json", folder / "begin.safetensors"
    if not weights.exists():
        first_weights(config, experiment.init, weights)
    settings.write_text(json.dumps(config.to_dict(), indent=1))
    about = ["--data", experiment.data, "--symmetry", experiment.data.parent / "symmetry.npz"]
    run_iuv("train", settings, *about, "--init", weights, "--out", folder / "run", "--resume")


def probe_memory(experiment: Experiment, config: TrainingConfig, folder: Path) -> None:
    """Train for a few steps on a few pictures, whose annotations take no memory to speak of."""
    data, settings = experiment.out / "probe_data", folder / "probe_settings.json"
    run_iuv("synth", "--images", PROBE_IMAGES, "--out", data, "--seed", 0)
    changes = {"solver.max_iter": PROBE_STEPS, "loader.workers": 0, "solver.warmup_iters": 0}
    settings.write_text(json.dumps(config.replace(**changes).to_dict()))
    about = ["--data", data / "annotations.json", "--symmetry", data / "symmetry.npz"]
    weights = folder / "begin.safetensors"
    run_iuv("train", settings, *about, "--init", weights, "--out", folder / "probe", "--resume")


def trained_weights(folder: Path) -> Path:
    """The moving average if there is one: that is what is used of a run."""
    average = folder / "run/model_final_average.safetensors"
    return average if average.exists() else folder / "run/model_final.safetensors"


def score(experiment: Experiment, folder: Path) -> None:
    words: list[object] = ["--mesh", experiment.minival.parent / "mesh.npz"]
    words += ["--tasks", "bbox,gps,gpsm", "--out", folder]
    if experiment.limit is not None:
        words += ["--limit", experiment.limit]
    run_iuv("eval", experiment.minival, "--model", trained_weights(folder), *words)


def sigma_of(experiment: Experiment, config: TrainingConfig, folder: Path) -> dict[str, Any] | None:
    """Compare sigma and error; None, with a notice, for a model that finds nobody."""
    try:
        return sigma.measure(
            trained_weights(folder),
            experiment.minival,
            experiment.limit,
            epsilon=config.losses.uv_epsilon,
        )
    except sigma.TooFewPointsError as error:
        print(f"{folder.name}: {error}", flush=True)
        return None


def run_variant(experiment: Experiment, name: str) -> None:
    """Do what is not done of a variant: train, measure memory, score, compare sigma and error."""
    folder = experiment.out / name
    folder.mkdir(parents=True, exist_ok=True)
    config = variant_config(experiment.base, name)
    require_same(experiment, config, folder)
    if not (folder / "run/model_final.safetensors").exists():
        train(experiment, config, folder)
    if not (folder / "probe/model_final.safetensors").exists():
        probe_memory(experiment, config, folder)
    if not (folder / "results.json").exists():
        score(experiment, folder)
    if config.model.dense.uv_confidence and not (folder / "sigma.json").exists():
        (folder / "sigma.json").write_text(json.dumps(sigma_of(experiment, config, folder)))
    print(f"{name}: done", flush=True)


def require_same(experiment: Experiment, config: TrainingConfig, folder: Path) -> None:
    """Refuse to mix results of different experiments in one folder.

    Raises:
        SystemExit: the folder has something else; says what differs.
    """
    asked = {
        "settings": json.loads(json.dumps(config.to_dict())),
        "data": _identity(experiment.data),
        "minival": _identity(experiment.minival),
        "init": experiment.init and _identity(resolve_model(experiment.init)[1]),
        "limit": experiment.limit,
    }
    path = folder / "experiment.json"
    if path.exists():
        former = read_json(path)
        differing = [name for name, value in asked.items() if former.get(name) != value]
        if differing:
            raise SystemExit(
                f"{folder}: was made with another {', '.join(differing)}; give the same options, "
                "or another --out"
            )
    path.write_text(json.dumps(asked, indent=1))


def _identity(path: Path) -> str:
    """Say which file it is, by content: names stay when data grow or weights are trained on."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"{path} {digest.hexdigest()[:16]}"


def figures(folder: Path) -> dict[str, float]:
    """What the table says of a variant."""
    scores = read_json(folder / "results.json")["scores"]
    config = read_config(trained_weights(folder))
    if config is None:
        raise SystemExit(f"{folder}: the run's weights do not say what they are; remove the folder")
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in RCNN(config).parameters())
    steps, probe = (
        [json.loads(line) for line in (folder / run / "metrics.json").read_text().splitlines()]
        for run in ("run", "probe")
    )
    return {
        "parameters": parameters / 1e6,
        **{task: scores[task]["AP"] or 0.0 for task in TASKS},
        "s_per_iter": statistics.median(line["s_per_iter"] for line in steps),
        "memory": max(line["max_memory_mb"] for line in probe) / 1e3,
    }


def sigmas(experiment: Experiment, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `sigma.measure` found, of the variants that have confidences and find people."""
    paths = {name: experiment.out / name / "sigma.json" for name in names}
    found = {name: read_json(path) for name, path in paths.items() if path.exists()}
    return {name: measured for name, measured in found.items() if measured is not None}


def table(experiment: Experiment, names: Sequence[str]) -> str:
    """The results as Markdown, with how they were obtained."""
    base = experiment.base
    solver = base.solver
    images = read_json(experiment.out / names[0] / "results.json")["images"]
    lines = [
        "| variant | | parameters | " + " | ".join(TASKS.values()) + " | s/iter | memory |",
        "|---|---|" + "--:|" * (len(TASKS) + 3),
    ]
    for name in names:
        row = figures(experiment.out / name)
        scores = " | ".join(f"{row[task]:.1f}" for task in TASKS)
        cost = f"{row['s_per_iter']:.2f} | {row['memory']:.2f} GB"
        lines.append(
            f"| {name} | {MEANING[name]} | {row['parameters']:.2f} M | {scores} | {cost} |"
        )
    begin = (
        "random weights"
        if experiment.init is None
        else f"the trunk of {Path(experiment.init).name}"
    )
    lines += [
        "",
        f"{solver.max_iter} steps of {base.loader.batch_size} pictures with a short side of "
        f"{base.model.input.short_side} pixels, in {solver.precision}, begun with {begin}, seed "
        f"{base.run.seed}; scored on {images} pictures. {os.cpu_count()} "
        f"cores, {platform.machine()}, torch {torch.__version__}.",
    ]
    lines += [sigma.describe(name, found) for name, found in sigmas(experiment, names).items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    args = parse()
    experiment = Experiment(
        base=base_config(args),
        data=args.data,
        minival=args.minival,
        init=args.init,
        out=args.out,
        limit=args.limit,
    )
    for name in args.variants:
        run_variant(experiment, name)
    text = table(experiment, args.variants)
    print(f"\n{text}")
    (args.out / "table.md").write_text(text, encoding="utf-8")
    measured = sigmas(experiment, args.variants)
    if measured:
        sigma.draw(measured).save(args.out / "sigma.png", optimize=True)
    if args.publish:
        publish(text, args.out / "sigma.png" if measured else None)


def publish(text: str, plot: Path | None) -> None:
    """Put the results into the documentation."""
    page = PAGE.read_text(encoding="utf-8")
    picture = f"\n![Error and predicted sigma](../images/{PLOT.name})\n" if plot else ""
    if not MARK.search(page):
        raise SystemExit(f"{PAGE}: has no place for the table, {MARK.pattern}")
    changed = MARK.sub(lambda found: f"{found[1]}\n{text}{picture}\n{found[2]}", page)
    PAGE.write_text(changed, encoding="utf-8")
    if plot:
        PLOT.write_bytes(plot.read_bytes())


if __name__ == "__main__":
    main()
