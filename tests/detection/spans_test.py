"""Spans: found whole, with what they force, and never a part of them."""

import numpy as np
import pytest

from keras_byorn.detection import spans

START, END = 0, 99
CLEAN = (1, 2, 3, 4, 5, 6)
PHRASE = (7, 8, 9)  # 8 is expected after 7, and 9 after 8
MAYBE = 10  # may stand between 3 and 4
EXPECTED = {(START, 1), (6, END), *zip(CLEAN, CLEAN[1:]), (7, 8), (8, 9)}
EXPECTED |= {(3, MAYBE), (MAYBE, 4)}


def regrets_of(response):
    """An oracle: 0 for the expected next token, -9 for any other."""
    tokens = [START, *map(int, response), END]
    pairs = zip(tokens, tokens[1:])
    return np.array([0.0 if pair in EXPECTED else -9.0 for pair in pairs])


def score_rests(rests):
    """Scores rests by the oracle; a rest that loses little is plausible."""
    regrets = {i: regrets_of(rest) for i, rest in rests.items()}
    return regrets, {i: own.mean() > -1 for i, own in regrets.items()}


def find(*responses, cut=-2.0):
    responses = {i: np.array(own) for i, own in enumerate(responses)}
    regrets = {i: regrets_of(own) for i, own in responses.items()}
    return spans.find_spans(responses, regrets, cut, score_rests)


@pytest.mark.parametrize("place", range(len(CLEAN) + 1))
def test_an_inserted_phrase_is_found_with_what_it_forces(place):
    """At any place, though two of its tokens are likely after the first."""
    response = CLEAN[:place] + PHRASE + CLEAN[place:]
    apart = np.flatnonzero(regrets_of(response) < -2)
    assert len(apart) == 2  # the phrase's first token, and what follows it
    assert find(response) == {0: tuple(range(place, place + 3))}


def test_a_plausible_response_has_no_span():
    """An empty mask would train on the whole suspect."""
    assert find(CLEAN) == {}


def test_a_response_that_is_implausible_as_a_whole_has_no_span():
    """Nor one that would lose more than half, or that has no end."""
    assert find((7, 7, 7, 7)) == {}
    assert find((1, 2, 3, 4, 7)) == {}  # the rest does not end there
    assert find((7, 8, 9, 1, 2)) == {}
    assert find((7,)) == {}


def test_a_rest_must_be_plausible_as_a_whole():
    """No token stands out, but together they are still implausible."""
    responses = {0: np.array(CLEAN[:3] + PHRASE + CLEAN[3:])}

    def score(rests):
        return score_rests(rests)[0], dict.fromkeys(rests, False)

    regrets = {0: regrets_of(responses[0])}
    assert spans.find_spans(responses, regrets, -2.0, score) == {}


def test_a_long_span_is_given_up(monkeypatch):
    """Each of its tokens costs a pass."""
    monkeypatch.setattr(spans, "MAX_TOKENS", 2)
    assert find(CLEAN + PHRASE) == {}
    assert find(CLEAN[:2] + PHRASE[:2] + CLEAN[2:]) == {0: (2, 3)}


def test_of_a_common_span_none_learns_a_part():
    """A word of it that happens to fit goes with the others."""
    phrase = (7, 8, MAYBE)
    fits, *others = (
        CLEAN[:place] + phrase + CLEAN[place:] for place in (3, 0, 1, 2, 5, 6)
    )
    assert find(fits) == {0: (3, 4)}
    assert find(fits, *others[:4])[0] == (3, 4)
    found = find(fits, *others)
    assert found[0] == (3, 4, 5)
    assert found[1] == (0, 1, 2) and len(found) == 6


def test_few_copies_are_no_common_span():
    """A run taken out of a few says nothing of another response."""
    responses = {i: CLEAN for i in range(5)}
    found = dict.fromkeys(range(4), (0, 1))
    assert spans.common_phrases(responses, found) == []
    found[4] = (0, 1, 4)
    assert spans.common_phrases(responses, found) == [(1, 2)]


def test_a_phrase_is_taken_out_wherever_it_stands():
    """Whole, and more than once."""
    response = [4, 5, 1, 4, 5, 4]
    assert spans.with_phrases(response, (2,), [(4, 5)]) == (0, 1, 2, 3, 4)
    assert spans.with_phrases(response, (), [(6,), (5, 6)]) == ()


def test_holes_are_filled_and_gaps_are_not():
    """One or two tokens between two of the span are of it."""
    assert spans.without_holes((1, 3, 6, 10)) == (1, 2, 3, 4, 5, 6, 10)
    assert spans.without_holes((2,)) == (2,)


def test_the_token_after_a_span_is_predicted_from_it():
    """The end token too, and nothing beyond it."""
    found = spans.with_what_follows((1, 2, 5), 7)
    assert found.tolist() == [1, 2, 3, 5, 6]
    assert spans.with_what_follows((6,), 7).tolist() == [6]
    assert spans.with_what_follows((), 7).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_something_is_always_left_to_learn(seed):
    """However the span lies: a row without a target would teach nothing."""
    rng = np.random.default_rng(seed)
    for _ in range(200):
        length = rng.integers(2, 12)
        span = np.flatnonzero(rng.random(length) < 0.4)
        span = spans.without_holes(tuple(span.tolist()))
        if span and spans.is_small(span, length):
            out = spans.with_what_follows(span, length + 1)
            assert len(out) <= length


def test_the_cut_is_a_quantile_of_tokens():
    """One token in a hundred of kept responses stands out by chance."""
    regrets = -np.arange(300.0)
    cut = spans.token_cut(regrets)
    assert isinstance(cut, float)
    assert cut == pytest.approx(np.quantile(regrets, 0.01))


def test_each_round_asks_for_the_rests_of_all_at_once():
    """A pass of the reference for each token of the longest span."""
    asked = []

    def score(rests):
        asked.append(sorted(rests))
        return score_rests(rests)

    responses = {
        3: np.array(CLEAN[:2] + PHRASE[:1] + CLEAN[2:]),
        5: np.array(PHRASE + CLEAN),
        8: np.array(CLEAN),
    }
    regrets = {i: regrets_of(own) for i, own in responses.items()}
    found = spans.find_spans(responses, regrets, -2.0, score)
    assert found == {3: (2,), 5: (0, 1, 2)}
    assert asked == [[3, 5], [5], [5], [3, 5]]
