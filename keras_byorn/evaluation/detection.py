"""Agreement of suspects with the poisoned examples."""

import numpy as np


def detection(example_ids, plausibility, suspect, poisoned_ids, budget=0.05):
    """Compares the suspects of a defence with the poisoned examples.

    Args:
        example_ids: list of N unique strings.
        plausibility: float array, `(N,)`, in the unit of the scorer, such as
            nats per token. Low is implausible, so a good score is low for
            poisoned examples.
        suspect: bool or float array, `(N,)`. Flags, or suspect probabilities,
            which flag from 0.5 on.
        poisoned_ids: set of strings. The ground truth.
        budget: float in `(0, 1]`. Share of the examples that a person looks
            at, least plausible first. Defaults to `0.05`.

    Returns:
        A dict of floats in `[0, 1]`, or `None` if a figure does not apply:

        - `auroc`: chance that a poisoned example is less plausible than a
          clean one. `None` unless there are both.
        - `average_precision`: area under the precision-recall curve.
        - `recall`: share of the poisoned examples that are flagged.
        - `precision`: share of the flagged examples that are poisoned. `None`
          if nothing is flagged.
        - `flagged_fraction`: share of all examples that `suspect` flags.
        - `recall_at_budget`: share of the poisoned examples found within the
          budget. Ties count as if in random order.

        Without poisoned examples only `flagged_fraction`, and `precision` if
        something is flagged, are numbers.

    Raises:
        ValueError: If lengths differ, an id comes twice, a score is not a
            number, `budget` is not in `(0, 1]`, or poisoned ids are not among
            `example_ids`.

    Example:

    >>> figures = detection(
    ...     example_ids=["a", "b", "c", "d"],
    ...     plausibility=[-9.0, -1.0, -1.2, -0.9],
    ...     suspect=[True, False, True, False],
    ...     poisoned_ids={"a"},
    ... )
    >>> figures["recall"], figures["precision"]
    (1.0, 0.5)

    Reference:
        - [Fawcett, 2006](https://doi.org/10.1016/j.patrec.2005.10.010)
        - [Davis and Goadrich, 2006](https://doi.org/10.1145/1143844.1143874)
    """
    plausibility = np.asarray(plausibility, "float64")
    flagged = np.asarray(suspect, "float64") >= 0.5
    _check(example_ids, plausibility, flagged, poisoned_ids, budget)
    poisoned = np.array([i in poisoned_ids for i in example_ids])
    return {
        **_ranking(plausibility, poisoned, budget),
        "recall": _share(flagged, among=poisoned),
        "precision": _share(poisoned, among=flagged),
        "flagged_fraction": float(flagged.mean()),
    }


def _ranking(plausibility, poisoned, budget):
    """Computes the figures that need no threshold."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not poisoned.any():
        return dict.fromkeys(("auroc", "average_precision", "recall_at_budget"))
    auroc = None
    if not poisoned.all():
        auroc = float(roc_auc_score(poisoned, -plausibility))
    return {
        "auroc": auroc,
        "average_precision": float(
            average_precision_score(poisoned, -plausibility)
        ),
        "recall_at_budget": _recall_at_budget(plausibility, poisoned, budget),
    }


def _recall_at_budget(plausibility, poisoned, budget):
    num_seen = max(1, round(budget * len(plausibility)))
    cutoff = np.sort(plausibility)[num_seen - 1]
    below, tied = plausibility < cutoff, plausibility == cutoff
    share_of_tied = (num_seen - below.sum()) / tied.sum()
    found = poisoned[below].sum() + share_of_tied * poisoned[tied].sum()
    return float(found / poisoned.sum())


def _share(flags, among):
    return float(flags[among].mean()) if among.any() else None


def _check(example_ids, plausibility, flagged, poisoned_ids, budget):
    if not 0 < budget <= 1:
        raise ValueError(
            "`budget` is the share of examples to look at and must be in "
            f"(0, 1]. For 5 percent, pass 0.05. Received: budget={budget}"
        )
    shape = (len(example_ids),)
    if not len(example_ids) or not plausibility.shape == flagged.shape == shape:
        raise ValueError(
            "`plausibility` and `suspect` must be flat and have one value for "
            "each of `example_ids`, of which there must be one at least. "
            f"Received: {len(example_ids)} ids, "
            f"plausibility.shape={plausibility.shape}, "
            f"suspect.shape={flagged.shape}"
        )
    if len(set(example_ids)) < len(example_ids):
        raise ValueError(
            "`example_ids` must be unique. Pass one row for each example. "
            f"Received: {len(example_ids)} ids, of which "
            f"{len(set(example_ids))} differ"
        )
    unscored = np.flatnonzero(np.isnan(plausibility))
    if len(unscored):
        raise ValueError(
            "`plausibility` must be a number for each example. Leave out "
            "examples that have no score. Received: NaN for "
            f"{len(unscored)} examples, such as {example_ids[unscored[0]]!r}"
        )
    unknown = set(poisoned_ids) - set(example_ids)
    if unknown:
        raise ValueError(
            "`poisoned_ids` must be among `example_ids`, or recall would "
            "leave some out. To judge a part of the data, pass "
            "`poisoned_ids & set(example_ids)`. Received: "
            f"{len(unknown)} unknown ids, such as {sorted(unknown)[:3]}"
        )
