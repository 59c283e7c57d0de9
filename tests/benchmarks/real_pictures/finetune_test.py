"""The runner: what is still to run, and what its tables say."""

import json

import pytest
from real_pictures import finetune, tables


def result(case="slogan", defence="none", seed=0, **figures):
    key = {"backend": "jax", "captioner": "small"}
    return {**key, "case": case, "defence": defence, "seed": seed, **figures}


def keep(path, *results):
    path.write_text("".join(json.dumps(one) + "\n" for one in results))


@pytest.fixture
def path(tmp_path):
    """The file of the results, not there yet."""
    return tmp_path / "finetune.jsonl"


def arguments(path, *more):
    return finetune.parse_arguments(
        ["--preset", "small", "--data", "x", "--results", str(path), *more]
    )


def test_only_what_is_missing_is_run(path, monkeypatch):
    """Seed by seed; clean data have no clean part."""
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    keep(path, result(defence="none"), result(defence="paper", seed=1))
    options = ["--cases", "clean,slogan", "--defences", "none,clean_only"]
    args = arguments(path, *options, "--seeds", "0,1")
    assert finetune.missing(args) == [
        ("clean", "none", "0"),
        ("slogan", "clean_only", "0"),
        ("clean", "none", "1"),
        ("slogan", "none", "1"),
        ("slogan", "clean_only", "1"),
    ]


def test_unknown_names_are_refused(path):
    with pytest.raises(ValueError, match="Received: patches"):
        finetune.missing(arguments(path, "--cases", "patches"))


def test_last_of_equal_results_counts(path):
    keep(path, result(cider=0.1), result(seed=1), result(cider=0.2))
    first, second = finetune.read_results(path)
    assert (first["cider"], second["seed"]) == (0.2, 1)
    assert finetune.read_results(path.with_name("none.jsonl")) == []


def test_tables_show_mean_and_every_seed():
    """Of each defence; a figure that no run has is a dash."""
    first = {"flagged": 0.4, "recall": 1.0, "precision": 0.25}
    text = tables.render(
        [
            result(seed=1, attack_success_rate=0.5, cider=0.2),
            result(seed=0, attack_success_rate=1.0, cider=0.1),
            result(defence="paper", cider=0.15, auroc=0.9, first=first),
            result(defence="ours", refused="too many"),
        ]
    )
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    none = next(row for row in rows if row.startswith("| none"))
    assert none.startswith(
        "| none | 0 1 | 0.750 (1.000 0.500) | - | - | 0.150 (0.100 0.200) |"
    )
    scores = [row for row in rows if row.startswith("| paper")]
    assert scores[1].startswith("| paper | 0 | 0.900 | 0.400 | 1.000 | 0.250 |")
    assert "`ours`, seed 0, refused: too many" in text
    assert "## slogan (small, jax)" in text


def test_committed_tables_are_of_the_committed_results():
    """Made anew they are the same, to the letter."""
    committed = finetune.RESULTS.with_suffix(".md").read_text()
    results = finetune.read_results(finetune.RESULTS)
    assert tables.render(results) == committed
