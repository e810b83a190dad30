"""What people wear, and their hair: which garment covers what, how loosely, made of what.

F: triangles of the body; V: its vertices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from iuv.synth.body import body_template
from iuv.synth.garments import Coat, Layer
from iuv.synth.lines import LINES, Sides
from iuv.synth.mesh import Floats, Material
from iuv.synth.sheets import Sheet, brim, bun, long_hair, skirt

__all__ = ["Outfit", "sample_outfit"]

# Layers, from the skin outwards; a higher one covers the edge of a lower one.
_SKIN, _BEARD, _SOCK, _GLOVE, _UNDER, _OVER, _JACKET, _SHOE, _GLASSES, _HAIR, _HAT = range(11)
_TORSO, _HANDS, _FEET, _HEAD = (1, 2), (3, 4), (5, 6), (23, 24)
_THIGHS, _SHINS = (7, 8, 9, 10), (11, 12, 13, 14)
_ARMS = (15, 16, 17, 18, 19, 20, 21, 22)


@dataclass(slots=True)
class Outfit:
    """Everything on a body; garments put on later cover earlier ones."""

    coat: Coat
    layers: list[Layer]
    sheets: list[tuple[Sheet, Material]] = field(default_factory=list)
    """What hangs free, and what it is made of."""

    def materials(self) -> list[Material]:
        """Return everything that is seen."""
        worn = {material for _, material in self.sheets}
        counts = np.bincount(self.coat.material)
        return sorted(worn | {Material(number) for number in np.flatnonzero(counts).tolist()})

    def wear(self, where: Sides, layer: int, material: Material, how: Layer | None = None) -> None:
        """Put a garment on the triangles `where` [F], or only colour what is there already."""
        self.coat.layer[where] = layer
        self.coat.material[where] = material
        if how is not None:
            self.layers[layer] = how


@lru_cache(maxsize=32)
def _on(*parts: int) -> Sides:
    return np.isin(body_template().part, parts)


def _above(line: str) -> Sides:
    return body_template().sides[line]


def sample_outfit(rng: np.random.Generator, *, female: float, child: float) -> Outfit:
    """Return clothes and hair.

    Args:
        rng: where chance comes from.
        female: -1..1, see `iuv.synth.shapes.Shape`.
        child: 0..1, likewise.
    """
    count = len(body_template().faces)
    coat = Coat(np.zeros(count, np.uint8), np.full(count, Material.SKIN, np.uint8))
    outfit = Outfit(coat, [Layer(0.0) for _ in range(_HAT + 1)])
    _paint_face(rng, outfit, female, child)
    dressed = rng.random()
    wears_dress = rng.random() < 0.22 * (1 + female) / 2 + 0.01
    if dressed < 0.035:
        _swimwear(outfit, female)
    elif wears_dress:
        _dress(rng, outfit)
    else:
        _two_pieces(rng, outfit, female)
    if dressed >= 0.035 and rng.random() < 0.24:
        _jacket(rng, outfit)
    _shoes(rng, outfit)
    if rng.random() < 0.03:
        outfit.wear(_on(*_HANDS), _GLOVE, Material.GLOVE, Layer(0.0015))
    _hair(rng, outfit, female, child)
    return outfit


def _chance(rng: np.random.Generator, *weighted: tuple[str, float]) -> str:
    weights = np.array([weight for _, weight in weighted])
    place = rng.random() * weights.sum()
    return weighted[int(np.searchsorted(np.cumsum(weights), place))][0]


def _paint_face(rng: np.random.Generator, outfit: Outfit, female: float, child: float) -> None:
    inside = _face()
    outfit.coat.material[inside["lips"]] = Material.LIPS
    outfit.coat.material[inside["brow"]] = Material.BROW
    outfit.coat.material[inside["eye"]] = Material.EYE_WHITE
    outfit.coat.material[inside["eye"] & inside["iris"]] = Material.IRIS
    outfit.coat.material[inside["eye"] & inside["pupil"]] = Material.PUPIL
    if female < -0.2 and child == 0 and rng.random() < 0.3:
        c = _centres()
        beard = (
            _on(*_HEAD) & _above("beard") & (c[:, 1] > 0.862) & (c[:, 2] > 0.005) & ~inside["lips"]
        )
        full = Layer(0.003) if rng.random() < 0.5 else None
        outfit.wear(beard, _BEARD if full else _SKIN, Material.BEARD, full)
    if rng.random() < 0.06:
        outfit.wear(inside["lens"], _GLASSES, Material.GLASSES, Layer(0.0035))


@lru_cache(maxsize=1)
def _centres() -> Floats:
    template = body_template()
    centres: Floats = template.rest[template.faces].mean(axis=1)
    return centres


def _sleeved(sleeve: str) -> Sides:
    """Return [F]: the arms down to a line across them."""
    return _on(*_ARMS) & ~_above(sleeve)


def _trunk(neck: str, hem: str) -> Sides:
    below = ~_above("crew")
    if neck != "crew":
        below &= ~(_above(neck) & _above("flank"))
    return _on(*_TORSO, *_THIGHS, *_HEAD) & _above(hem) & below


def _fit(rng: np.random.Generator) -> Layer:
    loose = rng.random()
    return Layer(0.0025 + 0.011 * loose**1.5, 0.15 + 0.85 * loose)


def _two_pieces(rng: np.random.Generator, outfit: Outfit, female: float) -> None:
    skirt_hem = float(rng.uniform(0.10, 0.44)) if rng.random() < 0.08 * (1 + female) else None
    tucked = skirt_hem is not None or rng.random() < 0.3
    waist = "waist" if tucked or rng.random() < 0.3 else "belt"
    if tucked:
        _top(rng, outfit, _UNDER, "belt")
    if skirt_hem is not None:
        _skirt(rng, outfit, _OVER, skirt_hem, Material.BOTTOM)
    else:
        leg = _chance(
            rng, ("cuff", 0.62), ("shorts", 0.12), ("knee pants", 0.1), ("hot pants", 0.06),
            ("calf", 0.10),
        )  # fmt: skip
        where = _on(*_TORSO, *_THIGHS, *_SHINS) & ~_above(waist) & _above(leg)
        outfit.wear(where, _OVER if tucked else _UNDER, Material.BOTTOM, _fit(rng))
    if not tucked:
        hem = _chance(rng, ("hips", 0.7), ("belt", 0.25), ("waist", 0.05))
        _top(rng, outfit, _OVER, hem)
    elif skirt_hem is None and rng.random() < 0.5:
        belt = _on(*_TORSO) & ~_above("waist") & _above("belt")
        outfit.coat.material[belt] = Material.BELT


def _top(rng: np.random.Generator, outfit: Outfit, layer: int, hem: str) -> None:
    where = _trunk(_chance(rng, ("crew", 0.7), ("v neck", 0.15), ("scoop", 0.15)), hem)
    sleeve = _chance(
        rng, ("short sleeve", 0.4), ("long sleeve", 0.37), ("cap sleeve", 0.05),
        ("half sleeve", 0.08), ("", 0.10),
    )  # fmt: skip
    if sleeve:
        where = where | _sleeved(sleeve)
    outfit.wear(where, layer, Material.TOP, _fit(rng))


def _skirt(
    rng: np.random.Generator, outfit: Outfit, layer: int, hem: float, material: Material
) -> None:
    hips = _on(*_TORSO, *_THIGHS) & ~_above("belt") & _above("hips")
    outfit.wear(hips, layer, material, Layer(0.004, 0.8))
    flare = round(float(rng.uniform(0.02, 0.35)) / 0.04) * 0.04
    outfit.sheets.append((skirt(0.572, round(hem / 0.02) * 0.02, flare), material))


def _dress(rng: np.random.Generator, outfit: Outfit) -> None:
    where = _trunk(_chance(rng, ("crew", 0.3), ("scoop", 0.45), ("v neck", 0.25)), "belt")
    sleeve = _chance(
        rng, ("", 0.45), ("cap sleeve", 0.2), ("short sleeve", 0.2), ("long sleeve", 0.15)
    )
    if sleeve:
        where = where | _sleeved(sleeve)
    material = Material.TOP if rng.random() < 0.8 else Material.BOTTOM
    _skirt(rng, outfit, _UNDER, float(rng.uniform(0.08, 0.42)), material)
    outfit.wear(where, _OVER, Material.TOP, Layer(0.004, 0.35))


def _swimwear(outfit: Outfit, female: float) -> None:
    briefs = _on(*_TORSO) & ~_above("belt")
    if female > 0:
        outfit.wear(
            _trunk("scoop", "hips") & _on(*_TORSO), _UNDER, Material.UNDERWEAR, Layer(0.001)
        )
    else:
        briefs |= _on(*_THIGHS) & _above("hot pants")
    outfit.wear(briefs, _UNDER, Material.UNDERWEAR, Layer(0.001))


def _jacket(rng: np.random.Generator, outfit: Outfit) -> None:
    over_skirt = bool(outfit.sheets)  # which a longer jacket would stick out of
    where = _trunk("crew", "belt" if over_skirt else "hips") | _sleeved("long sleeve")
    if rng.random() < 0.6:
        front = _on(2, 9, 10) & _above("opening") & (_centres()[:, 2] > 0)
        where &= ~front
    outfit.wear(where, _JACKET, Material.JACKET, Layer(float(rng.uniform(0.010, 0.018)), 0.9))


def _shoes(rng: np.random.Generator, outfit: Outfit) -> None:
    kind = _chance(rng, ("low", 0.7), ("boots", 0.14), ("socks", 0.04), ("bare", 0.12))
    feet, bare = _on(*_FEET), outfit.coat.layer == _SKIN
    if kind in ("low", "socks") and rng.random() < 0.65:
        ankles = (feet | _on(*_SHINS)) & ~_above("sock") & bare
        outfit.wear(ankles, _SOCK, Material.SOCK, Layer(0.0012))
    if kind == "low":
        outfit.wear(feet & ~_above("shoe"), _SHOE, Material.SHOE, Layer(0.0045, 0.3))
    if kind == "boots":
        top = "calf" if rng.random() < 0.4 else "sock"
        boots = (feet | _on(*_SHINS)) & ~_above(top)
        if rng.random() < 0.5:  # trousers over the boots
            boots &= (outfit.coat.layer == _SKIN) | (outfit.coat.layer == _SOCK)
        outfit.wear(boots, _SHOE, Material.SHOE, Layer(0.006, 0.4))
    if kind in ("low", "boots"):
        sole = feet & ~_above("sole")
        outfit.coat.material[sole] = Material.SOLE


@lru_cache(maxsize=1)
def _scalp() -> tuple[Sides, Floats]:
    """Return [F] where hair grows, and [V] how thick it is: 0 at its edge, most at the crown."""
    template = body_template()
    height = LINES["hairline"].level(template.rest, template.rest)
    up = np.clip((template.rest[:, 1] - 0.93) / 0.07, 0, 1)
    return _on(*_HEAD) & _above("hairline"), np.clip(height / 0.022, 0, 1) * (0.75 + 0.5 * up)


@lru_cache(maxsize=1)
def _face() -> dict[str, Sides]:
    """Return [F] by feature: where it is."""
    front = _on(*_HEAD) & (_centres()[:, 2] > 0.03)
    return {n: front & ~_above(n) for n in ("eye", "iris", "pupil", "lips", "brow", "lens")}


def _hair(rng: np.random.Generator, outfit: Outfit, female: float, child: float) -> None:
    where, depth = _scalp()
    long = 0.75 * (1 + female) / 2 + 0.05
    style = _chance(
        rng, ("bald", 0.05 * (female < 0) * (child == 0)), ("buzz", 0.12 * (1 - female) / 2 + 0.01),
        ("short", 0.75 * (1 - female) / 2 + 0.1), ("bush", 0.07), ("long", long * 0.6),
        ("tail", long * 0.25), ("bun", long * 0.15),
    )  # fmt: skip
    thick = {"bald": 0.0, "buzz": 0.002, "bush": rng.uniform(0.02, 0.045)}.get(
        style, rng.uniform(0.006, 0.014)
    )
    if style != "bald":
        outfit.wear(where, _HAIR, Material.HAIR, Layer(0.001 + thick * depth, 0.3))
    hat = rng.random() < 0.12
    sheets: dict[str, Callable[[], Sheet]] = {
        "long": lambda: long_hair(round(rng.uniform(0.72, 0.87), 2), 1.0),
        "tail": lambda: long_hair(round(rng.uniform(0.74, 0.86), 2), 0.28),
        "bun": lambda: bun(round(rng.uniform(0.016, 0.026), 3), round(rng.uniform(0.93, 0.98), 2)),
    }
    if style in sheets:
        outfit.sheets.append((sheets[style](), Material.HAIR))
    if hat:
        _hat(rng, outfit, thick)


def _hat(rng: np.random.Generator, outfit: Outfit, hair: float) -> None:
    kind = _chance(rng, ("cap", 0.45), ("beanie", 0.3), ("helmet", 0.15), ("hat", 0.10))
    thickness = {"helmet": 0.020}.get(kind, 0.006) + min(hair, 0.012) * 0.8
    outfit.wear(_on(*_HEAD) & _above("hat"), _HAT, Material.HAT, Layer(thickness, 0.6))
    if kind in ("cap", "hat"):
        peak = brim(round(rng.uniform(0.035, 0.05), 3), kind == "hat")
        outfit.sheets.append((peak, Material.HAT))
