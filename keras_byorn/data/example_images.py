"""Images of examples as a task is shown them: pixels, or embeddings."""

import contextlib
import os

from keras_byorn.data.image_embeddings import ImageEmbeddings
from keras_byorn.data.shown import shortened
from keras_byorn.data.validation import image_digests
from keras_byorn.data.views import View


class ExampleImages:
    """Reads images of examples, or takes what a frozen vision tower made.

    An image that is not the one that was checked is refused whenever it is
    read.

    Args:
        examples: an `Examples`.
        task: a `VisionLanguageTask`.
        digests: sequence of N tuples of strings, see `image_digests`.
        image_cache: `"auto"`, a folder or `None`, see `PreparedExamples`.

    Raises:
        ValueError: if `image_cache` is none of these.
    """

    def __init__(self, examples, task, digests, image_cache="auto"):
        self.digests = digests
        self._examples = examples
        self._task = task
        self._embeddings = _embeddings_in(image_cache)
        self._shows_embeddings = False

    def pixels(self, indices, view=None):
        """Reads the images of some examples.

        Args:
            indices: int array, positions of B examples.
            view: optional `View` that changes them.

        Returns:
            An array, see `VisionLanguageTask.stack_images`.

        Raises:
            ValueError: if an example has changed since it was checked.
        """
        view = view or View()
        positions = view.positions(indices, len(self._examples))
        images = [self._checked(int(i))["images"] for i in positions]
        stacked = self._task.stack_images(images)
        return _changed(stacked, view, self._task.pixel_range)

    def shown(self, indices, view=None):
        """Returns what the model is shown of some examples.

        Args:
            indices: int array, positions of B examples.
            view: optional `View` that changes them.

        Returns:
            As `pixels()`, or an `Embedded` of B rows within `encoded()`, where
            the view leaves the pixels as they are.
        """
        view = view or View()
        if not self._shows_embeddings or view.changes_pixels:
            return self.pixels(indices, view)
        return self._embeddings[view.positions(indices, len(self._examples))]

    @contextlib.contextmanager
    def encoded(self, vision, batch_size, verbose=0):
        """Shows embeddings instead of images within this block.

        Embeddings of images that were not seen before are computed first.

        Args:
            vision: the task's frozen `Vision`, or `None` to show images.
            batch_size: int. Images in one call of the vision tower.
            verbose: 0 or 1. Whether to show a progress bar.
        """
        before = self._shows_embeddings
        if vision is not None and self._embeddings is not None:
            self._shows_embeddings = self._embeddings.refresh(
                self._checked,
                self.digests,
                self._task,
                vision,
                batch_size,
                verbose,
            )
        try:
            yield
        finally:
            self._shows_embeddings = before

    def _checked(self, index):
        """Reads an example whose images are still those that were checked."""
        example = self._examples[index]
        if image_digests(example) != self.digests[index]:
            raise ValueError(
                "`examples` must not change once they are prepared, for an "
                "image that nobody checked would be trained on. Prepare them "
                "again, from a source that stays as it is. Received: other "
                f"images in example {shortened(example['example_id'])} than "
                "when it was first read"
            )
        return example


def _changed(images, view, pixel_range):
    """Applies a view to one, several or no image of each example."""
    if not images.size:
        return images
    flat = images.reshape(-1, *images.shape[-3:])
    return view.images(flat, pixel_range).reshape(images.shape)


def _embeddings_in(image_cache):
    if image_cache is None:
        return None
    if image_cache == "auto":
        return ImageEmbeddings()
    if isinstance(image_cache, (str, os.PathLike)):
        return ImageEmbeddings(image_cache)
    raise ValueError(
        "`image_cache` must be a folder, 'auto' to keep embeddings of images "
        "no longer than these examples, or None to keep none. "
        f"Received: image_cache={image_cache!r}"
    )
