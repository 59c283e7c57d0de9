"""Cells: refusals, errors, and trainings that are not done twice."""

import types

import pytest
from table import cell, figures
from table.cases import CASES

import keras_byorn


@pytest.fixture(scope="module")
def source(make_source):
    return make_source()


@pytest.fixture
def run(source, tmp_path):
    """A function that runs defences on a case, to a dict of results."""
    args = types.SimpleNamespace(epochs=1, cache=tmp_path)

    def run(name, *defences):
        data = CASES[name].make(source)
        lines = cell.run(CASES[name], 0, data, defences, source, args)
        return {line["defence"]: line for line in lines}

    return run


class Model:
    """Stands in for a task."""

    def __init__(self):
        self.preprocessor = types.SimpleNamespace(sequence_length=32)

    def save_weights(self, path):
        path.write_text("weights")

    def load_weights(self, path):
        assert path.read_text() == "weights"


@pytest.fixture
def no_training(monkeypatch):
    """The sizes of the data that would be trained on, in order."""
    sizes = []

    def fit(self, vlm, examples, callback=None):
        sizes.append(len(examples))

    monkeypatch.setattr(cell.Cell, "_load", lambda self: Model())
    monkeypatch.setattr(cell.Cell, "_prepared", lambda self, rows, vlm: rows)
    monkeypatch.setattr(cell.Cell, "_fit", fit)
    monkeypatch.setattr(figures, "of_model", lambda *args: {"exact_match": 1.0})
    return sizes


def test_equal_trainings_are_done_once(run, no_training):
    """The clean part is the same, whatever the poison; the rest differs."""
    for name in ("patch 10 %", "refusal", "own prompt, fixed string, 10 %"):
        found = run(name, "none", "clean_only")
        assert found["clean_only"]["exact_match"] == 1.0
    assert no_training == [40, 36, 40, 40]
    run("flood of near misses, 35 %", "clean_only")
    run("clean terse_captions", "none")
    run("clean terse_captions", "none")
    assert no_training[4:] == [22, 40]


def test_refusal_is_a_result(run, no_training, monkeypatch):
    """Of the defence, with its message; other errors are none."""

    def refuse(*args, trusted=None):
        if trusted is None:
            raise ValueError("more than half")
        raise TypeError(f"of {len(trusted)}")

    monkeypatch.setattr(keras_byorn, "detect", refuse)
    found = run("flood of near misses, 55 %", "ours", "ours_trusted", "none")
    assert found["ours"]["refused"] == "more than half"
    assert found["ours_trusted"]["error"] == "TypeError: of 14"
    assert found["none"]["exact_match"] == 1.0
    assert found["none"]["num_flood"] == 22
    assert set(found["ours"]["seconds"]) == {"load", "prepare", "detect"}


def test_error_of_the_measure_is_no_refusal(run, no_training, monkeypatch):
    """A `ValueError` there is a fault of the bench."""

    def fail(*args):
        raise ValueError("no figures")

    monkeypatch.setattr(figures, "of_model", fail)
    found = run("patch 10 %", "none")
    assert found["none"]["error"] == "ValueError: no figures"


@pytest.mark.slow
def test_defence_is_trained_and_measured(run):
    """From data to figures, without anything replaced."""
    found = run("minority prefix, 10 %, own prompt", "paper", "ours")
    for line in found.values():
        assert "error" not in line and "refused" not in line
        assert 0 <= line["exact_match"] <= 1
        assert 0 <= line["minority_exact_match"] <= 1
        assert sum(line["verdicts_end"].values()) == 40
    assert found["paper"]["start"]["flagged"] == 0.4
