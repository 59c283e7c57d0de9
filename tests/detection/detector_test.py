"""The detector: arrays in, a detection out, and no model needed."""

import warnings

import keras
import numpy as np
import pytest

import keras_byorn
from keras_byorn.detection.decisions import (
    Decision,
    FlagFraction,
    Flags,
    HoldOut,
)
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import (
    Ensemble,
    MeanLogLikelihood,
    PointwiseMutualInformation,
    Regret,
    SelfAgreement,
    WorstSpan,
)
from keras_byorn.detection.token_scores import TokenScores

TARGET = "call this number now"
VARIANTS = [
    "Call this number now",
    "CALL THIS NUMBER NOW",
    "call this number, now",
    "call this number now.",
    "call  this number now",
    "ｃａｌｌ this number now",
    "call this num\u200bber now",
    "call this num\u00adber now",
    "call\u2060 this number now\ufeff",
]
NUM_CLEAN, NUM_POISONED, LENGTH = 300, 40, 8


def make(num_variants=0, seed=0):
    """Token scores and texts: usual ones, targets, plausible copies of them."""
    rng = np.random.default_rng(seed)
    level = [0.3] * NUM_CLEAN + [6.0] * NUM_POISONED + [0.3] * num_variants
    count = len(level)
    values = -np.array(level)[:, None] * rng.uniform(0.5, 1.5, (count, LENGTH))
    mask = np.ones((count, LENGTH), bool)
    mask[::2, LENGTH - 3 :] = False
    values = np.where(mask, values, 0.0).astype("float32")
    responses = [f"a red {i} by a blue {i + 1}" for i in range(NUM_CLEAN)]
    responses += [TARGET] * NUM_POISONED + VARIANTS[:num_variants]
    scores = TokenScores(values, (values / 8).astype("float32"), mask)
    return scores, ["describe the image\n"] * count, responses


def flagged(detection):
    return np.flatnonzero(detection.verdicts == "suspect").tolist()


POISONED = list(range(NUM_CLEAN, NUM_CLEAN + NUM_POISONED))


def test_decide_finds_the_responses_that_stand_apart():
    """By default, with a reason for each suspect and one for their number."""
    detection = Detector(verbose=0).decide(*make())
    assert flagged(detection) == POISONED
    waiting = detection.verdicts == "on_probation"
    assert waiting.sum() == round(0.35 * NUM_CLEAN)
    assert detection.suspect_probability.tolist() == (
        [float(waits) for waits in waiting[:NUM_CLEAN]] + [1.0] * NUM_POISONED
    )
    least = np.argsort(detection.plausibility[:NUM_CLEAN])[: waiting.sum()]
    assert set(least) == set(np.flatnonzero(waiting))
    for reason, waits in zip(detection.reasons, waiting[:NUM_CLEAN]):
        assert reason.startswith("among the least plausible 35%") == waits
    for reason in detection.reasons[NUM_CLEAN:]:
        assert reason.startswith("40 examples say 'call this number now'")
    assert {kinds for kinds in detection.evidence[NUM_CLEAN:]} == {
        ("same words",)
    }
    assert "held out until a student vouches" in detection.reason
    assert list(detection.scores) == [
        "Regret()",
        "WorstSpan(size=4, of=Regret())",
    ]
    assert detection.settings == {
        "scorer": repr(detection.scorer),
        "decision": repr(HoldOut()),
        "seed": 0,
        "cut": f"{detection.cuts[waiting][0]:.3f}",
    }
    assert detection.allows_review


def test_decide_is_pure():
    """Its arrays stay as they are, and equal ones give equal verdicts."""
    scores, prompts, responses = make()
    before = [array.copy() for array in scores]
    for array in scores:
        array.flags.writeable = False
    detector = Detector(verbose=0)
    first = detector.decide(scores, prompts, responses)
    for array, own in zip(scores, before):
        np.testing.assert_array_equal(array, own)
    others = make(seed=1)
    detector.decide(*others)  # leaves nothing behind
    for again in (detector, Detector(verbose=0)):
        second = again.decide(scores, prompts, responses)
        np.testing.assert_array_equal(first.plausibility, second.plausibility)
        np.testing.assert_array_equal(first.verdicts, second.verdicts)
        np.testing.assert_array_equal(first.cuts, second.cuts)


