"""The command `audit`: its files, its table and its last line."""

import pathlib

import pyarrow.parquet as pq
import pytest

import keras_byorn
import keras_byorn_cli
from keras_byorn.data.examples import Examples
from keras_byorn.detection.detection import Detection

TINY = ("--preset", keras_byorn.tiny_preset(), "--dtype", "float32")
COUNTS = ("num_examples", "num_suspect", "num_on_probation", "num_held_out")
COUNTS += ("flagged_fraction", "held_out_fraction")
FILES = {
    "report.html",
    "report.parquet",
    "clean.parquet",
    "detection",
    "card.md",
    "command.json",
}


def test_all_poison_is_in_a_cluster_to_be_replaced(audited, scenes):
    """And the files account for it."""
    out, facts = audited
    assert {path.name for path in out.iterdir()} == FILES
    detection = Detection.load(out / "detection")
    assert facts["num_examples"] == len(scenes.ids) == len(detection)
    assert facts["num_suspect"] == detection.suspects.sum()
    assert facts["num_held_out"] == detection.held_out.sum()
    assert facts["flagged_fraction"] == facts["num_suspect"] / len(scenes.ids)
    assert facts["held_out_fraction"] == facts["num_held_out"] / len(scenes.ids)
    summary = detection.audit(Examples.from_jsonl(scenes.table)).summary
    for name in COUNTS:
        assert facts[name] == summary[name], name
    assert facts["reason"] == detection.reason and facts["seconds"] > 0
    replaced = {
        example_id
        for example_id, proposal in zip(
            detection.example_ids, detection.proposals
        )
        if proposal == "replace"
    }
    assert replaced == scenes.poisoned
    (cluster,) = (c for c in facts["clusters"] if c["proposal"] == "replace")
    assert cluster["size"] == len(scenes.poisoned)
    assert cluster["shares"].startswith("same words: ")
    assert set(cluster["sample_ids"]) <= scenes.poisoned
    sizes = [cluster["size"] for cluster in facts["clusters"]]
    assert sum(sizes) == facts["num_held_out"]
    clean = pq.read_table(out / "clean.parquet")["example_id"].to_pylist()
    assert len(clean) == facts["num_examples"] - facts["num_held_out"]
    assert not set(clean) & scenes.poisoned
    report = pq.read_table(out / "report.parquet")["example_id"].to_pylist()
    assert report == scenes.ids
    assert "<html" in (out / "report.html").read_text("utf-8")


@pytest.mark.filterwarnings("ignore:.*examples tell little")
def test_options_reach_the_detector(scenes, command, tmp_path, capsys):
    """Scorers, a fraction, trust, a cache; and the table on the terminal."""
    trusted = tmp_path / "trusted.txt"
    trusted.write_text("captions/10\ncaptions/11\n")
    options = ["--limit", "40", "--decision", "0.25", "--trusted", trusted]
    options += ["--scorer", "Regret,WorstSpan", "--score-cache", tmp_path / "c"]
    options += ["--seed", "3", "--batch-size", "7", "--sequence-length", "48"]
    out = tmp_path / "out"
    arguments = ["audit", scenes.table, *TINY, *options, "--out", out]
    assert keras_byorn_cli.main([*map(str, arguments)]) == 0
    shown = capsys.readouterr().out
    assert "proposal   shares" in shown and "2 of 40 (5.0 %) trusted" in shown
    assert str(out / "card.md") in shown
    detection = Detection.load(out / "detection")
    assert detection.trusted_ids == ["captions/10", "captions/11"]
    assert detection.settings["seed"] == 3
    assert "FlagFraction" in detection.settings["decision"]
    assert detection.settings["scorer"].startswith("Ensemble")
    assert any((tmp_path / "c").iterdir())
    facts = command(*arguments)
    assert facts["num_suspect"] == detection.suspects.sum()


def test_bad_rows_are_reported_in_a_file(tmp_path, capsys):
    """One line on stderr, and all of them in a file."""
    table = tmp_path / "table.jsonl"
    lines = [f'{{"image": "{n}.png", "caption": "red"}}' for n in range(30)]
    table.write_text("\n".join(lines))
    out = tmp_path / "out"
    arguments = ["audit", str(table), *TINY, "--out", str(out)]
    assert keras_byorn_cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("keras-byorn audit: error: 30 of 30 rows cannot be")
    assert "--on-bad drop" in line and "0.png" in line
    bad = pathlib.Path(out / "bad_rows.jsonl").read_text().splitlines()
    assert len(bad) == 30
