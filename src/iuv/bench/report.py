"""What has been measured, as plain data and as a page in Markdown.

Ratios are to the plain form on the same scene, and above 1 where a form is the better one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from iuv.bench.forms import PLAIN, FormName
from iuv.bench.scene import Scene
from iuv.bench.stages import STAGES, TRUNK_PARTS
from iuv.bench.suite import TOTAL, Result, Suite

__all__ = ["page", "plain_data", "scene_name", "slopes"]

_NONE = "-"
_PER_PERSON = ("decoder, pool people", "dense head", "decode")


def plain_data(suite: Suite, about: dict[str, Any]) -> dict[str, Any]:
    """Return everything as numbers, text and lists, ready for JSON.

    Args:
        suite: what has been measured.
        about: what else to keep, to come first: the command, the machine, the model.
    """
    done = _done(suite)
    return {
        **about,
        "matrix_product_gflops": {k: v / 1e9 for k, v in suite.peaks.items()},
        "results": [_row(result, suite) for result in done],
        "extra_person": [
            {**_where(scene), "form": str(form), "ms": ms}
            for (scene, form), ms in slopes(done).items()
        ],
        "not_measured": dict(_problems(suite)),
    }


def _where(scene: Scene) -> dict[str, Any]:
    return {"size": list(scene.size), "batch": scene.batch, "people": scene.people}


def _row(result: Result, suite: Suite) -> dict[str, Any]:
    """One result. Times are per image: median, lower and upper quartile."""
    flops, ms = result.flops(), result.ms()
    plain = _plain_beside(result, suite)
    beside = plain.ms() if plain else {}
    both = [name for name in ms if name in beside and ms[name].median]
    ratios = {name: beside[name].median / ms[name].median for name in both} if plain else None
    return {
        **_where(result.scene),
        "engine": result.form.engine,
        "precision": result.form.precision,
        "runs": len(result.runs),
        "ms": {name: list(spread) for name, spread in ms.items()},
        "ratio_to_plain": ratios,
        "gflop": {name: flop / 1e9 for name, flop in result.flop.items()},
        "gflops": None if flops is None else flops / 1e9,
        "share_of_matrix_product": _share(result, suite),
        "agreement": dataclasses.asdict(result.agreement) if result.agreement else None,
        "fresh": result.fresh._asdict() if result.fresh else None,
        "problem": result.problem,
    }


def slopes(results: Sequence[Result]) -> dict[tuple[Scene, FormName], float]:
    """Return what one more person costs, milliseconds per image, where it can be told.

    The slope of a straight line through the medians of the stages that people have a part in, over
    their numbers. The scenes of the keys have no people.
    """
    groups: dict[tuple[Scene, FormName], dict[int, float]] = {}
    for result in results:
        if result.scene.people is not None:
            ms = result.ms()
            cost = sum(ms[stage].median for stage in _PER_PERSON if stage in ms)
            key = result.scene._replace(people=None), result.form
            groups.setdefault(key, {})[result.scene.people] = cost
    return {
        key: float(np.polyfit(list(costs), list(costs.values()), 1)[0])
        for key, costs in groups.items()
        if len(costs) > 1
    }


def page(suite: Suite, about: dict[str, Any], *, stages: bool) -> str:
    """Return everything as Markdown that also reads well on a terminal.

    Args:
        suite: what has been measured.
        about: as for `plain_data`; the page shows the command, the machine and the model.
        stages: with a table of stages for each scene.
    """
    done = _done(suite)
    parts = [_heading(suite, about)]
    if done:
        parts += ["## Predictions", _speed_table(done, suite)]
        if any(result.agreement for result in done):
            parts += ["## Agreement with eager fp32", _agreement_table(done, about)]
    if costs := slopes(done):
        parts += ["## One more person", _slope_table(costs)]
    scenes = list(dict.fromkeys(result.scene for result in done))
    for scene in scenes if stages else ():
        own = [result for result in done if result.scene == scene]
        parts += [f"## Stages: {scene_name(scene)}", _stage_table(own, suite)]
    if problems := _problems(suite):
        lines = [f"* {name}: {why}" for name, why in problems]
        parts += ["## Not measured", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def scene_name(scene: Scene) -> str:
    """Return a scene in words."""
    batch = f", batch {scene.batch}" if scene.batch > 1 else ""
    people = "" if scene.people is None else f", {_people(scene.people)}"
    return f"{scene.size[0]}x{scene.size[1]}{batch}{people}"


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"


def _heading(suite: Suite, about: dict[str, Any]) -> str:
    machine = about["machine"]
    memory = f", {machine['memory_bytes'] / 1e9:.0f} GB" if machine["memory_bytes"] else ""
    load = machine["load_before"]
    busy = "" if load is None else f", load {load:.1f} before"
    versions = [f"{k} {v}" for k, v in machine["packages"].items() if v]
    products = [f"{kind} {peak / 1e9:.0f} GFLOP/s" for kind, peak in suite.peaks.items()]
    lines = [
        f"# {about['model']}{', made-up weights' if about['made_up_weights'] else ''}",
        "",
        f"* {machine['processor']} ({machine['instructions']}), {machine['cores']} cores{memory}, "
        f"{machine['system']}{busy}",
        *([f"* {machine['gpu']}"] if machine["gpu"] else []),
        f"* threads: {machine['threads']}; Python {machine['python']}, {', '.join(versions)}",
        f"* matrix product: {', '.join(products) or _NONE}",
        f"* `{about['command']}`",
        "",
        "Milliseconds are per image: median ± half the distance of the quartiles. In brackets: how "
        "many times better than the plain form."
        if _has_plain(suite)
        else "Milliseconds are per image: median ± half the distance of the quartiles.",
    ]
    return "\n".join(lines)


def _has_plain(suite: Suite) -> bool:
    return any(result.form == PLAIN for result in _done(suite))


def _speed_table(results: Sequence[Result], suite: Suite) -> str:
    head = ("input", "form", "ms", "images/s", "GFLOP/s", "of peak", "first result s", "peak GB")
    rows = []
    for result in results:
        plain = _plain_beside(result, suite)
        flops, share = result.flops(), _share(result, suite)
        first, memory = _fresh(result)
        plain_first, plain_memory = _fresh(plain) if plain else (None, None)
        rows.append(
            (
                scene_name(result.scene),
                str(result.form),
                _ms(result, TOTAL, plain),
                f"{1e3 / result.ms()[TOTAL].median:.3g}",
                _NONE if flops is None else f"{flops / 1e9:.3g}",
                _NONE if share is None else f"{share:.0%}",
                _figure(first, plain_first, 1),
                _figure(memory, plain_memory, 2),
            )
        )
    return _table(head, rows)


def _fresh(result: Result) -> tuple[float | None, float | None]:
    """Seconds to the first result, and the peak of memory in GB, a GPU's if there is one."""
    if result.fresh is None:
        return None, None
    first, peak, device_peak = result.fresh
    peak = peak if device_peak is None else device_peak
    return first, None if peak is None else peak / 1e9


