"""Decisions by a cut: responses that are less plausible are suspect."""

import warnings

import numpy as np
from keras import ops

from keras_byorn.audit.row import is_suspect
from keras_byorn.data.validation import named
from keras_byorn.detection.decisions.decision import Decision, Flags

ALL = "all"


class Threshold(Decision):
    """Base class: learns cuts from scores, without labels, then applies them.

    A subclass computes `find_cut(plausibility, seed)`. One cut holds for all
    examples: a group of its own, by its prompt or length, is what an attacker
    could earn by adding data. It is applied with `keras.ops`, for that happens
    inside a compiled training step too.

    Args:
        softness: float, not negative, in the unit of the scores. With 0 an
            example is suspect or not; otherwise its probability rises from 0
            to 1 around the cut, as a logistic curve of this width. Defaults
            to 0.
        cut: optional float, to apply a cut that is known.

    Attributes:
        cut: float or `None`. Responses less plausible than this are suspect.
            `-inf` flags nothing; `None` before `fit`.
        reason: string. Why the cut is where it is, for the audit.

    Raises:
        ValueError: if `softness` is negative.
    """

    def __init__(self, softness=0.0, cut=None):
        if not softness >= 0:
            raise ValueError(
                "`softness` is the width of the step from kept to suspect and "
                "must not be negative; 0 is a hard step. "
                f"Received: softness={softness}"
            )
        self.softness = float(softness)
        self.cut = cut
        self.reason = "given" if cut is not None else "not fitted"

    def find_cut(self, plausibility, seed):
        """Finds the cut.

        Args:
            plausibility: float32 array, `(N,)`.
            seed: int.

        Returns:
            A pair: the cut, float, and the reason for it, a string.
        """
        raise NotImplementedError

    def decide(self, plausibility, scores, seed=0):
        self.fit(plausibility, scores.example_ids, seed)
        probability = self.suspect_probability_of(plausibility)
        reasons = [
            f"less plausible than the cut, {self.cut:.3g}"
            if is_suspect(p)
            else ""
            for p in probability
        ]
        count = len(probability)
        return Flags(
            suspect_probability=probability,
            groups=np.full(count, ALL, object),
            cuts=np.full(count, self.cut, "float32"),
            reasons=reasons,
            reason=self.reason,
        )

    def fit(self, plausibility, example_ids=None, seed=0):
        """Finds the cut.

        Args:
            plausibility: float array, `(N,)`, low is implausible.
            example_ids: optional list of N strings, for thresholds that know
                some examples by name, and for errors.
            seed: int.

        Returns:
            The threshold itself.

        Raises:
            ValueError: if a score is not finite or every example is suspect.
        """
        plausibility = self.check_finite(plausibility, example_ids)
        self._fit(plausibility, example_ids, seed)
        self._check(self.suspect_probability_of(plausibility))
        return self

    def check_finite(self, plausibility, example_ids=None):
        """Returns scores as a float32 array, if all of them are finite."""
        plausibility = np.asarray(plausibility, "float32")
        wrong = ~np.isfinite(plausibility)
        if plausibility.size == 0 or wrong.any():
            ids = example_ids or [str(i) for i in range(plausibility.size)]
            raise ValueError(
                "`plausibility` must hold at least one score, and finite ones "
                "only. Check the reference: a model that overflows in half "
                "precision gives NaN. Received: "
                f"{plausibility.size} scores, {wrong.sum()} of them not finite"
                f": {named(ids, wrong)}"
            )
        return plausibility

    def _fit(self, plausibility, example_ids, seed):
        self.cut, self.reason = self.find_cut(plausibility, seed)

    def _check(self, probability):
        flagged = float(np.mean(is_suspect(probability)))
        if flagged >= 1.0:
            raise ValueError(
                "The threshold must keep some examples, for the first epoch "
                "trains on kept ones only. Use `FlagFraction(0.4)` or "
                "`HoldOut()`. Received: "
                f"{type(self).__name__} with cut={self.cut}, which flags all "
                f"{probability.size} examples"
            )
        if flagged == 0.0:
            warnings.warn(
                f"No example is suspect ({self.reason}). A fine-tune would go "
                "on as if undefended. Where you expect poison all the same, "
                "hold out what is not clearly plausible, with `HoldOut()`, or "
                "a fixed share, with `FlagFraction(0.4)`.",
                stacklevel=3,
            )

    def __call__(self, plausibility):
        """Returns the probability that an example is suspect.

        Args:
            plausibility: float tensor, `(B,)`.

        Returns:
            float32 tensor, `(B,)`, in [0, 1].
        """
        if self.cut is None:
            raise ValueError(
                "A threshold must be fitted before it is applied: call "
                "`threshold.fit(plausibility)`, or give it a `cut`. "
                f"Received: {type(self).__name__} that is not fitted"
            )
        plausibility = ops.cast(plausibility, "float32")
        cut = ops.cast(self.cut, "float32")
        if not self.softness:
            return ops.cast(plausibility < cut, "float32")
        return ops.sigmoid((cut - plausibility) / self.softness)

    def suspect_probability_of(self, plausibility):
        """Applies the cut to an array, `(N,)`."""
        plausibility = np.asarray(plausibility, "float32")
        return ops.convert_to_numpy(self(plausibility))

    def get_config(self):
        return {"softness": self.softness, "cut": self.cut}

    def __repr__(self):
        values = self.get_config()
        del values["cut"]
        arguments = (f"{key}={value!r}" for key, value in values.items())
        return f"{type(self).__name__}({', '.join(arguments)})"


def between(below, above):
    """Returns a cut between two neighbouring scores that tells them apart."""
    middle = np.float32((float(below) + float(above)) / 2)
    return float(middle if middle > np.float32(below) else np.float32(above))
