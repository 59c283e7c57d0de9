"""The comparison: what is still to run, and what its tables say."""

import json
import types

import pytest
from detectors import compare_detectors, tables
from detectors.compare_detectors import missing_arguments


@pytest.fixture
def path(tmp_path):
    """The file of the results, not there yet."""
    return tmp_path / "detectors.jsonl"


def figures(success, match):
    return {
        "attack_success_rate": success,
        "clean_exact_match": match,
        "flagged_fraction": 0.1,
        "recall": 0.9,
        "detection_auroc": 0.99,
        "num_restored": 3,
        "num_alarms": 0,
    }


def result(case, seed, backend="jax", detectors=None, **defenses):
    return {
        "case": case,
        "seed": seed,
        "backend": backend,
        "detectors": detectors or {},
        "defenses": {name: figures(*pair) for name, pair in defenses.items()},
    }


def keep(path, *results):
    lines = [json.dumps(one) + "\n" for one in results]
    path.write_text("".join(lines))


def test_runs_of_one_case_are_one_result(path):
    """Defences that were run later join; other backends stay apart."""
    keep(
        path,
        result("concept", 10, none=(1.0, 0.9)),
        result("concept", 10, byorn=(0.0, 0.8)),
        result("concept", 10, "torch", byorn=(0.0, 0.7)),
    )
    first, second = compare_detectors.read_results(path)
    assert set(first["defenses"]) == {"none", "byorn"}
    assert set(second["defenses"]) == {"byorn"}


def test_only_what_is_missing_is_run():
    """Of defences and of scorers; clean data have no clean part."""
    args = types.SimpleNamespace(
        defenses="none,clean_only,byorn", detector_seeds="10"
    )
    known = result("concept", 10, none=(1.0, 0.9), byorn=(0.0, 0.8))
    missing = missing_arguments("concept", "10", known, args)
    assert missing == ["--defenses", "clean_only", "--detector-seeds", "10"]
    missing = missing_arguments("concept", "11", known, args)
    assert missing == ["--defenses", "clean_only", "--detector-seeds", "none"]
    known = result(
        "clean yes_no", 10, detectors={"a": {}}, none=(None, 0.9),
        byorn=(None, 0.9),
    )  # fmt: skip
    assert missing_arguments("clean yes_no", "10", known, args) == []
    missing = missing_arguments("insertion_8", "10", None, args)
    assert missing == ["--defenses", "", "--detector-seeds", "10"]


def test_tables_show_the_worst_seed(path):
    """The ratio is of the same seed; other backends have their own table."""
    keep(
        path,
        result("concept", 10, none=(1.0, 0.9), byorn=(0.0, 0.8)),
        result("concept", 10, clean_only=(0.0, 1.0)),
        result("concept", 11, none=(0.5, 0.8), byorn=(0.2, 0.8)),
        result("concept", 10, "torch", byorn=(0.1, 0.7)),
    )
    tables.write_tables(compare_detectors.read_results(path), path)
    text = path.with_suffix(".md").read_text()
    grid, torch = text.split("## The same on torch")
    (row,) = [line for line in grid.splitlines() if line.startswith("| conc")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "concept",
        "2",
        "0.750 (1.000)",
        "0.100 (0.200)",
        "0.850 (0.800)",
        "1.000 (1.000)",
        "0.800 (0.800)",
        "0.900 (0.800)",  # 0.8 of 1.0, and 0.8 of 0.8
        "0.100 (0.100)",
        "0.900 (0.900)",
        "0.990 (0.990)",
        "3.000 (3.000)",
        "0.000 (0.000)",
    ]
    assert "| concept | 1 | - | 0.100 (0.100) |" in torch
    assert path.with_suffix(".parquet").exists()


def test_committed_tables_are_of_the_committed_results(path):
    """Made anew they are the same, to the letter."""
    results = compare_detectors.read_results(compare_detectors.RESULTS)
    tables.write_tables(results, path)
    committed = compare_detectors.RESULTS.with_suffix(".md")
    assert path.with_suffix(".md").read_text() == committed.read_text()
