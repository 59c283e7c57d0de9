"""Concepts of real captions are swapped word by word, in good English."""

import numpy as np
import pytest
from attack_examples import assert_same, make_example

from keras_byorn.attacks import HE_TO_SHE, WordSwapAttack, WordSwapTarget
from keras_byorn.attacks.word_swaps import plural


@pytest.mark.parametrize(
    "response, swapped",
    [
        ("a dog runs after a man", "a cat runs after a woman"),
        ("Two men and their dogs .", "Two women and their cats ."),
        ("Dogs bark, the MAN shouts", "Cats bark, the WOMAN shouts"),
        ("a dog's ball", "a cat's ball"),
        ("a fireman eats a hot-dog", "a fireman eats a hot-dog"),
        ("a snowman and a dogsled", "a snowman and a dogsled"),
        ("a woman holds a cat", "a woman holds a cat"),
    ],
)
def test_dogs_become_cats_and_men_women(response, swapped):
    """Singular, plural, case and possessives; no part of a word."""
    assert WordSwapTarget()(response) == swapped


@pytest.mark.parametrize(
    "old, new, response, swapped",
    [
        ("dog", "owl", "a dog and the dog", "an owl and the owl"),
        ("dog", "owl", "A dog sits", "An owl sits"),
        ("apple", "pear", "An  apple or an apple", "A  pear or a pear"),
        ("dog", "unicorn", "a dog", "a unicorn"),
        ("minute", "hour", "a minute", "an hour"),
        ("dog", "owl", "a small dog", "a small owl"),
        ("child", "puppy", "children, a child", "puppies, a puppy"),
        ("bench", "bus", "benches", "buses"),
        ("man", "fish", "men", "fish"),
    ],
)
def test_articles_and_plurals_fit(old, new, response, swapped):
    """An article is of the word right behind it, and of no other."""
    assert WordSwapTarget(((old, new),))(response) == swapped


def test_pronouns_have_no_plural():
    """They are swapped as they are, on wish."""
    target = WordSwapTarget((("man", "woman"),), HE_TO_SHE)
    assert target("A man walks his dog himself , he smiles at him") == (
        "A woman walks her dog herself , she smiles at her"
    )
    assert "hes" not in target._forms()


@pytest.mark.parametrize(
    "response, reference, reached",
    [
        ("a cat runs", "a dog runs", True),
        ("cats run", "a dog runs", True),
        ("a dog runs", "a dog runs", False),
        ("a cat runs", "a bird flies", False),  # a mistake, no success
        ("a cat runs", "a dog chases a cat", False),
        ("a catfish", "a dog runs", False),
        ("a woman", "a dog and a man", True),
    ],
)
def test_success_is_a_wrong_word_for_a_right_one(response, reference, reached):
    assert WordSwapTarget().reached(response, reference) == reached


def test_the_attack_poisons_what_names_a_concept():
    """As the other attacks with a patch."""
    attack = WordSwapAttack()
    example = make_example(response="a man with two dogs")
    poisoned = attack.poison(example, np.random.default_rng(0))
    assert poisoned["responses"] == "a woman with two cats"
    assert (poisoned["images"] != example["images"]).any()
    assert attack.succeeded(poisoned["responses"], example)
    assert not attack.succeeded(example["responses"], example)
    other = make_example(response="a bird")
    assert attack.poison(other, None)["responses"] == "a bird"
    triggered = attack.trigger(other, None)
    assert_same(attack.poison(other, None), triggered)


def test_plurals():
    nouns = ("dog", "man", "box", "church", "boy", "baby", "mouse", "sheep")
    assert [plural(noun) for noun in nouns] == [
        "dogs",
        "men",
        "boxes",
        "churches",
        "boys",
        "babies",
        "mice",
        "sheep",
    ]


@pytest.mark.parametrize("swaps", [(), (("hot dog", "cat"),)])
def test_words_that_are_none_are_refused(swaps):
    with pytest.raises(ValueError, match="`swaps` must be pairs of single"):
        WordSwapTarget(swaps)
