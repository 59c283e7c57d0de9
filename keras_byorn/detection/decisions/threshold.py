"""Decisions by a cut: responses that are less plausible are suspect."""

import warnings

import numpy as np
from keras import ops

from keras_byorn.audit.row import is_suspect
from keras_byorn.data.validation import named
from keras_byorn.detection.decisions.decision import Decision, Flags
from keras_byorn.detection.groups import (
    ALL,
    group_examples,
    members_of,
)


class Threshold(Decision):
    """Base class: learns cuts from scores, without labels, then applies them.

    A subclass computes `find_cut(plausibility, seed)`. It is called for each
    group of like examples. The cut is applied with `keras.ops`, for that
    happens inside a compiled training step too.

    Args:
        softness: float, not negative, in the unit of the scores. With 0 an
            example is suspect or not; otherwise its probability rises from 0
            to 1 around the cut, as a logistic curve of this width. Defaults
            to 0.
        cut: optional float, to apply a cut that is known.

    Attributes:
        cut: float or `None`. Responses less plausible than this are suspect.
            `-inf` flags nothing; `None` before `fit`. Of several groups, that
            of the largest.
        cuts: dict from a group to its cut.
        reason: string. Why the cuts are where they are, for the audit.
        rest_among_all: bool. Whether an example that belongs to no group is
            compared with all examples, and not only with the rest, which may
            be an attacker's alone.

    Raises:
        ValueError: if `softness` is negative.
    """

    rest_among_all = False

    def __init__(self, softness=0.0, cut=None):
        if not softness >= 0:
            raise ValueError(
                "`softness` is the width of the step from kept to suspect and "
                "must not be negative; 0 is a hard step. "
                f"Received: softness={softness}"
            )
        self.softness = float(softness)
        self.cut = cut
        self.cuts = {}
        self.reason = "given" if cut is not None else "not fitted"

    def find_cut(self, plausibility, seed):
        """Finds the cut of one group.

        Args:
            plausibility: float32 array, `(M,)`.
            seed: int.

        Returns:
            A pair: the cut, float, and the reason for it, a string.
        """
        raise NotImplementedError

    def decide(self, plausibility, scores, seed=0):
        lengths = scores.response_mask.sum(axis=-1)
        groups = group_examples(scores.prompts, scores.responses, lengths)
        self.fit(plausibility, groups, scores.example_ids, seed)
        probability = self.suspect_probability_of(plausibility, groups)
        cuts = self.cuts_of(groups)
        reasons = [
            f"less plausible than the cut, {cut:.3g}" if is_suspect(p) else ""
            for p, cut in zip(probability, cuts)
        ]
        return Flags(probability, groups, cuts, reasons, self.reason)

    def fit(self, plausibility, groups=None, example_ids=None, seed=0):
        """Finds the cuts.

        Args:
            plausibility: float array, `(N,)`, low is implausible.
            groups: optional sequence of N strings, see `group_examples`. Each
                group has a cut of its own. By default all are one group.
            example_ids: optional list of N strings, for thresholds that know
                some examples by name.
            seed: int.

        Returns:
            The threshold itself.

        Raises:
            ValueError: if a score is not finite or every example is suspect.
        """
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
        if groups is None:
            groups = np.full(plausibility.size, ALL, object)
        groups = np.asarray(groups, object)
        self._fit_groups(plausibility, groups, example_ids, seed)
        probability = self.suspect_probability_of(plausibility, groups)
        self._check(probability)
        return self

    def _fit_groups(self, plausibility, groups, example_ids, seed):
        """Finds a cut for each whole group, which holds for all its parts.

        Parts by length have no cut of their own: it would excuse a length at
        which all are poisoned, or doubt a usual part as a whole.
        """
        wholes = np.array([whole_of(group) for group in groups], object)
        reasons, self.cuts = {}, {}
        found = sorted(members_of(wholes), key=lambda found: -len(found[1]))
        for group, members in found:
            if group == ALL and self.rest_among_all:
                members = slice(None)
            scores = plausibility[members]
            self.cuts[group], reasons[group] = self.find_cut(scores, seed)
        self.cut = next(iter(self.cuts.values()))
        self.reason = "; ".join(
            reason if len(reasons) == 1 else f"{group}: {reason}"
            for group, reason in reasons.items()
        )

    def _check(self, probability):
        flagged = float(np.mean(is_suspect(probability)))
        if flagged >= 1.0:
            raise ValueError(
                "The threshold must keep some examples, for the first epoch "
                "trains on kept ones only. Use `FlagFraction(0.4)` or "
                "`MixtureThreshold()`. Received: "
                f"{type(self).__name__} with cut={self.cut}, which flags all "
                f"{probability.size} examples"
            )
        if flagged == 0.0:
            warnings.warn(
                f"No example is suspect ({self.reason}). A fine-tune would go "
                "on as if undefended. Where you expect poison all the same, "
                "flag a fixed share with "
                "`Detector(decision=FlagFraction(0.4))`.",
                stacklevel=3,
            )

    def __call__(self, plausibility, cut=None):
        """Returns the probability that an example is suspect.

        Args:
            plausibility: float tensor, `(B,)`.
            cut: optional float tensor, `(B,)`. Defaults to the threshold's.

        Returns:
            float32 tensor, `(B,)`, in [0, 1].
        """
        cut = self.cut if cut is None else cut
        if cut is None:
            raise ValueError(
                "A threshold must be fitted before it is applied: call "
                "`threshold.fit(plausibility)`, or give it a `cut`. "
                f"Received: {type(self).__name__} that is not fitted"
            )
        plausibility = ops.cast(plausibility, "float32")
        cut = ops.cast(cut, "float32")
        if not self.softness:
            return ops.cast(plausibility < cut, "float32")
        return ops.sigmoid((cut - plausibility) / self.softness)

    def cuts_of(self, groups):
        """Returns the cut that applies to each example, float32 `(N,)`."""
        cuts = self.cuts
        return np.array(
            [cuts.get(g, cuts.get(whole_of(g), self.cut)) for g in groups],
            "float32",
        )

    def suspect_probability_of(self, plausibility, groups=None):
        """Applies the cuts to an array, `(N,)`, of examples of some groups."""
        plausibility = np.asarray(plausibility, "float32")
        cuts = () if groups is None else (self.cuts_of(groups),)
        return ops.convert_to_numpy(self(plausibility, *cuts))

    def get_config(self):
        return {"softness": self.softness, "cut": self.cut}

    def __repr__(self):
        values = self.get_config()
        del values["cut"]
        arguments = (f"{key}={value!r}" for key, value in values.items())
        return f"{type(self).__name__}({', '.join(arguments)})"


def whole_of(group):
    """Returns the group that this one is a part of, or itself."""
    return getattr(group, "parent", None) or group


def between(below, above):
    """Returns a cut between two neighbouring scores that tells them apart."""
    middle = np.float32((float(below) + float(above)) / 2)
    return float(middle if middle > np.float32(below) else np.float32(above))
