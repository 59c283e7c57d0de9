"""The command `finetune`: what it is told, and what it leaves behind."""

import json

import keras_hub
import numpy as np
import pytest

import keras_byorn
import keras_byorn_cli
from keras_byorn.cli.finetune import split, state_folder
from keras_byorn.data.examples import Examples
from keras_byorn.detection.detection import Detection
from keras_byorn.training import run_files
from keras_byorn.training.target_store import TargetStore

TINY = ("--preset", keras_byorn.tiny_preset(), "--dtype", "float32")
SHORT = ("--epochs", "2", "--lora-rank", "2", "--learning-rate", "1e-3")


@pytest.mark.slow
def test_a_run_is_defended_and_accounted_for(scenes, command, tmp_path):
    """With trusted examples, some of them among those to validate on."""
    out, trusted = tmp_path / "out", tmp_path / "trusted.json"
    vouched = [i for i in scenes.ids if i not in scenes.poisoned][:30]
    trusted.write_text(json.dumps(vouched))
    facts = command(
        *("finetune", scenes.table, *TINY, *SHORT, "--out", out),
        *("--trusted", trusted, "--validation-split", "0.25", "--seed", "5"),
    )
    assert facts["num_examples"] == 90
    assert sum(facts["targets"].values()) == 90
    for name in ("audit.html", "audit.parquet", "card.md", "checkpoints"):
        assert (out / name).exists()
    store = TargetStore.load(out / "checkpoints/epoch_02.parquet")
    poisoned = scenes.poisoned & set(store.example_ids)
    assert {store[i].origin for i in poisoned} == {"regenerated"}
    own = [i for i in vouched if i in store.example_ids]
    assert 0 < len(own) < 30
    assert {store[i].verdict for i in own} == {"trusted"}
    assert Detection.load(out / "detection").trusted_ids == own
    card = (out / "card.md").read_text("utf-8")
    assert "| validation split | 0.25 |" in card
    assert f"regenerated in the end | {len(poisoned)} |" in card
    keras_hub.models.CausalLM.from_preset(str(out / "preset"))


@pytest.mark.slow
def test_a_reviewed_detection_is_trained_on(
    audited, scenes, command, tmp_path, capsys
):
    """What a person dropped is out of every epoch, and scored again is none."""
    folder, _ = audited
    decisions = tmp_path / "decisions.json"
    poisoned = sorted(scenes.poisoned)
    detection = Detection.load(folder / "detection")
    kept = detection.example_ids[np.flatnonzero(~detection.held_out)[0]]
    dropped = [kept, poisoned[0]]
    decisions.write_text(json.dumps({"drop": dropped}))
    command("review", folder, "--decisions", decisions)
    out = tmp_path / "tuned"
    facts = command(
        *("finetune", scenes.table, *TINY, *SHORT, "--out", out),
        *("--detection", folder / "detection"),
    )
    store = TargetStore.load(out / "checkpoints/epoch_02.parquet")
    for example_id in dropped:
        row = store[example_id]
        assert (row.origin, row.verdict) == ("excluded", "suspect")
    rest = {store[example_id].origin for example_id in poisoned[1:]}
    assert rest == {"regenerated"}
    assert facts["targets"]["regenerated"] == len(poisoned) - 1


def test_a_share_is_held_back_by_the_seed():
    """In the order of the examples; all of them are in one of both parts."""
    rows = [
        {"example_id": f"a/{i}", "images": None, "prompts": "q", "responses": r}
        for i, r in enumerate("abcdefgh")
    ]
    examples = Examples(rows)
    assert split(examples, 0.0, 0) == (examples, None)
    train, held_back = split(examples, 0.25, 0)
    assert (len(train), len(held_back)) == (6, 2)
    ids = sorted([*train.example_ids, *held_back.example_ids])
    assert ids == examples.example_ids
    for part in (train, held_back):
        assert part.example_ids == sorted(part.example_ids)
        for row in part:
            assert row == examples.by_id(row["example_id"])
    again, _ = split(examples, 0.25, 0)
    assert again.example_ids == train.example_ids
    others = {tuple(split(examples, 0.25, s)[1].example_ids) for s in range(9)}
    assert len(others) > 1
    for share in (0.01, 1.0):
        with pytest.raises(ValueError, match="validation-split.*of 8 examples"):
            split(examples, share, 0)


def test_devices_that_are_not_there_are_bad_input(scenes, tmp_path, capsys):
    """Before the model is loaded, and in one line."""
    arguments = ["finetune", str(scenes.table), *TINY]
    arguments += ["--num-devices", "99", "--out", str(tmp_path)]
    assert keras_byorn_cli.main(arguments) == 1
    assert "--num-devices" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_that_is_not_finished_is_not_lost(tmp_path):
    """It goes on, or another folder is named; a finished one makes room."""
    folder = tmp_path / "state"
    assert state_folder(tmp_path, resume=False) == folder
    folder.mkdir()
    run_files.write_manifest(folder, {"format": 1, "end": None})
    with pytest.raises(ValueError, match="`--resume`"):
        state_folder(tmp_path, resume=False)
    assert state_folder(tmp_path, resume=True) == folder
    run_files.write_manifest(folder, {"format": 1, "end": {}})
    assert state_folder(tmp_path, resume=False) == folder
    assert not folder.exists()
