"""Adapter to KerasHub tasks: text and images in, ids and logits out."""

import contextlib

import keras
import numpy as np

from keras_byorn.vlm.families import family_of
from keras_byorn.vlm.keras_internals import flatten_layers
from keras_byorn.vlm.vision import IMAGE_EMBEDDINGS, config_text


class VisionLanguageTask:
    """Wraps a KerasHub vision-language task to work on ids and arrays.

    The interface is one for all tasks; their differences are in `families`.

    Rows of ids and masks have T positions, those of text and padding:

    - token ids are int32, `(B, T)`, without the image's own positions;
    - `response_mask` is bool, `(B, T)`, `True` where the next token is of the
      response, its end token included;
    - raw images are `(B, H, W, 3)`, or `(B, M, H, W, 3)` where an example may
      have M images, of any numeric dtype, with pixels in `pixel_range`;
    - embeddings of images, `Embedded`, are float, `(B, P, D)` or
      `(B, M, P, D)`.

    Args:
        task: a KerasHub task of a known family, with its preprocessor.

    Raises:
        ValueError: if the task is of no known family, has no preprocessor, or
            cannot be trained with the installed KerasHub.

    Example:

    >>> task = VisionLanguageTask(vlm)
    >>> prompt_ids = task.tokenize_prompts(["what is it?\\n"])
    >>> response_ids = task.tokenize(["a red three"])
    >>> packed = task.pack(prompt_ids, response_ids, length=17)
    >>> images = task.stack_images([np.zeros((32, 32, 3), "uint8")])
    >>> x, y, response_mask = task.training_inputs(images, *packed)
    >>> y.shape
    (1, 16)
    """

    def __init__(self, task):
        self.family = family_of(task)
        self.task = task
        build_preprocessor(task)

    @property
    def preprocessor(self):
        return self.task.preprocessor

    @property
    def tokenizer(self):
        return self.preprocessor.tokenizer

    @property
    def sequence_length(self):
        """int. The most tokens of prompt and response together."""
        return self.family.sequence_length(self.preprocessor)

    @property
    def end_token_ids(self):
        """tuple of ints. Any of them ends a response; the first is packed."""
        tokenizer = self.tokenizer
        ids = [
            tokenizer.end_token_id,
            getattr(tokenizer, "end_token2_id", None),
        ]
        for piece in self.family.more_end_tokens:
            token_id = self._id_of(piece)
            # Tokenizers give a piece that they lack the id of `<unk>`.
            if token_id is not None and self.pieces([token_id]) == [piece]:
                ids.append(token_id)
        return tuple(dict.fromkeys(int(i) for i in ids if i is not None))

    @property
    def input_names(self):
        """list of strings. Exactly the keys that the task's `call` takes."""
        return list(self.task.input)

    def inputs_of(self, batch):
        """Selects the task's inputs from a dict.

        Args:
            batch: a dict with the task's inputs, or with `image_embeddings`
                in place of images; other keys are dropped.

        Returns:
            A dict.
        """
        names = self.input_names
        if IMAGE_EMBEDDINGS in batch:
            pixels = self.family.image_keys
            names = [name for name in names if name not in pixels]
            names.append(IMAGE_EMBEDDINGS)
        return {name: batch[name] for name in names}

    @property
    def num_images(self):
        """pair of ints. The fewest and the most images of one example."""
        return self.family.num_images(self.preprocessor)

    @property
    def image_token(self):
        """string or `None`. Token that a prompt holds for each image."""
        if not self.num_images[1]:
            return None
        return self.family.image_token

    @property
    def pixel_range(self):
        """pair of floats. Range of pixels that the image converter takes."""
        low, high = self.family.raw_pixel_range or self.family.pixel_range
        if self.family.raw_pixel_range or not self.num_images[1]:
            return low, high
        converter = self.preprocessor.image_converter
        scale, offset = converter.scale, converter.offset
        scale = 1.0 if scale is None else float(np.min(scale))
        offset = 0.0 if offset is None else float(np.max(offset))
        return (low - offset) / scale, (high - offset) / scale

    def tokenize(self, texts):
        """Tokenizes texts, without start and end tokens.

        Args:
            texts: list of N strings.

        Returns:
            A list of N int32 arrays.
        """
        ids = self.tokenizer(list(texts))
        rows = ids.to_list() if hasattr(ids, "to_list") else ids
        return [np.asarray(row, "int32").reshape(-1) for row in rows]

    def tokenize_prompts(self, prompts):
        """Tokenizes prompts, and expands image tokens to placeholders.

        Args:
            prompts: list of N strings.

        Returns:
            A list of N int32 arrays, without start and end tokens.
        """
        token = self.image_token
        if token is not None:
            expanded = self.family.expanded_image_token(self.preprocessor)
            prompts = [prompt.replace(token, expanded) for prompt in prompts]
        return self.tokenize(prompts)

    def num_placeholders(self, token_ids):
        """Counts the ids that the task replaces by image embeddings."""
        if self.image_token is None:
            return 0
        placeholder = self.family.image_placeholder_id(self.preprocessor)
        return int(np.sum(np.asarray(token_ids) == placeholder))

    @property
    def num_placeholders_per_image(self):
        """int. Number of ids in a prompt that stand for one image."""
        if self.image_token is None:
            return 0
        return self.preprocessor.num_vision_tokens_per_image

    @property
    def max_placeholders(self):
        """int. The most ids that stand for images in one example."""
        return self.num_images[1] * self.num_placeholders_per_image

    def detokenize(self, token_ids):
        """Converts one row of ids to text, without end tokens."""
        token_ids = np.asarray(token_ids, "int32")
        text = token_ids[~np.isin(token_ids, self.end_token_ids)]
        return str(self.tokenizer.detokenize(text))

    def pieces(self, token_ids):
        """Converts one row of ids to a list of pieces of the vocabulary."""
        return [self.tokenizer.id_to_token(int(i)) for i in token_ids]

    def packed_length(self, prompt_ids, response_ids):
        """Counts the tokens of a packed row, start and end included."""
        return self.family.packed_length(
            self.preprocessor, prompt_ids, response_ids
        )

    @property
    def prefix_length(self):
        """int. Number of positions that the decoder reads before the text."""
        return self.family.prefix_length(self.task)

    def num_tokens(self, packed):
        """Counts the text tokens that a training step needs of each row.

        Args:
            packed: tuple of arrays with N rows, see `pack()`.

        Returns:
            int array, `(N,)`. Rows may be cut to one token more than that.
        """
        # Inputs and targets are shifted against each other by one.
        return self.family.num_tokens(packed) - 1

    def stack_images(self, images):
        """Stacks the raw images of a batch to one array.

        Args:
            images: list of B entries, each as an example holds it: an array
                `(H, W, 3)`, a list of such arrays, or `None`.

        Returns:
            array, `(B, H, W, 3)`; `(B, M, H, W, 3)` where an example may have
            M images; `(B, 0)` where the task reads none.
        """
        images = [images_of(own) for own in images]
        return self.family.stack_images(self.preprocessor, images)

    def frozen_vision(self):
        """Returns the task's vision tower, if its output never changes.

        Returns:
            A `Vision`, or `None` if some of it is trained, adapted or random,
            or if the family's backbone cannot be split behind it.
        """
        if not self.num_images[1]:
            return None
        vision = self.family.vision(self.task)
        return vision if vision and vision.is_frozen else None

    def vision_identity(self, vision):
        """Yields all parts that decide on the embeddings of a raw image.

        Args:
            vision: the task's `Vision`.

        Yields:
            strings and NumPy arrays: those of `Vision.identity()`, and the
            configuration of the image converter.
        """
        yield from vision.identity()
        yield config_text(self.preprocessor.image_converter)

    def encode_images(self, vision, images):
        """Computes the embeddings of raw images.

        Args:
            vision: the task's `Vision`.
            images: list of U arrays `(H, W, 3)` of one size.

        Returns:
            float array, `(U, P, D)`: P embeddings of one image.
        """
        images = np.stack(images)
        if self.family.image_axis:
            images = images[:, None]
        converted = self.family.converted(self.preprocessor, images)
        return vision.encode(converted)

    def pack(self, prompt_ids, response_ids, length):
        """Packs prompts and responses, with start and end tokens, into rows.

        Args:
            prompt_ids: list of N int arrays.
            response_ids: list of N int arrays, without the end token.
            length: int. Tokens in a row; shorter rows are padded.

        Returns:
            A tuple of arrays with N rows. The first two are int32,
            `(N, length)`: token ids, and 1 on tokens of the response, its end
            token included, else 0. Encoder-decoders add the inputs of their
            encoder.

        Raises:
            ValueError: if a row does not fit.
        """
        return self.family.pack(
            self.preprocessor, prompt_ids, response_ids, length
        )

    def training_inputs(self, images, *packed):
        """Makes the arrays of a training step from images and packed rows.

        Args:
            images: array, see `stack_images()`, or `Embedded`.
            *packed: arrays with B rows of T + 1 tokens, see `pack()`.

        Returns:
            A tuple `(x, y, response_mask)`: a dict of exactly the task's
            inputs (or `image_embeddings` in place of images); int32,
            `(B, T)`, the token that follows each position; bool, `(B, T)`,
            whether that token is of the response.
        """
        token_ids, in_response = packed[:2]
        x = self._inputs(images, self.family.training_text(packed))
        return x, token_ids[:, 1:], in_response[:, 1:].astype("bool")

    def generate_ids(self, images, prompt_ids, length):
        """Generates responses to a batch of prompts, with the task's sampler.

        Prompts of a family without `mixed_prompt_lengths` must have one
        length.

        Args:
            images: array, see `stack_images()`, or `Embedded`.
            prompt_ids: list of B int arrays.
            length: int. The most tokens of prompt and response together.

        Returns:
            A list of B entries: an int32 array, the ids of the response
            without the end token that is packed (another end token is kept as
            its last id), or `None` if it did not end within `length`.
        """
        text, starts = self.family.generation_text(
            self.preprocessor, prompt_ids, length
        )
        inputs = self._inputs(images, text)
        with self._generation_inputs(inputs) as inputs:
            generate = self.task.make_generate_function()
            outputs = generate(inputs, stop_token_ids=self.end_token_ids)
        outputs = self.family.generated_ids(outputs)
        return [
            self._until_end(row[start:]) for row, start in zip(outputs, starts)
        ]

    def generate_inputs(self, images, prompts):
        """Makes the inputs of the task's own `generate`, under its names.

        Args:
            images: array or list, as the task's `generate` takes them, or
                `None`.
            prompts: string or list of strings.

        Returns:
            A dict, or `prompts` itself where the task takes text alone.
        """
        if self.family.prompt_key is None:
            return prompts
        inputs = {self.family.prompt_key: prompts}
        return inputs if images is None else {"images": images, **inputs}

    def _until_end(self, token_ids):
        ends = np.flatnonzero(np.isin(token_ids, self.end_token_ids))
        if not len(ends):
            return None
        packed = token_ids[ends[0]] == self.end_token_ids[0]
        return token_ids[: ends[0] + (not packed)].astype("int32")

    def _inputs(self, images, text):
        # An accelerator is busy with the step before this batch, and would
        # have to be waited for.
        with keras.device("cpu:0"):
            inputs = self.family.inputs(self.preprocessor, images, text)
        return self.inputs_of(inputs)

    def _generation_inputs(self, inputs):
        """Returns a context that yields the inputs as `generate` takes them."""
        if IMAGE_EMBEDDINGS not in inputs:
            return contextlib.nullcontext(inputs)
        return self.family.vision(self.task).given_embeddings(inputs)

    def _id_of(self, piece):
        try:
            return self.tokenizer.token_to_id(piece)
        except (KeyError, ValueError):
            return None


def build_preprocessor(task):
    """Builds a task's preprocessor, and marks all of its layers as built.

    On JAX, Keras runs a model once without compiling it if one of its layers
    is not built, which compiles each operation by itself. KerasHub never
    marks the layers of a preprocessor.

    Args:
        task: a KerasHub task, or any Keras model.
    """
    preprocessor = getattr(task, "preprocessor", None)
    if preprocessor is None:
        return
    if not preprocessor.built:  # creates its packers
        preprocessor.build(None)
    for layer in flatten_layers(preprocessor, include_self=False):
        if not layer.built and not layer.weights:
            layer.built = True


def images_of(images):
    """Lists the images of an example: an array, a list of them, or `None`."""
    if images is None:
        return []
    return images if isinstance(images, list) else [images]
