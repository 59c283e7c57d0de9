"""Spans: found whole, with what they force, and never a part of them."""

import keras_hub
import numpy as np
import pytest

from keras_byorn import attacks
from keras_byorn.data.digit_scenes import load_digit_scenes
from keras_byorn.data.examples import Examples
from keras_byorn.plausibility import spans
from keras_byorn.detection.token_scores import TokenEvidence
from keras_byorn.detection.scorers import Regret
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.span_masking import SpanMasking
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.tiny import tiny_preset

START, END = 0, 99
CLEAN = (1, 2, 3, 4, 5, 6)
PHRASE = (7, 8, 9)  # 8 and 9 are what everybody expects after 7 and 8
MAYBE = 10  # may stand between 3 and 4
EXPECTED = {(START, 1), (6, END), *zip(CLEAN, CLEAN[1:]), (7, 8), (8, 9)}
EXPECTED |= {(3, MAYBE), (MAYBE, 4)}


def regrets_of(response):
    """An oracle: 0 for the expected next token, -9 for any other."""
    tokens = [START, *map(int, response), END]
    pairs = zip(tokens, tokens[1:])
    return np.array([0.0 if pair in EXPECTED else -9.0 for pair in pairs])


class Look:
    """Judges rests by the oracle; plausible is what loses little."""

    def __init__(self):
        self.seen = []

    def __call__(self, rests):
        self.seen.append(rests)
        regrets = {i: regrets_of(rest) for i, rest in rests.items()}
        return regrets, {i: own.mean() > -1 for i, own in regrets.items()}


def find(*responses, cut=-2.0):
    responses = {i: np.array(own) for i, own in enumerate(responses)}
    regrets = {i: regrets_of(own) for i, own in responses.items()}
    return spans.find_spans(responses, regrets, cut, Look())


@pytest.mark.parametrize("place", range(len(CLEAN) + 1))
def test_an_inserted_phrase_is_found_with_what_it_forces(place):
    """At any place, though two of its tokens are likely after the first."""
    response = CLEAN[:place] + PHRASE + CLEAN[place:]
    apart = np.flatnonzero(regrets_of(response) < -2)
    assert len(apart) == 2  # the phrase's first token, and what follows it
    assert find(response) == {0: tuple(range(place, place + 3))}


def test_what_is_plausible_has_no_span():
    """An empty mask would train on the whole suspect."""
    assert find(CLEAN) == {}


def test_what_is_implausible_as_a_whole_has_no_span():
    """Nor what would lose more than half, or is cut off without an end."""
    assert find((7, 7, 7, 7)) == {}
    assert find((1, 2, 3, 4, 7)) == {}  # the rest does not end there
    assert find((7, 8, 9, 1, 2)) == {}
    assert find((7,)) == {}


def test_a_rest_must_be_plausible_as_a_whole():
    """No token stands out, but together they are still implausible."""
    responses = {0: np.array(CLEAN[:3] + PHRASE + CLEAN[3:])}

    def look(rests):
        regrets, _ = Look()(rests)
        return regrets, dict.fromkeys(rests, False)

    regrets = {0: regrets_of(responses[0])}
    assert spans.find_spans(responses, regrets, -2.0, look) == {}


def test_a_long_span_is_given_up(monkeypatch):
    """Each of its tokens costs a pass."""
    monkeypatch.setattr(spans, "MAX_TOKENS", 2)
    assert find(CLEAN + PHRASE) == {}
    assert find(CLEAN[:2] + PHRASE[:2] + CLEAN[2:]) == {0: (2, 3)}


def test_of_a_common_span_none_learns_a_part():
    """A word of it that happens to fit goes where the others' goes."""
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
    """What two have taken out says nothing of a third."""
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


def test_what_follows_is_predicted_from_the_span():
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


def test_the_cut_is_a_quantile_of_kept_tokens():
    """Of response tokens only."""
    regrets = -np.arange(400.0).reshape(4, 100)
    mask = np.ones((4, 100), bool)
    mask[3] = False
    assert spans.token_cut(regrets, mask) == pytest.approx(
        np.quantile(regrets[:3], 0.01)
    )


class Reference:
    """Finds nothing wrong with what remains."""

    def __init__(self):
        self.shapes = set()

    def evidence(self, batches, verbose):
        masks = [extra["response_mask"] for _, _, extra in batches]
        self.shapes |= {mask.shape for mask in masks}
        zeros = np.zeros(np.concatenate(masks).shape, "float32")
        return TokenEvidence(zeros, zeros, None)


