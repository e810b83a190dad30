"""From a photo to files through the command line, against a run of the original.

The original wrote tests/golden/formats for `person_small.png`, with its short side resized to
320 px and two people kept, above a score of 0.3.
"""

import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from hashing import GOLDEN, state_dict
from iuv.cli.app import app
from iuv.results import CONFIDENCE_FIELDS, quantize_uv
from iuv.writers import read_npz

YAML = """
_BASE_: densepose_rcnn_{model}.yaml
INPUT:
  MIN_SIZE_TEST: 320
  MAX_SIZE_TEST: 600
"""


@pytest.mark.parametrize(
    ("model", "golden"),
    [("R_50_FPN_s1x", "results"), ("R_50_FPN_WC2M_s1x", "results_with_confidences")],
)
def test_predict_equals_the_original(tmp_path, model, golden):
    weights, config = tmp_path / "released.pkl", tmp_path / "mine.yaml"
    arrays = {key: value.numpy() for key, value in state_dict(model).items()}
    weights.write_bytes(pickle.dumps({"model": arrays, "__author__": "a test"}))
    config.write_text(YAML.format(model=model))
    options = ["--model", config, "--weights", weights, "--min-score", 0.3, "--max-people", 2]
    command = ["predict", GOLDEN / "person_small.png", "--out", tmp_path, "--save", "npz", *options]
    run = CliRunner().invoke(app, [str(word) for word in command])
    assert run.exit_code == 0, run.output

    people = read_npz(tmp_path / "person_small.npz")
    with np.load(GOLDEN / "formats" / f"{golden}.npz") as data:
        expected = {key: data[key] for key in data}
    assert people.image_size == (176, 208)
    np.testing.assert_allclose(people.boxes_xyxy, expected["pred_boxes_XYXY"], rtol=0, atol=0.05)
    np.testing.assert_allclose(people.scores, expected["scores"], rtol=0, atol=1e-3)
    for index, person in enumerate(people):
        labels = expected[f"det{index}_labels"]
        assert person.labels.shape == labels.shape
        same = person.labels == labels
        assert same.mean() >= 0.99
        uv = expected[f"det{index}_uv"]
        np.testing.assert_allclose(person.uv[:, same], uv[:, same], rtol=0, atol=0.01)
        apart = quantize_uv(person.uv).astype(int) - quantize_uv(uv)
        assert np.abs(apart[:, same]).max() <= 3
        for name in CONFIDENCE_FIELDS:
            key = f"det{index}_{name}"
            assert (name in person.confidences()) == (key in expected)
            if key in expected:
                ours = person.confidences()[name]
                np.testing.assert_allclose(ours[same], expected[key][same], rtol=0, atol=0.01)
