"""Images of examples as a task is shown them: pixels, or embeddings."""

import contextlib
import os

from keras_byorn.data.image_embeddings import ImageEmbeddings
from keras_byorn.data.views import View


class ExampleImages:
    """Reads images of examples, or takes what a frozen vision tower made.

    Args:
        examples: an `Examples`.
        task: a `VisionLanguageTask`.
        image_cache: `"auto"`, a folder or `None`, see `PreparedExamples`.

    Raises:
        ValueError: if `image_cache` is none of these.
    """

    def __init__(self, examples, task, image_cache="auto"):
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
        """
        view = view or View()
        positions = view.positions(indices, len(self._examples))
        images = [self._examples[int(i)]["images"] for i in positions]
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
            if verbose:
                print("Encoding images once: the vision tower is frozen")
            self._shows_embeddings = self._embeddings.refresh(
                self._examples, self._task, vision, batch_size, verbose
            )
        try:
            yield
        finally:
            self._shows_embeddings = before


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
