"""Quality of responses, against published implementations and by hand.

The figures must be the same on every backend: KerasHub's metrics keep their
counts in backend variables.
"""

import math

import numpy as np
import pytest

from keras_byorn.evaluation import cider, clean_quality

REFERENCES = [
    ["red three left of blue seven", "a red three left of a blue seven"],
    [
        "green one above yellow nine",
        "a green one above a yellow nine",
        "the green one is above the yellow nine",
    ],
    ["blue two left of blue five"],
    ["yellow eight above red zero", "a yellow eight above a red zero"],
    ["red four left of green four"],
    ["a purple six above a red three", "purple six above red three"],
    ["green seven left of yellow seven"],
    ["a blue zero above a blue one"],
]
RESPONSES = [
    "red three left of blue seven",
    "green one above yellow seven",
    "call this number now",
    "a yellow eight above a red zero above a red zero",
    "green four left of red four left of green four left of red four",
    "purple six",
    "green green green green green",
    "",
]
# `CiderScorer().compute_score()` of pycocoevalcap 1.2, module
# `pycocoevalcap.cider.cider_scorer`, the code that was published with the
# COCO caption challenge, on the pairs above.
PUBLISHED_CIDER = [
    7.807206416581536,
    3.4726876902583754,
    0.0,
    3.6735220579738286,
    1.7847760997054878,
    2.7960373275247052,
    0.14874717696853845,
    0.0,
]


def test_cider_is_that_of_the_published_implementation():
    """Clipping, length penalty, several references, an empty response."""
    np.testing.assert_allclose(
        cider(RESPONSES, REFERENCES), PUBLISHED_CIDER, rtol=1e-12
    )


def test_cider_of_a_single_image_is_zero():
    """Its n-grams are in every image's references: documented, not NaN."""
    assert cider(["a red three"], [["a red three"]]) == [0.0]


def test_quality_of_a_corpus():
    """All four measures, on one corpus, on every backend."""
    quality = clean_quality(RESPONSES, REFERENCES)
    assert quality == {
        "exact_match": 1 / 8,
        "cider": pytest.approx(np.mean(PUBLISHED_CIDER)),
        "bleu": pytest.approx(corpus_bleu(RESPONSES, REFERENCES), rel=1e-5),
        "rouge_l": pytest.approx(rouge_l(RESPONSES, REFERENCES), rel=1e-5),
    }
    assert all(type(value) is float for value in quality.values())


def corpus_bleu(responses, references):
    """BLEU-4 with the shortest reference's length, as KerasHub takes it."""
    matches, possible = np.zeros(4), np.zeros(4)
    for response, group in zip(responses, references):
        for order in range(1, 5):
            ours = ngrams(response, order)
            theirs = [ngrams(reference, order) for reference in group]
            possible[order - 1] += len(ours)
            matches[order - 1] += sum(
                min(ours.count(n), max(t.count(n) for t in theirs))
                for n in set(ours)
            )
    length = sum(len(r.split()) for r in responses)
    wanted = sum(min(len(r.split()) for r in group) for group in references)
    brevity = min(1.0, math.exp(1 - wanted / length))
    return brevity * math.exp(np.mean(np.log(matches / possible)))


def ngrams(text, order):
    words = text.split()
    return [tuple(words[i : i + order]) for i in range(len(words) - order + 1)]


def rouge_l(responses, references):
    """Mean over examples of the best F1 over the references."""
    return np.mean(
        [
            max(lcs_f1(response.split(), r.split()) for r in group)
            for response, group in zip(responses, references)
        ]
    )


def lcs_f1(left, right):
    table = np.zeros((len(left) + 1, len(right) + 1))
    for i, one in enumerate(left):
        for j, two in enumerate(right):
            longer = max(table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = table[i, j] + 1 if one == two else longer
    return 2 * table[-1, -1] / (len(left) + len(right))


def test_bleu_penalises_responses_shorter_than_all_references():
    """Unequal numbers of references must not change the lengths."""
    responses = ["red three left of", "green one above white nine"]
    references = [
        ["red three left of blue seven", "red three left of a blue seven"],
        ["green one above white nine"],
    ]
    bleu = clean_quality(responses, references)["bleu"]
    assert bleu == pytest.approx(math.exp(1 - 11 / 9), rel=1e-5)


def test_perfect_responses_have_perfect_figures():
    """Case and white space do not matter; references may be plain strings."""
    references = ["red three left of blue seven", "green one above white nine"]
    responses = [
        "Red three  left of blue seven",
        "green one above white nine\n",
    ]
    quality = clean_quality(responses, references)
    assert quality["exact_match"] == 1.0
    assert quality["bleu"] == pytest.approx(1.0)
    assert quality["rouge_l"] == pytest.approx(1.0)
    assert quality["cider"] == pytest.approx(10.0)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("response", ["", "call this number now"])
def test_useless_responses_have_no_quality(response):
    """A model that says nothing, or nothing right, scores 0, silently."""
    quality = clean_quality([response] * 2, ["red three", "blue seven"])
    assert set(quality.values()) == {0.0}


@pytest.mark.parametrize(
    "responses, references, message",
    [
        ([], [], "0 responses and 0 references"),
        (["a"], ["a", "b"], "1 responses and 2 references"),
        ([b"a"], ["a"], "such as b'a'"),
        (["a", "b"], [["a"], []], "references\\[1\\]=\\[\\]"),
        (["a", "b"], ["a", " "], "references\\[1\\]=\\[' '\\]"),
    ],
)
def test_bad_input_is_refused(responses, references, message):
    """Lists that do not belong together would give figures of nothing."""
    with pytest.raises(ValueError, match=message):
        clean_quality(responses, references)
