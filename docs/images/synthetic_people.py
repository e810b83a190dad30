"""Draw docs/images/synthetic-people.jpg: what `iuv synth --seed 1 --sheet` begins with.

python docs/images/synthetic_people.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from iuv.data.contact import contact_sheet
from iuv.data.datasets import load_dataset
from iuv.synth.dataset import ANNOTATIONS, Recipe, SampleWriter
from iuv.synth.production import produce

COUNT, WIDTH = 12, 1300


def main() -> None:
    with TemporaryDirectory() as folder:
        produce(SampleWriter(Recipe(seed=1), Path(folder)), COUNT)
        sheet = Image.fromarray(contact_sheet(load_dataset(Path(folder) / ANNOTATIONS).images))
    size = WIDTH, round(sheet.height * WIDTH / sheet.width)
    small = sheet.resize(size, Image.Resampling.LANCZOS)
    small.save(Path(__file__).with_name("synthetic-people.jpg"), quality=85, optimize=True)


if __name__ == "__main__":
    main()
