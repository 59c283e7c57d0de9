"""Responses from the teacher, in large batches."""

import warnings

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_byorn.training.threads import Threads
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
        batch_size: int. Prompts in a large batch; fewer, with a warning, where
            the memory does not hold so many.
        seed: int. For `"random"`.
        threads: optional `Threads`, in which batches are generated.
    """

    def __init__(self, batches, sampler, batch_size, seed, threads=None):
        if isinstance(sampler, str):
            sampler = SAMPLERS[sampler](seed)
        self.batches = batches
        self.sampler = sampler
        self.batch_size = self._asked_batch_size = batch_size
        self._threads = threads or Threads.left_alone()
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
            and self._asked_batch_size == batch_size
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
        progress = keras.utils.Progbar(
            len(indices), verbose=verbose, unit_name="response"
        )
        written = {}
        sampling = sampler_of(task.task, self.sampler, self._generate_function)
        with sampling as compiled:
            for group, generated in self._in_batches(indices):
                for index, ids in zip(group, generated):
                    text = "" if ids is None else task.detokenize(ids).strip()
                    if text:
                        written[int(index)] = text, ids
                progress.add(len(group))
            self._generate_function = compiled()
        return written

    def _in_batches(self, indices):
        """Yields positions of examples, and what was generated for them."""
        task = self.batches.task
        prompt_ids = [self.batches.prompt_ids[i] for i in indices]
        groups = prompt_groups(
            prompt_ids, self.batch_size, task.family.mixed_prompt_lengths
        )
        batches = list(sized(groups, self.batch_size, task.max_placeholders))
        for number, (group, batch_size) in enumerate(batches):
            generated = self._generate(indices[group], batch_size)
            if generated is None:
                self._take_smaller_batches(batch_size)
                left = [rows for rows, _ in batches[number:]]
                yield from self._in_batches(indices[np.concatenate(left)])
                return
            yield indices[group], generated

    def _generate(self, indices, batch_size):
        """Ids of each response; `None` if there was no memory for so many."""
        try:
            # By itself for each size: tokens are what is compared.
            with self._threads(f"regenerate {batch_size}") as work:
                generated = generate_group(
                    self.batches.task,
                    self.batches.shown(indices),
                    [self.batches.prompt_ids[i] for i in indices],
                    self.batches.text_length,
                    batch_size,
                )
                # One that does not end within the length was the longest.
                work.size = max(
                    self.batches.text_length if ids is None else len(ids) + 1
                    for ids in generated
                )
        except Exception as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
            return None
        return generated

    def _take_smaller_batches(self, batch_size):
        smaller = max(1, batch_size // 2)
        smaller -= smaller == self.batches.task.max_placeholders  # see `sized`
        self.batch_size = max(1, smaller)
        warnings.warn(
            f"There is no memory to generate {batch_size} responses at once: "
            f"going on with {self.batch_size}. To begin with so many, pass "
            f"`BYORnCallback(batch_size={self.batch_size})`, which scores in "
            "batches of that size, too",
            stacklevel=2,
        )


def is_out_of_memory(error):
    """bool. Whether a backend, whichever it is, found no memory."""
    text = f"{type(error).__name__}: {error}".lower()
    return any(
        words in text
        for words in (
            "resource_exhausted",  # JAX
            "resourceexhausted",  # TensorFlow
            "out of memory",  # PyTorch on an accelerator
            "can't allocate memory",  # PyTorch on a CPU
            "memoryerror",
        )
    )


def sampled_responses(
    batches, count, seed, batch_size, verbose=0, threads=None
):
    """What the task says to each example, several times, sampled.

    Args:
        batches: a `TargetBatches`.
        count: int. Samples for each example.
        seed: int.
        batch_size: int.
        verbose: 0 or 1. Whether to show progress bars.
        threads: optional `Threads`.

    Returns:
        A list of N lists of `count` strings; an empty one where none ended.
    """
    write = Regenerator(batches, "random", batch_size, seed, threads)
    indices = np.arange(len(batches.examples))
    rounds = [write(indices, verbose=verbose) for _ in range(count)]
    return [
        [written.get(index, ("",))[0] for written in rounds]
        for index in range(len(indices))
    ]
