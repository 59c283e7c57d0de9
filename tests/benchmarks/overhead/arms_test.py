"""Arms: every round is one fine-tune, the same as the one before."""

import keras
import numpy as np
import pytest
from overhead import arm_process, arms, model


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
            assert found["num_suspect"] == found["num_regenerated"] == 2
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
    assert found["score_seconds"] > 0 and found["num_suspect"] is None
    monkeypatch.setattr(arm_process.machine, "matrix_rate", lambda dtype: 1e9)
    plain = model.forward_flops(model.SHRUNKEN, 64)
    assert arm_process.rates(tuned, settings) == {
        "forward_flops": sum(plain.values()),
        "matrix_rate": 1e9,
    }
    assert arm_process.rates(tuned, {**settings, "score": False}) == {}
