"""Token scores of cases, in files: to try a decision without a training."""

import pathlib
import re

import numpy as np

import keras_byorn

BATCH_SIZE = 256
MASKS = ("poisoned", "flood", "cover", "minority", "noise", "trusted")


class Scorer:
    """Scores responses under one reference, compiled once.

    Args:
        vlm: the pretrained task.
    """

    def __init__(self, vlm):
        self._vlm = vlm
        self._length = vlm.preprocessor.sequence_length
        self._reference = keras_byorn.FrozenReference(vlm, adapters_off=True)

    def score(self, data):
        """Returns the `TokenScores` of the training examples of a case.

        Args:
            data: a `CaseData`.
        """
        length = data.sequence_length or self._length
        self._vlm.preprocessor.sequence_length = length
        prepared = keras_byorn.PreparedExamples(
            data.train, self._vlm, BATCH_SIZE, image_cache=None, verbose=0
        )
        return self._reference.score(prepared.scoring_batches(), verbose=0)


def path_of(folder, case, seed):
    """Returns the path of the scores of a case and seed.

    Args:
        folder: string or path.
        case: string, its name.
        seed: int.
    """
    name = re.sub(r"[^a-z0-9.]+", "_", case.lower()).strip("_")
    return pathlib.Path(folder) / f"{name}-{seed}.npz"


def save(path, case, seed, data, scores):
    """Writes token scores with texts and ground truth, whole or not at all.

    Args:
        path: path of an npz file.
        case: string, its name.
        seed: int.
        data: a `CaseData`.
        scores: its `TokenScores`, of which rows beyond the examples are
            padding.
    """
    count = len(data.train)
    rows = list(data.train)
    columns = {
        "log_likelihoods": scores.log_likelihoods[:count],
        "max_log_likelihoods": scores.max_log_likelihoods[:count],
        "response_mask": np.asarray(scores.response_mask)[:count],
        "example_ids": np.array(data.train.example_ids),
        "prompts": np.array([row["prompts"] for row in rows]),
        "responses": np.array([row["responses"] for row in rows]),
        "case": np.array(case),
        "seed": np.array(seed),
    }
    for name in MASKS:
        columns[name] = data.mask(getattr(data, f"{name}_ids"))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **columns)
    temporary.replace(path)
