"""Photographs with captions that people wrote: Flickr8k's, from a folder."""

import collections
import dataclasses
import json
import pathlib

import numpy as np
from PIL import Image

import keras_byorn
from keras_byorn.vlm.task import VisionLanguageTask

PROMPT = "caption the image\n"
IMAGE_SIZE = 64


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Holds photographs and their captions.

    Attributes:
        names: list of N strings, the file names.
        images: uint8 array, `(N, H, W, 3)`.
        captions: list of N lists of strings, see `normalized`.
    """

    names: list
    images: np.ndarray
    captions: list

    def __len__(self):
        return len(self.names)

    def pairs(self):
        """Returns an `Examples` of every picture with each of its captions."""
        return self._examples(
            (index, n)
            for index, captions in enumerate(self.captions)
            for n in range(len(captions))
        )

    def drawn(self, seed):
        """Returns an `Examples` of every picture with a caption drawn by lot.

        Args:
            seed: int.
        """
        rng = np.random.default_rng(seed)
        return self._examples(
            (index, int(rng.integers(len(captions))))
            for index, captions in enumerate(self.captions)
        )

    def others(self):
        """Returns these captions with the picture that follows theirs."""
        return dataclasses.replace(self, images=np.roll(self.images, -1, 0))

    def _examples(self, chosen):
        """Makes examples of pairs of a picture and the number of a caption."""
        return keras_byorn.Examples(
            [
                {
                    "example_id": f"{self.names[index]}#{n}",
                    "images": self.images[index],
                    "prompts": PROMPT,
                    "responses": self.captions[index][n],
                }
                for index, n in chosen
            ]
        )


def read_pictures(folder, parts, image_size=IMAGE_SIZE, limit=None):
    """Reads the photographs of some parts of the data, and their captions.

    Args:
        folder: string or path. It holds `captions.jsonl`, whose lines have
            `image`, `caption` and `part`, and the folder `images`.
        parts: collection of strings.
        image_size: int. Height and width to resize to.
        limit: optional int. The most pictures to read, in the order of the
            file. By default all.

    Returns:
        A `Pictures`.

    Raises:
        ValueError: if there is no picture of these parts.
    """
    folder, captions = pathlib.Path(folder), collections.defaultdict(list)
    with (folder / "captions.jsonl").open() as lines:
        for row in map(json.loads, lines):
            if row["part"] in parts and (text := normalized(row["caption"])):
                captions[row["image"]].append(text)
    names = list(captions)[:limit]
    if not names:
        raise ValueError(
            "`parts` must be parts of the captions that `folder` holds. "
            f"Received: parts={list(parts)}, folder={str(folder)!r}"
        )
    images = np.empty((len(names), image_size, image_size, 3), "uint8")
    for index, name in enumerate(names):
        with Image.open(folder / "images" / name) as image:
            images[index] = image.convert("RGB").resize(
                (image_size, image_size), Image.Resampling.LANCZOS
            )
    return Pictures(names, images, [captions[name] for name in names])


def normalized(caption):
    """Lowers the case of a caption, and drops the full stop at its end.

    Nine of ten captions end with one, after a space: left in, it alone would
    tell a caption from a target without it.

    Args:
        caption: string.

    Returns:
        A string.
    """
    return " ".join(caption.lower().split()).removesuffix(".").rstrip()


def fitting(pictures, vlm, spare=0):
    """Drops captions that are too long for a task, and pictures without any.

    Args:
        pictures: a `Pictures`.
        vlm: a KerasHub task.
        spare: int. Tokens to leave for what an attack puts in.

    Returns:
        A `Pictures`.
    """
    task = VisionLanguageTask(vlm)
    (prompt,) = task.tokenize_prompts([PROMPT])
    captions = []
    for texts in pictures.captions:
        lengths = [
            task.packed_length(prompt, ids) for ids in task.tokenize(texts)
        ]
        captions.append(
            [
                text
                for text, length in zip(texts, lengths)
                if length + spare <= task.sequence_length
            ]
        )
    kept = [index for index, texts in enumerate(captions) if texts]
    return Pictures(
        [pictures.names[index] for index in kept],
        pictures.images[kept],
        [captions[index] for index in kept],
    )
