"""Untrusted examples, read one at a time."""

import numpy as np
import PIL.Image

from keras_byorn.data.example_ids import (
    as_id,
    check_content,
    check_ids,
    content_id,
    numbered,
)
from keras_byorn.data.readers.bad_rows import RowError, bad_row
from keras_byorn.data.readers.constructors import Constructors
from keras_byorn.data.readers.images import undecodable
from keras_byorn.data.readers.pictures import check_num_pixels, rgb_of_picture
from keras_byorn.data.readers.rows import positional
from keras_byorn.data.readers.texts import decoded, unwrapped
from keras_byorn.data.shown import listed, shortened

FIELDS = ("prompts", "responses")  # `images` may be missing


class Examples(Constructors):
    """Random access to (image, prompt, response) examples with stable ids.

    Reads any source with a length and integer indexing, such as a list of
    dicts, a dict of arrays, a TFDS data source or a Hugging Face data set.
    Keeps nothing of it but the ids. Data in other forms, such as files, or
    images of several sizes, are read by `from_jsonl`, `from_csv`,
    `from_folder`, `from_dataframe`, `from_hub` and `from_tfds`.

    Args:
        source: one of
            - a sequence of dicts with the keys `"images"` (uint8 or float,
              `(H, W, 3)`; a list of such arrays; or `None` or left out
              without an image), `"prompts"` (string), `"responses"` (string)
              and, unless `example_ids` is given, `"example_id"` (string);
            - a dict of equally long columns with these keys, a data frame or
              an Arrow table, read by position;
            - a TFDS data source or a Hugging Face data set with such rows.
        example_ids: optional sequence of strings, unique, stable from run to
            run, not blank, and encodable as UTF-8, as the names of files may
            not be. Defaults to the rows' `"example_id"`. With `"content"` each
            is a digest of the example's images, prompt and response, so that
            it does not change if others are added or removed, and changes if
            the example does; equal examples are numbered. This reads each
            example once.
        rename: optional dict from the source's field names to those above,
            such as `{"image": "images", "caption": "responses"}`. Defaults to
            `None`, no field renamed.

    Attributes:
        example_ids: list of N strings, in the order of the source.
        dropped: tuple of rows that a reader left out, each with `example_id`,
            `place` and `reason`.

    Raises:
        ValueError: If a field is missing or comes twice after `rename`, if
            columns differ in length, if there are no examples, if an id is
            missing, blank or no UTF-8, if two examples have the same id, or if
            `source` is a stream, several splits or not of dicts. Whatever the
            source raises for a row becomes a `RowError`, a `ValueError` that
            names the example.

    Example:

    >>> examples = Examples(
    ...     {
    ...         "example_id": ["a", "b"],
    ...         "images": np.zeros((2, 32, 32, 3), "uint8"),
    ...         "prompts": ["caption the image\\n"] * 2,
    ...         "responses": ["a red three", "a blue four"],
    ...     }
    ... )
    >>> examples[1]["responses"]
    'a blue four'
    >>> examples
    <Examples: 2 examples from a dict of columns>
    """

    def __init__(self, source, example_ids=None, rename=None):
        self._kind = getattr(source, "description", type(source).__name__)
        if isinstance(source, dict):
            self._kind = "a dict of columns"
        self.dropped = getattr(source, "dropped", ())
        self._source = source = positional(source)
        self._rename = dict(rename or {})
        self._replacements = {}
        self._new_texts = {}
        if len(source) == 0:
            raise ValueError(
                "`source` must hold at least one example. "
                f"Received: {type(source).__name__} of length 0"
            )
        if example_ids is None:
            example_ids = (
                self._row(i, ("example_id",))["example_id"]
                for i in range(len(source))
            )
        elif isinstance(example_ids, str):
            check_content(example_ids)
            example_ids = numbered(map(self._content_id, range(len(source))))
        self.example_ids = [as_id(v, row=i) for i, v in enumerate(example_ids)]
        check_ids(self.example_ids, len(source))
        self._index = {i: n for n, i in enumerate(self.example_ids)}

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        """Reads the example at a position, a dict of the four fields."""
        index = range(len(self))[index]  # as a list: negative, out of range
        example_id = self.example_ids[index]
        example = self._example(index, example_id)
        return {**example, **self._new_texts.get(example_id, {})}

    def _example(self, index, example_id):
        """Reads an example, in the texts that it came with."""
        if example_id in self._replacements:
            return dict(self._replacements[example_id])
        row = self._row(index, FIELDS)
        try:
            return {
                "example_id": example_id,
                "images": _images(row.get("images")),
                "prompts": _text(row["prompts"]),
                "responses": _text(row["responses"]),
            }
        except Exception as error:
            raise self._row_error(error, index) from error

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def __repr__(self):
        facts = [f"{len(self):,} examples from {self._kind}"]
        if self._rename:
            names = (f"{old} -> {new}" for old, new in self._rename.items())
            facts.append(f"renamed {', '.join(names)}")
        if self._replacements:
            facts.append(f"{len(self._replacements):,} replaced")
        if self.dropped:
            facts.append(f"{len(self.dropped):,} rows dropped")
        return f"<Examples: {'; '.join(facts)}>"

    def by_id(self, example_id):
        """Reads the example with an id.

        Args:
            example_id: string.

        Returns:
            Dict with `"example_id"`, `"images"`, `"prompts"` and
            `"responses"`.

        Raises:
            KeyError: If there is no such example.

        Example:

        >>> examples.by_id("b")["responses"]
        'a blue four'
        """
        return self[self.index_of(example_id)]

    def index_of(self, example_id):
        """Returns the position of an example.

        Args:
            example_id: string.

        Returns:
            int, from 0.

        Raises:
            KeyError: If there is no such example.

        Example:

        >>> examples.index_of("b")
        1
        """
        if example_id not in self._index:
            raise KeyError(shortened(example_id))
        return self._index[example_id]

    def replaced(self, replacements):
        """Copies the collection with other examples under some of the ids.

        Args:
            replacements: dict from `example_id` to the example to put there.

        Returns:
            A new `Examples` in the order of this one, which does not change.

        Raises:
            ValueError: If an id is not among `example_ids`.

        Example:

        >>> mended = {**examples[1], "responses": "a blue five"}
        >>> examples.replaced({"b": mended})[1]["responses"]
        'a blue five'
        """
        unknown = [i for i in replacements if i not in self._index]
        if unknown:
            raise ValueError(
                "`replacements` must be keyed by ids of these examples. "
                f"Received unknown ids: {listed(unknown)}"
            )
        other = self._copy()
        other._replacements = {
            **self._replacements,
            **{
                i: {**example, "example_id": i}
                for i, example in replacements.items()
            },
        }
        other._new_texts = {
            i: texts
            for i, texts in self._new_texts.items()
            if i not in replacements
        }
        return other

    def with_texts(self, texts):
        """Copies the collection with other texts of some of the examples.

        Their images are read from the source as before, and not kept.

        Args:
            texts: dict from `example_id` to a dict of `"prompts"`,
                `"responses"`, or both, strings.

        Returns:
            A new `Examples` in the order of this one, which does not change.

        Raises:
            KeyError: If an id is not among `example_ids`.

        Example:

        >>> examples.with_texts({"b": {"responses": "blue"}})[1]["responses"]
        'blue'
        """
        other = self._copy()
        other._new_texts = dict(self._new_texts)
        for example_id, new in texts.items():
            self.index_of(example_id)
            old = other._new_texts.get(example_id, {})
            other._new_texts[example_id] = {**old, **new}
        return other

    def writes_prompt(self, index):
        """Returns whether a reader wrote a prompt by a template.

        Such a prompt has the control tokens of its template, and those of the
        data were parted, see `keras_byorn.vlm.control_tokens`.

        Args:
            index: int. Position of the example.
        """
        example_id = self.example_ids[index]
        changed = self._replacements, self._new_texts
        if any(example_id in texts for texts in changed):
            return False
        return bool(getattr(self._source, "writes_prompts", False))

    def _copy(self):
        other = object.__new__(Examples)
        other.__dict__.update(self.__dict__)
        return other

    def _content_id(self, index):
        row = self._row(index, FIELDS)
        try:
            texts = _text(row["prompts"]), _text(row["responses"])
            return content_id(*texts, _images(row.get("images")))
        except Exception as error:
            raise self._row_error(error, index) from error

    def _check_rename(self, row):
        names = [self._rename.get(key, key) for key in row]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(
                "`rename` must not give two fields of `source` one name. Drop "
                "the unwanted field, or rename it too, to an unused name. "
                f"Received: rename={self._rename} for a source with "
                f"{listed(row)}, so that {listed(sorted(twice))} comes twice"
            )

    def _row_error(self, error, index):
        """Makes an error that names the example, whatever a source raised."""
        known = getattr(self, "example_ids", range(len(self._source)))
        place = f"row {index} of {self._kind}"
        return RowError(bad_row(error, str(known[index]), place))

    def _row(self, index, fields):
        try:
            row = self._source[index]
        except Exception as error:
            raise self._row_error(error, index) from error
        if not hasattr(row, "keys"):
            raise ValueError(
                "`source` must hold a dict for each example, such as "
                "`{'example_id': 'a', 'images': image, 'prompts': 'what?', "
                f"'responses': 'a cat'}}`. Received: a {type(row).__name__} "
                f"in row {index}"
            )
        if self._rename:
            self._check_rename(row)
            row = {self._rename.get(key, key): row[key] for key in row}
        missing = [field for field in fields if field not in row]
        if missing:
            raise ValueError(
                f"`source` must have the fields {', '.join(fields)}. Pass "
                "`rename={'name in source': 'name here'}` if names differ, "
                "and `example_ids=`, a list or 'content', if there is no "
                f"`example_id`. Missing: {missing}. Received: {listed(row)} "
                f"in row {index}"
            )
        return row


def _images(value):
    """Converts one image to an array, several to a list, none to `None`."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        images = [_array(image) for image in value]
        if all(image.ndim == 3 for image in images):
            return images
    return _array(value)


def _array(image):
    if isinstance(image, PIL.Image.Image):
        check_num_pixels(image.height, image.width)  # before it is decoded
        try:
            return rgb_of_picture(image)
        except Exception as error:  # of many types, by format
            raise undecodable(error) from error
    if isinstance(image, (str, bytes, dict)):
        raise ValueError(
            "`images` must be arrays or Pillow images. Names and bytes of "
            "files are read by `Examples.from_dataframe`, `from_hub` and the "
            f"other readers. Received: a {type(image).__name__}"
        )
    try:
        return np.asarray(image)
    except ValueError as error:
        raise ValueError(
            "`images` must be arrays of numbers, all rows of one length. "
            f"Received: a {type(image).__name__}, {shortened(image)}"
        ) from error


def _text(value):
    """Converts text of TFDS, NumPy or TensorFlow to `str`, nothing else."""
    value = unwrapped(value)
    if isinstance(value, bytes):
        return decoded(value)
    if isinstance(value, np.str_):
        return str(value)
    return value
