"""Sizes of the benchmark: their arithmetic, and the pretrained one."""

import numpy as np
import pytest
from overhead import model


def test_scaled_has_the_proportions_of_the_large_model():
    """Head, decoder and vision tower cost 0.53 : 2.0 : 0.41, plainly."""
    flops = model.forward_flops(model.SCALED, num_text=64)
    found = np.array([flops[name] for name in ("head", "decoder", "vision")])
    np.testing.assert_allclose(found / found[0] * 0.53, [0.53, 2.0, 0.41], 0.1)
    side = model.SCALED["image_size"] // model.SCALED["vit_patch_size"]
    assert side**2 == 64


def test_pali_gemma_3b_is_the_real_one():
    """Parameters in the head, the decoder and the tower, in billions."""
    c = model.PALI_GEMMA_3B
    one_more = model.forward_flops({**c, "image_size": 0}, num_text=1)
    np.testing.assert_allclose(one_more["head"] / 2e9, 0.527, rtol=0.01)
    np.testing.assert_allclose(one_more["decoder"] / 2e9, 1.98, rtol=0.01)
    whole = model.forward_flops(c, num_text=16)
    np.testing.assert_allclose(whole["vision"] / 256 / 2e9, 0.414, rtol=0.06)
    share = whole["vision"] / whole["head"] * 0.53
    np.testing.assert_allclose(share, 0.41, rtol=0.1)


def test_flops_by_hand():
    """A model so small that each product can be counted."""
    config = {
        "vocabulary_size": 7,
        "image_size": 4,
        "num_layers": 1,
        "num_query_heads": 2,
        "num_key_value_heads": 1,
        "hidden_dim": 3,
        "intermediate_dim": 10,
        "head_dim": 4,
        "vit_patch_size": 2,
        "vit_hidden_dim": 6,
        "vit_num_layers": 1,
        "vit_intermediate_dim": 5,
    }
    flops = model.forward_flops(config, num_text=2)  # and 4 of the image
    assert flops["head"] == 2 * 6 * 7 * 3
    products = 2 * (3 * 8 + 3 * 4 + 3 * 4 + 8 * 3 + 3 * 3 * 5)
    assert flops["decoder"] == 6 * (products + 2 * 6 * 8 + 2 * 6 * 8)
    patches = 2 * (12 * 6 + 6 * 3)
    layer = 2 * (4 * 6 * 6 + 2 * 6 * 5) + 2 * 4 * 6 + 2 * 4 * 6
    assert flops["vision"] == 4 * (layer + patches)


def test_new_task_has_the_sizes(settings):
    """Those of the backbone, and a token for each word."""
    vlm = model.load_vlm(settings)
    assert vlm.backbone.hidden_dim == model.SHRUNKEN["hidden_dim"]
    assert vlm.preprocessor.sequence_length == model.SEQUENCE_LENGTH
    assert vlm.preprocessor.tokenizer.vocabulary_size() == 512
    assert vlm.preprocessor.image_converter.image_size == (16, 16)


@pytest.mark.slow
def test_scaled_has_six_million_parameters():
    """Built, not counted from the sizes."""
    vlm = model.new_task({"size": "scaled"})
    assert 5e6 < vlm.count_params() < 7e6


@pytest.mark.slow
def test_pretraining_is_kept_on_disk(settings, monkeypatch, tmp_path):
    """Made once, for one recipe; `scaled` is loaded from there."""
    monkeypatch.setattr(model.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(
        model, "PRETRAINING", {**model.PRETRAINING, "steps": 1, "batch_size": 4}
    )
    settings |= {"size": "scaled", "tuning": "full"}
    model.pretrain(settings)
    folder = model.pretrained_folder(settings)
    assert list(folder.parent.iterdir()) == [folder]
    made = (folder / "config.json").stat().st_mtime_ns
    model.pretrain(settings)
    assert (folder / "config.json").stat().st_mtime_ns == made
    assert model.load_vlm(settings).backbone.hidden_dim == 16
    monkeypatch.setitem(model.PRETRAINING, "steps", 3)
    assert model.pretrained_folder(settings) != folder
