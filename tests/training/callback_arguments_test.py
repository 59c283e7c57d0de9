"""Arguments of the callback: their defaults, and the refusals."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import FlagFraction, HoldOut
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import (
    Duplication,
    Ensemble,
    MeanLogLikelihood,
    Regret,
)
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.training.callback import BYORnCallback

MASK = np.array([[False, True, True]] * 4)


def decided(scorer):
    """A detection of four examples from given scores."""
    values = np.where(MASK, [[-9.0], [-1.0], [-2.0], [-1.5]], 0.0)
    detector = Detector(scorer, FlagFraction(0.25), verbose=0)
    texts = ["red", "blue", "one", "two"]
    with pytest.warns(UserWarning, match="4 examples tell little"):
        return detector.decide(TokenScores(values, None, MASK), texts, texts)


def test_the_callback_on_another_model_is_refused():
    """On a plain Keras model nothing would be defended."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x = np.zeros((2, 1), "float32")
    with pytest.raises(ValueError, match="BYORnModel.*Sequential"):
        model.fit(x, x, callbacks=[BYORnCallback(verbose=0)], verbose=0)


@pytest.mark.parametrize(
    "kwargs",
    [{"teacher": "reference"}, {"sampler": "beam"}, {"suspects": "forgive"}],
)
def test_unknown_choices_are_refused(kwargs):
    """The message lists the choices and repeats the one that came."""
    ((name, value),) = kwargs.items()
    with pytest.raises(
        ValueError, match=f"`{name}`.*Received: {name}='{value}"
    ):
        BYORnCallback(**kwargs)


def test_detection_and_detector_are_told_apart():
    """Each has its place, and only one of them can be given."""
    detection, detector = decided(MeanLogLikelihood()), Detector()
    with pytest.raises(ValueError, match="`detection`.*detection=Detector"):
        BYORnCallback(detector)
    with pytest.raises(ValueError, match="`detector`.*detector=<Detection"):
        BYORnCallback(detector=detection)
    with pytest.raises(ValueError, match="`detector`.*=FlagFraction"):
        BYORnCallback(detector=FlagFraction(0.4))
    with pytest.raises(ValueError, match="must not both be given"):
        BYORnCallback(detection, detector)


def test_masks_need_a_scorer_of_tokens():
    """Others could not judge the rest; the message names some."""
    for scorer in (Duplication(), Ensemble([Regret(), Duplication()])):
        detector = Detector(scorer=scorer)
        with pytest.raises(ValueError, match="`suspects='mask'`.*`Regret"):
            BYORnCallback(detector=detector, suspects="mask")
        BYORnCallback(detector=detector, suspects="replace")
    detection = decided(Duplication())
    with pytest.raises(ValueError, match="`suspects='mask'`.*Duplication"):
        BYORnCallback(detection, suspects="mask")
    BYORnCallback(decided(MeanLogLikelihood()), suspects="mask")
    BYORnCallback(suspects="mask")


def test_the_defaults_need_no_argument():
    """An ensemble scores, `HoldOut` decides, the average teaches."""
    defence = BYORnCallback(verbose=0)
    assert isinstance(defence.detector.decision, HoldOut)
    assert isinstance(defence.detector.scorer, Ensemble)
    assert defence.detection is None and defence.detector.verbose == 0
    assert (defence.teacher, defence.suspects) == ("ema", "cluster")
    assert defence.review and defence.sampler == "greedy"


def test_the_papers_settings():
    """Each can be changed; a detection takes the place of the detector."""
    defence = BYORnCallback.paper(seed=3, verbose=0)
    detector = defence.detector
    assert detector.decision.flag_fraction == 0.4
    assert isinstance(detector.scorer, MeanLogLikelihood)
    assert not detector.flag_copies and not defence.review
    assert (defence.teacher, defence.sampler) == ("ema", "random")
    assert defence.suspects == "replace"
    assert detector.seed == defence.seed == 3 and detector.verbose == 0
    assert BYORnCallback.paper(review=True).review
    own = Detector(decision=FlagFraction(0.1))
    assert BYORnCallback.paper(detector=own).detector is own
    detection = decided(MeanLogLikelihood())
    assert BYORnCallback.paper(detection=detection).detection is detection


def test_a_callback_shows_its_settings():
    """Before training the detector, then the detection."""
    assert repr(BYORnCallback(review=False)) == (
        f"<BYORnCallback: {Detector()!r}, teacher='ema', "
        "suspects='cluster', review=False>"
    )
    detection = decided(MeanLogLikelihood())
    assert "1 of 4 (25.0 %) suspect" in repr(BYORnCallback(detection))


@pytest.mark.parametrize("read", [lambda d: d.audit(), lambda d: d.store])
def test_nothing_is_known_before_training(read):
    """The message says when it is."""
    with pytest.raises(ValueError, match="once training has begun"):
        read(BYORnCallback())
