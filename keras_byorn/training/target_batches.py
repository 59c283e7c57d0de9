"""Training batches that read their targets from the store."""

import contextlib
import os
import warnings

import keras
import numpy as np

from keras_byorn.data.examples import Examples
from keras_byorn.detection.spans import with_what_follows
from keras_byorn.data.views import View
from keras_byorn.data.length_buckets import (
    LENGTH_MULTIPLE,
    LengthBuckets,
    batches_of,
    extremes_first,
)
from keras_byorn.data.image_embeddings import ImageEmbeddings
from keras_byorn.data.scoring_batches import InOrder, filled
from keras_byorn.training.target_store import TargetStore
from keras_byorn.vlm.packing import first_marked
from keras_byorn.vlm.task import VisionLanguageTask, images_of

NUM_NAMED = 5  # ids that an error names


class TargetBatches(keras.utils.PyDataset):
    """Batches for `BYORnModel.fit`: the examples, with their targets of now.

    Reads each example once when it is made, to check and to tokenize it.
    Rows of like length share a batch, which is padded to one of at most four
    lengths (`buckets`), and filled with rows of weight zero where there are
    too few. The order is new in each epoch and follows from `seed`.

    Args:
        examples: an `Examples`, or what `Examples(...)` takes. Where the task
            reads several images, each stands in the prompt as its image
            token, such as Gemma 3's `<start_of_image>`.
        vlm: the KerasHub task that will be tuned.
        batch_size: int. Defaults to 16.
        seed: int. Seed of the order. Defaults to 0.
        shuffle: bool. Whether to mix the order. Without it rows of like length
            come in the examples' order, short ones first. Defaults to `True`.
        store: a `TargetStore` to go on with. By default all targets are the
            original responses.
        image_cache: `"auto"`, a folder or `None`. Where `fit` keeps what a
            frozen vision tower makes of the images, which it then runs once
            for each, and not in every epoch, for scoring, training and
            generating. `"auto"` is in memory, and beyond 2 GiB in a temporary
            file; in a folder of the user's they serve later runs too, as long
            as the tower's weights and the images are the same. `None` shows
            the model the images each time. Nothing is kept where the tower is
            trained or adapted, as by KerasHub's default `enable_lora` on
            PaliGemma or Gemma 3: adapt the decoder alone, by
            `vlm.backbone.enable_lora(8, target_layer_names=["query",
            "value"])`. Defaults to `"auto"`.
        **kwargs: for `keras.utils.PyDataset`. Only one worker is supported:
            with more, Keras would serve stale targets.

    Returns:
        Item `i` is a tuple `(x, y, sample_weight)`:
        - `x`, a dict: exactly the task's inputs, or, in `fit` with a frozen
          vision tower, `image_embeddings` in the place of images;
        - `y`, int32 `(B, T)`: the token that follows each position;
        - `sample_weight`, a dict of `response_mask`, bool `(B, T)`, the
          response tokens but for masked ones, `response_positions`, int32
          `(B, R)`, where they stand, `weight`, float32 `(B,)`, `position`,
          int32 `(B,)`, the example's, or the number of examples where a row is
          not the whole of an original; and, once it is known,
          `plausibility`, float32 `(B,)`.

    Raises:
        ValueError: if an example is not fit for training (an image of wrong
            rank, range or with NaN, too few or too many of them, an image
            token missing in the prompt, an empty text, too long a text), if
            `vlm` is of no known family, if `workers` is above 1.

    Example:

    >>> batches = TargetBatches(examples, vlm, batch_size=16)
    >>> x, y, sample_weight = batches[0]
    """

    def __init__(
        self,
        examples,
        vlm,
        batch_size=16,
        seed=0,
        shuffle=True,
        store=None,
        image_cache="auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if self.workers > 1 or self.use_multiprocessing:
            raise ValueError(
                "`workers` must be 0 or 1, and `use_multiprocessing` False: "
                "with more, Keras serves stale, doubled and missing batches "
                "once targets change. Received: "
                f"workers={self.workers}, "
                f"use_multiprocessing={self.use_multiprocessing}"
            )
        if not batch_size >= 1:
            raise ValueError(
                "`batch_size` must be at least 1. "
                f"Received: batch_size={batch_size}"
            )
        self._image_embeddings = _image_embeddings(image_cache)
        self._shows_embeddings = False
        if not isinstance(examples, Examples):
            examples = Examples(examples)
        self.examples = examples
        self.task = VisionLanguageTask(vlm)
        self.batch_size = int(batch_size)
        self.seed = seed
        self.shuffle = shuffle
        texts = _read_and_check(examples, self.task)
        self.prompt_ids, response_ids, prompts, responses = texts
        self.response_ids = response_ids
        self.text_length = self._common_length(self.prompt_ids, response_ids)
        self._originals = self._pack(self.prompt_ids, response_ids)
        self.store = self._own_store(store, prompts, responses)
        self.buckets = self._choose_buckets()
        self._epoch = 0
        self._in_fit = False
        self._tells_most = False
        self._plan = None
        self._plan_key = None
        self._packed_replacements = {}

    def __len__(self):
        return len(self._planned()[1])

    def __getitem__(self, index):
        rows, batches = self._planned()
        longest = len(self.buckets) - 1
        if self._tells_most and longest and index < 2:
            return self._batch_of_no_weight((0, longest)[index])
        if index >= len(batches):
            return self._batch_of_no_weight(longest)
        picked, bucket = batches[index]
        return self._batch(*(column[picked] for column in rows), bucket)

    def _batch_of_no_weight(self, bucket):
        """To learn shapes from, as Keras does from the first two batches.

        The first epoch may lack a length that a later one has; and Keras may
        read some of the batches that `num_batches` tells of and are not there.
        """
        index = np.argmax(self._own_buckets == bucket)
        return self._batch(
            np.array([index]), np.zeros(1, bool), np.zeros(1, "float32"), bucket
        )

    @property
    def num_batches(self):
        """int. What Keras asks: batches of this epoch; before `fit`, of any.

        `fit` asks once before the first epoch and never runs more batches
        than that, though later epochs may have more. So it is told the most
        that an epoch can have, and each epoch ends where its batches end.
        """
        if self._tells_most:
            most = self._batches_for(self.store.max_training_rows)
            # From two of them Keras learns the shapes.
            return max(most, 2) if len(self.buckets) > 1 else most
        return len(self)

    @contextlib.contextmanager
    def in_fit(self):
        """Within this block the number of batches may change by epoch.

        Yields:
            A callback that `fit` must be given.
        """

        def begin(logs=None):
            self._tells_most = False

        self._in_fit = self._tells_most = True
        try:
            with warnings.catch_warnings():
                # An epoch of fewer batches is what we want, not a mistake.
                warnings.filterwarnings("ignore", "Your input ran out of data")
                yield keras.callbacks.LambdaCallback(on_train_begin=begin)
        finally:
            self._in_fit = self._tells_most = False

    def on_epoch_end(self):
        """Called by Keras after each pass: the next has another order.

        Only in `fit`: a look at the data with `evaluate` changes nothing.
        """
        self._epoch += self._in_fit

    @contextlib.contextmanager
    def images_encoded(self, vision, verbose=0):
        """Within this block batches bring embeddings instead of images.

        Those of images that were not seen before are computed first.

        Args:
            vision: the task's frozen `Vision`, or `None` to bring images.
            verbose: 0 or 1. Whether to show a progress bar.
        """
        if vision is not None and self._image_embeddings is not None:
            if verbose:
                print("Encoding images, once, for nothing in the tower trains")
            self._shows_embeddings = self._image_embeddings.refresh(
                self.examples, self.task, vision, self.batch_size, verbose
            )
        try:
            yield
        finally:
            self._shows_embeddings = False

    def originals(self, batch_size=None, view=None, indices=None):
        """Original responses in the examples' order, for scoring.

        Args:
            batch_size: optional int. Defaults to that of the batches.
            view: optional `View`, which changes images or prompts.
            indices: optional int array, positions of the examples. Defaults to
                all of them.

        Returns:
            A `keras.utils.PyDataset`; its `response_mask`, bool `(N, T)`, tells
            where the response tokens stand. The last batch is filled.
        """
        if indices is None:
            indices = np.arange(len(self.examples))
        indices = np.asarray(indices, int)
        view = view or View()
        packed = [part[indices] for part in self.packed_under(view)]
        return self._in_order(indices, view, packed, batch_size)

    def with_responses(self, indices, response_ids, batch_size=None):
        """Other responses to the same images and prompts, for scoring.

        Args:
            indices: int array, positions of n examples.
            response_ids: list of n int arrays, without end token, none longer
                than the longest original.
            batch_size: optional int. Defaults to that of the batches.

        Returns:
            As `originals()`, in batches of the same shapes.
        """
        indices = np.asarray(indices, int)
        packed = self._pack([self.prompt_ids[i] for i in indices], response_ids)
        return self._in_order(indices, View(), packed, batch_size)

    def packed_under(self, view):
        """Token ids and response mask `(N, T + 1)` of all originals.

        A view that changes prompts may need another length.
        """
        prompt_ids = self.prompt_ids_under(view)
        if prompt_ids is self.prompt_ids:
            return self._originals
        longest = self._longest(prompt_ids, self.response_ids)
        if longest > self.task.sequence_length:
            raise ValueError(
                "A view's prompts must leave room for the responses within "
                f"the sequence length, {self.task.sequence_length} tokens. "
                "Shorten what it adds, or raise "
                "`vlm.preprocessor.sequence_length`. Received: "
                f"{longest} tokens under {view}"
            )
        length = max(self.text_length, longest)
        return self.task.pack(prompt_ids, self.response_ids, length + 1)

    def prompt_ids_under(self, view):
        """Token ids of each prompt, as a view changes it: N int arrays."""
        prompts = self.store.prompts
        seen = [view.prompt(prompt) for prompt in prompts]
        if seen == prompts:
            return self.prompt_ids
        return self.task.tokenize_prompts(seen)

    @property
    def largest(self):
        """pair of ints. The most rows and response tokens of a batch."""
        return self.batch_size, self.buckets.widths[-1]

    @property
    def response_mask(self):
        """bool array `(N, T)`: response tokens among the originals' targets."""
        return self._originals[1][:, 1:].astype("bool")

    def out_of_loss(self, indices):
        """Which response tokens of masked examples are no targets.

        Args:
            indices: int array, positions of n examples.

        Returns:
            bool array `(n, T)`; all `False` where an example has no mask.
        """
        out = np.zeros((len(indices), self.text_length), bool)
        for row, index in enumerate(indices):
            if span := self.store.masked_tokens(int(index)):
                (places,) = np.nonzero(self._originals[1][index, 1:])
                out[row, places[with_what_follows(span, len(places))]] = True
        return out

    def response_pieces(self, index):
        """Pieces of the original response at a position, with its end."""
        token_ids, in_response = self._originals[:2]
        return self.task.pieces(token_ids[index][in_response[index] == 1])

    def images(self, indices):
        """Images at these positions. See `VisionLanguageTask.stack_images`."""
        images = [self.examples[int(i)]["images"] for i in indices]
        return self.task.stack_images(images)

    def shown(self, indices, view=None):
        """What the model is shown: images, or their embeddings if it may be.

        Args:
            indices: int array, positions of B examples.
            view: optional `View`.

        Returns:
            As `images()`, or an `Embedded` of B rows.
        """
        view = view or View()
        positions = view.positions(indices, len(self.examples))
        if self._shows_embeddings and not view.changes_pixels:
            return self._image_embeddings[positions]
        return self.images_under(view, indices)

    def images_under(self, view, indices):
        """The same as a view shows them, one for each position."""
        shown = view.positions(indices, len(self.examples))
        return _seen(self.images(shown), view, self.task.pixel_range)

    def _batches_for(self, num_rows):
        return -(-num_rows // self.batch_size)

    def _own_store(self, store, prompts, responses):
        if store is None:
            return TargetStore(self.examples.example_ids, prompts, responses)
        if store.example_ids != self.examples.example_ids:
            raise ValueError(
                "`store` must be of these examples, in their order. Leave it "
                f"out to start anew. Received: a store of {len(store)} "
                f"examples for {len(self.examples)} examples"
            )
        return store

    def _longest(self, prompt_ids, response_ids):
        return max(map(self.task.packed_length, prompt_ids, response_ids))

    def _common_length(self, prompt_ids, response_ids):
        """The longest example decides, within the sequence length."""
        longest = self._longest(prompt_ids, response_ids)
        rounded = -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        return min(rounded, self.task.sequence_length)

    def _pack(self, prompt_ids, response_ids):
        # One token more than a step sees: inputs and targets are shifted.
        return self.task.pack(prompt_ids, response_ids, self.text_length + 1)

    def _choose_buckets(self):
        """Lengths for the originals, and the bucket of each of them."""
        num_tokens = self.task.num_tokens(self._originals)
        num_response = self.response_mask.sum(axis=-1)
        buckets = LengthBuckets.fit(
            num_tokens,
            num_response,
            self.text_length,
            self.task.prefix_length,
            self.batch_size,
        )
        self._own_buckets = buckets.of(num_tokens, num_response)
        first_response = self.response_mask.argmax(axis=-1).min()
        most = self.text_length - int(first_response)
        return buckets.with_room(most)

    def _in_order(self, indices, view, packed, batch_size):
        """Packed responses to the examples at `indices`, seen in a view."""

        def images(rows):
            return self.shown(indices[rows], view)

        buckets, length = self.buckets, packed[0].shape[1] - 1
        if length > self.text_length:  # the view's prompts are longer
            buckets = LengthBuckets(
                [*buckets.lengths, length],
                [*buckets.widths, buckets.widths[-1]],
            )
        batch_size = batch_size or self.batch_size
        return InOrder(self.task, images, packed, buckets, batch_size)

    def _planned(self):
        """Columns of the rows of this epoch, and their batches.

        The columns are position, whether it is the replacement, and weight;
        a batch is a pair of rows and bucket.
        """
        key = self._epoch, self.store.revision
        if self._plan_key != key:
            rows = self.store.training_rows()
            order = np.random.default_rng((self.seed, self._epoch))
            if self.shuffle:
                mixed = order.permutation(len(rows[0]))
                rows = tuple(column[mixed] for column in rows)
            batches = batches_of(self._buckets_of(*rows[:2]), self.batch_size)
            if self.shuffle and len({bucket for _, bucket in batches}) > 1:
                batches = [batches[i] for i in order.permutation(len(batches))]
            self._plan = rows, extremes_first(batches)
            self._plan_key = key
        return self._plan

    def _buckets_of(self, indices, replaced):
        """The bucket of each row, int `(R,)`."""
        buckets = self._own_buckets[indices]
        new = indices[replaced]
        if len(new):
            packed = zip(*(self._replacement(index) for index in new))
            packed = [np.stack(part) for part in packed]
            num_response = packed[1][:, 1:].sum(axis=-1)
            buckets[replaced] = self.buckets.of(
                self.task.num_tokens(packed), num_response
            )
        return buckets

    def _batch(self, indices, replaced, weights, bucket):
        length, width = (
            self.buckets.lengths[bucket],
            self.buckets.widths[bucket],
        )
        packed = [
            np.stack(
                [
                    self._replacement(i)[part] if new else originals[i]
                    for i, new in zip(indices, replaced)
                ]
            )[:, : length + 1]
            for part, originals in enumerate(self._originals)
        ]
        fill = self.batch_size - len(indices)
        images, indices, *packed = (
            filled(values, fill)
            for values in (self.shown(indices), indices, *packed)
        )
        x, y, mask = self.task.training_inputs(images, *packed)
        weights = np.concatenate([weights, np.zeros(fill, "float32")])
        is_original = ~filled(replaced, fill) & (weights > 0)
        out = self.out_of_loss(indices)[:, :length]
        is_original &= ~out.any(axis=-1)
        mask &= ~out
        nobody = len(self.examples)
        sample_weight = {
            "response_mask": mask,
            "response_positions": first_marked(mask, width),
            "weight": weights,
            "position": np.where(is_original, indices, nobody).astype("int32"),
        }
        if self.store.is_scored:
            sample_weight["plausibility"] = self.store.plausibility[indices]
        return x, y, sample_weight

    def _replacement(self, index):
        """The packed replacement at a position, packed once a revision."""
        ids = self.store.replacement_ids(index)
        key = ids.tobytes()
        known = self._packed_replacements.get(index)
        if known is None or known[0] != key:
            packed = self._pack([self.prompt_ids[index]], [ids])
            known = key, [part[0] for part in packed]
            self._packed_replacements[index] = known
        return known[1]


def _seen(images, view, pixel_range):
    """Images under a view: one, several or none for each example."""
    if not images.size:
        return images
    flat = images.reshape(-1, *images.shape[-3:])
    return view.images(flat, pixel_range).reshape(images.shape)


def _image_embeddings(image_cache):
    if image_cache is None:
        return None
    if image_cache == "auto":
        return ImageEmbeddings()
    if isinstance(image_cache, (str, os.PathLike)):
        return ImageEmbeddings(image_cache)
    raise ValueError(
        "`image_cache` must be a folder, 'auto' to keep embeddings of images "
        "no longer than these batches, or None to keep none. "
        f"Received: image_cache={image_cache!r}"
    )


def _read_and_check(examples, task):
    """Texts and their ids; images are looked at and let go."""
    prompts, responses, num_images, dim_floats = [], [], [], True
    shape = None
    for example in examples:
        example_id = example["example_id"]
        _check_text("prompts", example["prompts"], example_id)
        _check_text("responses", example["responses"], example_id)
        images = images_of(example["images"])
        _check_num_images(len(images), example["prompts"], task, example_id)
        for image in images:
            shape = shape or image.shape
            _check_image(image, shape, task.pixel_range, example_id)
            dim_floats &= image.dtype.kind == "f" and bool(image.max() <= 1.0)
        num_images.append(len(images))
        prompts.append(example["prompts"])
        responses.append(example["responses"])
    _warn_of_no_image(num_images, task)
    if any(num_images) and dim_floats and task.pixel_range[1] > 1.5:
        low, high = task.pixel_range
        warnings.warn(
            "All `images` are floats of at most 1, while the task's image "
            f"converter takes pixels in [{low:g}, {high:g}]: they would be "
            "seen as black. Multiply them by 255.",
            stacklevel=3,
        )
    prompt_ids = task.tokenize_prompts(prompts)
    response_ids = task.tokenize(responses)
    example_ids = examples.example_ids
    _check_placeholders(example_ids, num_images, prompt_ids, response_ids, task)
    _check_lengths(example_ids, prompt_ids, response_ids, task)
    return prompt_ids, response_ids, prompts, responses


def _check_text(field, text, example_id):
    if not isinstance(text, str) or not text.strip():
        raise ValueError(
            f"`{field}` must be non-empty strings. Drop or mend the example. "
            f"Received: {text!r} in example {example_id!r}"
        )


def _check_num_images(count, prompt, task, example_id):
    """As many as the task takes, each with its token in the prompt."""
    fewest, most = task.num_images
    if not fewest <= count <= most:
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise ValueError(
            f"`images` must hold {wanted} of them in each example, for that "
            f"is what this {type(task.task).__name__} reads: one array, a "
            "list of arrays, or `None` for none. Fields are renamed with "
            "`Examples(..., rename={'image': 'images'})`. Received: "
            f"{count} images in example {example_id!r}"
        )
    token = task.image_token
    if token is not None and prompt.count(token) != count:
        raise ValueError(
            f"`prompts` must hold {token!r} once for each image, where the "
            "image stands: the model would not see the image, or would see "
            f"the token alone. Received: {prompt.count(token)} of them for "
            f"{count} images in example {example_id!r}: {prompt!r}"
        )


def _warn_of_no_image(num_images, task):
    if task.num_images[1] and not any(num_images):
        warnings.warn(
            "None of the examples has `images`, though this "
            f"{type(task.task).__name__} reads images. If they have, under "
            "another name, pass `Examples(..., rename={'image': 'images'})`.",
            stacklevel=4,
        )


def _check_placeholders(
    example_ids, num_images, prompt_ids, response_ids, task
):
    """Untrusted text must not place an image where there is none."""
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
                f"example {example_id!r}"
            )


def _check_image(image, shape, pixel_range, example_id):
    where = f"in example {example_id!r}"
    if image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "`images` must have the shape (height, width, 3). Turn grey "
            "images to RGB with `np.repeat(image[..., None], 3, -1)`, and "
            f"give no batch axis. Received: shape {image.shape} {where}"
        )
    if image.dtype.kind not in "uif":
        raise ValueError(
            "`images` must be uint8 or float arrays. "
            f"Received: dtype {image.dtype} {where}"
        )
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


def _check_lengths(example_ids, prompt_ids, response_ids, task):
    too_long = [
        (example_id, length)
        for example_id, prompt, response in zip(
            example_ids, prompt_ids, response_ids
        )
        if (length := task.packed_length(prompt, response))
        > task.sequence_length
    ]
    if too_long:
        named = ", ".join(f"{i!r} ({n})" for i, n in too_long[:NUM_NAMED])
        raise ValueError(
            "`prompts` and `responses` must fit the preprocessor's "
            f"`sequence_length`, {task.sequence_length} tokens with start and "
            "end: the packer would cut them without a word. Shorten them, or "
            "raise `vlm.preprocessor.sequence_length`. Received: "
            f"{len(too_long)} examples that are longer: {named}"
        )
    empty = [i for i, ids in zip(example_ids, response_ids) if not len(ids)]
    if empty:
        raise ValueError(
            "`responses` must have at least one token. Received: none in "
            f"examples {empty[:NUM_NAMED]}"
        )
