"""Rows of any data set as examples, read when they are asked for."""

import dataclasses
import warnings

import numpy as np

from keras_byorn.data.readers.bad_rows import RowError, bad_row
from keras_byorn.data.readers.conversations import turns_of
from keras_byorn.data.readers.every_text import EveryText
from keras_byorn.data.readers.fields import (
    field,
    find_fields,
    find_image_field,
)
from keras_byorn.data.readers.image_files import ImageFiles
from keras_byorn.data.readers.images import ImageReader, images_in
from keras_byorn.data.readers.prompts import PromptWriter
from keras_byorn.data.readers.resizing import resizing_for
from keras_byorn.data.readers.row_check import check_rows
from keras_byorn.data.readers.table import Table
from keras_byorn.data.readers.texts import (
    as_text,
    is_several,
    picked,
    unwrapped,
)
from keras_byorn.data.shown import listed
from keras_byorn.vlm.task import VisionLanguageTask

MAX_TRIED = 100  # rows that are looked at for the names of fields


class RowReader:
    """Reads rows as examples: finds fields, writes prompts, decodes images.

    Holds rows and the names of files, never pixels.

    Args:
        rows: a `Rows`.
        vlm: optional KerasHub task, for the size of images and the form of
            prompts.
        options: a `ReadOptions`.
        folder: optional path. The folder of the files that rows name.

    Attributes:
        example_ids: list of strings, of the rows that are read.
        dropped: tuple of `BadRow`, those that were left out.
        writes_prompts: bool. Whether prompts are written by a template, with
            the control tokens of the data parted.
        description: string. The data set and its fields, for a `repr`.

    Raises:
        BadRowsError: If rows cannot be read, see `ReadOptions`.
        ValueError: If there are no rows, or the fields cannot be told.
    """

    def __init__(self, rows, vlm, options, folder=None):
        if len(rows) == 0:
            raise ValueError(
                "A data set must have at least one example. "
                f"Received: {rows.name}, which has none"
            )
        self._rows, self._options = rows, options
        self._positions = range(min(len(rows), options.limit or len(rows)))
        task = vlm
        if vlm is not None and not isinstance(vlm, VisionLanguageTask):
            task = VisionLanguageTask(vlm)
        self._num_images = (1, None) if task is None else task.num_images
        self._fields = self._find_fields()
        self._texts = None
        if options.pick == "all" and self._fields.kind != "conversation":
            self._texts = EveryText(rows, self._fields.response, options.limit)
            self._rows = rows = self._texts.rows
            self._positions = range(len(rows))
        self._prompts = PromptWriter(task, self._fields.kind, options.prompt)
        self.writes_prompts = self._prompts.writes
        self._images = ImageReader(
            ImageFiles(options.image_folder or folder, options.allow_outside),
            options.formats,
            options.max_pixels,
            options.pixel_range,
            options.channels,
        )
        self._verified = set()
        self._resize = resizing_for(task, options.image_size, options.pad)
        self.dropped = ()
        if options.check:
            self._check(task)
        self.example_ids = [rows.ids[i] for i in self._positions]
        self.description = f"{rows.name}; {self._fields}"

    def __len__(self):
        return len(self._positions)

    def __getitem__(self, index):
        """Reads an example, a dict of images, prompts and responses.

        Raises:
            RowError: If it cannot be read, with its id, line and file.
        """
        position = self._positions[index]
        try:
            return self._example(position)
        except Exception as error:
            bad = bad_row(
                error, self._rows.ids[position], self._rows.place(position)
            )
            raise RowError(bad) from error

    def verify(self, position):
        """Reads a row as an example is read, but for the size of images.

        Args:
            position: int, of the row.

        Returns:
            A tuple of prompt, response and number of images.
        """
        prompt, response, images = self._parts(position)
        for image in images:
            is_name = isinstance(image, str)
            if not (is_name and image in self._verified):
                self._images(image)
            if is_name:
                self._verified.add(image)
        return prompt, response, len(images)

    def _example(self, position):
        prompt, response, images = self._parts(position)
        images = [self._resize(self._images(image)) for image in images]
        if not images:
            images = None
        elif len(images) == 1 and self._num_images[1] in (None, 1):
            images = images[0]
        return {"images": images, "prompts": prompt, "responses": response}

    def _parts(self, position):
        """Returns prompt, response and the images as they are in the row."""
        row = self._rows.source[position]
        images = self._images_of(row)
        text, response = self._texts_of(row, position)
        prompt = self._prompts(text, len(images))
        return prompt, self._prompts.response(response), images

    def _images_of(self, row):
        fewest, most = self._num_images
        if most == 0:
            return []
        name = self._fields.image or find_image_field(row)
        try:
            images = images_in(field(row, name)) if name else []
        except KeyError:
            images = []  # a row of text alone
        if images and self._fields.image is None:
            raise ValueError(
                f"the row has an image in the field {name!r}, which others "
                f"lack. Pass `image_field={name!r}`"
            )
        if len(images) < fewest or (most and len(images) > most):
            wanted = "one image" if fewest == most else f"{fewest} to {most}"
            if most is None:
                wanted = "an image"
            raise ValueError(
                f"an example must have {wanted}. Received: {len(images)} in "
                f"the field {name!r}"
            )
        return images

    def _texts_of(self, row, position):
        """Returns a question, `None` or turns, and the response."""
        fields = self._fields
        if fields.kind == "conversation":
            return turns_of(_value(row, fields.response))
        place = self._place(position)
        question = None
        if fields.prompt is not None:
            question = _value(row, fields.prompt)
            self._check_pairs(question, position)
            question = as_text(picked(question, place))
        response = picked(_value(row, fields.response), place)
        return question, as_text(response)

    def _place(self, position):
        """Returns where in its list a text is, and its question, in [0, 1)."""
        if self._texts is not None:
            return self._texts.share(position)
        if self._options.pick == "random":
            seed = (self._options.seed, position)
            return np.random.default_rng(seed).random()
        return 0.0

    def _check_pairs(self, questions, position):
        """Refuses questions that are not as many as their answers."""
        if self._texts is None or not is_several(unwrapped(questions)):
            return
        num_questions = len(unwrapped(questions))
        count = self._texts.count(position) or 1
        if num_questions != count:
            raise ValueError(
                "`pick='all'` needs one question for all answers of a row, or "
                f"one for each. Received: {num_questions} questions for "
                f"{count} answers"
            )

    def _find_fields(self):
        """Finds the fields of the first row in which all of them are."""
        options, found, first_error = self._options, None, None
        # Rows of a table have fields of their own, elsewhere all have the same.
        is_table = isinstance(self._rows.source, Table)
        for position in self._positions[: None if is_table else MAX_TRIED]:
            try:
                row = self._rows.source[position]
                fields = find_fields(
                    row,
                    options.image_field,
                    options.question_field,
                    options.response_field,
                    self._num_images[0] > 0,
                )
            except Exception as error:
                first_error = first_error or error
                continue
            found = found or fields
            if fields.image is not None or self._num_images[1] == 0:
                return self._without_image(fields)
        if found is not None:
            return found
        raise ValueError(
            f"The fields of {self._rows.name} cannot be told: {first_error}"
        ) from first_error

    def _without_image(self, fields):
        """Leaves images out for a model that reads none, with a warning."""
        if fields.image is None or self._num_images[1] != 0:
            return fields
        warnings.warn(
            f"The model reads no images: the field {fields.image!r} of "
            f"{self._rows.name} is left out.",
            stacklevel=6,
        )
        return dataclasses.replace(fields, image=None)

    def _warn_of_spelt(self):
        if self._prompts.spelt:
            warnings.warn(
                "The tokenizer of the model has no token for "
                f"{', '.join(sorted(self._prompts.spelt))}, with which its "
                "family parts turns: they are spelt. A model without training "
                "on conversations has none; for another, take the tokenizer "
                "of its instruct preset.",
                stacklevel=6,
            )

    def _check(self, task):
        options = self._options
        self._positions, self.dropped = check_rows(
            self,
            self._rows,
            self._positions,
            task,
            options.on_bad,
            options.verbose,
        )
        self._images.seen.check()
        self._warn_of_spelt()
        if self._prompts.num_escaped:
            warnings.warn(
                f"{self._prompts.num_escaped:,} texts of {self._rows.name} "
                "have control tokens of a model in them, such as "
                "<end_of_turn>. They were parted by a space, '< end_of_turn>', "
                "and are mere text now.",
                stacklevel=5,
            )


def _value(row, path):
    try:
        return field(row, path)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the row has no field {path!r}. Received: a row with "
            f"{listed(sorted(map(str, row)), 20)}"
        ) from error