def _agreement_table(results: Sequence[Result], about: dict[str, Any]) -> str:
    head = ("input", "form", "people found", "shift px", "95 %", "labels equal", "U, V error")
    rows = []
    for result in results:
        if (a := result.agreement) is not None:
            rows.append(
                (
                    scene_name(result.scene),
                    str(result.form),
                    f"{a.matched} of {a.found_reference}" + _surplus(a.found - a.matched),
                    _plain_figure(a.shift_median, ".2f"),
                    _plain_figure(a.shift_p95, ".2f"),
                    _plain_figure(a.labels_equal, ".3%"),
                    _plain_figure(a.uv_error, ".5f"),
                )
            )
    table = _table(head, rows)
    if about["made_up_weights"]:
        table += "\n\nThe weights are made up, and so is this agreement."
    return table


def _surplus(number: int) -> str:
    return f", {number} more" if number else ""


def _plain_figure(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)


def _slope_table(costs: dict[tuple[Scene, FormName], float]) -> str:
    rows = []
    for (scene, form), ms in costs.items():
        plain = costs.get((scene, PLAIN)) if form != PLAIN else None
        rows.append((scene_name(scene), str(form), _figure(ms, plain, 1)))
    return _table(("input", "form", "ms"), rows)


def _stage_table(results: Sequence[Result], suite: Suite) -> str:
    measured = {name for result in results for name in result.ms()}
    first, second, *others = STAGES
    order = [first, second, *TRUNK_PARTS.values(), *others, TOTAL]
    rows = [
        (
            f"  {name}" if name in TRUNK_PARTS.values() else name,
            *(_ms(result, name, _plain_beside(result, suite)) for result in results),
        )
        for name in order
        if name in measured
    ]
    return _table(("stage, ms", *(str(result.form) for result in results)), rows)


def _ms(result: Result, stage: str, plain: Result | None) -> str:
    spread = result.ms().get(stage)
    if spread is None:
        return _NONE
    beside = plain.ms().get(stage) if plain else None
    text = f"{_digits(spread.median)} ± {_digits((spread.upper - spread.lower) / 2)}"
    if beside is None or not spread.median:  # 0: a stage that most runs have not had
        return text
    return f"{text} ({beside.median / spread.median:.2f}x)"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _figure(value: float | None, plain: float | None, decimals: int) -> str:
    if value is None:
        return _NONE
    # what noise has made negative has no ratio
    better = f" ({plain / value:.2f}x)" if plain and min(plain, value) > 0 else ""
    return f"{value:.{decimals}f}{better}"


def _plain_beside(result: Result, suite: Suite) -> Result | None:
    """The plain form on the same scene; None for itself."""
    same = (r for r in _done(suite) if r.scene == result.scene and r.form == PLAIN)
    return None if result.form == PLAIN else next(same, None)


def _share(result: Result, suite: Suite) -> float | None:
    flops, peak = result.flops(), suite.peaks.get(result.form.precision)
    return None if flops is None or peak is None else flops / peak


def _done(suite: Suite) -> list[Result]:
    return [result for result in suite.results if result.runs]


def _problems(suite: Suite) -> list[tuple[str, str]]:
    failed = [
        (f"{result.form}, {scene_name(result.scene)}", result.problem)
        for result in suite.results
        if result.problem is not None
    ]
    pairs = itertools.chain(suite.not_loaded.items(), failed)
    return [(name, why.strip().partition("\n")[0]) for name, why in pairs]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown with aligned columns, the first two or one of them to the left."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = 2 if head[1] == "form" else 1

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i < left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([line(lines[0]), line(rule), *map(line, lines[1:])])
