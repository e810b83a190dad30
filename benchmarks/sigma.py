"""Whether a model knows how far off it is: the error of U and V against the sigma it predicts.

    python benchmarks/sigma.py WEIGHTS.safetensors MINIVAL.json [--limit N]

For every annotated point of everyone who is found (a box that overlaps theirs by half or more), the
prediction at that pixel is compared with the annotation; points are sorted by sigma and cut into
ten bins of equal size. K: points.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import spearmanr

import iuv
from iuv.data.datasets import load_dataset
from iuv.data.records import Annotation
from iuv.evaluation.meshes import SurfaceMesh, read_mesh
from iuv.results import People, Person
from line_chart import Panel
from line_chart import draw as draw_panels

__all__ = ["TooFewPointsError", "describe", "draw", "measure", "predicted_sigma"]

BINS = 10
FOUND = 0.5  # least overlap of boxes
EPSILON = 0.01  # `losses.uv_epsilon` of the published recipes: the least variance
CM = 100.0


class TooFewPointsError(ValueError):
    """Hardly anything can be compared."""


def predicted_sigma(person: Person, epsilon: float = EPSILON) -> np.ndarray:
    """Return [h, w]: the standard deviation of U, and of V, that the model predicts.

    Of the anisotropic model, whose covariance is s + r r^T, it is the root of the mean variance.

    Raises:
        ValueError: the model predicts none.
    """
    if person.sigma_2 is None:
        raise ValueError("this model predicts no sigma; train one with dense.uv_confidence")
    variance = np.logaddexp(0, person.sigma_2) + epsilon
    if person.kappa_u is not None and person.kappa_v is not None:
        variance = variance + (person.kappa_u**2 + person.kappa_v**2) / 2
    return np.sqrt(variance)


def at_points(
    annotation: Annotation, person: Person, sigma: np.ndarray, mesh: SurfaceMesh
) -> np.ndarray:
    """Return [3, K]: sigma, the error of U and V, metres on the body; where both see a body.

    The error is the root of the mean square of both coordinates; NaN where the parts differ.

    Args:
        annotation: with points.
        person: who was found there.
        sigma: [h, w], as `predicted_sigma` returns it.
        mesh: the body.
    """
    points = annotation.points
    if points is None or not len(points):
        return np.zeros((3, 0))
    left, top, width, height = annotation.box_xywh
    x = np.floor(points.x * width / 256 + left).astype(int) - person.box_xywh[0]
    y = np.floor(points.y * height / 256 + top).astype(int) - person.box_xywh[1]
    rows, columns = sigma.shape
    inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows) & (points.labels > 0)
    seen = np.flatnonzero(inside)
    seen = seen[person.labels[y[seen], x[seen]] > 0]
    y, x = y[seen], x[seen]
    labels = person.labels[y, x].astype(np.int64)
    u, v = person.uv[:, y, x].astype(np.float64)
    truth = points.labels[seen], points.u[seen], points.v[seen]
    error = np.sqrt(((u - truth[1]) ** 2 + (v - truth[2]) ** 2) / 2)
    error[labels != truth[0]] = np.nan
    found, true = mesh.nearest(labels, u, v), mesh.nearest(*truth)
    distances = np.full(len(seen), np.nan)
    known = (found >= 0) & (true >= 0)
    distances[known] = mesh.geodesics.distances(true[known], found[known])
    return np.stack([sigma[y, x], error, distances])


def best_match(annotation: Annotation, people: People) -> Person | None:
    """The person whose box overlaps an annotated one most, if by enough."""
    x, y, width, height = annotation.box_xywh
    best, most = None, FOUND
    for person in people:
        x0, y0, x1, y1 = person.box_xyxy
        across, down = min(x1, x + width) - max(x0, x), min(y1, y + height) - max(y0, y)
        common = max(across, 0.0) * max(down, 0.0)
        overlap = common / (width * height + (x1 - x0) * (y1 - y0) - common)
        if overlap >= most:
            best, most = person, overlap
    return best


def measure(
    weights: Path, annotations: Path, limit: int | None = None, *, epsilon: float = EPSILON
) -> dict[str, Any]:
    """Return the bins, in JSON's types: sigma and errors of each, and how they rank together.

    Args:
        weights: of a model with confidences.
        annotations: of `iuv synth`; the body's mesh.npz is beside them.
        limit: look at the first pictures only.
        epsilon: the least variance, as in training.

    Raises:
        TooFewPointsError: hardly anybody was found.
        ValueError: the model predicts no sigma.
    """
    dataset = load_dataset(annotations)
    mesh = read_mesh(annotations.parent / "mesh.npz")
    predict = iuv.load(weights, min_score=0.05)
    columns = [np.zeros((3, 0))]
    records = dataset.images[:limit]
    for record, people in zip(records, predict.stream(r.path for r in records), strict=True):
        for annotation in record.annotations:
            person = None if annotation.is_crowd else best_match(annotation, people)
            if person is not None:
                sigma = predicted_sigma(person, epsilon)
                columns.append(at_points(annotation, person, sigma, mesh))
    return binned(np.concatenate(columns, axis=1))


def binned(points: np.ndarray) -> dict[str, Any]:
    """Return `measure`'s result for points [3, K] as `at_points` returns them.

    Raises:
        TooFewPointsError: there are fewer than bins.
    """
    return {
        "uv": _binned(points[0], points[1], lambda e: np.sqrt(np.mean(e**2))),
        "geodesic": _binned(points[0], points[2], np.mean),
    }


def _binned(
    sigma: np.ndarray, error: np.ndarray, summary: Callable[[np.ndarray], Any]
) -> dict[str, Any]:
    known = ~np.isnan(error)
    sigma, error = sigma[known], error[known]
    if len(sigma) < BINS:
        raise TooFewPointsError(
            f"expected at least {BINS} annotated points where the model sees the body, got "
            f"{len(sigma)}: it finds too few people, train it for longer"
        )
    order = np.argsort(sigma, kind="stable")
    return {
        "points": len(sigma),
        "bins": [
            (float(np.sqrt(np.mean(sigma[some] ** 2))), float(summary(error[some])))
            for some in np.array_split(order, BINS)
        ],
        "rank_correlation": float(spearmanr(sigma, error).statistic),
    }


def describe(name: str, measured: Mapping[str, Any]) -> str:
    """Return a sentence with the figures."""
    uv, body = measured["uv"], measured["geodesic"]
    (low_sigma, low), (high_sigma, high) = uv["bins"][0], uv["bins"][-1]
    near, far = body["bins"][0][1] * CM, body["bins"][-1][1] * CM
    return (
        f"\n{name}: from the surest tenth of the points to the least sure, predicted sigma goes "
        f"from {low_sigma:.3f} to {high_sigma:.3f}, the RMS error of U and V from {low:.3f} to "
        f"{high:.3f} ({uv['points']:,} points of the right part), and the mean distance on the "
        f"body from {near:.1f} to {far:.1f} cm ({body['points']:,} points). Rank correlations: "
        f"{uv['rank_correlation']:.2f} and {body['rank_correlation']:.2f}."
    )


def draw(measured: Mapping[str, Mapping[str, Any]]) -> Image.Image:
    """Draw error against sigma, a curve per model."""
    uv = {name: found["uv"]["bins"] for name, found in measured.items()}
    body = {
        name: [(s, error * CM) for s, error in found["geodesic"]["bins"]]
        for name, found in measured.items()
    }
    return draw_panels(
        [
            Panel(
                title="Right part: how far off are U and V?",
                x="predicted sigma",
                y="RMS error of U and V",
                curves=uv,
                diagonal="error = sigma",
            ),
            Panel(
                title="How far off on the body?",
                x="predicted sigma",
                y="mean geodesic error, cm",
                curves=body,
            ),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("minival", type=Path)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    print(json.dumps(measure(args.weights, args.minival, args.limit), indent=1))


if __name__ == "__main__":
    main()
