"""Detection figures, by counting."""

import numpy as np
import pytest

from keras_byorn.evaluation import detection

IDS = ["a", "b", "c", "d", "e"]
SCORES = [-1.0, -5.0, -2.0, -4.0, -3.0]  # least plausible first: b d e c a


def test_figures_of_five_examples_counted_by_hand():
    """Low scores must count as implausible: the sign is easily lost."""
    figures = detection(
        IDS,
        SCORES,
        suspect=[False, True, False, True, True],
        poisoned_ids={"b", "e"},
        budget=0.4,
    )
    assert figures == {
        # Of the six pairs only (e, d) is in the wrong order.
        "auroc": pytest.approx(5 / 6),
        # b is found at precision 1/1, e at 2/3.
        "average_precision": pytest.approx((1 + 2 / 3) / 2),
        # b and d are within the budget.
        "recall_at_budget": 0.5,
        "recall": 1.0,
        "precision": pytest.approx(2 / 3),
        "flagged_fraction": pytest.approx(3 / 5),
    }


def test_without_poison_only_the_flag_rate_applies():
    """On clean data no figure may be invented: they are None, JSON's null."""
    figures = detection(IDS, SCORES, [True] + [False] * 4, poisoned_ids=set())
    assert figures == {
        "auroc": None,
        "average_precision": None,
        "recall_at_budget": None,
        "recall": None,
        "precision": 0.0,
        "flagged_fraction": pytest.approx(1 / 5),
    }


def test_nothing_flagged_has_no_precision():
    """Zero flags out of zero are neither right nor wrong."""
    figures = detection(IDS, SCORES, [False] * 5, poisoned_ids={"b"})
    assert figures["precision"] is None
    assert figures["recall"] == 0.0
    assert figures["flagged_fraction"] == 0.0


def test_all_poisoned_has_no_auroc():
    """A ranking needs both kinds."""
    figures = detection(IDS, SCORES, [True] * 5, poisoned_ids=set(IDS))
    assert figures["auroc"] is None
    assert figures["average_precision"] == 1.0


def test_probabilities_flag_from_one_half_on():
    """A soft threshold's suspect probabilities are flags too."""
    suspect = [0.0, 0.9, 0.49, 0.5, 0.2]
    figures = detection(IDS, SCORES, suspect, poisoned_ids={"b", "d"})
    assert figures["recall"] == figures["precision"] == 1.0


def test_ties_at_the_budget_do_not_depend_on_the_order():
    """Equal scores find by chance, at any place of the poisoned examples."""
    suspect = [False] * 5
    found = [
        detection(IDS, [-1.0] * 5, suspect, {poisoned}, 0.4)["recall_at_budget"]
        for poisoned in IDS
    ]
    np.testing.assert_allclose(found, 0.4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"budget": 0}, "budget=0"),
        ({"budget": 5}, "budget=5"),
        ({"plausibility": [0.0]}, "plausibility.shape=\\(1,\\)"),
        ({"suspect": [[0.0]] * 5}, "suspect.shape=\\(5, 1\\)"),
        ({"example_ids": ["a", "b", "c", "d", "d"]}, "of which 4 differ"),
        ({"plausibility": [0, 0, 0, float("nan"), 0]}, "such as 'd'"),
        ({"poisoned_ids": {"a", "z"}}, "such as \\['z'\\]"),
    ],
)
def test_bad_input_is_refused(change, message):
    """Rows that do not belong together would give figures of nothing."""
    arguments = {
        "example_ids": IDS,
        "plausibility": SCORES,
        "suspect": [False] * 5,
        "poisoned_ids": {"b"},
    }
    with pytest.raises(ValueError, match=message):
        detection(**{**arguments, **change})