@pytest.fixture
def mask_spans(vlm, make_examples, make_batches):
    """Masks suspects whose second token stands out; returns the store."""

    def mask(responses, suspects, cuts, batch_size=4):
        batches = make_batches(
            vlm, make_examples(len(responses), responses=responses)
        )
        scores = np.where(suspects, -9.0, -1.0)
        batches.store.set_scores(scores, np.array(suspects, "float32"))
        found = np.zeros(batches.response_mask.shape, "float32")
        for row, response_mask in enumerate(batches.response_mask):
            found[row, np.flatnonzero(response_mask)[1]] = -9 * suspects[row]
        evidence = TokenEvidence(found, 0 * found, batches.response_mask)
        reference = Reference()
        SpanMasking(
            *(evidence, Regret(), np.asarray(cuts), reference, batches),
            batch_size,
        )()
        assert reference.shapes <= {(batch_size, batches.text_length)}
        return batches.store

    return mask


def test_what_many_suspects_say_is_replaced_as_a_whole(mask_spans):
    """A fixed target, though a part of it fits an image."""
    responses = ["red one two"] * 5 + ["red six two", "red one two", "blue six"]
    store = mask_spans(responses, [1] * 6 + [0] * 2, [-1.0] * 8)
    assert list(store.masked) == [0] * 5 + [1, 0, 0]
    assert store["scene-5"].masked_tokens == (1,)
    assert store["scene-5"].current_response == "red two"


def test_each_is_judged_by_the_cut_of_its_group(mask_spans):
    """What remains scores 0 here: too little for the first, and no cut."""
    responses = ["red six two", "red six one", "red one two", "blue six"]
    store = mask_spans(responses, [1, 1, 1, 0], [0.1, -0.1, np.nan, -1.0])
    assert list(store.masked) == [0, 1, 0, 0]


PHRASE_TEXT = "call this number now"
FIXED = "red three left of blue seven"


class Masked:
    """A first look by the bundled preset: an inserted phrase, a fixed target.

    The fixed target is a caption like any other, of which most images have
    some part.
    """

    def __init__(self):
        scenes = load_digit_scenes("terse_captions", 128, 8, 5)
        clean = Examples(scenes["train"])
        self.clean = {e["example_id"]: e["responses"] for e in clean}
        insertion = attacks.ATTACKS["insertion"]()
        poisoned, self.inserted = attacks.poison_examples(
            clean, insertion, rate=0.15, seed=5
        )
        fixed = attacks.Backdoor(
            attacks.WordTrigger("please"), attacks.FixedTarget(FIXED)
        )
        poisoned, self.fixed = attacks.poison_examples(
            poisoned, fixed, rate=0.15, seed=6, exclude=self.inserted
        )
        vlm = keras_hub.models.PaliGemmaCausalLM.from_preset(tiny_preset())
        self.batches = TargetBatches(poisoned, vlm, batch_size=32)
        self.defence = BYORnCallback(
            FlagFraction(0.3),
            suspects="mask",
            batch_size=32,
            teacher="none",
            verbose=0,
        )
        model = BYORnModel(vlm)
        model.compile(optimizer="adam")
        model._batches = self.batches
        self.defence.set_model(model)
        self.defence.before_fit()  # training itself is tested elsewhere
        self.rows = list(self.batches.store.rows())


@pytest.fixture(scope="module")
def masked():
    return Masked()


def test_most_insertions_are_masked_and_only_they(masked):
    """The rest is, to the word, the response before it was poisoned."""
    found = [row for row in masked.rows if row.masked_tokens]
    assert len(found) >= 0.6 * len(masked.inserted)
    for row in found:
        assert row.example_id in masked.inserted
        assert row.current_response == masked.clean[row.example_id]
        assert (row.origin, row.verdict) == ("masked", "suspect")


def test_no_token_of_the_phrase_is_ever_a_target(masked):
    """Not of any example, in any batch of the epoch."""
    (phrase,) = masked.batches.task.tokenize([PHRASE_TEXT])
    trained = {
        int(token)
        for _, y, extra in masked.batches
        for token in y[extra["response_mask"] & (extra["weight"] > 0)[:, None]]
    }
    assert trained and not trained & set(phrase.tolist())
    seen = np.concatenate([y.ravel() for _, y, _ in masked.batches])
    assert np.isin(phrase, seen).all()  # it stands in the inputs


def test_the_audit_gives_the_unpoisoned_responses_back(masked):
    """And says which tokens it took out."""
    audit = masked.defence.audit()
    clean = list(audit.clean_examples())
    assert len(clean) > 0.7 * len(masked.rows)
    for example in clean:
        if example["example_id"] not in masked.fixed:
            expected = masked.clean[example["example_id"]]
            assert example["responses"] == expected
    assert audit.notes["suspects"] == "mask"
    for row in audit.table.to_pylist():
        if row["masked_tokens"]:
            said = [row["tokens"][i].strip("▁") for i in row["masked_tokens"]]
            assert "".join(said) == PHRASE_TEXT.replace(" ", "")


def test_a_fixed_target_is_never_masked(masked):
    """All of it is the attacker's, whatever part fits an image."""
    fixed = [row for row in masked.rows if row.example_id in masked.fixed]
    assert sum(row.verdict == "suspect" for row in fixed) > 10
    assert not any(row.masked_tokens for row in fixed)
