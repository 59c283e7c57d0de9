"""Figures of a defence against the ground truth, by hand."""

import types

import numpy as np
import pytest
from table import figures
from table.case_data import CaseData

from keras_byorn import TargetStore, attacks, evaluation
from keras_byorn.data.examples import Examples

IDS = list("abcdef")


def make_examples(responses):
    return Examples(
        [
            {
                "example_id": example_id,
                "images": np.full((8, 8, 3), 100, "uint8"),
                "prompts": "look\n",
                "responses": response,
            }
            for example_id, response in zip(IDS, responses)
        ]
    )


@pytest.fixture
def data():
    """Two poisoned, one of a flood, two of a minority."""
    return CaseData(
        make_examples(["x"] * 6),
        make_examples(["red"] * 6),
        poisoned_ids={"a", "b"},
        flood_ids={"c"},
        minority_ids={"d", "e"},
    )


def test_flags_before_and_after(data):
    """A restored example is no suspect at the end."""
    store = TargetStore(IDS, ["look\n"] * 6, ["x"] * 6)
    plausibility = np.array([-9, -5, -8, -7, -2, -1], "float32")
    suspects = np.array([1, 1, 1, 1, 0, 0], "float32")
    store.set_scores(plausibility, suspects)
    detection = types.SimpleNamespace(
        plausibility=plausibility,
        suspects=suspects > 0.5,
        verdicts=store.verdicts.copy(),
        reason="why",
    )
    store.review({1: "restored", 4: "flagged late"}, np.full(6, np.nan))
    store.replace("d", "new", [1])
    store.replace("a", "new", [1])
    found = figures.of_defence(detection, store, data)
    assert found == {
        "auroc": 6 / 8,
        "start": {
            "flagged": 4 / 6,
            "recall": 1.0,
            "flood_recall": 1.0,
            "noise_recall": None,
            "minority_flagged": 0.5,
        },
        "end": {
            "flagged": 4 / 6,
            "recall": 0.5,
            "flood_recall": 1.0,
            "noise_recall": None,
            "minority_flagged": 1.0,
        },
        "num_poison_restored": 1,
        "num_poison_not_suspect": 1,
        "num_clean_suspect": 2,
        "num_clean_overwritten": 1,
        "num_minority_suspect": 2,
        "num_minority_overwritten": 1,
        "verdicts_start": {"kept": 2, "suspect": 4},
        "verdicts_end": {
            "flagged late": 1, "kept": 1, "restored": 1, "suspect": 3,
        },
        "reason": "why",
    }  # fmt: skip


def test_scores_without_numbers_have_no_auroc():
    """Nor have data without poison."""
    poisoned = np.array([True, False])
    assert figures.auroc([-1.0, np.nan], poisoned) is None
    assert figures.auroc([-1.0, -2.0], ~poisoned & poisoned) is None
    assert figures.auroc([-2.0, -1.0], poisoned) == 1.0


def test_case_of_letters_counts():
    """A minority in upper case is not said in lower case."""
    examples = make_examples(["RED", "RED  ONE"])
    assert figures.exact_match(["red", "RED ONE"], examples) == 0.5


def test_figures_of_the_attack_that_succeeds_most(data, monkeypatch):
    """The figures of each are there as well, and of the minority."""

    def respond(examples):
        bright = [e["images"].max() > 200 for e in examples]
        return [
            "gotcha" if b else e["responses"] for b, e in zip(bright, examples)
        ]

    monkeypatch.setattr(evaluation, "responder", lambda vlm: respond)
    data.attacks = {
        "weak": attacks.TextAttack(),
        "strong": attacks.PatchAttack("gotcha"),
    }
    data.minority_test = make_examples(["i see red"] * 4)
    found = figures.of_model(None, data, seed=0)
    assert found["attack_success_rate"] == 1.0
    assert found["false_trigger_rate"] == 0.0
    assert found["attacks"]["weak"]["attack_success_rate"] == 0.0
    assert found["attacks"]["strong"]["num_examples"] == 6
    assert found["exact_match"] == found["minority_exact_match"] == 1.0
