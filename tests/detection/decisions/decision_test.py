"""The contract of every decision."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import Decision, FlagFraction, Flags


@keras.saving.register_keras_serializable(package="decision_test")
class FlagShort(Decision):
    """A decision of the user's own: short responses are suspect."""

    def __init__(self, least=3):
        self.least = least

    def decide(self, plausibility, scores, seed=0):
        lengths = scores.response_mask.sum(axis=-1)
        return Flags(
            suspect_probability=(lengths < self.least).astype("float32"),
            groups=np.full(len(lengths), "all", object),
            cuts=np.full(len(lengths), np.nan, "float32"),
            reasons=["short" if n < self.least else "" for n in lengths],
            reason="short ones",
        )

    def get_config(self):
        return {"least": self.least}


def test_a_decision_survives_saving():
    """A detector is saved with its decision."""
    config = keras.saving.serialize_keras_object(FlagShort(4))
    again = keras.saving.deserialize_keras_object(config)
    assert repr(again) == "FlagShort(least=4)"
    assert isinstance(FlagFraction(), Decision)


def test_a_decision_has_to_say_how_it_decides():
    """The base class does not."""
    assert repr(Decision()) == "Decision()"
    with pytest.raises(NotImplementedError):
        Decision().decide(np.zeros(3), None)
