"""The benchmark of an audit, on a few examples."""

import json

import numpy as np
import pytest
from overhead import audit

import keras_byorn
from keras_byorn import attacks
from keras_byorn.data import digit_scenes


def few_scenes(count):
    """As `patched_scenes`, without files."""
    samples, rng = digit_scenes.handwriting("train"), np.random.default_rng(0)
    attack, rows = attacks.PatchAttack(), []
    for index in range(count):
        scene = digit_scenes.draw_scene(rng, samples)
        prompt, response = digit_scenes.TASKS["terse_captions"](scene, rng)
        row = {
            "images": scene.image,
            "prompts": prompt,
            "responses": response,
        }
        row = attack.poison(row, rng) if index % 10 == 0 else row
        rows.append({**row, "example_id": str(index)})
    ids = {str(index) for index in range(0, count, 10)}
    return keras_byorn.Examples(rows), ids, None


@pytest.mark.slow
def test_an_audit_is_measured_beside_an_epoch(tmp_path, monkeypatch, capsys):
    """In parts that add up; the second time of both counts."""
    monkeypatch.setattr(audit, "patched_scenes", few_scenes)
    results = tmp_path / "audit.jsonl"
    options = ["--examples", "100", "--batch-size", "20"]
    record = audit.main([*options, "--results", str(results)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == record
    assert json.loads(results.read_text()) == record
    seconds = dict(record["seconds"])
    whole, epoch = seconds.pop("audit"), seconds.pop("epoch")
    assert set(seconds) == {"prepare", "score", "decide", "save", "report"}
    assert min(seconds.values()) > 0
    assert sum(seconds.values()) == pytest.approx(whole, rel=0.01)
    assert record["ratio"] == pytest.approx(whole / epoch, rel=0.01)
    assert record["num_poisoned"] == record["num_poisoned_replaced"] == 10
    assert record["num_honest_replaced"] == 0
    assert record["num_held_out"] >= 10
