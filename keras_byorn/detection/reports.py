"""Reports of a detection: one line, and warnings."""

import warnings

from keras_byorn.detection.verdicts import ON_PROBATION, SUSPECT

# With fewer examples, an unusual response is hard to tell from a usual one.
FEW_EXAMPLES = 100
# A share of suspects that no ordinary data set has.
MANY_SUSPECTS = 0.25
MAX_CLUSTERS = 8  # that are announced


def share(count, total):
    """Returns a count with its share, such as `400 of 4,000 (10.0 %)`."""
    return f"{count:,} of {total:,} ({count / total:.1%})".replace("%)", " %)")


def summary_line(detection):
    """Returns one line with the verdict of a detection."""
    suspects = int((detection.verdicts == SUSPECT).sum())
    waiting = int((detection.verdicts == ON_PROBATION).sum())
    line = f"{share(suspects, len(detection))} suspect"
    if waiting:
        line += f", {share(waiting, len(detection))} on probation"
    return f"{line}: {detection.reason}"


def announce(detection):
    """Prints the verdict of a detection, and a line for each large cluster."""
    print(summary_line(detection))
    for cluster in detection.clusters[:MAX_CLUSTERS]:
        print(f"  {cluster}")
    others = len(detection.clusters) - MAX_CLUSTERS
    if others > 0:
        print(f"  and {others:,} more in `detection.clusters`")


def warn_if_unsure(detection, decision):
    """Warns where the data are few, or where many of them are suspect.

    Args:
        detection: a `Detection`.
        decision: the decision. A share that it was asked to flag is no reason
            for a warning.
    """
    count = len(detection)
    if count < FEW_EXAMPLES:
        warnings.warn(
            f"{count} examples tell little of what is usual among them: an "
            "honest response may be suspect, and a poisoned one may not. Read "
            f"the audit. From {FEW_EXAMPLES} examples on a decision is surer.",
            stacklevel=4,
        )
    suspects = int((detection.verdicts == SUSPECT).sum())
    asked = getattr(decision, "flag_fraction", 0.0)
    # A share that was asked for, and examples that tie with it.
    if suspects / count > max(MANY_SUSPECTS, asked + 0.05):
        warnings.warn(
            f"{share(suspects, count)} are suspect, which is more than an "
            "ordinary attack needs. Perhaps the reference does not know the "
            "task or the style of these responses: look at the audit before "
            "you trust a fine-tune on the rest.",
            stacklevel=4,
        )
