"""Many measurements, in turns: forms of a network on scenes.

All forms look at a scene one after the other, and at the same with other numbers of people, again
and again, so that a noisy machine hurts all alike. The first turn warms up, counts the arithmetic
and compares results; it is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from iuv.bench.agreement import Agreement, agreement
from iuv.bench.forms import PLAIN, REFERENCE, Form, FormName
from iuv.bench.fresh import Fresh, measure_fresh
from iuv.bench.machine import matrix_product
from iuv.bench.scene import Scene, write_photo
from iuv.bench.stages import HEAVY, STAGES, Trace
from iuv.config import ModelConfig
from iuv.runtime.memory import keep_freed_memory

__all__ = ["TOTAL", "Plan", "Result", "Spread", "Suite"]

_KEPT = 60_000_000
"""Numbers that fill most of the memory that `keep_freed_memory` keeps."""

TOTAL = "total"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured: every form on every scene."""

    config: ModelConfig
    weights: Path
    device: torch.device
    forms: Sequence[FormName]
    """Engines may be "auto"."""
    sizes: Sequence[tuple[int, int]]
    """(h, w) of the network's input."""
    batch_sizes: Sequence[int]
    people: Sequence[int | None]
    """As `Scene.people`."""
    photo: Path | None
    """None: made up."""
    runs: int


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        lower, median, upper = torch.tensor(values, dtype=torch.float64).quantile(
            torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        )
        return cls(float(median), float(lower), float(upper))


@dataclass(kw_only=True)
class Result:
    """A form on a scene."""

    form: FormName
    scene: Scene
    runs: list[dict[str, float]] = field(default_factory=list)
    """Milliseconds per image, by stage; one entry per run."""
    flop: dict[str, float] = field(default_factory=dict)
    """Operations per image of the stages that an engine runs; if known."""
    agreement: Agreement | None = None
    """With the reference; None for the reference itself."""
    fresh: Fresh | None = None
    problem: str | None = None
    """Why something is missing."""

    def ms(self) -> dict[str, Spread]:
        """Return milliseconds per image, by stage, parts of the trunk and the total included."""
        names = list(dict.fromkeys(name for run in self.runs for name in run))
        return {name: Spread.of([run.get(name, 0.0) for run in self.runs]) for name in names}

    def flops(self) -> float | None:
        """Return operations per second over the whole prediction; None if not counted."""
        total = self.ms().get(TOTAL)
        return sum(self.flop.values()) / total.median * 1e3 if self.flop and total else None


