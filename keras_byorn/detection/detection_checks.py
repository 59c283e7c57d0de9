"""Checks of a detection against the examples that it is used for."""

import itertools

import numpy as np

from keras_byorn.data.examples import Examples
from keras_byorn.data.validation import named, shortened
from keras_byorn.detection.choices import choices_of
from keras_byorn.detection.verdicts import VERDICTS


def check_columns(detection):
    """Refuses columns of other lengths, and values that have no meaning.

    Args:
        detection: a `Detection`.

    Raises:
        ValueError: if a column has not one value for each example, or if a
            probability or a verdict is none.
    """
    counts = {
        name: len(getattr(detection, name))
        for name in (
            "prompts",
            "responses",
            "plausibility",
            "suspect_probability",
            "verdicts",
            "reasons",
            "groups",
            "cuts",
        )
    }
    if set(counts.values()) != {len(detection)}:
        raise ValueError(
            "A detection must have one value for each example. Received: "
            f"{counts} for {len(detection)} examples"
        )
    wrong = np.isinf(detection.plausibility)
    if wrong.any():
        raise ValueError(
            "`plausibility` must be finite, or NaN where it is not known. "
            f"Received: infinity, of {named(detection.example_ids, wrong)}"
        )
    probability = detection.suspect_probability
    wrong = ~((probability >= 0) & (probability <= 1))
    if wrong.any():
        raise ValueError(
            "`suspect_probability` must be in [0, 1]. Received: "
            f"{probability[wrong][0]} and the like, of "
            f"{named(detection.example_ids, wrong)}"
        )
    unknown = set(detection.verdicts) - set(VERDICTS)
    if unknown:
        raise ValueError(
            f"`verdicts` must be among {', '.join(VERDICTS)}. Received: "
            f"{sorted(map(str, unknown))}"
        )


def chosen_examples(detection, chosen):
    """Finds the examples that a person has decided on.

    Args:
        detection: a `Detection`.
        chosen: as `keras_byorn.detect` takes trusted examples.

    Returns:
        A pair of bool arrays, `(N,)`: trusted and dropped ones.

    Raises:
        ValueError: if an id is not among the examples.
    """
    choices = _choices(detection, chosen)
    return tuple(_where(detection, ids) for ids in choices[:2])


def dropped_examples(detection, ids):
    """Finds the examples that a person drops, bool array `(N,)`.

    Args:
        detection: a `Detection`.
        ids: as `Detection.drop` takes them.
    """
    choices = _choices(detection, ids)
    if choices.are_decisions:
        return _where(detection, choices.dropped)
    return _where(detection, choices.trusted)


def _choices(detection, chosen):
    texts = detection.example_ids, detection.prompts, detection.responses
    return choices_of(chosen, zip(*texts))


def _where(detection, ids):
    ids = set(ids)
    return np.array([i in ids for i in detection.example_ids], bool)


def ids_of_cluster(detection, cluster):
    """Returns the ids of the examples in a cluster.

    Args:
        detection: a `Detection`.
        cluster: int.

    Raises:
        ValueError: if there is no cluster of this number.
    """
    numbers = [known.number for known in detection.clusters]
    if cluster not in numbers:
        raise ValueError(
            "`cluster` must be the number of one of the clusters: "
            f"{numbers or 'there is none'}. Received: cluster={cluster!r}"
        )
    found = np.flatnonzero(detection.cluster == cluster)
    return [detection.example_ids[index] for index in found]


def known_examples(detection, examples):
    """Checks that examples are those of a detection.

    Args:
        detection: a `Detection`.
        examples: an `Examples`, what `Examples(...)` takes, or `None`.

    Returns:
        An `Examples`.

    Raises:
        ValueError: if there are none, or if they lack an id.
    """
    if examples is None:
        raise ValueError(
            "`examples` must be given to show them: pass those that were "
            "judged, `detection.audit(examples)`. Received: None, for a "
            "detection from token scores or from a file"
        )
    if not isinstance(examples, Examples):
        examples = Examples(examples)
    known = set(examples.example_ids)
    unknown = [i for i in detection.example_ids if i not in known]
    if unknown:
        raise ValueError(
            "`examples` must hold every example that was judged. Pass "
            "those that the detection was made of. Received: "
            f"{len(examples):,} examples, without {len(unknown):,} that "
            f"were judged, such as {unknown[:3]}"
        )
    return examples


