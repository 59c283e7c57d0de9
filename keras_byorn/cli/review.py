"""The command `review`: what a person decided, applied to a detection."""

import collections
import json
import pathlib
import time

from keras_byorn.cli.card import write_card
from keras_byorn.cli.loading import load_command, load_examples, load_vlm
from keras_byorn.cli.reporting import print_paths, write_report
from keras_byorn.cli.summary import facts_of, print_facts, table_of
from keras_byorn.data.validation import shortened
from keras_byorn.detection.detection import Detection

CHOICES = ("trust", "drop")
# What the page adds for a reader: the choices by cluster, as numbers.
BESIDE = ("clusters",)


def run(args):
    """Applies decisions to the detection of a folder, and reports again.

    Args:
        args: namespace, see `keras_byorn_cli`.
    """
    start, out = time.perf_counter(), pathlib.Path(args.folder)
    trusted, dropped = read_decisions(args.decisions)
    detection = Detection.load(out / "detection")
    before = detection.verdicts.copy()
    if trusted:
        detection.trust(ids=trusted)
    if dropped:
        detection.drop(dropped)
    command = load_command(out)
    examples = load_examples(load_vlm(command, load_weights=False), command)
    written = write_report(detection, examples, out)
    detection.save(out / "detection")
    if command.command == "audit":  # that of a model tells how it was trained
        written.append(write_card(detection, examples, command, out))
    changes = changes_between(before, detection.verdicts)
    print(f"{len(trusted):,} trusted, {len(dropped):,} dropped by a reviewer")
    for change, count in changes.items():
        print(f"  {count:,} {'example' if count == 1 else 'examples'} {change}")
    print(table_of(detection))
    print_paths([*written, out / "detection"])
    facts = facts_of(detection, time.perf_counter() - start, changes=changes)
    print_facts(args, facts)


def read_decisions(path):
    """Reads the decisions of a person.

    Args:
        path: string or path of a JSON file, an object with the lists of ids
            `"trust"` and `"drop"`, or one of them.

    Returns:
        A pair of lists of strings.

    Raises:
        ValueError: if it is something else, or if an id is in both lists.
    """
    try:
        found = json.loads(pathlib.Path(path).read_text("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
    is_right = isinstance(found, dict) and set(found) <= {*CHOICES, *BESIDE}
    lists = [found.get(name, []) for name in CHOICES] if is_right else []
    is_right &= all(
        isinstance(ids, list) and all(isinstance(i, str) for i in ids)
        for ids in lists
    )
    if not is_right or not any(lists):
        raise ValueError(
            '`--decisions` must be a JSON object such as {"trust": ["a/1"], '
            '"drop": ["a/2"]}, with lists of ids. Received: '
            f"{shortened(found)} in {path}"
        )
    both = sorted(set(lists[0]) & set(lists[1]))
    if both:
        raise ValueError(
            "An example is trusted or dropped. Received both for "
            f"{shortened(both)} in {path}"
        )
    return tuple(lists)


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
