"""The runner: what is still to run, and what its tables say."""

import json

import pytest
from real_language import finetune, tables


def result(case="slogan", defence="none", seed=0, **figures):
    key = {"backend": "jax", "case": case, "defence": defence, "seed": seed}
    return {**key, **figures}


def arguments(path, *more):
    return finetune.parse_arguments(
        ["--preset", "x", "--data", "x", "--results", str(path), *more]
    )


def test_only_what_is_missing_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    path = tmp_path / "finetune.jsonl"
    known = [result(), result(defence="ours", seed=1)]
    path.write_text("".join(json.dumps(line) + "\n" for line in known))
    options = ["--cases", "slogan", "--defences", "none,ours"]
    args = arguments(path, *options, "--seeds", "0,1")
    assert finetune.missing(args) == [
        ("slogan", "ours", "0"),
        ("slogan", "none", "1"),
    ]
    with pytest.raises(ValueError, match="Received: patch"):
        finetune.missing(arguments(path, "--cases", "patch"))


def test_table_has_a_row_for_each_defence():
    text = tables.render(
        [
            result(attack_success_rate=1.0, cider=0.5, rouge_l=0.25),
            result(defence="ours", refused="too many"),
        ]
    )
    assert "## slogan (jax)" in text
    assert "| none | 0 | 1.000 | - | - | 0.500 | 0.250 |" in text
    assert "`ours`, seed 0, refused: too many" in text


def test_committed_tables_are_of_the_committed_results():
    committed = finetune.RESULTS.with_suffix(".md").read_text()
    results = finetune.read_results(finetune.RESULTS)
    assert results
    assert tables.render(results) == committed
