"""Counts of the defence, as the logs of an epoch have them."""

import re

import numpy as np

from keras_byorn.detection.verdicts import ON_PROBATION
from keras_byorn.training.target_store import ALARM, RESTORED

MAX_CLUSTERS = 8  # that are counted one by one
_CLUSTER = re.compile(r"cluster_\d+")


def counts_of(store, detection=None):
    """Counts the targets of a store, in integers, and takes the mean score.

    Args:
        store: a `TargetStore`.
        detection: optional `Detection` of its examples. With it, what is still
            held out of each of its first clusters is counted, too.

    Returns:
        A dict.
    """
    held_out = store.suspects
    on_probation = store.verdicts == ON_PROBATION
    counts = {
        "num_held_out": int(held_out.sum()),
        "num_suspect": int(np.sum(held_out & ~on_probation)),
        "num_on_probation": int(np.sum(held_out & on_probation)),
        "num_masked": int(store.masked.sum()),
        "num_regenerated": store.num_regenerated,
        "num_restored": int(np.sum(store.verdicts == RESTORED)),
        "num_alarms": int(np.sum(store.verdicts == ALARM)),
    }
    if detection is not None:
        for cluster in detection.clusters[:MAX_CLUSTERS]:
            members = detection.cluster == cluster.number
            name = f"cluster_{cluster.number}"
            counts[name] = int(np.sum(held_out & members))
    scored = np.isfinite(store.plausibility)
    if scored.any():  # not so where the user set the flags
        counts["mean_plausibility"] = float(np.mean(store.plausibility[scored]))
    return counts


def counts_cluster(name):
    """bool. Whether a name in the logs is that of the count of a cluster."""
    return _CLUSTER.fullmatch(name) is not None
