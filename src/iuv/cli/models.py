"""``iuv models``: the released models with their published figures, and the embedded one."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from iuv.zoo import EMBEDDED, ZOO, ZooModel

__all__ = ["models"]

_WIDTH = 100
"""Columns of the output, also on narrower terminals: a wrapped line loses no figure."""

# Field → heading. A section shows the columns of which it has figures.
_COLUMNS = {
    "lr_schedule": "lr",
    "train_s_per_iter": "train\ns/iter",
    "inference_s_per_image": "infer\ns/image",
    "train_memory_gb": "train\nGB",
    "box_ap": "box\nAP",
    "segm_ap": "segm\nAP",
    "dp_ap_gps": "GPS\nAP",
    "dp_ap_gpsm": "GPSm\nAP",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_m": "APm",
    "ap_l": "APl",
    "model_id": "model id",
}


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as JSON, with configurations and addresses.")
    ] = False,
) -> None:
    """List the released models with their published figures, and the embedded one."""
    if as_json:
        typer.echo(json.dumps([_plain(model) for model in (*ZOO, EMBEDDED)], indent=2))
        return
    console = Console(width=_WIDTH)
    for section, rows in itertools.groupby(ZOO, key=lambda model: model.section):
        _show(console, section, list(rows))
    licences = ", ".join(dict.fromkeys(model.licence for model in ZOO))
    _remark(
        console,
        "Average precisions (AP) in percent on DensePose-COCO minival; GPS, GPSm: by the geodesic\n"
        "similarity of surface points, plain and masked. Seconds and GB on the publisher's GPUs.\n"
        f"Licence of the weights: {licences}. Addresses and configurations: iuv models --json",
    )
    console.print()
    _show(console, EMBEDDED.section, [EMBEDDED])
    _remark(
        console,
        "Small, and here without a download: for a first look, not for results. No photo was in its"
        f"\ntraining, and it has no figures on COCO. Licence of the weights: {EMBEDDED.licence}.",
    )


def _show(console: Console, section: str, rows: list[ZooModel]) -> None:
    console.print(section, style="bold", highlight=False)
    console.print(_table(rows))
    console.print()


def _remark(console: Console, text: str) -> None:
    console.print(text, style="dim", highlight=False)


def _plain(model: ZooModel) -> dict[str, object]:
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return fields | {"config": model.config.to_dict()}


def _table(rows: list[ZooModel]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True, min_width=max(len(model.name) for model in ZOO))
    columns = [_column([getattr(model, field) for model in rows]) for field in _COLUMNS]
    shown = [any(column) for column in columns]
    for heading in itertools.compress(_COLUMNS.values(), shown):
        table.add_column(heading, justify="right", no_wrap=True)
    for model, *cells in zip(rows, *itertools.compress(columns, shown), strict=True):
        table.add_row(model.name, *cells)
    return table


def _column(values: list[str | float | None]) -> list[str]:
    """Write a column with the decimals of its most exact figure; what is unknown stays empty."""
    decimals = max(len(str(value).partition(".")[2]) for value in values)
    return [
        f"{value:.{decimals}f}" if isinstance(value, float) else value or "" for value in values
    ]
