"""The contract of every scorer."""

import keras
import numpy as np
import pytest

from keras_byorn.data.views import (
    BlankImage,
    Blur,
    Crop,
    Paraphrase,
    ShuffledImage,
)
from keras_byorn.detection.scorers import (
    Duplication,
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    Scorer,
    SelfAgreement,
    TokenScorer,
    ViewConsistency,
    WorstSpan,
    scorer,
)

BLANK = BlankImage()


@keras.saving.register_keras_serializable(package="scorer_test")
class Worst(Scorer):
    """A scorer of the user's own: the worst token, or a floor."""

    in_step = True

    def __init__(self, floor):
        self.floor = floor

    def call(self, scores):
        worst = keras.ops.min(scores.log_likelihoods, axis=-1)
        return keras.ops.maximum(worst, self.floor)

    def get_config(self):
        return {"floor": self.floor}


@keras.saving.register_keras_serializable(package="scorer_test")
def politely(prompt):
    return f"please {prompt}"


@pytest.mark.parametrize(
    "given",
    [
        MeanLogLikelihood(),
        Worst(-4.0),
        Regret(),
        WorstSpan(3, of=Regret()),
        PointwiseMutualInformation(ShuffledImage()),
        ViewConsistency([Blur(0.1), Crop(0.2), Paraphrase(politely)]),
        SelfAgreement(2, ngram=2, seed=7),
        Duplication(4),
        Ensemble(
            [Regret(), WorstSpan(2)], centers=[-1.0, -2.0], scales=[0.1, 0.2]
        ),
    ],
    ids=repr,
)
def test_every_scorer_survives_saving(given):
    """A run can be told and repeated from its configuration."""
    config = keras.saving.serialize_keras_object(given)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(given)
    assert keras.saving.serialize_keras_object(again) == config
    assert repr(again) == repr(given)
    assert "object at" not in repr(given)


@pytest.mark.parametrize("given", [MeanLogLikelihood(), Worst(-4.0)])
def test_a_saved_scorer_gives_the_same_scores(given, to_numpy):
    """A model with a scorer of its own can be saved and loaded."""
    config = keras.saving.serialize_keras_object(given)
    again = keras.saving.deserialize_keras_object(config)
    values = np.array([[-1.0, -9.0, 0.0]], "float32")
    mask = values < 0
    np.testing.assert_array_equal(
        to_numpy(again(values, mask)), to_numpy(given(values, mask))
    )


SCORERS = [
    MeanLogLikelihood(),
    Worst(-4.0),
    Regret(),
    WorstSpan(3, of=Regret()),
    PointwiseMutualInformation(BLANK),
    WorstSpan(2, of=PointwiseMutualInformation(BLANK)),
    ViewConsistency([BLANK]),
    Ensemble([Regret(), WorstSpan(2)]),
]


@pytest.mark.parametrize("given", SCORERS, ids=repr)
@pytest.mark.parametrize("rows", [1, 7, 50])
def test_blocks_give_the_scores_of_the_whole(
    given, rows, make_random_scores, monkeypatch
):
    """However few rows fit on the device at once."""
    whole = given.fit(make_random_scores(views=[BLANK]))
    expected = whole.score(make_random_scores(views=[BLANK]))
    assert expected.shape == (50,) and expected.dtype == "float32"
    monkeypatch.setattr(scorer, "MAX_BLOCK", 12 * rows)
    found = given.score(make_random_scores(views=[BLANK]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_block_holds_no_more_than_it_may(make_random_scores, monkeypatch):
    """But one row at least."""
    shapes = []

    def count(values, mask):
        shapes.append(tuple(values.shape))
        return keras.ops.sum(values, axis=-1)

    given = make_random_scores()
    arrays = given.log_likelihoods, given.response_mask
    monkeypatch.setattr(scorer, "MAX_BLOCK", 12 * 20 + 11)
    assert scorer.in_blocks(count, *arrays).shape == (50,)
    assert shapes == [(20, 12), (20, 12), (10, 12)]
    monkeypatch.setattr(scorer, "MAX_BLOCK", 1)
    scorer.in_blocks(count, *arrays)
    assert shapes[3:] == [(1, 12)] * 50
    empty = scorer.in_blocks(count, *(a[:0] for a in arrays))
    assert empty.shape == (0,) and empty.dtype == "float32"


def test_a_data_set_is_scored_once(make_random_scores):
    """By each scorer; an audit asks for the parts again."""

    class Counted(TokenScorer):
        calls = 0

        def token_values(self, scores):
            self.calls += 1
            return scores.log_likelihoods

    given, counted = make_random_scores(), Counted()
    first = counted.score(given)
    assert counted.score(given) is first
    assert counted.parts(given) == {"Counted()": first}
    assert counted.calls == 1
    counted.score(make_random_scores(1))
    assert counted.calls == 2


def test_a_scorer_has_to_say_how_it_scores(make_random_scores):
    """The base classes do not."""
    for base in (Scorer(), TokenScorer()):
        with pytest.raises(NotImplementedError):
            base.score(make_random_scores())
