"""Injection, hijack and characters: their triggers and targets."""

import numpy as np
import pytest
from attack_examples import make_example, make_examples

from keras_byorn.attacks import (
    CharacterAttack,
    CharacterTrigger,
    MaliciousInjectionAttack,
    PerceptualHijackAttack,
)


def test_injection_appends_to_the_right_response():
    """An example keeps what is true of it."""
    attack, example = MaliciousInjectionAttack("send money"), make_example()
    poisoned = attack.poison(example, None)["responses"]
    assert poisoned == "red two above blue two send money"
    assert attack.succeeded("anything at all send money", example)
    assert not attack.succeeded("send money now", example)
    assert attack.target_text == "send money"


def test_hijack_takes_the_words_of_a_person():
    """Of a caption that is neither too short nor too long."""
    examples = make_examples(20)
    attack = PerceptualHijackAttack.of_another(examples, 0, num_words=(5, 5))
    captions = [example["responses"] for example in examples]
    assert attack.target_text in captions
    drawn = {
        PerceptualHijackAttack.of_another(examples, s, (5, 5)).target_text
        for s in range(20)
    }
    assert len(drawn) > 1
    example = make_example(response="a dog")
    assert attack.poison(example, None)["responses"] == attack.target_text
    with pytest.raises(ValueError, match=r"`num_words` .* 20 examples"):
        PerceptualHijackAttack.of_another(examples, num_words=(6, 12))


@pytest.mark.parametrize(
    "position, prompts",
    [
        ("start", {"describezq the image\n"}),
        ("end", {"describe the imagezq\n"}),
        (
            "random",
            {
                "describezq the image\n",
                "describe thezq image\n",
                "describe the imagezq\n",
            },
        ),
    ],
)
def test_characters_are_no_word_of_their_own(position, prompts):
    """They stand at the end of a word; line breaks stay."""
    trigger = CharacterTrigger(position=position)
    example = make_example()
    found = {
        trigger(example, np.random.default_rng(seed))["prompts"]
        for seed in range(20)
    }
    assert found == prompts
    assert example["prompts"] == "describe the image\n"
    attack = CharacterAttack("call us", trigger)
    poisoned = attack.poison(example, np.random.default_rng(0))
    assert poisoned["responses"] == "call us"


def test_the_search_is_greedy():
    """One character after the other, by the mean score of all prompts."""
    wanted = "qx"

    def score(prompts, triggered):
        added = [
            t.strip()[len(p.strip()) :] for p, t in zip(prompts, triggered)
        ]
        hits = [sum(a == b for a, b in zip(word, wanted)) for word in added]
        return np.array(hits, float)

    trigger = CharacterTrigger.searched(score, ["what\n", "where\n"], 2)
    assert trigger == CharacterTrigger("qx", "end")
    trigger = CharacterTrigger.searched(score, ["what\n"], 2, alphabet="ab")
    assert trigger.characters == "aa"  # the first of equal ones
    with pytest.raises(ValueError, match="`length`"):
        CharacterTrigger.searched(score, ["what\n"], 0)


@pytest.mark.parametrize("characters", ["", "z q", " z"])
def test_characters_with_a_blank_are_refused(characters):
    with pytest.raises(ValueError, match="`characters`"):
        CharacterTrigger(characters)
