"""What bodies look like: height, build, sex-typical shape, age and proportions.

Figures are those of `iuv.synth.body.FIGURES`; proportions are lengths and widths of bones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iuv.synth.mesh import Floats, SurfaceError
from iuv.synth.skeleton import JOINT_NAMES, REST_JOINTS, Scaling

__all__ = ["AVERAGE", "Shape", "sample_shape"]

_KINDS = tuple(name.partition("_")[2] or name for name in JOINT_NAMES)
_CROWN = 1.0  # of the average body in the rest pose, in body heights


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A body; the default is the average adult.

    Raises:
        SurfaceError: a value is out of its range.
    """

    height: float = 1.70
    """Metres, 0.5..2.5."""
    female: float = 0.0
    """-1: a man's figure; 1: a woman's."""
    heavy: float = 0.0
    """-1: thin; 1: fat; up to 1.5."""
    muscle: float = 0.0
    """0: ordinary; 1: athletic."""
    child: float = 0.0
    """0: the proportions of an adult; 1: of a three-year-old."""
    legs: float = 1.0
    """Length, as a multiple of the average."""
    arms: float = 1.0
    shoulders: float = 1.0
    """Width."""
    hips: float = 1.0
    """Width."""
    head: float = 1.0
    """Size."""
    limbs: float = 1.0
    """Thickness of arms and legs."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SurfaceError(f"{name} must lie in {low:g}..{high:g}, got {value:g}")

    def figures(self) -> dict[str, float]:
        """Return the share of each figure."""
        return {
            "man": max(-self.female, 0),
            "woman": max(self.female, 0),
            "thin": max(-self.heavy, 0),
            "fat": max(self.heavy, 0),
            "athletic": self.muscle,
        }

    def scaling(self) -> Scaling:
        """Return the bones' lengths and widths, in metres per body height."""
        c = self.child
        head = self.head * (1 + 0.42 * c)
        legs, arms = self.legs * (1 - 0.17 * c), self.arms * (1 - 0.08 * c)
        thick = self.limbs * (1 + 0.06 * c)
        body = 1 + 0.05 * c
        by_kind = {
            "pelvis": (self.hips, 1.0, body),
            "spine": ((self.hips + self.shoulders) / 2, 1.0, body),
            "chest": (self.shoulders, 1.0, 1 + 0.02 * c),
            "neck": (1 + 0.10 * c, 1 - 0.25 * c, 1 + 0.10 * c),
            "head": (head, head, head),
            "clavicle": (self.shoulders, 1.0, 1.0),
            "hip": (thick, legs, thick),
            "knee": (thick, legs, thick),
            "ankle": (1.0, 1.0, 1.0),
            "toes": (1.0, 1.0, 1.0),
            **dict.fromkeys(("shoulder", "elbow", "forearm"), (arms, thick, thick)),
        }
        factors = np.array([by_kind.get(kind, (body, body, body)) for kind in _KINDS])
        tall = self._tall(factors)
        return Scaling(factors * (self.height / tall))

    def _tall(self, factors: Floats) -> float:
        joints = Scaling(factors).joints()
        head, ankle = JOINT_NAMES.index("head"), JOINT_NAMES.index("left_ankle")
        crown = joints[head, 1] + factors[head, 1] * (_CROWN - REST_JOINTS[head, 1])
        sole = joints[ankle, 1] - factors[ankle, 1] * REST_JOINTS[ankle, 1]
        return float(crown - sole)


_RANGES = {
    "height": (0.5, 2.5), "female": (-1, 1), "heavy": (-1, 1.5), "muscle": (0, 1), "child": (0, 1),
    "legs": (0.8, 1.25), "arms": (0.8, 1.25), "shoulders": (0.8, 1.25), "hips": (0.8, 1.25),
    "head": (0.8, 1.25), "limbs": (0.7, 1.4),
}  # fmt: skip
AVERAGE = Shape()
"""The shape that geodesic distances are measured on."""


def sample_shape(rng: np.random.Generator) -> Shape:
    """Return a random body: one in eight is a child, as many women as men."""
    female = float(np.clip(rng.choice((-0.8, 0.8)) + 0.25 * rng.standard_normal(), -1, 1))
    child = 0.0
    if rng.random() < 0.12:
        child = float(rng.uniform(0.05, 1.0))
        female *= 1 - min(child * 1.5, 1)
    adult = 1.69 - 0.065 * female + 0.065 * rng.standard_normal()
    height = adult + child * (0.97 - adult)
    heavy = float(np.clip(0.10 + 0.45 * rng.standard_normal(), -1, 1.3))
    muscle = float(np.clip(0.3 * rng.standard_normal() - 0.2 * female, 0, 1)) * (1 - child)
    wide = {name: 1 + 0.03 * float(np.clip(rng.standard_normal(), -2.5, 2.5)) for name in _VARIED}
    wide["shoulders"] *= 0.975 - 0.035 * female
    wide["head"] *= (1.70 / adult) ** 0.5
    return Shape(
        height=float(height), female=female, heavy=heavy, muscle=muscle, child=child, **wide
    )


_VARIED = ("legs", "arms", "shoulders", "hips", "head", "limbs")
