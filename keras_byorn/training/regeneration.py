"""Responses from the teacher, in large batches."""

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_byorn.vlm.generation import generate_group, prompt_groups, sized
from keras_byorn.vlm.task import sampler_of

SAMPLERS = {
    "greedy": lambda seed: keras_hub.samplers.GreedySampler(),
    "random": lambda seed: keras_hub.samplers.RandomSampler(seed=seed),
}


class Regenerator:
    """Writes a new response to the image and prompt of each suspect.

    Compiled once for each of three batch sizes, and kept; what does not fill a
    large batch goes into smaller ones. Where the family needs it, a batch
    holds prompts of one number of tokens.

    Args:
        batches: a `TargetBatches`, for examples, prompts and length.
        sampler: `"greedy"`, `"random"` or a `keras_hub.samplers.Sampler`.
        batch_size: int. Prompts in a large batch.
        seed: int. For `"random"`.
    """

    def __init__(self, batches, sampler, batch_size, seed):
        if isinstance(sampler, str):
            sampler = SAMPLERS[sampler](seed)
        self.batches = batches
        self.sampler = sampler
        self.batch_size = batch_size
        self._generate_function = None
        # Of samplers that draw: where they began.
        generator = getattr(sampler, "seed_generator", None)
        self._random_state = generator and generator.state
        if generator:
            self._first_state = ops.convert_to_numpy(generator.state)

    def begin_anew(self, batches):
        """Writes for other batches, with the draws of a new regenerator."""
        self.batches = batches
        if self._random_state is not None:
            self._random_state.assign(self._first_state)

    def suits(self, batches, batch_size):
        """bool. Whether other batches need no other program than its own."""
        return (
            self.batches.task.task is batches.task.task
            and self.batches.text_length == batches.text_length
            and self.batch_size == batch_size
        )

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
        indices = np.asarray(indices)
        prompt_ids = [self.batches.prompt_ids[i] for i in indices]
        groups = prompt_groups(
            prompt_ids, self.batch_size, task.family.mixed_prompt_lengths
        )
        progress = keras.utils.Progbar(
            len(indices), verbose=verbose, unit_name="response"
        )
        written = {}
        sampling = sampler_of(task.task, self.sampler, self._generate_function)
        with sampling as compiled:
            batches = sized(groups, self.batch_size, task.max_placeholders)
            for group, batch_size in batches:
                generated = generate_group(
                    task,
                    self.batches.shown(indices[group]),
                    [prompt_ids[i] for i in group],
                    self.batches.text_length,
                    batch_size,
                )
                for index, ids in zip(indices[group], generated):
                    text = "" if ids is None else task.detokenize(ids).strip()
                    if text:
                        written[int(index)] = text, ids
                progress.add(len(group))
            self._generate_function = compiled()
        return written


def sampled_responses(batches, count, seed, batch_size, verbose=0):
    """What the task says to each example, several times, sampled.

    Args:
        batches: a `TargetBatches`.
        count: int. Samples for each example.
        seed: int.
        batch_size: int.
        verbose: 0 or 1. Whether to show progress bars.

    Returns:
        A list of N lists of `count` strings; an empty one where none ended.
    """
    write = Regenerator(batches, "random", batch_size, seed)
    indices = np.arange(len(batches.examples))
    rounds = [write(indices, verbose=verbose) for _ in range(count)]
    return [
        [written.get(index, ("",))[0] for written in rounds]
        for index in range(len(indices))
    ]
