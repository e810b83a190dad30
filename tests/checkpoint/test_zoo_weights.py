"""Where the weights of a model with a name are."""

import pytest

from iuv.checkpoint import CheckpointError, find_weights, zoo_weights
from iuv.zoo import EMBEDDED, get_model


def test_the_embedded_file_is_in_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo_weights, "fetch", lambda url: pytest.fail(f"asked for {url}"))
    monkeypatch.setattr(zoo_weights, "_FOLDER", tmp_path)
    with pytest.raises(
        CheckpointError, match=r"weights of synth-S are missing .* install it again"
    ):
        find_weights(EMBEDDED)
    path = tmp_path / "synth-S.safetensors"
    path.touch()
    assert find_weights(EMBEDDED) == path


def test_a_released_file_is_fetched(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(zoo_weights, "fetch", lambda url: asked.append(url) or tmp_path)
    model = get_model("R_50_FPN_s1x")
    assert find_weights(model) == tmp_path
    assert asked == [model.weights_url]
