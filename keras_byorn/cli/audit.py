"""The command `audit`: detection without training, with its report."""

import pathlib
import time

import keras

from keras_byorn.cli.card import write_card
from keras_byorn.cli.detecting import detect
from keras_byorn.cli.loading import (
    load_examples_into,
    load_vlm,
    save_command,
)
from keras_byorn.cli.reporting import print_paths, write_report
from keras_byorn.cli.summary import facts_of, print_facts, table_of
from keras_byorn.cli.vocabulary import told_to_a_shell, warn_if_spelt
from keras_byorn.data.prepared import PreparedExamples


def run(args):
    """Audits a data set.

    Args:
        args: namespace, see `keras_byorn_cli`.
    """
    start, out = time.perf_counter(), pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    vlm = load_vlm(args)
    examples = load_examples_into(out, vlm, args)
    with told_to_a_shell(examples, vlm):
        prepared = PreparedExamples(examples, vlm, args.batch_size)
    warn_if_spelt(prepared)
    detection = detect(prepared, vlm, args, args.trusted)
    detection.save(out / "detection")
    save_command(args, out)
    written = write_report(detection, examples, out)
    card = write_card(detection, examples, args, out)
    print(table_of(detection))
    print_paths([*written, out / "detection", card])
    print_facts(args, facts_of(detection, time.perf_counter() - start))
