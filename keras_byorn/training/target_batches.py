"""Training batches that read their targets from the store."""

import contextlib
import warnings

import keras
import numpy as np

from keras_byorn.data.length_buckets import batches_of, extremes_first
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.data.scoring_batches import filled
from keras_byorn.detection.spans import with_what_follows
from keras_byorn.training.store_checks import check_store
from keras_byorn.training.target_store import TargetStore
from keras_byorn.vlm.packing import first_marked


class TargetBatches(keras.utils.PyDataset):
    """Batches for `BYORnModel.fit`: examples with their current targets.

    Rows of like length share a batch, which is padded to one of at most four
    lengths, and filled with rows of weight zero where there are too few. The
    order is new in each epoch and follows from `seed`.

    Args:
        examples: a `PreparedExamples`; or an `Examples`, or what
            `Examples(...)` takes, which are then prepared here.
        vlm: the KerasHub task that will be tuned.
        batch_size: optional int. Defaults to that of prepared examples, or 16.
        seed: int. Seed of the order. Defaults to 0.
        shuffle: bool. Whether to mix the order. Without it rows of like length
            come in the examples' order, short ones first. Defaults to `True`.
        store: a `TargetStore` to go on with. By default all targets are the
            original responses.
        image_cache: `"auto"`, a folder or `None`, see `PreparedExamples`. Of
            prepared examples it is known already. Defaults to `"auto"`.
        verbose: 0 or 1. Whether to show a progress bar while the examples are
            prepared. Defaults to 1.
        control_tokens: `"warn"`, `"refuse"` or `"escape"`, see
            `PreparedExamples`, where prepared examples have it from. Defaults
            to `"warn"`.
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
        ValueError: if an example is not fit for training, see
            `PreparedExamples`, if a store is of other examples, or if
            `workers` is above 1.

    Example:

    >>> batches = TargetBatches(examples, vlm, batch_size=16)
    >>> x, y, sample_weight = batches[0]
    """

    def __init__(
        self,
        examples,
        vlm,
        batch_size=None,
        seed=0,
        shuffle=True,
        store=None,
        image_cache="auto",
        verbose=1,
        control_tokens="warn",
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
        self.prepared = PreparedExamples.of(
            examples,
            vlm,
            batch_size,
            image_cache=image_cache,
            verbose=verbose,
            control_tokens=control_tokens,
        )
        self.seed = seed
        self.shuffle = shuffle
        self.store = self._own_store(store)
        self._epoch = 0
        self._tells_most = False
        self._plan = None
        self._plan_key = None
        self._packed_replacements = {}

    def __len__(self):
        return len(self._planned()[1])

    def __repr__(self):
        return (
            f"<TargetBatches: {len(self):,} batches of up to "
            f"{self.batch_size} of {len(self.examples):,} examples, "
            f"{int(self.store.suspects.sum()):,} of them held out>"
        )

    def __getitem__(self, index):
        rows, batches = self._planned()
        longest = len(self.prepared.buckets) - 1
        if self._tells_most and longest and index < 2:
            return self._batch_of_no_weight((0, longest)[index])
        if index >= len(batches):
            return self._batch_of_no_weight(longest)
        picked, bucket = batches[index]
        return self._batch(*(column[picked] for column in rows), bucket)

    @property
    def examples(self):
        return self.prepared.examples

    @property
    def task(self):
        return self.prepared.task

    @property
    def batch_size(self):
        return self.prepared.batch_size

    @property
    def largest_batch(self):
        """pair of ints. The most rows and response tokens of a batch."""
        return self.prepared.largest_batch

    @property
    def num_batches(self):
        """int. Batches of this epoch; while `fit` starts, of any epoch.

        `fit` asks once before the first epoch and never runs more batches
        than that, though later epochs may have more. So it is told the most
        that an epoch can have, and each epoch ends where its batches end.
        """
        if self._tells_most:
            most = -(-self.store.max_training_rows // self.batch_size)
            # From two of them Keras learns the shapes.
            return max(most, 2) if len(self.prepared.buckets) > 1 else most
        return len(self)

    @contextlib.contextmanager
    def starting(self):
        """Lets the number of batches change by epoch, for one `fit`."""
        self._tells_most = True
        try:
            with warnings.catch_warnings():
                # An epoch of fewer batches is intended here.
                warnings.filterwarnings("ignore", "Your input ran out of data")
                yield
        finally:
            self._tells_most = False

    def begin_training(self):
        """Serves the batches of each epoch from now on."""
        self._tells_most = False
        self.next_epoch()

    def next_epoch(self):
        """Takes another order, for the next epoch."""
        self._epoch += 1

    @property
    def epoch(self):
        """int. Counts the epochs; the order of the batches follows from it."""
        return self._epoch

    def go_on(self, store, epoch):
        """Goes on with other targets, before an epoch of another number.

        Args:
            store: a `TargetStore` of these examples.
            epoch: int, as `epoch` was before it.

        Raises:
            ValueError: if the store is of other examples.
        """
        check_store(store, self.prepared)
        self.store = store
        self._epoch = epoch - 1  # `begin_training` counts the next
        self._plan_key = None

    def out_of_loss(self, indices):
        """Returns the response tokens of masked examples that are no targets.

        Args:
            indices: int array, positions of n examples.

        Returns:
            bool array `(n, T)`; all `False` where an example has no mask.
        """
        out = np.zeros((len(indices), self.prepared.text_length), bool)
        in_response = self.prepared.packed[1]
        for row, index in enumerate(indices):
            if span := self.store.masked_tokens(int(index)):
                (places,) = np.nonzero(in_response[index, 1:])
                out[row, places[with_what_follows(span, len(places))]] = True
        return out

    def _own_store(self, store):
        prepared = self.prepared
        if store is None:
            return TargetStore(
                prepared.example_ids,
                prepared.prompts,
                prepared.responses,
                prepared.digests,
            )
        check_store(store, prepared)
        return store

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
        buckets = self.prepared.bucket_of[indices]
        new = indices[replaced]
        if len(new):
            packed = zip(*(self._replacement(index) for index in new))
            packed = [np.stack(part) for part in packed]
            num_response = packed[1][:, 1:].sum(axis=-1)
            buckets[replaced] = self.prepared.buckets.of(
                self.task.num_tokens(packed), num_response
            )
        return buckets

    def _batch_of_no_weight(self, bucket):
        """A batch to learn shapes from, as Keras does from the first two.

        The first epoch may lack a length that a later one has; and Keras may
        read some of the batches that `num_batches` counts and are not there.
        """
        index = np.argmax(self.prepared.bucket_of == bucket)
        return self._batch(
            np.array([index]), np.zeros(1, bool), np.zeros(1, "float32"), bucket
        )

    def _batch(self, indices, replaced, weights, bucket):
        length = self.prepared.buckets.lengths[bucket]
        width = self.prepared.buckets.widths[bucket]
        packed = self._packed_targets(indices, replaced, length)
        fill = self.batch_size - len(indices)
        images, indices, *packed = (
            filled(values, fill)
            for values in (
                self.prepared.images.shown(indices),
                indices,
                *packed,
            )
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

    def _packed_targets(self, indices, replaced, length):
        """Packed originals and replacements, cut to a bucket's length."""
        return [
            np.stack(
                [
                    self._replacement(i)[part] if new else originals[i]
                    for i, new in zip(indices, replaced)
                ]
            )[:, : length + 1]
            for part, originals in enumerate(self.prepared.packed)
        ]

    def _replacement(self, index):
        """The packed replacement at a position, packed once a revision."""
        ids = self.store.replacement_ids(index)
        key = ids.tobytes()
        known = self._packed_replacements.get(index)
        if known is None or known[0] != key:
            packed = self.prepared.pack(
                [self.prepared.prompt_ids[index]], [ids]
            )
            known = key, [part[0] for part in packed]
            self._packed_replacements[index] = known
        return known[1]
