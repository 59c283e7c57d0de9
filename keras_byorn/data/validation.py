"""Checks untrusted examples against the task that is to be trained on them."""

import warnings

import keras
import numpy as np

from keras_byorn.data.digests import digest
from keras_byorn.data.readers.pictures import check_num_pixels
from keras_byorn.data.shown import listed, shortened
from keras_byorn.data.words import is_blank
from keras_byorn.vlm.task import images_of

NUM_NAMED = 5  # ids that an error names
NUM_FAULTS = 20  # examples that one error describes


def read_and_check(examples, task, verbose=0):
    """Reads each example once and checks that the task can be trained on it.

    Images are looked at one by one and not kept. All examples are read before
    an error is raised, so that it can name all that are not fit.

    Args:
        examples: an `Examples`.
        task: a `VisionLanguageTask`.
        verbose: 0 or 1. Whether to show a progress bar.

    Returns:
        A triple of tuples of length N: prompts and responses, strings, and
        tuples of the digests of each example's images, see `image_digests`.

    Raises:
        ValueError: if an example is not fit for training.
    """
    prompts, responses, digests = [], [], []
    faults, first = [], _FirstImage()
    progress = keras.utils.Progbar(
        len(examples), verbose=verbose, unit_name="example"
    )
    for index in range(len(examples)):
        try:
            example = examples[index]
            _check_example(example, task, first)
        except ValueError as error:
            faults.append(error)
        else:
            digests.append(image_digests(example))
            prompts.append(example["prompts"])
            responses.append(example["responses"])
        progress.add(1)
    _raise_all(faults, len(examples))
    _warn_of_no_image(digests, task)
    if any(digests) and first.all_dim:
        _warn_of_dim_images(task.pixel_range)
    return tuple(prompts), tuple(responses), tuple(digests)


def image_digests(example):
    """Computes the digests of the images of an example, by their content.

    Args:
        example: dict with `"images"`.

    Returns:
        A tuple of strings, empty without an image.
    """
    images = images_of(example["images"])
    return tuple(digest([np.asarray(image)]) for image in images)


class _FirstImage:
    """Holds the shape that all images must have, and whether all are dim."""

    shape, all_dim = None, True


def example_digest(example):
    """Computes a digest of an example: its prompt, response and images.

    Args:
        example: dict with `"prompts"`, `"responses"` and `"images"`.

    Returns:
        A string of 32 hexadecimal digits.
    """
    texts = example["prompts"], example["responses"]
    return digest([*texts, *image_digests(example)])


def _check_example(example, task, first):
    """Checks one example."""
    example_id = example["example_id"]
    check_text("prompts", example["prompts"], example_id)
    check_text("responses", example["responses"], example_id)
    images = images_of(example["images"])
    check_num_images(len(images), example["prompts"], task, example_id)
    for image in images:
        shape = first.shape or image.shape
        check_image(image, shape, task.pixel_range, example_id)
        first.shape = shape
        first.all_dim &= image.dtype.kind == "f" and bool(image.max() <= 1.0)


