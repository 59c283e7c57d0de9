"""The one seam to KerasHub: text and images in, ids and logits out."""

import contextlib
import functools
import typing

import keras
import numpy as np

from keras_byorn.data.digests import digest
from keras_byorn.vlm.families import family_of, find_family
from keras_byorn.vlm.vision import IMAGE_EMBEDDINGS, config_text


class VisionLanguageTask:
    """Speaks to a KerasHub vision-language task in ids and arrays.

    All that the rest of the package knows of a task is here, and what differs
    from family to family is in `families`.

    Args:
        task: a KerasHub task of a known family, with its preprocessor.

    Raises:
        ValueError: if the task is of no known family, has no preprocessor, or
            cannot be trained with the installed KerasHub.
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
            # What is not in the vocabulary comes back as unknown.
            if token_id is not None and self.pieces([token_id]) == [piece]:
                ids.append(token_id)
        return tuple(dict.fromkeys(int(i) for i in ids if i is not None))

    @property
    def input_names(self):
        """list of strings. Exactly the keys that the task's `call` takes."""
        return list(self.task.input)

    def inputs_of(self, batch):
        """What the task takes of a dict, and nothing else.

        Args:
            batch: a dict with the task's inputs, or with `image_embeddings`
                in the place of images.
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
        """string or `None`. What stands in a prompt for each image."""
        if not self.num_images[1]:
            return None
        return self.family.image_token

    @property
    def pixel_range(self):
        """pair of floats. What the image converter takes pixels to be."""
        low, high = self.family.raw_pixel_range or self.family.pixel_range
        if self.family.raw_pixel_range or not self.num_images[1]:
            return low, high
        converter = self.preprocessor.image_converter
        scale, offset = converter.scale, converter.offset
        scale = 1.0 if scale is None else float(np.min(scale))
        offset = 0.0 if offset is None else float(np.max(offset))
        return (low - offset) / scale, (high - offset) / scale

    def tokenize(self, texts):
        """Token ids of each text, without start and end, as int32 arrays."""
        ids = self.tokenizer(list(texts))
        rows = ids.to_list() if hasattr(ids, "to_list") else ids
        return [np.asarray(row, "int32").reshape(-1) for row in rows]

    def tokenize_prompts(self, prompts):
        """Token ids of each prompt, each image token made its placeholders.

        Args:
            prompts: list of strings.

        Returns:
            A list of int32 arrays, without start and end.
        """
        token = self.image_token
        if token is not None:
            expanded = self.family.expanded_image_token(self.preprocessor)
            prompts = [prompt.replace(token, expanded) for prompt in prompts]
        return self.tokenize(prompts)

    def num_placeholders(self, token_ids):
        """int. How many of the ids the task replaces by image embeddings."""
        if self.image_token is None:
            return 0
        placeholder = self.family.image_placeholder_id(self.preprocessor)
        return int(np.sum(np.asarray(token_ids) == placeholder))

    @property
    def num_placeholders_per_image(self):
        """int. Ids in a prompt that stand for one image."""
        if self.image_token is None:
            return 0
        return self.preprocessor.num_vision_tokens_per_image

    @property
    def max_placeholders(self):
        """int. The most ids that stand for images in one example."""
        return self.num_images[1] * self.num_placeholders_per_image

    def detokenize(self, token_ids):
        """The text of one row of ids; end tokens have none."""
        token_ids = np.asarray(token_ids, "int32")
        text = token_ids[~np.isin(token_ids, self.end_token_ids)]
        return str(self.tokenizer.detokenize(text))

    def pieces(self, token_ids):
        """The pieces of the vocabulary that one row of ids stands for."""
        return [self.tokenizer.id_to_token(int(i)) for i in token_ids]

    def packed_length(self, prompt_ids, response_ids):
        """int. Tokens of prompt and response, start and end included."""
        return self.family.packed_length(
            self.preprocessor, prompt_ids, response_ids
        )

    @property
    def prefix_length(self):
        """int. Positions that the decoder reads before the text."""
        return self.family.prefix_length(self.task)

    def num_tokens(self, packed):
        """Text tokens that a training step must see of each packed row.

        Args:
            packed: tuple of arrays with N rows, see `pack()`.

        Returns:
            int array, `(N,)`: the rows may be cut to so many and one more.
        """
        # Inputs and targets are shifted against each other by one.
        return self.family.num_tokens(packed) - 1

    def stack_images(self, images):
        """The images of a batch, as they are, in one array.

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
        """The task's `Vision`, where an image is seen alike in every step.

        Returns:
            A `Vision`, or `None` where some of it is trained, adapted or
            random, or where the family's backbone cannot be parted.
        """
        if not self.num_images[1]:
            return None
        vision = self.family.vision(self.task)
        return vision if vision and vision.is_frozen else None

    def vision_digest(self, vision):
        """string. Another one where an image would be seen otherwise."""
        converter = config_text(self.preprocessor.image_converter)
        return f"{vision.digest()}-{digest([converter])}"

    def encode_images(self, vision, images):
        """What the vision tower makes of images, each for itself.

        Args:
            vision: the task's `Vision`.
            images: list of U arrays `(H, W, 3)` of one size.

        Returns:
            array, `(U, P, D)`: P embeddings of one image.
        """
        images = np.stack(images)
        if self.family.image_axis:
            images = images[:, None]
        converted = self.family.converted(self.preprocessor, images)
        return vision.encode(converted)

    def pack(self, prompt_ids, response_ids, length):
        """Packs prompt and response, with start and end, into rows.

        Args:
            prompt_ids: list of N int arrays.
            response_ids: list of N int arrays, without the end token.
            length: int. Tokens in a row; shorter rows are padded.

        Returns:
            A tuple of arrays with N rows. The first two are int32,
            `(N, length)`: token ids, and 1 where a token is of the response
            (its end token included), else 0. Encoder-decoders add what their
            encoder reads.

        Raises:
            ValueError: if a row does not fit.
        """
        return self.family.pack(
            self.preprocessor, prompt_ids, response_ids, length
        )

    def training_inputs(self, images, *packed):
        """What a training step takes, from packed rows.

        Args:
            images: array, see `stack_images()`, pixels in `pixel_range`; or
                what the task saw of them before, `Embedded`.
            *packed: arrays with B rows of T + 1 tokens, see `pack()`.

        Returns:
            A tuple `(x, y, response_mask)`: exactly the task's inputs (or
            `image_embeddings` in the place of images), the token that follows
            each of their T positions, and, as a bool array `(B, T)`, whether
            that token is of the response.
        """
        token_ids, in_response = packed[:2]
        x = self._inputs(images, self.family.training_text(packed))
        return x, token_ids[:, 1:], in_response[:, 1:].astype("bool")

    def generate_ids(self, images, prompt_ids, length):
        """Responses to a batch of prompts, as ids.

        The sampler is the task's. Where the family does not allow mixed
        prompt lengths, all prompts must have one length.

        Args:
            images: array, see `stack_images()`, pixels in `pixel_range`; or
                what the task saw of them before, `Embedded`.
            prompt_ids: list of B int arrays.
            length: int. Prompt and response have so many tokens at most.

        Returns:
            A list of B entries: the ids of the response without the end token
            that is packed (another one that ended it is its last id), or
            `None` where it did not end within `length`.
        """
        text, starts = self.family.generation_text(
            self.preprocessor, prompt_ids, length
        )
        inputs = self._inputs(images, text)
        with self._given(inputs) as inputs:
            generate = self.task.make_generate_function()
            outputs = generate(inputs, stop_token_ids=self.end_token_ids)
        outputs = self.family.generated_ids(outputs)
        return [
            self._until_end(row[start:]) for row, start in zip(outputs, starts)
        ]

    def generate_inputs(self, images, prompts):
        """Inputs of the task's own `generate`, under its own names.

        Args:
            images: array or list, as the task's `generate` takes them.
            prompts: string or list of strings.
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

    def _given(self, inputs):
        """The inputs as `generate` takes them, in a context."""
        if IMAGE_EMBEDDINGS not in inputs:
            return contextlib.nullcontext(inputs)
        return self.family.vision(self.task).given_embeddings(inputs)

    def _id_of(self, piece):
        try:
            return self.tokenizer.token_to_id(piece)
        except (KeyError, ValueError):
            return None


def logits_of(task, inputs, training=False):
    """Logits of a task, right even where its own `call` is not.

    Args:
        task: a KerasHub task of a known family.
        inputs: a dict, exactly the task's inputs.
        training: bool.

    Returns:
        float tensor, `(B, T, V)`.
    """
    decoded = decode(task, inputs, training)
    return decoded.project(decoded.hidden)


class Decoded(typing.NamedTuple):
    """What a task's decoder makes of the text, before it becomes logits.

    Args:
        hidden: float tensor, `(B, T, D)`.
        project: function from hidden states, all or some, to logits `(..., V)`.
        vocabulary_size: int, V; 0 where `hidden` are the logits already.
    """

    hidden: typing.Any
    project: typing.Callable
    vocabulary_size: int


def decode(task, inputs, training=False):
    """All of a task but its head, the projection onto the vocabulary.

    Args:
        task: a KerasHub task of a known family, or any model with the inputs
            of one.
        inputs: a dict, exactly the task's inputs.
        training: bool.

    Returns:
        A `Decoded`.
    """
    family = find_family(task)
    if family is None:  # a reference may be any model with these inputs
        return Decoded(task(inputs, training=training), lambda x: x, 0)
    return Decoded(
        family.hidden(task, inputs, training),
        functools.partial(family.project, task),
        task.preprocessor.tokenizer.vocabulary_size(),
    )


def build_preprocessor(task):
    """Builds a task's preprocessor, and says so of all of its layers.

    On JAX, Keras runs a model once without compiling it whenever one of its
    layers is not, which compiles each operation for itself; and the layers of
    a preprocessor never are.

    Args:
        task: a KerasHub task, or any Keras model.
    """
    preprocessor = getattr(task, "preprocessor", None)
    if preprocessor is None:
        return
    if not preprocessor.built:  # makes what it packs with
        preprocessor.build(None)
    for layer in preprocessor._flatten_layers(include_self=False):
        if not layer.built and not layer.weights:
            layer.built = True


def images_of(images):
    """The images of one example in a list, however the example holds them."""
    if images is None:
        return []
    return images if isinstance(images, list) else [images]


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
