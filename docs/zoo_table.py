"""Write the table of models into README.md.

python docs/zoo_table.py
"""

import re
from pathlib import Path

from iuv.zoo import ZOO, ZooModel

README = Path(__file__).parent.parent / "README.md"
MARK = "<!-- zoo table: python docs/zoo_table.py -->\n{}<!-- end of zoo table -->"
HEAD = """
| model | head | confidences | s/image¹ | box AP | GPS | GPSm |
|---|---|---|--:|--:|--:|--:|
"""
NOTES = """
¹ On the publisher's GPU. The DensePose-1 rows' GPS is the AP of their own evaluation.

"""


def row(model: ZooModel) -> str:
    dense = model.config.dense
    confidence = {None: "", "iid_iso": "UV", "indep_aniso": "UV, anisotropic"}[dense.uv_confidence]
    if dense.segm_confidence:
        confidence += " + segmentation"
    seconds = model.inference_s_per_image
    figures = [
        model.box_ap,
        model.dp_ap_gps if model.ap is None else model.ap,
        model.dp_ap_gpsm,
    ]
    cells = [
        f"[`{model.name}`]({model.weights_url})",
        "DeepLab" if dense.head == "deeplab" else "plain",
        confidence,
        "" if seconds is None else f"{seconds:.3f}",
        *("" if figure is None else str(figure) for figure in figures),
    ]
    return "| " + " | ".join(cells) + " |\n"


def table() -> str:
    """The README's table, one row per model of the zoo."""
    return HEAD + "".join(map(row, ZOO)) + NOTES


def main() -> None:
    text = README.read_text(encoding="utf-8")
    pattern = re.escape(MARK).replace(r"\{\}", ".*?")
    README.write_text(
        re.sub(pattern, lambda _: MARK.format(table()), text, flags=re.DOTALL), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
