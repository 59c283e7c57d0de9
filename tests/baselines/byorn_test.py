"""The defences that are a `BYORnCallback` differ in one part each."""

import numpy as np
import pytest

from keras_byorn.baselines import (
    BYORn,
    FilterOnly,
    OracleReplacement,
    PaperBYORn,
    RandomReplacement,
)
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.training.callback import BYORnCallback


def settings_of(callback):
    names = ("teacher", "sampler", "suspects", "review", "seed")
    detector = callback.detector
    return {
        **{name: getattr(callback, name) for name in names},
        "detector": type(detector).__name__,
        "scorer": repr(detector.scorer),
        "decision": repr(detector.decision),
        "flag_copies": detector.flag_copies,
    }


def difference(defence, options):
    """Settings that are not the paper's."""
    paper = settings_of(BYORnCallback.paper(verbose=0))
    own = settings_of(defence.callback(options))
    return {k: v for k, v in own.items() if v != paper[k]}


@pytest.mark.parametrize(
    "defence, changed",
    [
        (PaperBYORn(), {}),
        (FilterOnly(), {"teacher": "none"}),
        (RandomReplacement(), {"detector": "RandomFlags"}),
        (OracleReplacement({"a"}), {"detector": "OracleFlags"}),
        (
            PaperBYORn(flag_fraction=0.2),
            {"decision": repr(FlagFraction(0.2))},
        ),
        (PaperBYORn(teacher="student"), {"teacher": "student"}),
    ],
    ids=repr,
)
def test_one_part_differs(defence, changed, options):
    """So a difference in a table has one cause."""
    assert difference(defence, options) == changed


def test_ours_are_the_defaults(options):
    """Whatever they are."""
    ours = settings_of(BYORn().callback(options))
    assert ours == settings_of(BYORnCallback(verbose=0))
    callback = BYORn(FlagFraction(0.2), review=False).callback(options)
    assert repr(callback.detector.decision) == repr(FlagFraction(0.2))
    assert not callback.review


def test_filtering_leaves_out_the_least_plausible(
    make_vlm, make_examples, options
):
    """A fit, whose store and detection agree."""
    fit = FilterOnly(flag_fraction=0.25).fit(
        make_vlm(lora_rank=2), make_examples(8), options
    )
    suspects = fit.store.suspects
    assert suspects.sum() == 2
    lowest = np.argsort(fit.store.plausibility)[:2]
    assert sorted(np.flatnonzero(suspects)) == sorted(lowest)
    assert fit.detection.suspects.tolist() == suspects.tolist()
    assert fit.history["num_suspect"] == [2]
    assert "FlagFraction(flag_fraction=0.25" in fit.details["detector"]
