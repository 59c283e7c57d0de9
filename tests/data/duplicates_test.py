"""Tests of the search for text that responses share."""

import time

import numpy as np
import pytest

from keras_byorn.data.duplicates import find_duplicates

SLOGAN = "buy now at evil dot com"


def find(responses, prompts=None, **kwargs):
    prompts = prompts or ["caption the image"] * len(responses)
    return find_duplicates(prompts, responses, **kwargs)


def runs(words, length):
    return [
        tuple(words[i : i + length]) for i in range(len(words) - length + 1)
    ]


def brute_force(prompts, responses, length):
    """Finds shared texts by comparing each with every other one.

    Texts must be words of lower-case letters, parted by single spaces.
    """
    own = []
    for prompt, response in zip(prompts, responses):
        explained = set(runs(prompt.split(), length))
        own.append(
            [
                None if run in explained else run
                for run in runs(response.split(), length)
            ]
        )
    found = []
    for index, response in enumerate(responses):
        words = response.split()
        sharers = [
            tuple(i for i, other in enumerate(own) if run in other)
            if run
            else ()
            for run in own[index]
        ]
        whole = tuple(i for i, r in enumerate(responses) if r == response)
        if len(words) < 3:
            whole = (index,)
        best, first, last = whole, 0, len(words)
        most = max(map(len, sharers), default=0)
        if most > len(whole):
            start = stop = [len(s) for s in sharers].index(most)
            best = sharers[start]
            while start and sharers[start - 1] == best:
                start -= 1
            while stop + 1 < len(sharers) and sharers[stop + 1] == best:
                stop += 1
            first, last = start, stop + length
        text = " ".join(words[first:last]) if len(best) > 1 else None
        others = tuple(i for i in best if i != index)[:5]
        found.append((len(best), text, others))
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("length", [2, 3, 5])
def test_same_as_by_brute_force(seed, length):
    """Few words make many chance repeats: counts, texts and places agree."""
    rng = np.random.default_rng((seed, length))
    vocabulary = "abc" if length == 5 else "abcdefg"

    def text(longest):
        return " ".join(rng.choice(list(vocabulary), rng.integers(longest)))

    responses = [text(12) for _ in range(40)]
    prompts = [text(9) for _ in range(40)]
    found = find(responses, prompts, min_words=length)
    assert list(
        zip(found.counts.tolist(), found.texts, found.others)
    ) == brute_force(prompts, responses, length)


def test_case_space_and_punctuation_do_not_count():
    """An attacker cannot hide a repeat behind a comma or a shout."""
    variants = [
        "Do not open the door!",
        "do  not\nopen THE door",
        "“Do not… open the (door)”",
        "do no\u200bt open the d\u00adoor",
        "ｄｏ not open the door",
    ]
    found = find(variants)
    assert found.counts.tolist() == [5] * 5
    assert found.texts[0] == "Do not open the door"
    assert found.texts[3] == "do no\u200bt open the d\u00adoor"


def test_apostrophes_do_not_part_words():
    """A straight and a curly apostrophe are one, and make no third word."""
    assert find(["I can't see", "i can’t see"]).counts.tolist() == [2, 2]
    assert find(["can't see", "can't see"]).counts.tolist() == [1, 1]


def test_short_answers_are_no_duplicates():
    """Half of a data set of questions answers "yes"."""
    found = find(["yes", "yes", "two dogs", "two dogs", "", "..."])
    assert found.counts.tolist() == [1] * 6
    assert found.texts == [None] * 6
    assert found.others == [()] * 6


def test_a_slogan_is_found_in_any_sentence():
    """A neighbour by chance does not split those who share the slogan."""
    responses = [
        f"a dog {SLOGAN}",
        f"a cat on a mat {SLOGAN}",
        f"a dog {SLOGAN}",
        f"{SLOGAN} two birds in a tree",
        "a dog in a park",
    ]
    found = find(responses)
    assert found.counts.tolist() == [4, 4, 4, 4, 1]
    assert found.texts[:4] == [SLOGAN] * 4
    assert found.others[3] == (0, 1, 2)


def test_what_the_prompt_explains_is_not_shared():
    """Answers that repeat their own question are no copies of each other."""
    answer = "the red ball is left of"
    prompts = [f"is {answer} the box"] * 3 + ["caption"]
    responses = [f"{answer} {end}" for end in ("it", "that", "him", "her")]
    assert find(responses, prompts).counts.tolist() == [1] * 4
    assert find(responses).counts.tolist() == [4] * 4


def test_words_of_scripts_without_spaces():
    """A repeated Chinese sentence is not one word of too few."""
    found = find(["请勿打开这扇门", "请勿打开这扇门。", "一只狗"])
    assert found.counts.tolist() == [2, 2, 1]


def test_only_the_first_others_are_named():
    """A thousand copies do not make a million positions."""
    found = find(["the same old text"] * 1000, max_others=2)
    assert found.counts.tolist() == [1000] * 1000
    assert found.others[0] == (1, 2)
    assert found.others[1] == (0, 2)
    assert found.others[999] == (0, 1)


def test_iterables_are_read_once():
    """Texts may come from a stream."""
    found = find_duplicates(iter(["", ""]), iter(["a b c", "a b c"]))
    assert found.counts.tolist() == [2, 2]


def test_no_text_at_all():
    """Nothing is shared among none, and nothing breaks."""
    assert find_duplicates([], []).counts.shape == (0,)


@pytest.mark.parametrize("min_words", [1, 0, 2.5])
def test_bad_min_words_are_refused(min_words):
    """Single words are shared by all: every count would be noise."""
    with pytest.raises(ValueError, match="Received: min_words="):
        find(["a"], min_words=min_words)


def test_unequal_lengths_are_refused():
    """A prompt that is missing must not shift the others."""
    with pytest.raises(ValueError, match="no prompt at position 1"):
        find_duplicates(["a"], ["a", "b"])


def test_a_hundred_thousand_responses_take_seconds():
    """Linear in the text, also where every response is the same."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(2000)])
    drawn = words[np.minimum(rng.zipf(1.5, (100_000, 10)) - 1, 1999)]
    responses = [" ".join(row) for row in drawn]
    responses[::4] = ["the very same response again"] * 25_000
    start = time.monotonic()
    found = find(responses)
    assert time.monotonic() - start < 30
    assert found.counts[0] == 25_000
