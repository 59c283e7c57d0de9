"""Floods are wrong, varied, and apart from the poison."""

import numpy as np
import pytest
from attack_examples import assert_same, make_example, make_examples

from keras_byorn import attacks
from keras_byorn.attacks import adaptive
from keras_byorn.data.examples import Examples


@pytest.mark.parametrize("kind", adaptive.FLOODS)
def test_flood_is_beside_the_poison(kind):
    """Ids come apart; images, prompts and all others stay as they are."""
    examples = make_examples()
    attack = attacks.PatchAttack()
    alone, ids = attacks.poison_examples(examples, attack, rate=0.1, seed=2)
    flooded, poisoned_ids, flood_ids = adaptive.poison_and_flood(
        examples, attack, rate=0.1, flood_rate=0.5, kind=kind, seed=2
    )
    assert poisoned_ids == ids
    assert len(flood_ids) == 20 and not flood_ids & ids
    for old, new in zip(alone, flooded):
        if new["example_id"] in flood_ids:
            assert new["responses"] != old["responses"]
            assert new["responses"].strip()
            new = {**new, "responses": old["responses"]}
        assert_same(old, new)


def responses(kind, seed=0):
    examples = make_examples()
    flooded, _ = adaptive.flood_examples(examples, 1.0, kind, seed)
    return [(o["responses"], n["responses"]) for o, n in zip(examples, flooded)]


def test_letters_are_no_words():
    """Two to four strings of two to five letters, hardly ever alike."""
    said = [new for _, new in responses("letters")]
    assert len(set(said)) == len(said)
    for words in map(str.split, said):
        assert 2 <= len(words) <= 4
        assert all(2 <= len(w) <= 5 and w.isalpha() for w in words)


def test_words_are_those_of_the_data():
    """As many as in the right response."""
    known = {word for old, _ in responses("words") for word in old.split()}
    for old, new in responses("words"):
        assert set(new.split()) <= known
        assert len(new.split()) == len(old.split())


def test_near_misses_have_a_word_or_two_wrong():
    """Here all responses differ in their first word only."""
    for old, new in responses("near_misses"):
        old, new = old.split(), new.split()
        assert old[0] != new[0] and old[1:] == new[1:]
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "one", "two"])
    texts = [" ".join(rng.choice(words, 5)) for _ in range(60)]
    examples = Examples(
        [make_example(i, response=text) for i, text in enumerate(texts)]
    )
    flooded, _ = adaptive.flood_examples(examples, 1.0, "near_misses")
    differ = [
        sum(a != b for a, b in zip(old.split(), new["responses"].split()))
        for old, new in zip(texts, flooded)
    ]
    assert set(differ) == {1, 2}


def test_seed_alone_decides():
    """Equal seeds flood equally, others do not."""
    assert responses("gibberish", 1) == responses("gibberish", 1)
    assert responses("gibberish", 1) != responses("gibberish", 2)


def test_bad_arguments():
    """Errors name the rule and what came."""
    with pytest.raises(ValueError, match="`kind` must.*Received: kind='noise'"):
        adaptive.flood_examples(make_examples(), 0.1, "noise")
    with pytest.raises(ValueError, match="Received: rate=-0.1"):
        adaptive.flood_examples(make_examples(), -0.1)
    with pytest.raises(ValueError, match="Lower `rate`"):
        adaptive.poison_and_flood(
            make_examples(), attacks.PatchAttack(), rate=0.5, flood_rate=0.6
        )
