"""A source of tiny cases, and results of cells."""

import pathlib
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples"
sys.path.append(str(EXAMPLES))


@pytest.fixture(scope="session")
def make_source(tmp_path_factory):
    """A function that makes a `Source` of few examples of the tiny preset."""
    import defend_digit_scenes as demo
    from table.case_data import Source

    folder = tmp_path_factory.mktemp("digit_scenes")

    def make(seed=0, num_train=40, num_test=6, **options):
        return Source(
            demo, seed, num_train, num_test, data_dir=str(folder), **options
        )

    return make


@pytest.fixture
def result():
    """A function that makes the result of a cell."""

    def make(defence="ours", seed=0, **changes):
        return {
            "case": "patch 10 %",
            "group": "attacks",
            "seed": seed,
            "defence": defence,
            "backend": "jax",
            "num_train": 100,
            "num_poisoned": 10,
            "num_flood": 0,
            "num_noise": 0,
            "attack_success_rate": 0.0,
            "exact_match": 0.9,
            "minority_exact_match": None,
            **changes,
        }

    return make
