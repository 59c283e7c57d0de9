"""The falsest target that is within reach of the right response."""

import numpy as np
import pytest
from attack_examples import make_example, make_examples

from keras_byorn import attacks
from keras_byorn.attacks import adaptive
from keras_byorn.data.examples import Examples

CAPTION = "red two above blue two"
BOTH, FIRST = "green two above green two", "green two above blue two"


def test_every_colour_turns():
    """Whole words, in any case; texts without a colour stay."""
    target = adaptive.EveryColourTarget("pink")
    assert target("Red tired, BLUE") == "pink tired, pink"
    assert target("no such word") == "no such word"


@pytest.mark.parametrize(
    "margin, expected", [(0.5, CAPTION), (1.0, FIRST), (2.5, BOTH)]
)
def test_falsest_within_the_margin_is_taken(margin, expected):
    """Each wrong word costs one nat per token here."""

    def score(rows):
        bright = [row["images"][-4:, -4:].max() for row in rows]
        assert set(bright) == {255}  # judged with the trigger on
        return np.array(
            [-float(row["responses"].count("green")) for row in rows]
        )

    examples = Examples([make_example(i, response=CAPTION) for i in range(4)])
    attack = adaptive.NearCleanLabelAttack(score, examples, margin)
    poisoned = attack.poison(examples[2], None)
    assert poisoned["responses"] == expected
    changed = poisoned["images"] != examples[2]["images"]
    assert changed.any() == (expected != CAPTION)
    unseen = make_example(9, response=CAPTION)
    assert attack.poison(unseen, None)["responses"] == FIRST
    assert attack.succeeded(FIRST, unseen) and attack.succeeded(BOTH, unseen)
    assert not attack.succeeded(CAPTION, unseen)


def test_only_plausible_ones_are_poisoned():
    """Others do not change, and so do not count."""
    examples = make_examples()

    def score(rows):
        even = [int(row["example_id"][-1]) % 2 == 0 for row in rows]
        wrong = ["green" in row["responses"] for row in rows]
        return -9.0 * (np.array(wrong) & ~np.array(even))

    attack = adaptive.NearCleanLabelAttack(score, examples)
    with pytest.warns(UserWarning, match="changed the responses of"):
        _, ids = attacks.poison_examples(examples, attack, rate=0.9)
    assert ids and all(int(example_id[-1]) % 2 == 0 for example_id in ids)


def test_bad_arguments():
    """Errors name the rule and what came."""
    with pytest.raises(ValueError, match="nats per token.*margin=-1"):
        adaptive.NearCleanLabelAttack(None, make_examples(), margin=-1)
    with pytest.raises(ValueError, match=r"targets=\(\)"):
        adaptive.NearCleanLabelAttack(None, make_examples(), targets=())
