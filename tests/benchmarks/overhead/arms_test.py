"""Arms: every round is one fine-tune, the same as the one before."""

import keras
import numpy as np
import pytest
from overhead import arm_process, arms, model

from keras_byorn import TokenScores


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kerashub", "defaults"])
def test_every_round_is_the_same_fine_tune(settings, compilations, method):
    """The second starts where the first did: it ends with equal weights."""
    kind = arms.KerasHubArm if method == "kerashub" else arms.BYORnArm
    tuned = kind({**settings, "method": method})
    ends = []
    for _ in range(2):
        found = tuned.run(compilations)
        ends.append(
            [
                np.array(keras.ops.convert_to_numpy(v))
                for v in tuned.vlm.trainable_variables
            ]
        )
        parts = found["split"]
        np.testing.assert_allclose(sum(parts.values()), found["seconds"])
        assert parts["train"] > 0
        if method == "defaults":
            assert found["num_held_out"] == found["num_regenerated"] == 2
            assert parts["score"] > 0 and parts["regenerate"] > 0
    for one, other in zip(*ends):
        np.testing.assert_allclose(one, other, atol=1e-5)
    tuned._start.put_back()
    moved = [
        np.abs(end - keras.ops.convert_to_numpy(v)).max()
        for end, v in zip(ends[0], tuned.vlm.trainable_variables)
    ]
    assert max(moved) > 1e-4


@pytest.mark.slow
def test_undefended_arm_scores_beside_training(
    settings, compilations, monkeypatch
):
    """One pass of the reference, and the rate of the machine."""
    settings |= {"method": "undefended", "score": True, "epochs": 1}
    tuned = arms.BYORnArm(settings)
    found = tuned.run(compilations)
    assert found["score_seconds"] > 0 and found["num_held_out"] is None
    monkeypatch.setattr(arm_process.machine, "matrix_rate", lambda dtype: 1e9)
    plain = model.forward_flops(model.SHRUNKEN, 64)
    assert arm_process.rates(tuned, settings) == {
        "forward_flops": sum(plain.values()),
        "matrix_rate": 1e9,
    }
    assert arm_process.rates(tuned, {**settings, "score": False}) == {}


def test_truth_flags_the_poisoned():
    """After the decision, which finds nothing among equal scores."""
    count = 120
    zeros = np.zeros((count, 3), "float32")
    scores = TokenScores(zeros, zeros, zeros == 0)
    texts = [f"text {index}" for index in range(count)]
    detector = arms.ByTheTruth({"3", "7"}, verbose=0)
    detection = detector.decide(scores, texts, texts)
    (suspects,) = np.nonzero(detection.suspect_probability)
    assert suspects.tolist() == [3, 7]
    assert detection.allows_review  # which is work, too


@pytest.mark.parametrize(
    "size, method, kind, decision",
    [
        ("tiny", "defaults", "BYORnCallback", "HoldOut"),
        ("scaled", "paper", "BYORnCallback", "FlagFraction"),
        ("pali_gemma_3b", "defaults", "CleanStandIns", "HoldOut"),
        ("pali_gemma_3b", "paper", "CleanStandIns", "FlagFraction"),
    ],
)
def test_defences_of_arms(size, method, kind, decision):
    """By the truth if nothing is pretrained; the paper's flags stand."""
    settings = {"size": size, "method": method}
    defence = arms.make_defence(settings, {"3"}, None)
    assert type(defence).__name__ == kind
    assert repr(defence.detector.decision).startswith(decision)
    knows = isinstance(defence.detector, arms.ByTheTruth)
    assert knows == (size == "pali_gemma_3b" and method == "defaults")
    assert arms.make_defence({"method": "undefended"}, {"3"}, None) is None
