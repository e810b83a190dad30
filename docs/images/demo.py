"""Draw docs/images/demo.jpg: the two pictures of `iuv demo`, each beside what it has found.

python docs/images/demo.py

The file's comment says which weights have found it; tests/test_embedded.py compares.
"""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from iuv.checkpoint import find_weights
from iuv.cli.demo import demo
from iuv.zoo import EMBEDDED

HEIGHT, GAP, PAPER = 320, 8, (255, 255, 255)
NAMES = ("astronaut.jpg", "astronaut_overlay.png", "scene.jpg", "scene_overlay.png")


def main() -> None:
    with TemporaryDirectory() as folder:
        demo(Path(folder))
        pictures = [Image.open(Path(folder) / name).convert("RGB") for name in NAMES]
    widths = [round(picture.width * HEIGHT / picture.height) for picture in pictures]
    strip = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), HEIGHT), PAPER)
    left = 0
    for picture, width in zip(pictures, widths, strict=True):
        strip.paste(picture.resize((width, HEIGHT), Image.Resampling.LANCZOS), (left, 0))
        left += width + GAP
    weights = hashlib.sha256(find_weights(EMBEDDED).read_bytes()).hexdigest()
    strip.save(Path(__file__).with_suffix(".jpg"), quality=88, optimize=True, comment=weights)


if __name__ == "__main__":
    main()
