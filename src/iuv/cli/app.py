"""The ``iuv`` command: its sub-commands, and what becomes of errors.

Exit codes: 0 all done; 1 some inputs failed and the rest were done; 2 the call itself was wrong;
130 and 143 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import io
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import iuv
from iuv.cli.bench import bench
from iuv.cli.convert import convert
from iuv.cli.data import data_app
from iuv.cli.demo import demo
from iuv.cli.errors import explain
from iuv.cli.eval import evaluate
from iuv.cli.export import export
from iuv.cli.models import models
from iuv.cli.predict import predict
from iuv.cli.synth import synth
from iuv.cli.train import train
from iuv.cli.video import video
from iuv.runtime.memory import keep_freed_memory

__all__ = ["app", "main"]


class _Group(TyperGroup):
    """Turns errors that are the caller's to mend into one message and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `iuv models | head`: Typer ends quietly
        except (ValueError, OSError) as error:
            if ctx.params["debug"]:
                raise
            typer.echo(f"iuv: {explain(error)}", err=True)
            raise typer.Exit(2) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help and errors: frames break long names
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command()(demo)
app.command()(predict)
app.command()(video)
app.command()(models)
app.command()(convert)
app.command()(export)
app.command()(train)
app.add_typer(data_app, name="data")
app.command("eval")(evaluate)
app.command()(synth)
app.command()(bench)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"iuv {iuv.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="IUV_DEBUG", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """DensePose without Detectron2: people, body parts and surface coordinates in photos."""


def _stop(signal_number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + signal_number)


def main() -> None:
    """Run the ``iuv`` command."""
    # Ended by the system as by Ctrl-C: through the clean-up, so that no partial file stays behind.
    signal.signal(signal.SIGTERM, _stop)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that it lacks letters for must not end it
        sys.stdout.reconfigure(errors="backslashreplace")
    keep_freed_memory()
    app(prog_name="iuv")