class Suite:
    """Measures a plan; what is done stays in `results`, whenever it is stopped.

    Args:
        plan: what to measure.
        folder: for what is needed meanwhile.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.results: list[Result] = []
        self.peaks: dict[str, float] = {}
        """Operations per second of matrix products, by precision."""
        self.not_loaded: dict[str, str] = {}
        """Forms that cannot run here, and why."""
        self._folder = folder

    @property
    def steps(self) -> int:
        """How many steps `run` has, at most."""
        groups = len(self.plan.sizes) * len(self.plan.batch_sizes)
        people, forms = len(self.plan.people), len(self.plan.forms)
        return 1 + forms + groups * (self.plan.runs + people * (1 + forms))

    def run(self, on_step: Callable[[str], None]) -> None:
        """Measure everything.

        Args:
            on_step: told what comes next.

        Raises:
            CheckpointError: the weights are broken or do not fit the configuration.
        """
        forms, reference = self._load(on_step)
        for scenes in self._groups() if forms else ():
            self._measure(scenes, forms, reference, on_step)

    def _load(self, on_step: Callable[[str], None]) -> tuple[list[Form], Form]:
        """Return the wanted forms that can run here, and the reference."""
        plan, forms = self.plan, dict[FormName, Form]()
        on_step(f"loading {REFERENCE}")
        reference = Form.load(REFERENCE, plan.config, plan.weights, plan.device)
        for name in dict.fromkeys(plan.forms):
            on_step(f"loading {name}")
            try:
                channels = plan.config.backbone.fpn_channels
                if name.resolved(plan.device, channels) == REFERENCE:
                    form = reference
                else:
                    form = Form.load(name, plan.config, plan.weights, plan.device)
            except (ValueError, OSError, RuntimeError) as error:
                self.not_loaded[str(name)] = str(error)
            else:
                forms.setdefault(form.name, form)
        return list(forms.values()), reference

    def _groups(self) -> Iterator[list[Scene]]:
        """Scenes that differ in the number of people only, so that it alone makes a difference."""
        for size in self.plan.sizes:
            photo = self.plan.photo
            if photo is None:
                photo = self._folder / f"{size[0]}x{size[1]}.jpg"
                write_photo(photo, size)
            for batch in self.plan.batch_sizes:
                yield [Scene(photo, size, batch, people) for people in self.plan.people]

    def _measure(
        self,
        scenes: Sequence[Scene],
        forms: Sequence[Form],
        reference: Form,
        on_step: Callable[[str], None],
    ) -> None:
        pairs = [(form, Result(form=form.name, scene=scene)) for scene in scenes for form in forms]
        self.results += [result for _, result in pairs]
        self._multiply({form.name.precision for form in forms})
        for scene in scenes:
            on_step("warming up")
            self._warm_up([pair for pair in pairs if pair[1].scene == scene], reference)
        for turn in range(self.plan.runs):
            on_step(f"turn {turn + 1} of {self.plan.runs}")
            for form, result in pairs:
                _attempt(result, self._time, form, result)
        for _, result in pairs:
            on_step(f"{result.form} in a fresh process")
            _attempt(result, self._start_afresh, result)

    def _multiply(self, precisions: set[str]) -> None:
        """Find what the machine can do: for each scene again, as it may be busy."""
        for precision in precisions:
            peak = matrix_product(precision, self.plan.device)
            if peak is not None:
                self.peaks[precision] = max(peak, self.peaks.get(precision, 0.0))

    def _warm_up(self, pairs: Sequence[tuple[Form, Result]], reference: Form) -> None:
        """Run all forms once on their scene, beside the reference."""
        try:
            truth = reference.run(pairs[0][1].scene, count=True)
        except (RuntimeError, ValueError) as error:
            for _, result in pairs:
                result.problem = f"{REFERENCE} fails here: {error}"
            return
        for form, result in pairs:
            _attempt(result, self._compare, form, result, truth)

    def _compare(self, form: Form, result: Result, truth: Trace) -> None:
        plain = form.name == PLAIN
        trace = truth if form.name == REFERENCE else form.run(result.scene, count=plain)
        counted = trace if plain else truth
        result.flop = {s: counted.flop.get(s, 0) / result.scene.batch for s in HEAVY}
        if form.name != REFERENCE:
            result.agreement = agreement(truth, trace)

    def _time(self, form: Form, result: Result) -> None:
        if form.name != PLAIN and form.device.type == "cpu":
            keep_freed_memory()
            torch.zeros(_KEPT)  # the plain form may have given back what this one had kept
        ms = form.run(result.scene).ms
        total = sum(ms.get(stage, 0.0) for stage in STAGES)
        batch = result.scene.batch
        result.runs.append({name: value / batch for name, value in {**ms, TOTAL: total}.items()})

    def _start_afresh(self, result: Result) -> None:
        result.fresh = measure_fresh(
            {
                "form": result.form,
                "config": self.plan.config.to_dict(),
                "weights": str(self.plan.weights),
                "device": str(self.plan.device),
                "threads": torch.get_num_threads(),
                "scene": [str(result.scene.photo), *result.scene[1:]],
            }
        )


def _attempt(result: Result, work: Callable[..., None], *inputs: Any) -> None:
    """Do a piece of work, unless one before it has failed; what goes wrong is kept."""
    if result.problem is None:
        try:
            work(*inputs)
        except (RuntimeError, ValueError) as error:
            result.problem = str(error)
