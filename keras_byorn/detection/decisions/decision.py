"""The contract of every decision."""

import typing

import numpy as np

from keras_byorn.data.configured import Configured


class Flags(typing.NamedTuple):
    """Suspects among examples, and the reasons for them.

    Args:
        suspect_probability: float32 array, `(N,)`, in [0, 1].
        groups: object array of N strings. The examples that each example was
            compared with.
        cuts: float32 array, `(N,)`, in the unit of the plausibility. The cut
            that applied to each example; NaN where there was none.
        reasons: list of N strings. Why an example is suspect; empty where it
            is not.
        reason: string. Why so many are suspect, and not more or fewer.
        trusted: optional bool array, `(N,)`. Examples that are vouched for and
            stay as they are.
        verdicts: optional object array of N verdicts. Defaults to `"suspect"`
            from a probability of one half on.
        evidence: optional list of N lists of strings, the kinds of evidence
            that spoke against an example.
        shares: optional list of N pairs of a kind and a text, what an example
            shares with others; `None` where nothing is known.
    """

    suspect_probability: np.ndarray
    groups: np.ndarray
    cuts: np.ndarray
    reasons: list[str]
    reason: str
    trusted: np.ndarray | None = None
    verdicts: np.ndarray | None = None
    evidence: list | None = None
    shares: list | None = None


class Decision(Configured):
    """Base class: decides from scores which examples are suspect.

    A subclass computes `decide(plausibility, scores, seed)`, has a
    `get_config`, and is registered with Keras for saving.
    """

    def decide(self, plausibility, scores, seed=0):
        """Decides which examples are suspect.

        Args:
            plausibility: float32 array, `(N,)`, low is implausible.
            scores: a `DatasetScores`, for texts, ids and token scores.
            seed: int.

        Returns:
            `Flags`.

        Raises:
            ValueError: if the scores do not allow a decision.
        """
        raise NotImplementedError
