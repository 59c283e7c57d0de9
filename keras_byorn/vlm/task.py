"""The one seam to KerasHub: text and images in, ids and logits out."""

import contextlib

import numpy as np
from keras import ops

from keras_byorn.vlm.families import family_of


class VisionLanguageTask:
    """Speaks to a KerasHub vision-language task in ids and arrays.

    All that the rest of the package knows of a task is here, and what differs
    from family to family is in `families.py`.

    Args:
        task: a KerasHub task of a known family, with its preprocessor.

    Raises:
        ValueError: if the task is of no known family or has no preprocessor.
    """

    def __init__(self, task):
        self.family = family_of(task)
        self.task = task
        preprocessor = task.preprocessor
        if not preprocessor.built:
            preprocessor.build(None)

    @property
    def tokenizer(self):
        return self.task.preprocessor.tokenizer

    @property
    def sequence_length(self):
        """int. The most tokens of prompt and response together."""
        return self.task.preprocessor.sequence_length

    @property
    def end_token_ids(self):
        """tuple of ints. Any of them ends a response."""
        return (int(self.tokenizer.end_token_id),)

    @property
    def input_names(self):
        """list of strings. Exactly the keys that the task's `call` takes."""
        return list(self.task.input)

    @property
    def pixel_range(self):
        """pair of floats. What the image converter takes pixels to be."""
        low, high = self.family.pixel_range
        converter = self.task.preprocessor.image_converter
        scale, offset = converter.scale, converter.offset
        scale = 1.0 if scale is None else float(np.min(scale))
        offset = 0.0 if offset is None else float(np.max(offset))
        return (low - offset) / scale, (high - offset) / scale

    def tokenize(self, texts):
        """Token ids of each text, without start and end, as int32 arrays."""
        ids = self.tokenizer(list(texts))
        rows = ids.to_list() if hasattr(ids, "to_list") else ids
        return [np.asarray(row, "int32").reshape(-1) for row in rows]

    def detokenize(self, token_ids):
        """The text of one row of ids."""
        return str(self.tokenizer.detokenize(np.asarray(token_ids, "int32")))

    def pieces(self, token_ids):
        """The pieces of the vocabulary that one row of ids stands for."""
        return [self.tokenizer.id_to_token(int(i)) for i in token_ids]

    def packed_length(self, prompt_ids, response_ids):
        """int. Tokens of prompt and response, start and end included."""
        preprocessor = self.task.preprocessor
        added = preprocessor.add_start_token + preprocessor.add_end_token
        return len(prompt_ids) + len(response_ids) + int(added)

    def convert_images(self, images):
        """Pixels as the backbone wants them, a float array (B, H, W, 3)."""
        converter = self.task.preprocessor.image_converter
        return ops.convert_to_numpy(converter(np.asarray(images)))

    def pack(self, prompt_ids, response_ids, length):
        """Packs prompt and response, with start and end, into rows.

        Args:
            prompt_ids: list of N int arrays.
            response_ids: list of N int arrays, without the end token.
            length: int. Tokens in a row; shorter rows are padded.

        Returns:
            A pair of int32 arrays `(N, length)`: token ids, and 1 where a
            token is of the response (its end token included), else 0.
        """
        token_ids, segment_ids = self._packer(
            (prompt_ids, response_ids), length, add_end_value=True
        )
        in_response = (segment_ids == 1) & self._is_text(token_ids)
        return token_ids, in_response.astype("int32")

    def training_inputs(self, images, token_ids, in_response):
        """What a training step takes, from packed rows.

        Args:
            images: array, `(B, H, W, 3)`, pixels in `pixel_range`.
            token_ids: int32 array, `(B, T + 1)`, see `pack()`.
            in_response: int32 array, `(B, T + 1)`, see `pack()`.

        Returns:
            A tuple `(x, y, response_mask)`: exactly the task's inputs, the
            token that follows each of their T positions, and, as a bool array
            `(B, T)`, whether that token is of the response.
        """
        x = self._inputs(images, token_ids[:, :-1], in_response[:, :-1])
        return x, token_ids[:, 1:], in_response[:, 1:].astype("bool")

    def generate_ids(self, images, prompt_ids, length):
        """Responses to a batch of prompts, as ids.

        The sampler is the task's. Where the family does not allow mixed
        prompt lengths, all prompts must have one length.

        Args:
            images: array, `(B, H, W, 3)`, pixels in `pixel_range`.
            prompt_ids: list of B int arrays.
            length: int. Prompt and response have so many tokens at most.

        Returns:
            A list of B entries: the ids of the response without its end
            token, or `None` where it did not end within `length`.
        """
        token_ids, _ = self._packer((prompt_ids,), length, add_end_value=False)
        num_prompt = self._is_text(token_ids).sum(axis=-1)
        generate = self.task.make_generate_function()
        outputs = generate(
            self._inputs(images, token_ids, np.zeros_like(token_ids)),
            stop_token_ids=self.end_token_ids,
        )
        outputs = ops.convert_to_numpy(outputs["token_ids"])
        return [
            self._until_end(row[start:])
            for row, start in zip(outputs, num_prompt)
        ]

    def _until_end(self, token_ids):
        ends = np.flatnonzero(np.isin(token_ids, self.end_token_ids))
        return token_ids[: ends[0]].astype("int32") if len(ends) else None

    def _inputs(self, images, token_ids, in_response):
        return {
            "images": self.convert_images(images),
            "token_ids": token_ids,
            "padding_mask": self._is_text(token_ids),
            "response_mask": in_response.astype("bool"),
        }

    def _is_text(self, token_ids):
        return token_ids != self.tokenizer.pad_token_id

    def _packer(self, segments, length, add_end_value):
        token_ids, segment_ids = self.task.preprocessor.packer(
            tuple([row.tolist() for row in rows] for rows in segments),
            sequence_length=length,
            add_start_value=self.task.preprocessor.add_start_token,
            add_end_value=add_end_value,
        )
        return (
            np.asarray(ops.convert_to_numpy(token_ids), "int32"),
            np.asarray(ops.convert_to_numpy(segment_ids), "int32"),
        )


@contextlib.contextmanager
def sampler_of(task, sampler, generate_function=None):
    """Within this block the task generates with another sampler.

    Unlike `task.compile(sampler=...)` this leaves the user's compilation as
    it was.

    Args:
        task: a KerasHub task.
        sampler: a `keras_hub.samplers.Sampler`.
        generate_function: what an earlier block with this sampler yielded as
            `compiled()`, so as not to compile again.

    Yields:
        A function that returns the compiled generate function so far.
    """
    before = task.sampler, task.generate_function
    task.sampler, task.generate_function = sampler, generate_function
    try:
        yield lambda: task.generate_function
    finally:
        task.sampler, task.generate_function = before
