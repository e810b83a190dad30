"""``iuv models`` shows every model and every published figure."""

import json

import pytest
from typer.testing import CliRunner

from iuv.cli.app import app
from iuv.config import ModelConfig
from iuv.zoo import EMBEDDED, ZOO


def run(*arguments):
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def table():
    return run()


def figures(model):
    """The numbers that the publisher gave."""
    values = {name: getattr(model, name) for name in model.__dataclass_fields__}
    return {name: value for name, value in values.items() if isinstance(value, float)}


MODELS = (*ZOO, EMBEDDED)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_row_has_all_figures(table, model):
    (row,) = (line.split() for line in table.splitlines() if line.startswith(model.name + " "))
    numbers = [float(cell) for cell in row[1:] if "." in cell]
    assert numbers == list(figures(model).values())
    assert (model.model_id or row[0]) in row
    assert (model.lr_schedule or row[0]) in row
    assert model.licence in table


def test_sections_in_order(table):
    sections = list(dict.fromkeys(model.section for model in MODELS))
    assert [line for line in table.splitlines() if line in sections] == sections


def test_readable_at_100_columns(table, monkeypatch):
    assert max(map(len, table.splitlines())) <= 100
    assert "…" not in table
    monkeypatch.setenv("COLUMNS", "60")
    assert run() == table


def test_json_is_the_same_as_data():
    rows = json.loads(run("--json"))
    assert [row["name"] for row in rows] == [model.name for model in MODELS]
    for row, model in zip(rows, MODELS, strict=True):
        assert ModelConfig.from_dict(row.pop("config")) == model.config
        assert row == {name: getattr(model, name) for name in row}
        assert len(row) == len(model.__dataclass_fields__) - 1
