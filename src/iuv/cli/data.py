"""``iuv data``: what is in a data set, and whether it is fit for use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from iuv.cli.progress import ProgressReport, progress_bar
from iuv.cli.sources import Source, result_keys

if TYPE_CHECKING:
    from iuv.data.catalog import DataSource
    from iuv.data.check import DataCheck
    from iuv.data.problems import Problem
    from iuv.data.records import ImageRecord

__all__ = ["check", "data_app", "sheet", "show"]

_EXAMPLES = 3
_BAR = 40  # columns of the longest
_MOST_ON_SHEET = 1000  # of half a megabyte each, before compression
_DEFAULT_KINDS = "boxes+points_i,parts"

data_app = typer.Typer(
    help="Check and show annotations.", no_args_is_help=True, rich_markup_mode=None
)

_Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A published data set by name (such as densepose_coco_2014_minival), a .yaml, or "
        "a JSON file of annotations; several are separated by commas.",
    ),
]
_Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Folder of the images. [default: as the data set says]",
        show_default=False,
    ),
]
_Root = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the published data sets. [default: $IUV_DATA, or datasets]",
        show_default=False,
    ),
]


@data_app.command()
def check(
    data: _Data,
    images: _Images = None,
    data_root: _Root = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as JSON, with the same examples.")
    ] = False,
) -> None:
    """Read annotations and images to the end, and report what is wrong and what is in them.

    The exit code is 1 if there are errors; warnings are what training passes over.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    from iuv.data.catalog import find_sources

    checks = [_check(source) for source in find_sources(data, images=images, root=data_root)]
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in checks], indent=2))
    else:
        for one in checks:
            _print(one, Console(highlight=False, markup=False, soft_wrap=True))
    if any(one.by_kind("error") for one in checks):
        raise typer.Exit(1)


@data_app.command()
def show(
    context: typer.Context,
    data: _Data,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the pictures; made if missing.")
    ],
    images: _Images = None,
    data_root: _Root = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND,...",
            help="What to draw: boxes, points_i, points_u, points_v, parts; joined by + on one "
            "picture.",
        ),
    ] = _DEFAULT_KINDS,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="The first N images that have annotations.")
    ] = 20,
    image_id: Annotated[
        list[int] | None,
        typer.Option("--id", metavar="ID", help="This image instead; may be given repeatedly."),
    ] = None,
) -> None:
    """Draw annotations over their images, as <image>_<kind>.png.

    An image that cannot be read is reported and skipped, and the exit code is 1.
    """
    from iuv.data.catalog import find_datasets
    from iuv.data.records import DataError
    from iuv.data.show import check_kind, draw_annotations
    from iuv.images import ImageError, read_image
    from iuv.writers import write_png

    kinds = [name.strip() for name in kind.split(",")]
    for name in kinds:
        check_kind(name)
    datasets = find_datasets(data, images=images, root=data_root)
    everything = [image for dataset in datasets for image in dataset.images]
    records = _choose(everything, image_id, limit)
    keys = result_keys([record.path for record in records])
    report = ProgressReport(len(records), debug=context.find_root().params["debug"])
    with report:
        for record, key in zip(records, keys, strict=True):
            source = Source(record.path, key)
            try:
                image = read_image(record.path)
                drawings = [(name, draw_annotations(image, record, name)) for name in kinds]
            except (ImageError, DataError) as error:
                report(source, error)
                continue
            for name, drawing in drawings:
                path = out / f"{key}_{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_png(path, drawing)
            report(source, None)
    report.summarise(skipped=0, folder=out)
    if report.failed:
        raise typer.Exit(1)


@data_app.command()
def sheet(
    data: _Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture to write, a .png.")],
    images: _Images = None,
    data_root: _Root = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=_MOST_ON_SHEET, help="The first N images.")
    ] = 24,
) -> None:
    """Draw the first images on one sheet, each beside its annotations."""
    from iuv.data.catalog import find_datasets
    from iuv.data.contact import contact_sheet
    from iuv.writers import write_png

    if out.suffix.lower() != ".png":
        raise ValueError(f"--out: expected the name of a .png, got {str(out)!r}")
    datasets = find_datasets(data, images=images, root=data_root)
    records = [image for dataset in datasets for image in dataset.images]
    drawing = contact_sheet(records[:limit])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_png(out, drawing)
    typer.echo(f"{min(limit, len(records))} of {len(records)} images: {out}")


def _check(source: DataSource) -> DataCheck:
    from iuv.data.check import check_data

    with progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, rate="images")
        return check_data(source, lambda done, total: bar.update(task, completed=done, total=total))


def _choose(images: list[ImageRecord], wanted: list[int] | None, limit: int) -> list[ImageRecord]:
    if not wanted:
        annotated = [image for image in images if image.annotations]
        if not annotated:
            raise ValueError("none of the images has an annotation; there is nothing to draw")
        return annotated[:limit]
    known = {image.id for image in images}
    for id in wanted:
        if id not in known:
            raise ValueError(
                f"--id: there is no image {id}; the ids go from {min(known, default=0)} to "
                f"{max(known, default=0)}"
            )
    return [image for image in images if image.id in wanted]


def _plain(check: DataCheck) -> dict[str, Any]:
    return {
        "name": check.source.name,
        "annotations": str(check.source.annotations),
        "counts": check.counts,
        "histograms": check.histograms,
        **{
            f"{severity}s": [
                {
                    "kind": kind,
                    "count": len(problems),
                    "examples": [str(problem) for problem in problems[:_EXAMPLES]],
                }
                for kind, problems in check.by_kind(severity).items()
            ]
            for severity in ("error", "warning")
        },
    }


def _print(check: DataCheck, console: Console) -> None:
    console.print(f"{check.source.name} ({check.source.annotations})", style="bold")
    for name, count in check.counts.items():
        console.print(f"  {name:<24}{count:>10}")
    for title, classes in check.histograms.items():
        if any(classes.values()):
            console.print(f"\n  {title}", style="bold")
            _print_bars(classes, console)
    for severity, style in (("error", "red"), ("warning", "yellow")):
        for kind, problems in check.by_kind(severity).items():
            console.print(f"\n  {severity}: {kind} ({len(problems)})", style=f"bold {style}")
            _print_examples(problems, console)
    errors, warnings = (
        sum(map(len, check.by_kind(severity).values())) for severity in ("error", "warning")
    )
    console.print(f"\n  {errors} errors, {warnings} warnings\n", style="bold")


def _print_bars(classes: dict[str, int], console: Console) -> None:
    width = max(map(len, classes))
    most = max(classes.values())
    block = "#" if console.options.ascii_only else "█"
    for name, count in classes.items():
        bar = block * -(-count * _BAR // most)  # rounded up: one is seen, too
        console.print(f"    {name:<{width}} {count:>9} {bar}".rstrip())


def _print_examples(problems: list[Problem], console: Console) -> None:
    for problem in problems[:_EXAMPLES]:
        console.print(f"    {problem}")
    if len(problems) > _EXAMPLES:
        console.print(f"    ... and {len(problems) - _EXAMPLES} more")
