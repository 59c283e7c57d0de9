"""Settings and results that the tests of the benchmark share."""

import keras
import pytest
from overhead import compilations as counting
from overhead.figures import PARTS, Result

import keras_byorn


@pytest.fixture
def settings():
    """Settings of the smallest arm."""
    return {
        "size": "pali_gemma_3b",
        "shrink": True,
        "tuning": "lora",
        "num_examples": 24,
        "batch_size": 8,
        "epochs": 2,
    }


@pytest.fixture
def compilations(monkeypatch):
    """A counter whose traps are gone after the test."""
    for owner, name in (
        (keras.layers.ReversibleEmbedding, "call"),
        (keras_byorn.BYORnModel, "objective"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    return counting.Compilations()


@pytest.fixture
def make_results():
    """A function that makes up results: 10, 12 and 11 seconds by a factor."""

    def make(arms):
        return {arm: result(arm, *given) for arm, given in arms.items()}

    def result(arm, factor, late):
        return Result(
            ready={
                "backend": "jax",
                "machine": {"cpu": "x"},
                "num_params": 1,
                "setup_seconds": 1.0,
            },
            first={"seconds": 30.0 * factor, "num_held_out": 51},
            rounds=[
                {
                    "seconds": seconds * factor,
                    "epoch_seconds": seconds * factor,
                    "split": dict.fromkeys(PARTS, 2.0 * factor),
                    "num_held_out": 51,
                    "score_seconds": 0.25,
                }
                for seconds in (10.0, 12.0, 11.0)
            ],
            end={
                "peak_memory": 2**30 * factor,
                "memory_before": 2**29,
                "memory_kind": "resident",
                "compilations": 0 if arm.method == "kerashub" else late,
            },
        )

    return make
