"""Verdicts on examples, and the findings that they rest on."""

import numpy as np

from keras_byorn.audit.row import is_suspect

KEPT, ON_PROBATION = "kept", "on_probation"
SUSPECT, TRUSTED = "suspect", "trusted"
VERDICTS = (KEPT, ON_PROBATION, SUSPECT, TRUSTED)

# Kinds of evidence against an example.
LIKELIHOOD = "likelihood"
SAME_WORDS, SAME_SPAN = "same words", "same span"
SAME_PROMPT, SAME_FORM = "same prompt", "same form"
REVIEWER = "reviewer"  # a person, whom no student overrules
DROPPED = "dropped by a reviewer"


class Findings:
    """Collects the evidence against examples.

    Args:
        count: int. Examples.

    Attributes:
        evidence: list of N lists of strings, the kinds of evidence that spoke.
        shares: list of N pairs of a kind and a string, the first thing that an
            example was found to share with others, or `None`.
        reasons: list of N strings, empty where nothing was found.
        found: bool array, `(N,)`. Whether anything was found.
    """

    def __init__(self, count):
        self.evidence = [[] for _ in range(count)]
        self.shares = [None] * count
        self.reasons = [""] * count
        self.found = np.zeros(count, bool)

    def add(self, indices, kind, reason, shared=None):
        """Adds evidence of one kind against examples.

        Args:
            indices: int array, positions.
            kind: string.
            reason: string.
            shared: optional string. What they share with others.
        """
        for index in map(int, indices):
            self.evidence[index].append(kind)
            earlier = self.reasons[index]
            self.reasons[index] = f"{earlier}; {reason}" if earlier else reason
            if shared is not None and self.shares[index] is None:
                self.shares[index] = kind, shared
            self.found[index] = True


def completed(flags, trusted):
    """Completes flags: trusted examples are kept, whoever decided.

    Args:
        flags: `Flags`.
        trusted: bool array, `(N,)`, examples that are vouched for.

    Returns:
        `Flags` with verdicts and evidence.
    """
    if flags.trusted is not None:
        trusted = trusted | flags.trusted
    probability = np.where(trusted, 0, flags.suspect_probability)
    suspects = is_suspect(probability)
    verdicts = np.where(suspects, SUSPECT, KEPT).astype(object)
    if flags.verdicts is not None:
        known = suspects & (np.asarray(flags.verdicts, object) == ON_PROBATION)
        verdicts[known] = ON_PROBATION
    verdicts[trusted] = TRUSTED
    reasons = [
        reason if suspect else ""
        for reason, suspect in zip(flags.reasons, suspects)
    ]
    evidence = flags.evidence or [[LIKELIHOOD]] * len(suspects)
    evidence = [
        list(kinds) if suspect else []
        for kinds, suspect in zip(evidence, suspects)
    ]
    return flags._replace(
        suspect_probability=probability.astype("float32"),
        verdicts=verdicts,
        reasons=reasons,
        evidence=evidence,
        trusted=trusted,
    )


def with_dropped(flags, dropped):
    """Makes suspects of the examples that a reviewer dropped.

    Args:
        flags: `Flags` that are completed.
        dropped: bool array, `(N,)`.

    Returns:
        `Flags`.
    """
    return flags._replace(
        suspect_probability=np.where(
            dropped, 1, flags.suspect_probability
        ).astype("float32"),
        verdicts=np.where(dropped, SUSPECT, flags.verdicts),
        reasons=[
            DROPPED if own else reason
            for own, reason in zip(dropped, flags.reasons)
        ],
        evidence=[
            [*kinds, REVIEWER] if own else kinds
            for own, kinds in zip(dropped, flags.evidence)
        ],
    )
