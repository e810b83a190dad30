"""Draw docs/images/parts.png: the 24 parts on a schematic body, seen from the front and the back.

python docs/images/parts.py
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from iuv.bodyparts import PARTS

WIDTH, HEIGHT, ZOOM = 1200, 620, 3
INK, PAPER = (40, 44, 60), (255, 255, 255)

# Shapes of the figure's image-left half, in pixels from the middle line: the front view's part,
# the back view's part, then a capsule (x0, y0, r0, x1, y1, r1).
LIMBS = [
    (16, 17, (-62, 150, 21, -92, 232, 18)),
    (20, 21, (-95, 240, 17, -118, 318, 13)),
    (3, 4, (-121, 330, 14, -129, 362, 11)),
    (9, 8, (-31, 312, 31, -37, 412, 23)),
    (13, 12, (-38, 420, 22, -41, 520, 14)),
    (6, 5, (-44, 532, 14, -54, 548, 12)),
]
MIRROR_BACK = {17: 18, 21: 22, 4: 3, 8: 7, 12: 11, 5: 6}
MIRROR_FRONT = {16: 15, 20: 19, 3: 4, 9: 10, 13: 14, 6: 5}
TORSO = [(-52, 128), (-20, 112), (20, 112), (52, 128), (48, 215), (56, 315), (0, 345), (-56, 315)]


def colour(part: int) -> tuple[int, int, int]:
    """PARULA, as in the other drawings."""
    grey = np.full((1, 1), part * 255 // 24, dtype=np.uint8)
    blue, green, red = cv2.applyColorMap(grey, cv2.COLORMAP_PARULA)[0, 0]
    return int(red), int(green), int(blue)


def capsule(draw: ImageDraw.ImageDraw, centre: int, shape: tuple, part: int) -> tuple[float, float]:
    x0, y0, r0, x1, y1, r1 = (v * ZOOM for v in shape)
    x0, x1 = x0 + centre * ZOOM, x1 + centre * ZOOM
    for t in np.linspace(0, 1, 200):
        x, y, r = x0 + t * (x1 - x0), y0 + t * (y1 - y0), r0 + t * (r1 - r0)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour(part))
    return (x0 + x1) / 2, (y0 + y1) / 2


def figure(draw: ImageDraw.ImageDraw, font, centre: int, *, front: bool) -> None:
    labels = []
    torso = 2 if front else 1
    draw.polygon([((x + centre) * ZOOM, y * ZOOM) for x, y in TORSO], fill=colour(torso))
    labels.append((torso, centre * ZOOM, 220 * ZOOM))
    for side, part in ((-1, 23 if front else 24), (1, 24 if front else 23)):
        box = [(centre - 36) * ZOOM, 20 * ZOOM, (centre + 36) * ZOOM, 114 * ZOOM]
        start = 90 if side < 0 else 270
        draw.pieslice(box, start, start + 180, fill=colour(part))
        labels.append((part, (centre + side * 18) * ZOOM, 66 * ZOOM))
    for front_part, back_part, shape in LIMBS:
        part = front_part if front else back_part
        x, y = capsule(draw, centre, shape, part)
        labels.append((part, x, y))
        mirrored = (-shape[0], *shape[1:3], -shape[3], *shape[4:])
        part = MIRROR_FRONT[part] if front else MIRROR_BACK[part]
        x, y = capsule(draw, centre, mirrored, part)
        labels.append((part, x, y))
    for part, x, y in labels:
        red, green, blue = colour(part)
        light = 0.3 * red + 0.6 * green + 0.1 * blue > 140
        draw.text((x, y), str(part), INK if light else PAPER, font=font, anchor="mm")


def main() -> None:
    image = Image.new("RGB", (WIDTH * ZOOM, HEIGHT * ZOOM), PAPER)
    draw = ImageDraw.Draw(image)
    number, title, name = (ImageFont.load_default(size * ZOOM) for size in (15, 17, 14))
    for centre, front, heading in ((170, True, "from the front"), (470, False, "from the back")):
        figure(draw, number, centre, front=front)
        draw.text((centre * ZOOM, 590 * ZOOM), heading, INK, font=title, anchor="mm")
    for index, part in enumerate(PARTS):
        x, y = (650 + 275 * (index // 12)) * ZOOM, (50 + 44 * (index % 12)) * ZOOM
        draw.rounded_rectangle(
            [x, y, x + 34 * ZOOM, y + 30 * ZOOM], radius=6 * ZOOM, fill=colour(part.index)
        )
        red, green, blue = colour(part.index)
        light = 0.3 * red + 0.6 * green + 0.1 * blue > 140
        middle = (x + 17 * ZOOM, y + 15 * ZOOM)
        draw.text(middle, str(part.index), INK if light else PAPER, font=number, anchor="mm")
        draw.text((x + 44 * ZOOM, y + 15 * ZOOM), part.name, INK, font=name, anchor="lm")
    small = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    small.quantize(128).save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
