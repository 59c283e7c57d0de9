"""Responses from the teacher, in large batches."""

import keras
import keras_hub
import numpy as np

from keras_byorn.vlm.task import sampler_of

SAMPLERS = {
    "greedy": lambda seed: keras_hub.samplers.GreedySampler(),
    "random": lambda seed: keras_hub.samplers.RandomSampler(seed=seed),
}


class Regenerator:
    """Writes a new response to the image and prompt of each suspect.

    Compiled once and kept; short batches are filled, so that there is one
    shape. Prompts are grouped by their number of tokens.

    Args:
        batches: a `TargetBatches`, for examples, prompts and length.
        sampler: `"greedy"`, `"random"` or a `keras_hub.samplers.Sampler`.
        batch_size: int. Prompts in one batch.
        seed: int. For `"random"`.
    """

    def __init__(self, batches, sampler, batch_size, seed):
        if isinstance(sampler, str):
            sampler = SAMPLERS[sampler](seed)
        self.batches = batches
        self.sampler = sampler
        self.batch_size = batch_size
        self._generate_function = None

    def __call__(self, indices, verbose=1):
        """Regenerates the responses of the examples at these positions.

        A response that is empty or does not end is not a target.

        Args:
            indices: int array, positions of examples.
            verbose: 0 or 1. Whether to show a progress bar.

        Returns:
            A dict from position to `(response, token ids)`.
        """
        task = self.batches.task
        groups = self._groups(indices)
        progress = keras.utils.Progbar(
            len(groups), verbose=verbose, unit_name="regenerate"
        )
        written = {}
        sampling = sampler_of(task.task, self.sampler, self._generate_function)
        with sampling as compiled:
            for group in groups:
                for index, ids in zip(group, self._generate(group)):
                    if ids is not None and len(ids):
                        text = task.detokenize(ids).strip()
                        if text:
                            written[int(index)] = text, ids
                progress.add(1)
            self._generate_function = compiled()
        return written

    def _groups(self, indices):
        """Batches of positions with one prompt length each."""
        indices = np.asarray(indices)
        lengths = np.array(
            [len(self.batches.prompt_ids[i]) for i in indices], int
        )
        return [
            group[start : start + self.batch_size]
            for length in np.unique(lengths)
            for group in [indices[lengths == length]]
            for start in range(0, len(group), self.batch_size)
        ]

    def _generate(self, group):
        filled = np.resize(group, self.batch_size)
        return self.batches.task.generate_ids(
            self.batches.images(filled),
            [self.batches.prompt_ids[i] for i in filled],
            self.batches.text_length,
        )[: len(group)]
