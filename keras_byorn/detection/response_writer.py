"""Responses that a task writes to prepared examples, in large batches."""

import warnings

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_byorn.vlm.generation import (
    generate_group,
    prompt_groups,
    sampler_of,
    sized,
)

SAMPLERS = {
    "greedy": lambda seed: keras_hub.samplers.GreedySampler(),
    "random": lambda seed: keras_hub.samplers.RandomSampler(seed=seed),
}


class ResponseWriter:
    """Writes new responses to the images and prompts of examples.

    Compiles one program for each of three batch sizes and keeps it; prompts
    that do not fill a large batch go into smaller ones. Where the family needs
    it, a batch holds prompts of one length.

    Args:
        prepared: a `PreparedExamples`.
        sampler: `"greedy"`, `"random"` or a `keras_hub.samplers.Sampler`.
        batch_size: optional int. Prompts in a large batch; fewer, with a
            warning, where the memory does not hold so many. Defaults to four
            times that of the examples: a generated token asks little of each
            row.
        seed: int. For `"random"`.
        task: optional `VisionLanguageTask` that writes. Defaults to that of
            the examples.
    """

    def __init__(self, prepared, sampler, batch_size=None, seed=0, task=None):
        if isinstance(sampler, str):
            sampler = SAMPLERS[sampler](seed)
        self.prepared = prepared
        self.task = task or prepared.task
        self.sampler = sampler
        self._asked_batch_size = batch_size
        self.batch_size = batch_size or _large_batch_size(prepared)
        self._generate_function = None
        # The first state of samplers that draw.
        generator = getattr(sampler, "seed_generator", None)
        self._random_state = generator and generator.state
        if generator:
            self._first_state = ops.convert_to_numpy(generator.state)

    @property
    def random_variables(self):
        """list of variables. The state of a sampler that draws, or none."""
        return [] if self._random_state is None else [self._random_state]

    def begin_anew(self, prepared):
        """Writes for other examples, with the draws of a new writer.

        Args:
            prepared: a `PreparedExamples` that the writer `suits`.
        """
        self.prepared = prepared
        if self._random_state is not None:
            self._random_state.assign(self._first_state)

    def suits(self, prepared, batch_size=None):
        """Returns whether the compiled programs suit other examples.

        Args:
            prepared: a `PreparedExamples`.
            batch_size: optional int, as for a new writer.
        """
        return (
            self.task.task is prepared.task.task
            and self.prepared.text_length == prepared.text_length
            and self.prepared.batch_size == prepared.batch_size
            and self._asked_batch_size == batch_size
        )

    def __call__(self, indices, verbose=1):
        """Writes responses to the examples at these positions.

        A response that is empty or does not end is left out.

        Args:
            indices: int array, positions of examples.
            verbose: 0 or 1. Whether to show a progress bar.

        Returns:
            A dict from position to `(response, token ids)`.
        """
        task = self.task
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
        """Yields positions of examples, and the ids generated for them."""
        task = self.task
        prompt_ids = [self.prepared.prompt_ids[i] for i in indices]
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
        """Generates ids; returns `None` if memory was short for so many."""
        try:
            return generate_group(
                self.task,
                self.prepared.images.shown(indices),
                [self.prepared.prompt_ids[i] for i in indices],
                self.prepared.text_length,
                batch_size,
            )
        except Exception as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
            return None

    def _take_smaller_batches(self, batch_size):
        smaller = max(1, batch_size // 2)
        smaller -= smaller == self.task.max_placeholders  # see `sized`
        self.batch_size = max(1, smaller)
        warnings.warn(
            f"There is no memory to generate {batch_size} responses at once: "
            f"going on with {self.batch_size}. To begin with so many, pass "
            f"`BYORnCallback(batch_size={self.batch_size})`, which scores in "
            "batches of that size, too",
            stacklevel=2,
        )


def is_out_of_memory(error):
    """Returns whether an error, of any backend, is for lack of memory."""
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
    prepared, count, seed, batch_size=None, verbose=0, task=None
):
    """Samples several responses of a task to each example.

    Args:
        prepared: a `PreparedExamples`.
        count: int. Samples for each example.
        seed: int.
        batch_size: optional int, see `ResponseWriter`.
        verbose: 0 or 1. Whether to show progress bars.
        task: optional `VisionLanguageTask`, see `ResponseWriter`.

    Returns:
        A list of N lists of `count` strings; an empty one where none ended.
    """
    write = ResponseWriter(prepared, "random", batch_size, seed, task)
    indices = np.arange(len(prepared))
    rounds = [write(indices, verbose=verbose) for _ in range(count)]
    return [
        [written.get(index, ("",))[0] for written in rounds]
        for index in range(len(indices))
    ]


def _large_batch_size(prepared):
    size = 4 * prepared.batch_size
    # See `packing.positions`.
    return size + (size == prepared.task.max_placeholders)
