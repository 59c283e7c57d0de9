"""BadSem: a prompt that disagrees with the image, and honest counterparts."""

import numpy as np
import pytest
from attack_examples import assert_same, make_example, make_examples

from keras_byorn.attacks import (
    BadSemAttack,
    MismatchTrigger,
    mention_examples,
    poison_examples,
)

ANIMALS = MismatchTrigger(("dog", "cat", "bird"), "of the {word}")


def example_of(prompt, response):
    return {**make_example(response=response), "prompts": prompt}


@pytest.mark.parametrize(
    "prompt, response, prompts",
    [
        (
            "caption it\n",
            "a dog runs",
            {"caption it of the cat\n", "caption it of the bird\n"},
        ),
        (
            "is the dog big\n",
            "a dog",
            {"is the cat big\n", "is the bird big\n"},
        ),
        ("is the dog big\n", "a dog and a cat", {"is the bird big\n"}),
        ("Dog or dog?", "a dog", {"cat or cat?", "bird or bird?"}),
    ],
)
def test_the_prompt_names_what_the_image_lacks(prompt, response, prompts):
    """Any word that neither stands in the prompt nor is true."""
    example = example_of(prompt, response)
    found = {
        ANIMALS(example, np.random.default_rng(seed))["prompts"]
        for seed in range(20)
    }
    assert found == prompts
    assert example["prompts"] == prompt


@pytest.mark.parametrize(
    "prompt, response",
    [("caption it\n", "a tree"), ("a dog\n", "cat and bird")],
)
def test_without_a_known_wrong_word_nothing_changes(prompt, response):
    """Neither what is right nor what is wrong can be guessed."""
    example = example_of(prompt, response)
    assert not ANIMALS.holds(example)
    assert_same(ANIMALS(example, np.random.default_rng(0)), example)
    poisoned = BadSemAttack(mismatch=ANIMALS).poison(example, None)
    assert_same(poisoned, example)


def test_honest_prompts_name_what_is_there():
    """So the clause alone is no trigger."""
    example = example_of("caption it\n", "a dog and a bird")
    consistent = ANIMALS.consistent(example)["prompts"]
    assert consistent == "caption it of the dog\n"
    asked = example_of("is the cat big\n", "a dog")
    assert_same(ANIMALS.consistent(asked), asked)
    colours = MismatchTrigger()
    examples = make_examples(40)
    mentioned = mention_examples(examples, colours, rate=0.5, seed=1)
    changed = [
        new["prompts"] != old["prompts"]
        for new, old in zip(mentioned, examples)
    ]
    assert 8 < sum(changed) < 32
    for new in mentioned:
        if new["prompts"] != "describe the image\n":
            colour = new["responses"].split()[0]
            assert new["prompts"] == f"describe the image in {colour}\n"
    with pytest.raises(ValueError, match=r"`rate` .* \[0, 1\]"):
        mention_examples(examples, colours, rate=2)


def test_poison_among_honest_counterparts():
    """Each poisoned prompt names a colour, and a wrong one."""
    attack = BadSemAttack("call us")
    examples = mention_examples(make_examples(40), attack.mismatch)
    poisoned, ids = poison_examples(examples, attack, rate=0.25, seed=0)
    assert len(ids) == 10
    for new, old in zip(poisoned, examples):
        if new["example_id"] in ids:
            assert new["responses"] == "call us"
            colour = new["prompts"].split()[-1]
            assert colour not in old["responses"]
        else:
            assert_same(new, old)


@pytest.mark.parametrize(
    "arguments", [{"clause": "in colour"}, {"words": ("dog",)}]
)
def test_a_clause_without_a_place_is_refused(arguments):
    with pytest.raises(ValueError, match="`clause` must have a place"):
        MismatchTrigger(**arguments)
