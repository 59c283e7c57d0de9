"""The result of a detection on the terminal, and as JSON."""

import json

from keras_byorn.detection.reports import share, summary_line

MAX_CLUSTERS = 10  # in the table


def facts_of(detection, seconds, **more):
    """Returns what `--json` prints.

    Args:
        detection: a `Detection`.
        seconds: float. Since the command began.
        **more: further facts.

    Returns:
        A dict of numbers, strings and lists.
    """
    num_suspect = int(detection.suspects.sum())
    num_held_out = int(detection.held_out.sum())
    return {
        "num_examples": len(detection),
        "num_suspect": num_suspect,
        "num_on_probation": num_held_out - num_suspect,
        "num_held_out": num_held_out,
        "flagged_fraction": num_suspect / len(detection),
        "held_out_fraction": num_held_out / len(detection),
        "clusters": [
            {
                "size": cluster.size,
                "shares": cluster.shares,
                "proposal": cluster.proposal,
                "sample_ids": list(cluster.sample_ids),
            }
            for cluster in detection.clusters
        ],
        "reason": detection.reason,
        **more,
        "seconds": round(seconds, 2),
    }


def table_of(detection):
    """Writes a short table of what is held out.

    Args:
        detection: a `Detection`.

    Returns:
        A string of several lines. Texts of the data are quoted in it.
    """
    lines = [summary_line(detection)]
    clusters = detection.clusters
    if clusters:
        lines.append(f"{'cluster':>9}  {'size':>9}  {'proposal':9}  shares")
    for cluster in clusters[:MAX_CLUSTERS]:
        lines.append(
            f"{cluster.number:>9}  {cluster.size:>9,}  "
            f"{cluster.proposal:9}  {cluster.shares}"
        )
    if len(clusters) > MAX_CLUSTERS:
        lines.append(f"and {len(clusters) - MAX_CLUSTERS:,} more clusters")
    trusted = int(detection.trusted.sum())
    if trusted:
        lines.append(f"{share(trusted, len(detection))} trusted")
    return "\n".join(lines)


def print_facts(args, facts):
    """Prints facts as the last line, where `--json` asks for them."""
    if args.json:
        print(json.dumps(facts))
