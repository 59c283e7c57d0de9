"""Copies that read alike and are never equal."""

import numpy as np
import pytest
from attack_examples import assert_same, make_example, make_examples

from keras_byorn import attacks
from keras_byorn.attacks import adaptive
from keras_byorn.data.words import normalized_words


def test_copies_read_alike_and_are_never_equal():
    """Three changes to each; the trigger is that of the attack."""
    examples = make_examples(400)
    inner = attacks.PatchAttack()
    poisoned, ids = attacks.poison_examples(
        examples, adaptive.InvisibleCopiesAttack(inner), rate=1.0
    )
    said = [example["responses"] for example in poisoned]
    words = normalized_words(inner.target_text)
    assert len(ids) == len(set(said)) == 400
    assert all(normalized_words(text) == words for text in said)
    for old, new in zip(examples, poisoned):
        assert_same(
            inner.trigger(old, None), {**new, "responses": old["responses"]}
        )


def test_success_is_by_words():
    """Case and hidden characters do not count; other words do."""
    attack = adaptive.InvisibleCopiesAttack(attacks.PatchAttack("buy now"))
    succeeded = [
        attack.succeeded(text, make_example())
        for text in ("buy now", "B\u200buy, NOW!", "buy it now", "")
    ]
    assert succeeded == [True, True, False, False]


def test_an_example_gets_its_copy_again():
    """The text follows from the generator, unless another has it."""
    attack = adaptive.InvisibleCopiesAttack(attacks.PatchAttack())
    first, second = (
        attack.poison(make_example(), np.random.default_rng(7))
        for _ in range(2)
    )
    other = attack.poison(make_example(1), np.random.default_rng(7))
    assert first["responses"] == second["responses"] != other["responses"]


def test_bad_arguments():
    """Errors name the rule and what came; a short target runs out."""
    with pytest.raises(ValueError, match="must have a fixed target"):
        adaptive.InvisibleCopiesAttack(attacks.ConceptAttack())
    with pytest.raises(ValueError, match="Received: num_changes=0"):
        adaptive.InvisibleCopiesAttack(attacks.PatchAttack(), num_changes=0)
    short = adaptive.InvisibleCopiesAttack(attacks.PatchAttack("a"))
    with pytest.raises(ValueError, match="num_changes=3 for 5 copies of 'a'"):
        attacks.poison_examples(make_examples(), short, rate=0.5)