def check_examples(detection, prepared):
    """Refuses examples that this detection did not judge.

    Args:
        detection: a `Detection`.
        prepared: a `PreparedExamples`.

    Raises:
        ValueError: if ids, prompts, responses or images are others.
    """
    ids = detection.example_ids, prepared.example_ids
    if ids[0] != ids[1]:
        pairs = list(itertools.zip_longest(*ids))
        judged, given = next(pair for pair in pairs if len(set(pair)) > 1)
        raise ValueError(
            "`detection` must be of the examples in training, in their "
            "order. Detect again, or train on the examples that were "
            f"judged. Received: a detection of {len(detection):,} examples for "
            f"{len(prepared):,} examples, first {shortened(judged)} for "
            f"{shortened(given)}"
        )
    judged = zip(detection.prompts, detection.responses)
    given = zip(prepared.prompts, prepared.responses)
    changed = np.array([a != b for a, b in zip(judged, given)])
    if detection.digests is not None:
        pairs = zip(detection.digests, prepared.digests)
        changed |= np.array([a != b for a, b in pairs])
    if changed.any():
        raise ValueError(
            "`detection` must be of the examples as they are: their texts or "
            "images changed since they were judged. Detect again. Received: "
            f"{changed.sum()} changed examples: {named(ids[0], changed)}"
        )


def check_scores(detection, plausibility):
    """Refuses a store that was scored otherwise.

    Args:
        detection: a `Detection`.
        plausibility: float32 array, `(N,)`, that of the store.

    Raises:
        ValueError: if it is not that of this detection.
    """
    differ = ~np.isclose(plausibility, detection.plausibility, 0, 0, True)
    if differ.any():
        raise ValueError(
            "`detection` must be the one that the batches were scored by. "
            "Make new `TargetBatches` for another, or leave `detection` "
            "out to keep the verdicts of the store. Received: a store that "
            "has other scores, such as of "
            f"{named(detection.example_ids, differ)}"
        )


def check_tokens(detection, prepared):
    """Refuses token scores that no span can be found from.

    Args:
        detection: a `Detection`.
        prepared: a `PreparedExamples`.

    Raises:
        ValueError: if the likeliest tokens are not known, or if responses
            have other tokens than for the task.
    """
    if detection.token_scores.max_log_likelihoods is None:
        raise ValueError(
            "`suspects='mask'` needs `max_log_likelihoods`, to find the "
            "tokens that stand out. Pass `suspects='replace'`. Received: a "
            "detection with max_log_likelihoods=None"
        )
    differ = has_other_tokens(detection, prepared)
    if differ.any():
        raise ValueError(
            "`suspects='mask'` needs a detection by the tokens of the task "
            "in training. Detect with this task, or pass "
            "`suspects='replace'`. Received: other numbers of tokens in "
            f"the responses of {named(detection.example_ids, differ)}"
        )


def has_other_tokens(detection, prepared):
    """Returns whether responses have other tokens there, bool array `(N,)`.

    Args:
        detection: a `Detection`.
        prepared: a `PreparedExamples` of its examples.
    """
    counts = detection.token_scores.response_mask.sum(axis=-1)
    return counts != prepared.response_mask.sum(axis=-1)


def can_find_spans(detection, prepared):
    """bool. Whether spans that stand out can be found from token scores.

    Args:
        detection: a `Detection`.
        prepared: a `PreparedExamples` of its examples.
    """
    return (
        detection.scorer.in_step
        and detection.token_scores.max_log_likelihoods is not None
        and not has_other_tokens(detection, prepared).any()
    )
