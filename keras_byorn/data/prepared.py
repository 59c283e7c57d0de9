"""Examples that were checked, tokenized and packed for one task."""

import copy
import functools

import numpy as np

from keras_byorn.data.control_texts import check_mode, settle_control_tokens
from keras_byorn.data.digests import digest
from keras_byorn.data.example_images import ExampleImages
from keras_byorn.data.examples import Examples
from keras_byorn.data.length_buckets import LENGTH_MULTIPLE, LengthBuckets
from keras_byorn.data.scoring_batches import ScoringBatches
from keras_byorn.data.validation import check_tokens, read_and_check
from keras_byorn.data.views import View
from keras_byorn.vlm.task import VisionLanguageTask


class PreparedExamples:
    """Examples ready for a task: checked, tokenized, packed and bucketed.

    Reads each example once, images included, and keeps the texts. Nothing in
    it changes afterwards: targets that change stand in a `TargetStore`.

    Args:
        examples: an `Examples`, or what `Examples(...)` takes. Where the task
            reads several images, each stands in the prompt as its image
            token, such as Gemma 3's `<start_of_image>`.
        vlm: the KerasHub task that will score them or be tuned on them.
        batch_size: int. Examples in a batch; texts are put into buckets of
            like length that fill batches of this size. Defaults to 16.
        image_cache: `"auto"`, a folder or `None`. The place to keep the
            embeddings that a frozen vision tower computes of the images: it
            then runs once for each image, not in every epoch. `"auto"` is
            memory, and beyond 2 GiB a temporary file; embeddings in a folder
            serve later runs as well, as long as the weights of the tower and
            the images are the same. `None` shows the model the images each
            time. Nothing is kept if the tower is trained or adapted, as by
            KerasHub's default `enable_lora` on PaliGemma or Gemma 3: adapt
            the decoder alone, with
            `vlm.backbone.enable_lora(8, target_layer_names=["query",
            "value"])`. Defaults to `"auto"`.
        verbose: 0 or 1. Whether to show a progress bar. Defaults to 1.
        control_tokens: `"warn"`, `"refuse"` or `"escape"`. What becomes of
            control tokens, such as `<end_of_turn>` or `<eos>`, in responses,
            and in prompts but for those that a template wrote: the beginning
            and the end that more than half of the prompts share, the
            family's own form, image tokens, and prompts that a reader wrote.
            A warning names them; `"refuse"` raises an error; `"escape"` parts
            them by a space, `< eos>`, which makes them mere text to the
            tokenizer, in the `examples` here too. Defaults to `"warn"`.

    Attributes:
        examples: the `Examples`, with control tokens parted if asked for.
        example_ids: list of N strings.
        prompts, responses: tuples of N strings.
        prompt_ids, response_ids: lists of N int32 arrays, without start and
            end tokens.
        response_mask: bool array, `(N, T)`. `True` where the token that
            follows is of the response, its end token included.
        text_length: int, T. Tokens that a step sees of the longest example.
        batch_size: int.

    Raises:
        ValueError: if an example is not fit for training (an image of wrong
            rank, range or with NaN, too few or too many of them, an image
            token missing in the prompt, an empty text, too long a text, a
            control token that is to be refused), or if `vlm` is of no known
            family.

    Example:

    >>> prepared = PreparedExamples(examples, vlm, batch_size=16)
    >>> detection = keras_byorn.detect(prepared, vlm)
    >>> batches = TargetBatches(prepared, vlm)
    """

    def __init__(
        self,
        examples,
        vlm,
        batch_size=16,
        image_cache="auto",
        verbose=1,
        control_tokens="warn",
    ):
        _check_batch_size(batch_size)
        check_mode(control_tokens)
        if not isinstance(examples, Examples):
            examples = Examples(examples)
        self.task = VisionLanguageTask(vlm)
        *texts, digests = read_and_check(examples, self.task, verbose)
        num_images = list(map(len, digests))
        (
            self.examples,
            self.prompts,
            self.responses,
            self.prompt_ids,
            self.response_ids,
        ) = settle_control_tokens(
            examples, texts, num_images, self.task, control_tokens
        )
        self.images = ExampleImages(
            self.examples, self.task, digests, image_cache
        )
        check_tokens(
            self.example_ids,
            num_images,
            self.prompt_ids,
            self.response_ids,
            self.task,
        )
        self.text_length = self._common_length()
        self.packed = self.pack(self.prompt_ids, self.response_ids)
        self.response_mask = self.packed[1][:, 1:].astype("bool")
        for array in (
            *self.packed,
            self.response_mask,
            *self.prompt_ids,
            *self.response_ids,
        ):
            array.flags.writeable = False
        self._bucket(batch_size)

    @classmethod
    def of(cls, examples, vlm, batch_size=None, **kwargs):
        """Returns prepared examples as they are, and prepares all others.

        Args:
            examples: a `PreparedExamples`, or as for `PreparedExamples`.
            vlm: a KerasHub task, that of prepared examples.
            batch_size: optional int. Defaults to that of prepared examples,
                or 16.
            **kwargs: as for `PreparedExamples`; for others than prepared
                examples only.

        Returns:
            A `PreparedExamples`.

        Raises:
            ValueError: if examples were prepared for another task, or if
                prepared examples come with an `image_cache` or with
                `control_tokens`.
        """
        if not isinstance(examples, cls):
            batch_size = 16 if batch_size is None else batch_size
            return cls(examples, vlm, batch_size, **kwargs)
        if kwargs.get("image_cache", "auto") != "auto":
            raise ValueError(
                "`image_cache` of prepared examples is known already: pass it "
                "to `PreparedExamples`, and leave it out here. Received: "
                f"image_cache={kwargs['image_cache']!r}"
            )
        if kwargs.get("control_tokens", "warn") != "warn":
            raise ValueError(
                "`control_tokens` of prepared examples are settled already: "
                "pass it to `PreparedExamples`, and leave it out here. "
                f"Received: control_tokens={kwargs['control_tokens']!r}"
            )
        if vlm is not examples.task.task:
            raise ValueError(
                "`examples` must be prepared for the task that they are used "
                "with: pass the same `vlm` to `PreparedExamples`. Received: "
                f"examples prepared for another {type(vlm).__name__}"
            )
        if batch_size is None:
            return examples
        return examples.with_batch_size(batch_size)

    def __len__(self):
        return len(self.examples)

    def __repr__(self):
        lengths = ", ".join(map(str, dict.fromkeys(self.buckets.lengths)))
        return (
            f"<PreparedExamples: {len(self):,} examples for "
            f"{type(self.task.task).__name__}, padded to {lengths} tokens, "
            f"in batches of {self.batch_size}>"
        )

    @property
    def example_ids(self):
        return self.examples.example_ids

    @functools.cached_property
    def digests(self):
        """list of N strings. Digests of prompt, response and images."""
        columns = self.prompts, self.responses, self.images.digests
        return [
            digest([prompt, response, *images])
            for prompt, response, images in zip(*columns)
        ]

    @property
    def largest_batch(self):
        """pair of ints. The most rows and response tokens of a batch."""
        return self.batch_size, self.buckets.widths[-1]

    def with_batch_size(self, batch_size):
        """Returns the same examples for batches of another size.

        Args:
            batch_size: int.
        """
        if batch_size == self.batch_size:
            return self
        _check_batch_size(batch_size)
        other = copy.copy(self)
        other._bucket(batch_size)
        return other

    def images_encoded(self, vision, verbose=0):
        """Shows embeddings instead of images, see `ExampleImages.encoded`."""
        return self.images.encoded(vision, self.batch_size, verbose)

    def scoring_batches(self, batch_size=None, view=None, indices=None):
        """Returns the original responses in order, for scoring.

        Args:
            batch_size: optional int. Defaults to that of the examples.
            view: optional `View` that changes images or prompts.
            indices: optional int array, positions of the examples. Defaults to
                all of them.

        Returns:
            A `ScoringBatches`.
        """
        if indices is None:
            indices = np.arange(len(self))
        indices = np.asarray(indices, int)
        view = view or View()
        packed = [part[indices] for part in self.packed_under(view)]
        return self._in_batches(indices, view, packed, batch_size)

    def with_responses(self, indices, response_ids, batch_size=None):
        """Returns other responses to the same images and prompts, for scoring.

        Args:
            indices: int array, positions of n examples.
            response_ids: list of n int arrays, without end token, none longer
                than the longest original.
            batch_size: optional int. Defaults to that of the examples.

        Returns:
            A `ScoringBatches` with batches of the shapes of
            `scoring_batches()`.
        """
        indices = np.asarray(indices, int)
        packed = self.pack([self.prompt_ids[i] for i in indices], response_ids)
        return self._in_batches(indices, View(), packed, batch_size)

    def pack(self, prompt_ids, response_ids):
        """Packs texts into rows of `text_length + 1` tokens.

        A row is one token longer than a step sees: inputs and targets are
        shifted by one. See `VisionLanguageTask.pack`.
        """
        return self.task.pack(prompt_ids, response_ids, self.text_length + 1)

    def packed_under(self, view):
        """Packs the originals as a view shows them.

        Args:
            view: a `View`. One that changes prompts may need another length.

        Returns:
            A tuple of arrays with N rows, see `VisionLanguageTask.pack`.
        """
        prompt_ids = self.prompt_ids_under(view)
        if prompt_ids is self.prompt_ids:
            return self.packed
        longest = self._longest(prompt_ids)
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
        """Tokenizes the prompts as a view changes them.

        Args:
            view: a `View`.

        Returns:
            A list of N int32 arrays.
        """
        seen = tuple(view.prompt(prompt) for prompt in self.prompts)
        if seen == self.prompts:
            return self.prompt_ids
        return self.task.tokenize_prompts(list(seen))

    def response_pieces(self, index):
        """Returns the pieces of the response at a position, with its end."""
        token_ids, in_response = self.packed[:2]
        return self.task.pieces(token_ids[index][in_response[index] == 1])

    def _in_batches(self, indices, view, packed, batch_size):
        """Batches of packed responses to the examples at `indices`."""

        def images(rows):
            return self.images.shown(indices[rows], view)

        buckets, length = self.buckets, packed[0].shape[1] - 1
        if length > self.text_length:  # the view's prompts are longer
            buckets = LengthBuckets(
                [*buckets.lengths, length],
                [*buckets.widths, buckets.widths[-1]],
            )
        batch_size = batch_size or self.batch_size
        return ScoringBatches(self.task, images, packed, buckets, batch_size)

    def _bucket(self, batch_size):
        """Chooses lengths for the originals, and the bucket of each."""
        self.batch_size = int(batch_size)
        num_tokens = self.task.num_tokens(self.packed)
        response_mask = self.response_mask
        num_response = response_mask.sum(axis=-1)
        buckets = LengthBuckets.fit(
            num_tokens,
            num_response,
            self.text_length,
            self.task.prefix_length,
            self.batch_size,
        )
        self.bucket_of = buckets.of(num_tokens, num_response)
        self.bucket_of.flags.writeable = False
        first_response = int(response_mask.argmax(axis=-1).min())
        self.buckets = buckets.with_room(self.text_length - first_response)

    def _longest(self, prompt_ids):
        return max(map(self.task.packed_length, prompt_ids, self.response_ids))

    def _common_length(self):
        """Rounds the longest example up, within the sequence length."""
        longest = self._longest(self.prompt_ids)
        rounded = -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        return min(rounded, self.task.sequence_length)


def _check_batch_size(batch_size):
    if not batch_size >= 1:
        raise ValueError(
            "`batch_size` must be at least 1. "
            f"Received: batch_size={batch_size}"
        )
