"""Reading and writing results: npz, PNG, JSON and the legacy dump. docs/formats.md describes all.

Every file appears whole or not at all.
"""

from iuv.writers.atomic import atomic_write
from iuv.writers.coco_json import join_json, people_to_coco, read_json, write_json
from iuv.writers.dump import read_dump, write_dump
from iuv.writers.errors import ResultFileError
from iuv.writers.npz import read_npz, write_npz
from iuv.writers.png import read_iuv_png, write_iuv_png, write_png

__all__ = [
    "ResultFileError",
    "atomic_write",
    "join_json",
    "people_to_coco",
    "read_dump",
    "read_iuv_png",
    "read_json",
    "read_npz",
    "write_dump",
    "write_iuv_png",
    "write_json",
    "write_npz",
    "write_png",
]
