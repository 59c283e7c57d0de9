"""Check of all rows at the start, with one report of those that are bad."""

import warnings

import keras

from keras_byorn.data.readers.bad_rows import BadRow, bad_row, raise_or_drop


def check_rows(reader, rows, positions, task, on_bad, verbose):
    """Reads each row once, and reports or leaves out those that are bad.

    Args:
        reader: the `RowReader`, for its `verify(position)`, which returns
            prompt, response and number of images.
        rows: a `Rows`.
        positions: sequence of N ints.
        task: `VisionLanguageTask` or `None`.
        on_bad: `"raise"`, or `"drop"`, which leaves out what does not fit the
            task as well: too many tokens, or none.
        verbose: 0 or 1. Whether to show a progress bar.

    Returns:
        A pair of the positions of good rows and a tuple of `BadRow`.

    Raises:
        BadRowsError: If there are bad rows that are not to be dropped.
    """
    bad, good, found = {}, [], []
    progress = keras.utils.Progbar(
        len(positions), verbose=verbose, unit_name="row"
    )
    for position in positions:
        try:
            found.append(reader.verify(position))
            good.append(position)
        except Exception as error:
            place = rows.place(position)
            bad[position] = bad_row(error, rows.ids[position], place)
        progress.add(1)
    if on_bad == "drop" and task is not None and good:
        for index, reason in _unfit(task, found).items():
            position = good[index]
            place = rows.place(position)
            bad[position] = BadRow(rows.ids[position], place, reason)
        good = [position for position in good if position not in bad]
    dropped = tuple(bad[position] for position in sorted(bad))
    raise_or_drop(dropped, len(positions), on_bad)
    _warn_of_no_images([count for _, _, count in found], rows.name)
    return good if bad else positions, dropped


def _unfit(task, found):
    """Finds rows that `PreparedExamples` would refuse; a dict of reasons."""
    prompts, responses, _ = zip(*found)
    prompt_ids = task.tokenize_prompts(list(prompts))
    response_ids = task.tokenize(list(responses))
    reasons, most = {}, task.sequence_length
    for index, (prompt, response) in enumerate(zip(prompt_ids, response_ids)):
        length = task.packed_length(prompt, response)
        if length > most:
            reasons[index] = (
                "prompt and response must fit `vlm.preprocessor."
                f"sequence_length`, {most} tokens. Received: {length}"
            )
        elif not (len(prompt) and len(response)):
            reasons[index] = (
                "prompt and response must have a token of the vocabulary. "
                f"Received: {len(prompt)} and {len(response)}"
            )
    return reasons


def _warn_of_no_images(counts, name):
    without = sum(count == 0 for count in counts)
    if 0 < without < len(counts):
        warnings.warn(
            f"{without:,} of {len(counts):,} rows of {name} have no image. "
            "They are examples of text alone.",
            stacklevel=7,
        )