def _raise_all(faults, num_examples):
    """Raises the one error that there is, or one of all of them."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        shown = "\n".join(f"  {fault}" for fault in faults[:NUM_FAULTS])
        more = len(faults) - NUM_FAULTS
        raise ValueError(
            f"{len(faults):,} of {num_examples:,} examples are not fit for "
            f"training:\n{shown}" + (f"\n  and {more:,} more" * (more > 0))
        )


def check_tokens(example_ids, num_images, prompt_ids, response_ids, task):
    """Checks the tokens of prompts and responses.

    Args:
        example_ids: sequence of N strings.
        num_images: sequence of N ints.
        prompt_ids, response_ids: lists of N int arrays.
        task: a `VisionLanguageTask`.

    Raises:
        ValueError: if a text holds an image placeholder of its own, is longer
            than the task reads, or has no token.
    """
    _check_placeholders(example_ids, num_images, prompt_ids, response_ids, task)
    _check_lengths(example_ids, prompt_ids, response_ids, task)
    # Behind no prompt, the first token of a response would not be scored.
    for field, rows in (("prompts", prompt_ids), ("responses", response_ids)):
        empty = [i for i, ids in zip(example_ids, rows) if not len(ids)]
        if empty:
            raise ValueError(
                f"`{field}` must have at least one token. Drop the examples. "
                f"Received: none in examples {listed(empty, NUM_NAMED)}"
            )


def check_text(field, text, example_id):
    """Refuses a value that is no text, shows nothing, or is no UTF-8."""
    where = f"in example {shortened(example_id)}"
    if not isinstance(text, str) or is_blank(text):
        raise ValueError(
            f"`{field}` must be non-empty strings, with characters that can be "
            f"seen. Drop or mend the example. Received: {shortened(text)} "
            f"{where}"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`{field}` must be text that UTF-8 can write. Half a character, a "
            "lone surrogate, is what a wrong escape or the name of a file "
            "leaves. Drop or mend the example. Received: "
            f"{shortened(text[max(error.start - 20, 0) :])} {where}"
        ) from None


def check_num_images(count, prompt, task, example_id):
    """Refuses more or fewer images than the task reads of one example."""
    fewest, most = task.num_images
    if not fewest <= count <= most:
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise ValueError(
            f"`images` must hold {wanted} of them in each example, as many as "
            f"this {type(task.task).__name__} reads: one array, a "
            "list of arrays, or `None` for none. Fields are renamed with "
            "`Examples(..., rename={'image': 'images'})`. Received: "
            f"{count} images in example {shortened(example_id)}"
        )
    token = task.image_token
    if token is not None and prompt.count(token) != count:
        raise ValueError(
            f"`prompts` must hold {token!r} once for each image, where the "
            "image stands: the model would not see the image, or would see "
            f"the token alone. Received: {prompt.count(token)} of them for "
            f"{count} images in example {shortened(example_id)}: "
            f"{shortened(prompt)}"
        )


def check_image(image, shape, pixel_range, example_id):
    """Refuses an image of wrong rank, type, size or range.

    Args:
        image: array.
        shape: tuple of ints, that of the first image.
        pixel_range: pair of floats, see `VisionLanguageTask.pixel_range`.
        example_id: string.
    """
    where = f"in example {shortened(example_id)}"
    if image.ndim == 3 and not image.size:
        raise ValueError(
            "`images` must have at least one pixel. Drop or mend the example. "
            f"Received: shape {image.shape} {where}"
        )
    if image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "`images` must have the shape (height, width, 3). Turn grey "
            "images to RGB with `np.repeat(image[..., None], 3, -1)`, move "
            "channels to the end with `np.moveaxis(image, 0, -1)`, and "
            f"give no batch axis. Received: shape {image.shape} {where}"
        )
    if image.dtype.kind not in "uif":
        raise ValueError(
            "`images` must be uint8 or float arrays. "
            f"Received: dtype {image.dtype} {where}"
        )
    try:
        check_num_pixels(*image.shape[:2])
    except ValueError as error:
        raise ValueError(f"{error} {where}") from None
    if image.shape != shape:
        raise ValueError(
            "`images` must be of one size, to be stacked in batches. Resize "
            f"them first. Received: shape {image.shape} {where}, but {shape} "
            "in the first one"
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError(
            "`images` must be finite. Drop or mend the example. "
            f"Received: NaN or infinity {where}"
        )
    low, high = pixel_range
    if image.min() < low - 1e-3 or image.max() > high + 1e-3:
        raise ValueError(
            "`images` must have pixels in the range that the task's image "
            f"converter takes, [{low:g}, {high:g}]. Rescale them. Received: "
            f"pixels in [{image.min():g}, {image.max():g}] {where}"
        )


def named(example_ids, wrong):
    """Lists the first ids of wrong examples, for an error.

    Args:
        example_ids: sequence of N strings.
        wrong: bool array, `(N,)`.

    Returns:
        A string.
    """
    found = dict.fromkeys(example_ids[i] for i in np.flatnonzero(wrong))
    shown = ", ".join(map(shortened, list(found)[:NUM_NAMED]))
    return f"{shown}, ..." if len(found) > NUM_NAMED else shown


def repeated(values):
    """bool array, `(N,)`. Whether a value stood further in front already."""
    seen = set()
    return np.array([v in seen or bool(seen.add(v)) for v in values], bool)


def _warn_of_no_image(digests, task):
    if task.num_images[1] and not any(digests):
        warnings.warn(
            "None of the examples has `images`, though this "
            f"{type(task.task).__name__} reads images. If they have, under "
            "another name, pass `Examples(..., rename={'image': 'images'})`.",
            stacklevel=4,
        )


def _warn_of_dim_images(pixel_range):
    low, high = pixel_range
    if high > 1.5:
        warnings.warn(
            "All `images` are floats of at most 1, while the task's image "
            f"converter takes pixels in [{low:g}, {high:g}]: they would be "
            "seen as black. Multiply them by 255.",
            stacklevel=4,
        )


def _check_placeholders(
    example_ids, num_images, prompt_ids, response_ids, task
):
    """Refuses untrusted text that places an image where there is none."""
    for example_id, count, prompt, response in zip(
        example_ids, num_images, prompt_ids, response_ids
    ):
        found = task.num_placeholders(prompt), task.num_placeholders(response)
        wanted = count * task.num_placeholders_per_image, 0
        if found != wanted:
            raise ValueError(
                "`prompts` and `responses` must not hold the placeholder that "
                "the preprocessor writes for an image. Drop or mend the "
                f"example. Received: {found[0]} placeholders in the prompt, "
                f"where {wanted[0]} belong, and {found[1]} in the response of "
                f"example {shortened(example_id)}"
            )


def _check_lengths(example_ids, prompt_ids, response_ids, task):
    lengths = map(task.packed_length, prompt_ids, response_ids)
    too_long = [
        (example_id, length)
        for example_id, length in zip(example_ids, lengths)
        if length > task.sequence_length
    ]
    if too_long:
        named = ", ".join(
            f"{shortened(i)} ({n})" for i, n in too_long[:NUM_NAMED]
        )
        raise ValueError(
            "`prompts` and `responses` must fit the preprocessor's "
            f"`sequence_length`, {task.sequence_length} tokens with start and "
            "end: the packer would cut them silently. Shorten them, or "
            "raise `vlm.preprocessor.sequence_length`. Received: "
            f"{len(too_long)} examples that are longer: {named}"
        )
