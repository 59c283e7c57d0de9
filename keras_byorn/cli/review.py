"""The command `review`: what a person decided, applied to a detection."""

import collections
import pathlib
import time

from keras_byorn.cli.card import write_card
from keras_byorn.cli.loading import load_command, load_examples, load_vlm
from keras_byorn.cli.reporting import print_paths, write_report
from keras_byorn.cli.summary import facts_of, print_facts, table_of
from keras_byorn.detection.detection import Detection
from keras_byorn.detection.detection_checks import chosen_examples


def run(args):
    """Applies decisions to the detection of a folder, and reports again.

    Args:
        args: namespace, see `keras_byorn_cli`.
    """
    start, out = time.perf_counter(), pathlib.Path(args.folder)
    detection = Detection.load(out / "detection")
    before = detection.verdicts.copy()
    trusted, dropped = chosen_examples(detection, args.decisions)
    if not (trusted | dropped).any():
        raise ValueError(
            "`--decisions` must have an id to trust or to drop. "
            f"Received: none in {args.decisions}"
        )
    detection.review(args.decisions)
    command = load_command(out)
    examples = load_examples(load_vlm(command, load_weights=False), command)
    written = write_report(detection, examples, out)
    detection.save(out / "detection")
    if command.command == "audit":  # that of a model tells how it was trained
        written.append(write_card(detection, examples, command, out))
    changes = changes_between(before, detection.verdicts)
    print(f"{trusted.sum():,} trusted, {dropped.sum():,} dropped by a reviewer")
    for change, count in changes.items():
        print(f"  {count:,} {'example' if count == 1 else 'examples'} {change}")
    print(table_of(detection))
    print_paths([*written, out / "detection"])
    facts = facts_of(detection, time.perf_counter() - start, changes=changes)
    print_facts(args, facts)


def changes_between(before, after):
    """Counts the changes of verdicts.

    Args:
        before, after: object arrays, `(N,)`, of verdicts.

    Returns:
        A dict from a change, such as `"suspect -> trusted"`, to an int.
    """
    changed = before != after
    counts = collections.Counter(zip(before[changed], after[changed]))
    return {f"{old} -> {new}": n for (old, new), n in sorted(counts.items())}
