"""What people are doing: random poses of standing, walking, sitting and so on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from iuv.synth.poses import Arm, Leg, Pose, Trunk, jittered

__all__ = ["ACTIONS", "sample_pose"]

_Rng = np.random.Generator


def _u(rng: _Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _head(rng: _Rng, **angles: float) -> Trunk:
    look = float(np.clip(22 * rng.standard_normal(), -65, 65))
    nod = float(np.clip(5 + 11 * rng.standard_normal(), -35, 40))
    return Trunk(look=look, nod=nod, tilt=_u(rng, -8, 8), **angles)


def _hanging(rng: _Rng) -> Arm:
    return Arm(
        lower=_u(rng, 70, 84), swing=_u(rng, -12, 15), twist=_u(rng, -15, 25),
        elbow=_u(rng, 5, 30), roll=_u(rng, -20, 15), curl=_u(rng, 5, 50),
    )  # fmt: skip


def _on_hip(rng: _Rng) -> Arm:
    return Arm(
        lower=_u(rng, 48, 58), swing=_u(rng, -28, -12), twist=_u(rng, -60, -45),
        elbow=_u(rng, 80, 100), roll=_u(rng, -40, 0), flex=_u(rng, -30, 20), curl=_u(rng, 20, 60),
    )  # fmt: skip


def _bent(rng: _Rng) -> Arm:
    """An arm that holds something in front: a telephone, a cup, a bag."""
    return Arm(
        lower=_u(rng, 70, 82), swing=_u(rng, 0, 45), twist=_u(rng, -25, 40),
        elbow=_u(rng, 60, 130), roll=_u(rng, -20, 90), flex=_u(rng, -20, 30),
        curl=_u(rng, 30, 80),
    )  # fmt: skip


def _crossed(rng: _Rng, over: bool) -> Arm:
    return Arm(
        lower=_u(rng, 72, 78), swing=_u(rng, 30, 38) + 8 * over, twist=_u(rng, 38, 48),
        elbow=_u(rng, 100, 112), roll=_u(rng, -10, 20), curl=_u(rng, 20, 50),
    )  # fmt: skip


def _raised(rng: _Rng) -> Arm:
    if rng.random() < 0.5:
        return Arm(lower=_u(rng, -75, 0), across=_u(rng, -10, 30), elbow=_u(rng, 0, 80),
                   twist=_u(rng, 0, 60), curl=_u(rng, 0, 60), roll=_u(rng, -20, 60))  # fmt: skip
    return Arm(lower=_u(rng, 60, 85), swing=_u(rng, 70, 165), elbow=_u(rng, 0, 60),
               curl=_u(rng, 0, 60), roll=_u(rng, -20, 60))  # fmt: skip


def _out(rng: _Rng) -> Arm:
    return Arm(lower=_u(rng, -15, 55), across=_u(rng, -10, 60), elbow=_u(rng, 0, 70),
               twist=_u(rng, -30, 50), curl=_u(rng, 0, 60), roll=_u(rng, -20, 60))  # fmt: skip


def _any_arm(rng: _Rng) -> Arm:
    kinds: tuple[tuple[Callable[[_Rng], Arm], float], ...] = (
        (_hanging, 0.50), (_bent, 0.25), (_on_hip, 0.08), (_raised, 0.09), (_out, 0.08),
    )  # fmt: skip
    place, total = rng.random(), 0.0
    for kind, share in kinds:
        total += share
        if place < total:
            return kind(rng)
    return _hanging(rng)


def _standing_legs(rng: _Rng) -> tuple[Leg, Leg]:
    spread = _u(rng, 0, 12)
    shift = _u(rng, 0, 25) if rng.random() < 0.4 else 0.0  # one knee relaxed

    def leg(bend: float) -> Leg:
        return Leg(
            flex=bend * 0.7, spread=spread, turn=_u(rng, 0, 16), knee=2 + bend, ankle=bend * 0.3
        )

    legs = leg(shift), leg(0.0)
    return legs if rng.random() < 0.5 else legs[::-1]


def _stand(rng: _Rng) -> Pose:
    left, right = _standing_legs(rng)
    trunk = _head(rng, bend=_u(rng, -6, 10), side=_u(rng, -6, 6), turn=_u(rng, -12, 12))
    return Pose(name="stand", trunk=trunk, left_arm=_any_arm(rng), right_arm=_any_arm(rng),
                left_leg=left, right_leg=right)  # fmt: skip


def _cross_arms(rng: _Rng) -> Pose:
    over = rng.random() < 0.5
    return replace(
        _stand(rng), name="arms crossed", left_arm=_crossed(rng, over),
        right_arm=_crossed(rng, not over),
    )  # fmt: skip


def _reach(rng: _Rng) -> Pose:
    arms = [_raised(rng), _raised(rng) if rng.random() < 0.4 else _any_arm(rng)]
    first = int(rng.integers(2))
    trunk = _head(rng, bend=_u(rng, -12, 30), side=_u(rng, -15, 15), turn=_u(rng, -20, 20))
    return replace(
        _stand(rng), name="reach", trunk=trunk, left_arm=arms[first], right_arm=arms[1 - first]
    )


def _stride(rng: _Rng, name: str, length: float, lift: float, elbows: float) -> Pose:
    """Return a moment of walking or running; `length` and `lift` are degrees of hip and knee."""
    phase = _u(rng, 0, 2 * np.pi)

    def leg(at: float) -> Leg:
        forward = np.sin(at)
        knee = 6 + lift * max(np.cos(at), 0.0) ** 1.5 + 0.35 * lift * max(-forward, 0) ** 3
        return Leg(
            flex=max(length * (forward + 0.25), -28), spread=_u(rng, 0, 4), turn=_u(rng, 0, 8),
            knee=knee, ankle=8 * forward - 12 * max(-forward, 0), toes=20 * max(-forward, 0),
        )  # fmt: skip

    def arm(at: float) -> Arm:
        return Arm(
            lower=_u(rng, 72, 82), swing=0.9 * length * np.sin(at), elbow=elbows + 10 * np.sin(at),
            twist=_u(rng, -10, 20), roll=_u(rng, -10, 15), curl=_u(rng, 20, 70),
        )  # fmt: skip

    trunk = _head(rng, bend=2 + 0.22 * elbows * rng.random(), turn=0.25 * length * np.sin(phase))
    arms = [arm(phase + np.pi), arm(phase)]
    if elbows < 50 and rng.random() < 0.35:  # carries something
        arms[int(rng.integers(2))] = _any_arm(rng)
    return Pose(name=name, trunk=trunk, left_arm=arms[0], right_arm=arms[1],
                left_leg=leg(phase), right_leg=leg(phase + np.pi))  # fmt: skip


def _walk(rng: _Rng) -> Pose:
    return _stride(rng, "walk", _u(rng, 14, 28), _u(rng, 35, 60), _u(rng, 12, 40))


def _run(rng: _Rng) -> Pose:
    return _stride(rng, "run", _u(rng, 32, 52), _u(rng, 75, 115), _u(rng, 70, 105))


def _sit(rng: _Rng) -> Pose:
    def leg(bend: float) -> Leg:
        stretch = _u(rng, 0, 45) if rng.random() < 0.3 else _u(rng, -10, 10)
        return Leg(flex=bend, spread=_u(rng, 2, 22), turn=_u(rng, -5, 15), knee=bend - stretch,
                   ankle=_u(rng, -15, 10))  # fmt: skip

    def arm() -> Arm:
        if rng.random() < 0.7:  # hands on the lap or a table
            return Arm(
                lower=_u(rng, 72, 80), swing=_u(rng, 10, 35), twist=_u(rng, 0, 30),
                elbow=_u(rng, 45, 90), roll=_u(rng, -20, 40), curl=_u(rng, 10, 50),
            )  # fmt: skip
        return _any_arm(rng)

    bend = _u(rng, 78, 98)
    trunk = _head(rng, bend=_u(rng, -15, 30), side=_u(rng, -8, 8), turn=_u(rng, -15, 15))
    return Pose(name="sit", trunk=trunk, left_arm=arm(), right_arm=arm(), left_leg=leg(bend),
                right_leg=leg(bend))  # fmt: skip


def _crouch(rng: _Rng) -> Pose:
    deep = rng.random()

    def leg() -> Leg:
        return Leg(flex=40 + 78 * deep, spread=_u(rng, 5, 28), turn=_u(rng, 0, 25),
                   knee=55 + 80 * deep, ankle=_u(rng, 12, 28))  # fmt: skip

    def arm() -> Arm:
        return Arm(lower=_u(rng, 60, 80), swing=_u(rng, 20, 75), elbow=_u(rng, 10, 90),
                   twist=_u(rng, -20, 30), curl=_u(rng, 10, 70))  # fmt: skip

    trunk = replace(_head(rng, bend=_u(rng, 15, 50), turn=_u(rng, -20, 20)), nod=_u(rng, -30, 20))
    return Pose(name="crouch", trunk=trunk, left_arm=arm(), right_arm=arm(), left_leg=leg(),
                right_leg=leg())  # fmt: skip


def _sport(rng: _Rng) -> Pose:
    """Knees bent, feet apart, arms anywhere: boards, skis, balls."""

    def leg() -> Leg:
        bend = _u(rng, 5, 60)
        return Leg(flex=bend * 0.8 + _u(rng, -10, 15), spread=_u(rng, 5, 32), turn=_u(rng, 0, 25),
                   knee=bend + 5, ankle=_u(rng, -10, 20))  # fmt: skip

    trunk = _head(rng, bend=_u(rng, 0, 45), side=_u(rng, -18, 18), turn=_u(rng, -40, 40))
    arms = [_out(rng), _out(rng) if rng.random() < 0.6 else _any_arm(rng)]
    first = int(rng.integers(2))
    return Pose(name="sport", trunk=trunk, left_arm=arms[first], right_arm=arms[1 - first],
                left_leg=leg(), right_leg=leg())  # fmt: skip


def _bow(rng: _Rng) -> Pose:
    left, right = _standing_legs(rng)
    bend = _u(rng, 35, 85)

    def arm() -> Arm:
        return Arm(lower=_u(rng, 68, 82), swing=_u(rng, 0.3, 1) * bend, elbow=_u(rng, 5, 60))

    trunk = replace(_head(rng, bend=bend, turn=_u(rng, -15, 15)), nod=_u(rng, -35, 15))
    left, right = (
        replace(left, flex=left.flex + bend * 0.3),
        replace(right, flex=right.flex + bend * 0.3),
    )
    return Pose(name="bow", trunk=trunk, left_arm=arm(), right_arm=arm(), left_leg=left,
                right_leg=right)  # fmt: skip


def _lie(rng: _Rng) -> Pose:
    pose = _sit(rng) if rng.random() < 0.3 else _stand(rng)
    side = rng.random()
    turn = 0.0 if side < 0.6 else _u(rng, -100, 100)
    return replace(pose, name="lie", pitch=-90.0 if rng.random() < 0.65 else 90.0, roll=turn)


ACTIONS: dict[str, tuple[Callable[[_Rng], Pose], float]] = {
    "stand": (_stand, 0.33),
    "arms crossed": (_cross_arms, 0.04),
    "reach": (_reach, 0.08),
    "walk": (_walk, 0.16),
    "run": (_run, 0.06),
    "sit": (_sit, 0.14),
    "crouch": (_crouch, 0.05),
    "sport": (_sport, 0.08),
    "bow": (_bow, 0.03),
    "lie": (_lie, 0.03),
}
"""By name: what makes a pose, and its share among all."""


def sample_pose(rng: np.random.Generator, *, width: float = 0.0) -> Pose:
    """Return a random pose.

    Args:
        rng: where chance comes from.
        width: 0 for average bodies, 1 for fat ones, whose arms hang further out.
    """
    place, total = rng.random() * sum(share for _, share in ACTIONS.values()), 0.0
    make: Callable[[_Rng], Pose] = _stand
    for action, share in ACTIONS.values():
        total += share
        if place < total:
            make = action
            break
    pose = jittered(rng, make(rng), 1.5)
    return replace(
        pose, left_arm=_aside(pose.left_arm, width), right_arm=_aside(pose.right_arm, width)
    )


def _aside(arm: Arm, width: float) -> Arm:
    bent = min(arm.elbow / 90, 1) * width  # a bent arm must go around the belly
    return replace(
        arm,
        lower=min(arm.lower, 82 - 9 * width - 12 * bent),
        swing=min(arm.swing + 18 * bent, 170),
        twist=max(arm.twist - 15 * bent, -70),
    )
