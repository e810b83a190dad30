"""How scores read: a row beside the published one, all metrics, and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from iuv.zoo import UnknownModelError, get_model

__all__ = ["TASK_NAMES", "find_published", "plain_scores", "print_scores"]

TASK_NAMES: Mapping[str, str] = {
    "bbox": "bbox",
    "segm": "densepose_segm",
    "gps": "densepose_gps",
    "gpsm": "densepose_gpsm",
}
"""Name on the command line → name of the evaluator."""

_HEADINGS = {"bbox": "box AP", "segm": "segm AP", "gps": "dp. AP GPS", "gpsm": "dp. AP GPSm"}
_WIDTH = 100
"""Columns of the output, also on narrower terminals: a wrapped line loses no figure."""

_PUBLISHED_DATA = "densepose_coco_2014_minival"

_Scores = Mapping[str, Mapping[str, float | None]]


def plain_scores(scores: Mapping[Any, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return scores with None for what is undefined: neither NaN nor -1 is a precision of zero."""
    return {
        task: {
            name: value if math.isfinite(value) and value >= 0 else None
            for name, value in metrics.items()
        }
        for task, metrics in scores.items()
    }


def find_published(model: str) -> dict[str, dict[str, float]] | None:
    """Return the published figures of a model, by task and metric; None if there are none."""
    try:
        row = get_model(model)
    except UnknownModelError:
        return None
    gps = {"AP50": row.ap50, "AP75": row.ap75, "APm": row.ap_m, "APl": row.ap_l}
    figures: dict[str, dict[str, float | None]] = {
        "bbox": {"AP": row.box_ap},
        "densepose_gps": {"AP": row.ap if row.dp_ap_gps is None else row.dp_ap_gps, **gps},
        "densepose_gpsm": {"AP": row.dp_ap_gpsm},
        "densepose_segm": {"AP": row.segm_ap},
    }
    published = {
        task: known
        for task, metrics in figures.items()
        if (known := {name: value for name, value in metrics.items() if value is not None})
    }
    return published or None


def print_scores(document: Mapping[str, Any]) -> None:
    """Print what is in results.json: the published columns, and all metrics.

    A metric that is undefined or was not scored shows as a dash, what was not published is empty.
    """
    console = Console(width=_WIDTH)
    scores, published = document["scores"], document["published"]
    summary = _table("")
    for heading in _HEADINGS.values():
        summary.add_column(heading, justify="right", no_wrap=True)
    tasks = [TASK_NAMES[short] for short in _HEADINGS]
    summary.add_row(document["scored"], *(_show(scores.get(task, {}).get("AP")) for task in tasks))
    if published:
        figures = (published.get(task, {}).get("AP") for task in tasks)
        summary.add_row("published", *("" if value is None else f"{value}" for value in figures))
    console.print(summary)
    console.print()
    _print_detail(console, scores)
    console.print(
        f"Average precision and recall in percent, {document['images']} images of "
        f"{document['data']}.",
        style="dim",
        highlight=False,
    )
    if published and document["data"] != _PUBLISHED_DATA:
        console.print(f"The published figures are for {_PUBLISHED_DATA}.", style="dim")


def _print_detail(console: Console, scores: _Scores) -> None:
    tasks = {short: scores[task] for short, task in TASK_NAMES.items() if task in scores}
    names = list(dict.fromkeys(name for metrics in tasks.values() for name in metrics))
    per_class = [name for name in names if name.startswith("AP-")]
    detail, classes = _table(""), _table("AP")
    for name in names:
        if name not in per_class:
            detail.add_column(name, justify="right", no_wrap=True)
    for short, metrics in tasks.items():
        classes.add_column(short, justify="right", no_wrap=True)
        cells = (_show(metrics[n]) if n in metrics else "" for n in names if n not in per_class)
        detail.add_row(short, *cells)
    for name in per_class:
        label = name.removeprefix("AP-")
        classes.add_row(label, *(_show(metrics[name]) for metrics in tasks.values()))
    for table in (detail, classes) if per_class else (detail,):
        console.print(table)
        console.print()


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    return table


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
