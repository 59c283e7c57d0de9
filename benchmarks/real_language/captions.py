"""A small text task: to continue the first half of a caption."""

import json
import pathlib

import numpy as np
from real_pictures.pictures import normalized

import keras_byorn
from keras_byorn.vlm.task import VisionLanguageTask

PROMPT = "Continue the caption:\n{}\n"
MIN_WORDS = 8  # of a caption
SPARE_TOKENS = 10  # for what an attack puts into a prompt or a response


def read_halves(folder, part, count, vlm, seed=0):
    """Reads captions, each of another picture, as prompts and responses.

    Args:
        folder: string or path. It holds `captions.jsonl`, whose lines have
            `image`, `caption` and `part`.
        part: string, the part of the data to read.
        count: int. The most captions.
        vlm: a KerasHub task, whose sequence length bounds the captions.
        seed: int. Draws the pictures, and a caption of each.

    Returns:
        An `Examples`: the prompt has the first half of a caption, in words,
        and the response is the rest.

    Raises:
        ValueError: if no caption of this part is long and short enough.
    """
    captions, task = {}, VisionLanguageTask(vlm)
    with (pathlib.Path(folder) / "captions.jsonl").open() as lines:
        for row in map(json.loads, lines):
            if row["part"] == part:
                captions.setdefault(row["image"], []).append(row["caption"])
    rng = np.random.default_rng(seed)
    rows = []
    for image in rng.permutation(sorted(captions)):
        n = int(rng.integers(len(captions[image])))
        row = halves_of(normalized(captions[image][n]), f"{image}#{n}")
        if row is not None and fits(row, task):
            rows.append(row)
        if len(rows) == count:
            break
    if not rows:
        raise ValueError(
            f"`part` must be a part of the data with captions of {MIN_WORDS} "
            "words or more that fit the task's sequence length, "
            f"{task.sequence_length} tokens. Received: part={part!r}"
        )
    return keras_byorn.Examples(rows)


def halves_of(caption, example_id):
    """Makes an example of a caption; `None` if it is too short."""
    words = caption.split()
    if len(words) < MIN_WORDS:
        return None
    middle = len(words) // 2
    return {
        "example_id": example_id,
        "images": None,
        "prompts": PROMPT.format(" ".join(words[:middle])),
        "responses": " ".join(words[middle:]),
    }


def fits(example, task):
    """Returns whether an example leaves room for what an attack puts in."""
    prompt, response = task.tokenize([example["prompts"], example["responses"]])
    length = task.packed_length(prompt, response)
    return length + SPARE_TOKENS <= task.sequence_length
