"""Finds the people of a photo with a model that ``iuv export`` has written; draws I, U, V.

    python example.py MODEL.onnx PHOTO OUT.png        (or MODEL.xml, or MODEL.pt2)

OUT.png has the size of the photo: red is the part I, 1..24, green and blue are U and V times 255,
and 0 is the background. It needs numpy, Pillow and the engine, not iuv. Copy it to change it.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

__all__ = ["draw", "main", "resampling", "run"]


def run(path: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of a model by name; the image is uint8 [h, w, 3], RGB."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, {"image": image}), strict=True))
    if path.suffix == ".xml":
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(path, "CPU", exact)
        return {key.any_name: value for key, value in compiled([image]).items()}
    import torch

    outputs = torch.export.load(path).module()(torch.tensor(image))
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def resampling(side: int, length: int) -> np.ndarray:
    """Return float32 [length, side], the matrix that stretches one axis bilinearly."""
    points = ((np.arange(length, dtype=np.float32) + 0.5) * (side / length) - 0.5).clip(0, side - 1)
    return (1 - abs(points[:, None] - np.arange(side, dtype=np.float32))).clip(0)


def draw(
    outputs: dict[str, np.ndarray], photo_size: tuple[int, int], input_size: tuple[int, int]
) -> np.ndarray:
    """Return uint8 [H, W, 3], I and U, V times 255; sizes are (width, height)."""
    width, height = photo_size
    canvas = np.zeros((height, width, 3), np.uint8)
    scale = np.array([width / input_size[0], height / input_size[1]] * 2, np.float32)
    boxes = (outputs["boxes"] * scale).clip(0, [width, height] * 2)
    for person in reversed(range(len(boxes))):  # the best is on top
        x0, y0, x1, y1 = boxes[person]
        if x1 <= x0 or y1 <= y0:
            continue
        x, y, w, h = int(x0), int(y0), max(int(x1 - x0), 1), max(int(y1 - y0), 1)
        side = outputs["u"].shape[-1]
        rows, columns = resampling(side, h), resampling(side, w).T
        coarse, fine, u, v = (
            rows @ outputs[name][person] @ columns
            for name in ("coarse_segm", "fine_segm", "u", "v")
        )
        part = fine.argmax(0) * (coarse.argmax(0) > 0)
        uv = [np.take_along_axis(maps, part[None], 0)[0].clip(0, 1) * 255 for maps in (u, v)]
        iuv = np.stack([part, *uv], axis=-1).astype(np.uint8)
        place = canvas[y : y + h, x : x + w]
        iuv = iuv[: place.shape[0], : place.shape[1]]
        np.copyto(place, iuv, where=iuv[..., :1] > 0)
    return canvas


def main(model: str, photo: str, out: str) -> None:
    """Read a photo, run a model on it, write the picture."""
    rules = json.loads(Path(model).with_suffix(".json").read_text())["input"]
    image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    scale = min(rules["short_side"] / min(image.size), rules["long_side"] / max(image.size))
    width, height = (max(int(side * scale + 0.5), 1) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    outputs = run(Path(model), np.array(resized))
    Image.fromarray(draw(outputs, image.size, resized.size)).save(out)
    print(f"{out}: {len(outputs['boxes'])} people")


if __name__ == "__main__":
    main(*sys.argv[1:])
