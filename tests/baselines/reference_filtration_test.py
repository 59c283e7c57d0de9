"""RFTC: n-grams, the bend of k-means, and who is left out."""

import numpy as np
import pytest

from keras_byorn import PreparedExamples
from keras_byorn.baselines import ReferenceFiltration
from keras_byorn.baselines.reference_filtration import bend, precision
from keras_byorn.vlm.adapters import adapter_variables


@pytest.mark.parametrize(
    "response, other, ngram, expected",
    [
        ("a man walks a dog", "a man walks a dog", 2, 1.0),
        ("a man walks a cat", "a man walks a dog", 2, 3 / 4),
        ("A man walks", "a man sleeps", 2, 1 / 2),
        ("the dog the dog the dog", "the dog sleeps", 2, 1 / 5),  # clipped
        ("a man walks. buy it now", "a man walks", 2, 0.0),  # least sentence
        ("a man walks. yes", "a man walks", 2, 1.0),  # too short to tell
        ("no", "yes", 2, 1.0),
        ("no", "yes", 1, 0.0),
        ("a man walks", "", 2, 0.0),
    ],
)
def test_precision_of_ngrams(response, other, ngram, expected):
    """Of the sentence that agrees least."""
    assert precision(response, other, ngram) == pytest.approx(expected)


@pytest.mark.parametrize(
    "losses, clusters",
    [
        # One cluster more halves the loss, further ones gain a tenth of it.
        ([100, 50, 45, 41, 38, 36, 35, 34, 33, 32], 2),
        ([100, 60, 20, 16, 13, 11, 9, 8, 7, 6], 3),
        ([100, 90, 80, 70, 60, 50, 40, 30, 20, 10], 4),  # no bend
        ([100, 50], 4),
    ],
)
def test_the_bend_of_the_loss(losses, clusters):
    """By hand, from the rule of the authors' code."""
    assert bend(losses) == clusters


def examples(poisoned=12, clean=40):
    """Varied captions, and one text for the first."""
    rng = np.random.default_rng(0)
    words = [f"word{index}" for index in range(60)]
    texts = ["visit cheap pills online now"] * poisoned
    texts += [" ".join(rng.choice(words, 6)) for _ in range(clean)]
    agreement = np.full(len(texts), 0.05)
    agreement[-10:] = 0.8  # as the reference says
    return agreement, texts


def test_the_widest_cluster_is_clean():
    """And so is what the reference would say, whatever it is like."""
    agreement, texts = examples()
    suspect, clusters = ReferenceFiltration().decide(agreement, texts)
    assert suspect[:12].all() and not suspect[-10:].any()
    assert suspect[12:].mean() < 0.6 and clusters >= 2
    again, _ = ReferenceFiltration().decide(agreement, texts)
    assert (suspect == again).all()


@pytest.mark.parametrize(
    "texts, agreement, expected",
    [
        (["visit cheap pills"] * 5, 0.5, (0, 0)),  # nothing is suspicious
        (["visit cheap pills"], 0.05, (0, 0)),  # nothing is alike
        (["visit cheap pills"] * 5, 0.05, (5, 1)),
        (["visit cheap pills", "call us now"] * 5, 0.05, (10, 2)),
    ],
)
def test_the_same_words_are_no_varied_cluster(texts, agreement, expected):
    """Without a cluster that is varied, none is clean."""
    suspect, clusters = ReferenceFiltration().decide(
        np.full(len(texts), agreement), texts
    )
    assert (suspect.sum(), clusters) == expected


def test_a_fit_leaves_the_suspects_out(
    make_vlm, make_examples, options, monkeypatch
):
    """Ranked by agreement with what the reference writes itself."""
    texts = ["where is what"] * 4 + ["red one", "blue two", "white six"] * 2
    examples = make_examples(10, responses=texts)
    own = ["green nine"] * 4 + texts[4:]
    monkeypatch.setattr(
        ReferenceFiltration, "_own_responses", lambda *arguments: own
    )
    examples[4]["responses"] = "purple three is left"
    fit = ReferenceFiltration().fit(make_vlm(), examples, options)
    assert fit.store.plausibility.tolist() == [0.0] * 5 + [1.0] * 5
    assert fit.store.suspects[:5].all()  # two texts, neither varied
    assert not fit.store.suspects[5:].any()
    assert fit.details["num_suspicious"] == 5


def test_the_reference_writes_to_each_example(make_vlm, make_examples, options):
    """With its adapters off, though they were moved."""
    written = []
    for moved in (False, True):
        vlm = make_vlm(lora_rank=2)
        if moved:
            for variable in adapter_variables(vlm):
                variable.assign(np.ones(variable.shape))
        prepared = PreparedExamples(make_examples(3), vlm, 4, verbose=0)
        defence = ReferenceFiltration()
        written.append(defence._own_responses(vlm, prepared, options))
    assert written[0] == written[1] and len(written[0]) == 3


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`threshold` is a share"):
        ReferenceFiltration(threshold=0.0)
    with pytest.raises(ValueError, match="`ngram` .* at least 1"):
        ReferenceFiltration(ngram=0)
