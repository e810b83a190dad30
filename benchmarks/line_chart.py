"""Small line charts, drawn with Pillow: what the pages in docs/ show of measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Panel", "draw"]

Curve = Sequence[tuple[float, float]]

INK, GRID, PAPER = (40, 44, 60), (224, 226, 232), (255, 255, 255)
COLOURS = ((20, 110, 190), (220, 110, 20), (40, 150, 90), (150, 60, 150))
WIDTH, HEIGHT, ZOOM = 480, 380, 3
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 46, 54
TICKS = 5


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One chart, whose axes begin at 0."""

    title: str
    x: str
    """What is along the axis, with its unit."""
    y: str
    curves: Mapping[str, Curve]
    """By name: points (x, y), none of them negative."""
    diagonal: str | None = None
    """The name of the line x = y, if it is to be drawn."""


def draw(panels: Sequence[Panel]) -> Image.Image:
    """Draw charts beside one another; curves of one name have one colour in all of them.

    Raises:
        ValueError: there is nothing to draw.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    if not names:
        raise ValueError("a chart needs curves, and there are none")
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    image = Image.new("RGB", (WIDTH * ZOOM * len(panels), HEIGHT * ZOOM), PAPER)
    for place, panel in enumerate(panels):
        _Drawing(image, place * WIDTH, panel, colours).draw()
    return image.resize((WIDTH * len(panels), HEIGHT), Image.Resampling.LANCZOS)


class _Drawing:
    """A panel on a canvas that is `ZOOM` times too large."""

    def __init__(
        self,
        image: Image.Image,
        left: int,
        panel: Panel,
        colours: Mapping[str, tuple[int, int, int]],
    ) -> None:
        self.pen = ImageDraw.Draw(image)
        self.image = image
        self.left = left
        self.panel = panel
        self.colours = colours
        points = [point for curve in panel.curves.values() for point in curve]
        self.most = tuple(_round_up(max(values)) for values in zip(*points, strict=True))
        self.font = ImageFont.load_default(13 * ZOOM)

    def draw(self) -> None:
        self._axes()
        if self.panel.diagonal is not None:
            end = min(self.most)
            self._line([(0.0, 0.0), (end, end)], (150, 154, 166), 1)
        for name, curve in self.panel.curves.items():
            self._line(curve, self.colours[name], 2)
            for x, y in map(self._at, curve):
                radius = 4 * ZOOM
                box = [x - radius, y - radius, x + radius, y + radius]
                self.pen.ellipse(box, fill=self.colours[name])
        self._legend()

    def _at(self, point: tuple[float, float]) -> tuple[float, float]:
        x, y = (value / most for value, most in zip(point, self.most, strict=True))
        across = LEFT + x * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)
        return (self.left + across) * ZOOM, down * ZOOM

    def _line(self, curve: Curve, colour: tuple[int, int, int], width: int) -> None:
        places = [self._at(point) for point in curve]
        self.pen.line(places, fill=colour, width=width * ZOOM, joint="curve")

    def _axes(self) -> None:
        end_x, end_y = self.most
        for step in range(TICKS + 1):
            x, y = end_x * step / TICKS, end_y * step / TICKS
            for line in ([(x, 0.0), (x, end_y)], [(0.0, y), (end_x, y)]):
                self._line(line, INK if step == 0 else GRID, 1)
            across, base = self._at((x, 0.0))
            self._text((across, base + 12 * ZOOM), f"{x:.3g}", "mm")
            side, down = self._at((0.0, y))
            self._text((side - 8 * ZOOM, down), f"{y:.3g}", "rm")
        middle, base = self._at((end_x / 2, 0.0))
        self._text((middle, base + 34 * ZOOM), self.panel.x, "mm")
        self._text((middle, 20 * ZOOM), self.panel.title, "mm", bold=True)
        self._upright(self.panel.y)

    def _upright(self, text: str) -> None:
        """Write upwards beside the vertical axis."""
        left, top, right, bottom = map(int, self.font.getbbox(text))
        label = Image.new("RGB", (right + ZOOM, bottom + ZOOM), PAPER)
        ImageDraw.Draw(label).text((0, 0), text, INK, font=self.font)
        turned = label.crop((left, top, right + ZOOM, bottom + ZOOM)).rotate(90, expand=True)
        middle = (TOP + HEIGHT - BOTTOM) * ZOOM // 2
        self.image.paste(turned, ((self.left + 6) * ZOOM, middle - turned.height // 2))

    def _legend(self) -> None:
        names = [*self.panel.curves, *([self.panel.diagonal] if self.panel.diagonal else [])]
        left = (self.left + LEFT + 14) * ZOOM
        for row, name in enumerate(names):
            y = (TOP + 14 + 18 * row) * ZOOM
            colour = self.colours.get(name, (150, 154, 166))
            self.pen.line([(left, y), (left + 22 * ZOOM, y)], fill=colour, width=2 * ZOOM)
            self._text((left + 30 * ZOOM, y), name, "lm")

    def _text(
        self, place: tuple[float, float], text: str, anchor: str, *, bold: bool = False
    ) -> None:
        font = ImageFont.load_default(15 * ZOOM) if bold else self.font
        self.pen.text(place, text, INK, font=font, anchor=anchor)


def _round_up(value: float) -> float:
    """Return the end of an axis: the next number that five ticks divide well."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 1.0
    while value < power:
        power /= 10
    return next(
        step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if step * power >= value
    )