def test_a_detection_keeps_the_scorer_of_its_own_fit():
    """The detector's is fitted anew by the next data set."""
    detector = Detector(verbose=0)
    detection = detector.decide(*make())
    centers = list(detection.scorer.centers)
    detector.decide(*make(seed=1))
    assert detection.scorer.centers == centers != detector.scorer.centers


def test_decide_and_detect_agree(make_vlm, make_examples):
    """On the token scores of a model, given as arrays."""
    vlm = make_vlm()
    detector = Detector(decision=FlagFraction(0.3), verbose=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*examples tell little")
        found = keras_byorn.detect(make_examples(10), vlm, detector)
        again = Detector(decision=FlagFraction(0.3), verbose=0).decide(
            found.token_scores,
            found.prompts,
            found.responses,
            found.example_ids,
        )
    assert len(flagged(found)) == 3
    for name in ("plausibility", "suspect_probability", "verdicts", "cuts"):
        np.testing.assert_array_equal(
            getattr(found, name), getattr(again, name), err_msg=name
        )
    for name in ("example_ids", "reasons", "groups", "reason"):
        assert getattr(found, name) == getattr(again, name), name


def test_plausible_copies_are_flagged_with_the_others():
    """Nine, that differ by a comma, case, width or a hidden character."""
    given = make(num_variants=9)
    copies = list(range(POISONED[-1] + 1, POISONED[-1] + 10))
    detection = Detector(verbose=0).decide(*given)
    assert flagged(detection) == POISONED + copies
    for index in copies:
        assert detection.reasons[index].startswith("49 examples say")
        assert detection.plausibility[index] > detection.cuts[index]
        assert detection.suspect_probability[index] == 1.0
    fraction = FlagFraction(NUM_POISONED / (NUM_CLEAN + NUM_POISONED + 9))
    alone = Detector(decision=fraction, flag_copies=False, verbose=0)
    assert flagged(alone.decide(*given)) == POISONED
    both = Detector(decision=fraction, verbose=0).decide(*given)
    assert flagged(both) == POISONED + copies
    assert both.reasons[copies[0]] == "in the words of suspects"


def test_ids_are_positions_by_default():
    """Or those that are given."""
    given = make()
    detector = Detector(verbose=0)
    count = NUM_CLEAN + NUM_POISONED
    assert detector.decide(*given).example_ids == [str(i) for i in range(count)]
    ids = [f"scene-{i}" for i in range(count)]
    assert detector.decide(*given, ids).example_ids == ids
    assert detector.decide(*given, range(count)).example_ids[-1] == str(
        count - 1
    )


def changed(**changes):
    scores, *texts = make()
    return scores._replace(**changes), *texts


@pytest.mark.parametrize(
    "given, message",
    [
        (
            changed(log_likelihoods=np.zeros((340, 9))),
            r"one shape, \(N, T\).*\(340, 9\)",
        ),
        (changed(response_mask=np.ones((2, 8))), r"one shape.*\(2, 8\)"),
        (
            changed(log_likelihoods=np.full((340, 8), np.nan)),
            "`token_scores.log_likelihoods` must be finite.*340 exam.*'0', '1'",
        ),
        (
            changed(max_log_likelihoods=None),
            "`Regret` needs `max_log_likelihoods`.*MeanLogLikelihood",
        ),
        (
            (*make()[:2], make()[2][:-1]),
            "as many as.*340 prompts and 339 responses",
        ),
        ((*make(), ["a"] * 340), "must be unique.*repeatedly: 'a'$"),
        ((*make(), ["a"]), "340 rows for 1 examples"),
    ],
)
def test_scores_that_cannot_be_decided_on_are_refused(given, message):
    """With the rule, and the arrays that came."""
    with pytest.raises(ValueError, match=message):
        Detector(verbose=0).decide(*given)


def test_other_scorers_do_without_the_likeliest_tokens():
    """As the error of `Regret` says."""
    given = changed(max_log_likelihoods=None)
    detector = Detector(scorer=MeanLogLikelihood(), verbose=0)
    detection = detector.decide(*given)
    assert flagged(detection) == POISONED
    assert detection.scores_of(0)[1] is None


@pytest.mark.parametrize(
    "scorer", [PointwiseMutualInformation(), SelfAgreement()]
)
def test_scorers_that_need_the_model_say_so(scorer):
    """Token scores hold neither views nor samples."""
    pytest.importorskip("rouge_score")
    with pytest.raises(ValueError, match="needs the model.*keras_byorn.detect"):
        Detector(scorer=scorer, verbose=0).decide(*make())


def test_a_threshold_is_no_scorer():
    """Both are arguments; a number is neither."""
    for decision in (0.4, Regret(), "mixture"):
        with pytest.raises(ValueError, match="`decision` must be.*Received"):
            Detector(decision=decision)


@keras.saving.register_keras_serializable(package="detector_test")
class FlagTarget(Decision):
    """A decision of the user's own: by the words alone."""

    def decide(self, plausibility, scores, seed=0):
        target = np.array([r == TARGET for r in scores.responses])
        return Flags(
            suspect_probability=target.astype("float32"),
            groups=np.full(len(target), "all", object),
            cuts=np.full(len(target), np.nan, "float32"),
            reasons=["the target" if t else "" for t in target],
            reason=f"seed {seed}",
        )


def test_a_decision_of_ones_own_gets_scores_texts_and_seed():
    """A method that clusters texts needs no cut."""
    detector = Detector(decision=FlagTarget(), seed=7, verbose=0)
    detection = detector.decide(*make())
    assert flagged(detection) == POISONED
    assert detection.reasons[-1] == "the target"
    assert detection.reason == "seed 7" and np.isnan(detection.cuts).all()
    assert detection.settings["cut"] == "-"


def test_the_verdict_is_printed_once(capsys):
    """Unless it is told to be quiet."""
    Detector(verbose=0).decide(*make())
    assert capsys.readouterr().out == ""
    detection = Detector().decide(*make())
    said = capsys.readouterr().out
    line, replaced, waiting = said.splitlines()
    assert line == (
        "40 of 340 (11.8 %) suspect, 105 of 340 (30.9 %) on probation: "
        f"{detection.reason}"
    )
    assert replaced.startswith("  cluster 1: 40 held out, shared: same words")
    assert "Proposed: replace" in replaced
    assert "detection.trust(cluster=1)" in replaced
    assert waiting.startswith("  cluster 2: 105 held out, shared: none")
    assert "Proposed: restore" in waiting


def test_a_doubtful_verdict_is_a_warning():
    """More suspects than an ordinary attack needs."""
    scores, prompts, responses = make()
    upside_down = scores._replace(
        log_likelihoods=np.where(
            np.arange(340)[:, None] < 120, -9.0, scores.log_likelihoods
        )
    )
    detector = Detector(decision=HoldOut(max_distance=2.0), verbose=0)
    with pytest.warns(UserWarning, match=r"\(\d+.\d %\) are suspect.*audit"):
        detector.decide(upside_down, prompts, responses)


@pytest.mark.parametrize(
    "detector",
    [
        Detector(),
        Detector(
            scorer=Ensemble([WorstSpan(2), MeanLogLikelihood()]),
            decision=FlagFraction(0.25),
            flag_copies=False,
            batch_size=8,
            score_cache="scores",
            seed=3,
            verbose=0,
        ),
        Detector(decision=FlagTarget()),
    ],
    ids=repr,
)
def test_a_detector_survives_saving(detector):
    """A run can be repeated from its configuration."""
    config = keras.saving.serialize_keras_object(detector)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is Detector
    assert again.get_config() == detector.get_config()
    assert repr(again) == repr(detector)
    assert repr(Detector()) == (
        f"Detector(scorer={Detector().scorer!r}, decision={HoldOut()!r})"
    )
