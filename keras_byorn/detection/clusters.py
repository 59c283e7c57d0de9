"""Clusters of suspects by what they share, and what is proposed for each."""

import collections
import dataclasses

import numpy as np

from keras_byorn.data.duplicates import MIN_WHOLE_WORDS
from keras_byorn.data.validation import shortened
from keras_byorn.data.words import normalized_words
from keras_byorn.detection.shared_texts import least_copies
from keras_byorn.detection.spans_held_out import spans_held_out
from keras_byorn.detection.verdicts import (
    DROPPED,
    ON_PROBATION,
    SAME_SPAN,
    SAME_WORDS,
    SUSPECT,
)

# Proposals, the surest first.
REPLACE, MASK, LEAVE_OUT, RESTORE = "replace", "mask", "leave out", "restore"
PROPOSALS = (REPLACE, MASK, LEAVE_OUT, RESTORE)
NOTHING = "none"

# So many suspects say one thing by no chance; of what is only on probation as
# many as of other shared texts.
MIN_SUSPECTS = 5
# Of those with a text, the share that may be kept.
MAX_KEPT = 0.2
NUM_SAMPLES = 5


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Suspects that share something, for a person to judge together.

    Attributes:
        number: int, from 1, as `Detection.trust(cluster=)` takes it.
        kind: string. What is shared: `"same words"`, `"same span"`,
            `"same prompt"`, `"same form"`, `"dropped by a reviewer"`, or
            `"none"`.
        text: string. The words, span, prompt or form; empty for the last two.
        size: int. Examples.
        num_contents: int. How many different responses they have.
        proposal: string. `"replace"`: all say one thing, and the model writes
            new responses; `"mask"`: a span in otherwise plausible responses is
            left out of the loss; `"leave out"`: varied and implausible, a
            style or a task that the reference does not know, or poison, and
            never overwritten; `"restore"`: nothing but their rank speaks
            against them, and a student judges again.
        sample_ids: tuple of strings, the ids of a few of them.
        sample: tuple of strings, their responses.
    """

    number: int
    kind: str
    text: str
    size: int
    num_contents: int
    proposal: str
    sample_ids: tuple[str, ...]
    sample: tuple[str, ...]

    @property
    def shares(self):
        """string. What the examples share, such as `'same words "buy it"'`."""
        if self.kind in (NOTHING, DROPPED):
            return self.kind
        quoted = shortened(self.text, most=80) if self.text else ""
        return f"{self.kind}: {quoted}"

    def __str__(self):
        contents = (
            "one content"
            if self.num_contents == 1
            else f"{self.num_contents:,} contents"
        )
        shown = "; ".join(shortened(text, most=40) for text in self.sample[:2])
        return (
            f"cluster {self.number}: {self.size:,} held out, shared: "
            f"{self.shares}, {contents}, such as {shown}. Proposed: "
            f"{self.proposal}. Yours? detection.trust(cluster={self.number})"
        )


def find_clusters(example_ids, responses, verdicts, shares=None, dropped=()):
    """Puts the examples that are held out in clusters.

    Args:
        example_ids, responses: lists of N strings.
        verdicts: array of N verdicts.
        shares: optional list of N pairs of a kind and a text that a decision
            found, or `None`.
        dropped: optional bool array, `(N,)`. What a reviewer dropped, which is
            a cluster of its own.

    Returns:
        A pair: a list of `Cluster`, and an int array, `(N,)`, the number of
        each example's cluster, 0 where it is not held out.
    """
    verdicts = np.asarray(verdicts, object)
    held_out = (verdicts == SUSPECT) | (verdicts == ON_PROBATION)
    keys = dict.fromkeys(map(int, np.flatnonzero(held_out)))
    words = [normalized_words(response) for response in responses]
    _by_words(keys, words, verdicts)
    if shares is None:
        _by_span(keys, responses, words, held_out)
        shares = [None] * len(responses)
    for index in map(int, np.flatnonzero(dropped)):
        keys[index] = DROPPED, ""
    members = collections.defaultdict(list)
    for index, key in keys.items():
        key = key or shares[index] or (NOTHING, str(verdicts[index]))
        members[key].append(index)
    return _numbered(members, example_ids, responses, words, verdicts)


def proposals_of(clusters, number_of):
    """Returns the proposal for each example, an object array, `(N,)`.

    Args:
        clusters: list of `Cluster`.
        number_of: int array, `(N,)`, see `find_clusters`.

    Returns:
        The proposals of their clusters; empty where none is.
    """
    known = {cluster.number: cluster.proposal for cluster in clusters}
    return np.array([known.get(int(n), "") for n in number_of], object)


def _by_words(keys, words, verdicts):
    """Puts held-out responses of the same words together."""
    counts = collections.Counter(words)
    least = least_copies([counts[own] for own in words])
    held_out = collections.Counter(words[index] for index in keys)
    suspects = collections.Counter(
        words[index] for index in keys if verdicts[index] == SUSPECT
    )
    for index in keys:
        own = words[index]
        if (
            len(own) >= MIN_WHOLE_WORDS
            and (held_out[own] >= least or suspects[own] >= MIN_SUSPECTS)
            and counts[own] - held_out[own] <= MAX_KEPT * counts[own]
        ):
            keys[index] = SAME_WORDS, " ".join(own)


def _by_span(keys, responses, words, held_out):
    """Puts responses together that share a span, which kept ones lack.

    A span that is the whole of a response is none: it is the same words, and
    too few say them.
    """
    everything = np.ones(len(responses), bool)
    for span, found in spans_held_out(responses, held_out, everything).items():
        for index in map(int, found):
            is_whole = " ".join(words[index]) == span
            if index in keys and keys[index] is None and not is_whole:
                keys[index] = SAME_SPAN, span


def _numbered(members, example_ids, responses, words, verdicts):
    found = [
        (_proposal(key, indices, words, verdicts), key, indices)
        for key, indices in members.items()
    ]
    found.sort(key=lambda c: (PROPOSALS.index(c[0]), -len(c[2]), c[1]))
    clusters, number_of = [], np.zeros(len(responses), "int32")
    for number, (proposal, (kind, text), indices) in enumerate(found, 1):
        number_of[indices] = number
        sample = indices[:: max(len(indices) // NUM_SAMPLES, 1)][:NUM_SAMPLES]
        clusters.append(
            Cluster(
                number=number,
                kind=kind,
                text="" if kind == NOTHING else text,
                size=len(indices),
                num_contents=len({words[index] for index in indices}),
                proposal=proposal,
                sample_ids=tuple(example_ids[index] for index in sample),
                sample=tuple(responses[index] for index in sample),
            )
        )
    return clusters, number_of


def _proposal(key, indices, words, verdicts):
    kind, text = key
    if kind == SAME_WORDS:
        return REPLACE
    if kind == SAME_SPAN:
        length = np.median([len(words[index]) for index in indices])
        return MASK if len(text.split()) <= length / 2 else LEAVE_OUT
    on_probation = all(verdicts[index] == ON_PROBATION for index in indices)
    return RESTORE if kind == NOTHING and on_probation else LEAVE_OUT
