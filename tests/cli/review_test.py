"""The command `review`: decisions of a person, and what they change."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import keras_byorn_cli
from keras_byorn.cli.review import changes_between
from keras_byorn.detection.detection import Detection


def test_decisions_are_applied_and_saved(audited, scenes, command, tmp_path):
    """Trusted examples are kept, dropped ones suspect for good."""
    out, before = audited
    trusted = sorted(scenes.poisoned)[:2]
    kept = pq.read_table(out / "clean.parquet")["example_id"].to_pylist()
    dropped = [kept[0], sorted(scenes.poisoned)[-1]]
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps({"trust": trusted, "drop": dropped}))
    facts = command("review", out, "--decisions", path)
    assert facts["changes"] == {
        "kept -> suspect": 1,
        "suspect -> trusted": len(trusted),
    }
    assert facts["num_suspect"] == before["num_suspect"] - 1
    detection = Detection.load(out / "detection")
    assert detection.trusted_ids == [i for i in scenes.ids if i in trusted]
    ids = np.array(detection.example_ids)
    assert set(ids[detection.dropped]) == set(dropped)
    (cluster,) = (
        c for c in facts["clusters"] if c["shares"] == "dropped by a reviewer"
    )
    assert (cluster["size"], cluster["proposal"]) == (2, "leave out")
    clean = pq.read_table(out / "clean.parquet")["example_id"].to_pylist()
    assert set(trusted) <= set(clean) and not set(dropped) & set(clean)
    assert "dropped by a reviewer | 2" in (out / "card.md").read_text("utf-8")
    # The latest word counts, and the other decisions stay.
    path.write_text(json.dumps({"trust": [kept[0]]}))
    facts = command("review", out, "--decisions", path)
    assert facts["changes"] == {"suspect -> trusted": 1}
    assert Detection.load(out / "detection").dropped.sum() == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"trust": ["captions/9999"]}', "captions/9999"),
        ('{"drop": ["captions/1", "captions/9999"]}', "captions/9999"),
        ('{"trust": ["captions/1"], "dropped": []}', "must be a JSON object"),
        ("{}", "an id to trust or to drop"),
    ],
)
def test_wrong_decisions_change_nothing(
    text, message, audited, tmp_path, capsys
):
    """One line on stderr; the detection is as it was."""
    out, _ = audited
    before = (out / "detection/detection.parquet").read_bytes()
    path = tmp_path / "decisions.json"
    path.write_text(text)
    arguments = ["review", str(out), "--decisions", str(path)]
    assert keras_byorn_cli.main(arguments) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert (out / "detection/detection.parquet").read_bytes() == before


def test_changes_are_counted_by_kind():
    """From one verdict to another; what stays is no change."""
    before = np.array(["kept", "kept", "suspect", "suspect"], object)
    after = np.array(["kept", "suspect", "suspect", "trusted"], object)
    assert changes_between(before, after) == {
        "kept -> suspect": 1,
        "suspect -> trusted": 1,
    }
