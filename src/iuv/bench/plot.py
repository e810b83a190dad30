"""The picture of a measurement: a bar for each form on each scene, made of its stages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from iuv.bench.forms import PLAIN
from iuv.bench.report import scene_name
from iuv.bench.stages import STAGES
from iuv.bench.suite import TOTAL, Result

__all__ = ["draw_bars"]

_INK, _GREY, _PAPER = (40, 44, 60), (110, 114, 130), (255, 255, 255)
_COLOURS = (
    (176, 182, 196),
    (20, 110, 190),
    (222, 196, 60),
    (130, 190, 230),
    (40, 150, 90),
    (220, 110, 20),
    (150, 60, 150),
    (214, 70, 90),
)
"""Of the stages, in order."""
_ZOOM = 2
_MARGIN, _NAMES, _BARS, _TOTALS = 16, 130, 520, 150
_BAR, _GAP, _TITLE, _LEGEND_ROW = 20, 6, 26, 20
_LEGEND_COLUMNS = 4
_MOST_SCENES = 40


def draw_bars(results: Sequence[Result], model: str) -> Image.Image | None:
    """Draw milliseconds per image; None if nothing has been measured.

    All bars have one scale. Of more than 40 scenes, the first 40 are drawn.

    Args:
        results: of scenes one after the other.
        model: its name, for the title.
    """
    done = [result for result in results if result.runs]
    if not done:
        return None
    groups = [(scene, list(own)) for scene, own in itertools.groupby(done, lambda r: r.scene)]
    groups = groups[:_MOST_SCENES]
    legend = -(-len(STAGES) // _LEGEND_COLUMNS) * _LEGEND_ROW
    bars = sum(_TITLE + len(own) * (_BAR + _GAP) for _, own in groups)
    width = _NAMES + _BARS + _TOTALS + 2 * _MARGIN
    drawing = _Drawing(width, _TITLE + legend + bars + 3 * _MARGIN)
    drawing.text((_MARGIN, _MARGIN + _TITLE / 2), f"{model}: milliseconds per image", "lm", _INK)
    drawing.legend(_MARGIN + _TITLE)
    longest = max(result.ms()[TOTAL].median for _, own in groups for result in own)
    top = float(_MARGIN + _TITLE + legend + _MARGIN)
    for scene, own in groups:
        drawing.text((_MARGIN, top + _TITLE / 2), scene_name(scene), "lm", _INK)
        top += _TITLE
        plain = next((r.ms()[TOTAL].median for r in own if r.form == PLAIN), None)
        for result in own:
            drawing.bar(top, result, _BARS / longest, plain)
            top += _BAR + _GAP
    return drawing.image


class _Drawing:
    """A canvas whose coordinates are points; a point is `_ZOOM` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * _ZOOM, height * _ZOOM), _PAPER)
        self.pen = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(13 * _ZOOM)

    def legend(self, top: float) -> None:
        """Say which colour is which stage."""
        for index, (stage, colour) in enumerate(zip(STAGES, _COLOURS, strict=True)):
            row, column = divmod(index, _LEGEND_COLUMNS)
            left = _MARGIN + column * (_NAMES + _BARS + _TOTALS) / _LEGEND_COLUMNS
            middle = top + (row + 0.5) * _LEGEND_ROW
            self.box((left, middle - 6, left + 12, middle + 6), colour)
            self.text((left + 18, middle), stage, "lm", _INK)

    def bar(self, top: float, result: Result, scale: float, plain: float | None) -> None:
        """Draw a name, its stages one after the other, and the total."""
        middle, left = top + _BAR / 2, float(_MARGIN + _NAMES)
        self.text((_MARGIN + 12, middle), str(result.form), "lm", _GREY)
        ms = result.ms()
        sum_of_stages = sum(ms[stage].median for stage in STAGES if stage in ms)
        total = ms[TOTAL].median
        for stage, colour in zip(STAGES, _COLOURS, strict=True):
            if stage in ms:  # medians need not add up to the median of the sum
                length = ms[stage].median * scale * total / sum_of_stages
                self.box((left, top, left + length, top + _BAR), colour)
                left += length
        ratio = f", {plain / total:.2f}x" if plain and result.form != PLAIN else ""
        self.text((left + 8, middle), f"{total:.0f} ms{ratio}", "lm", _INK)

    def box(self, corners: tuple[float, float, float, float], colour: tuple[int, int, int]) -> None:
        """Fill a box; left, top, right, bottom."""
        left, top, right, bottom = (round(corner * _ZOOM) for corner in corners)
        if right > left:
            self.pen.rectangle((left, top, right - 1, bottom - 1), fill=colour)

    def text(
        self, place: tuple[float, float], text: str, anchor: str, colour: tuple[int, int, int]
    ) -> None:
        """Write a line."""
        x, y = (coordinate * _ZOOM for coordinate in place)
        self.pen.text((x, y), text, colour, font=self.font, anchor=anchor)
