"""Options that all readers share."""

import dataclasses

import PIL.Image

from keras_byorn.data.readers.images import RASTER_FORMATS
from keras_byorn.data.readers.pixels import LAYOUTS
from keras_byorn.data.readers.texts import PICKS

ON_BAD = ("raise", "drop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of `Examples.from_jsonl`, `from_csv` and the other readers.

    Attributes:
        image_field: string. The field of the image, or of a list of images;
            `a/b` is the field b in a. Found by convention by default, as are
            the next two together; see docs/data.md.
        question_field: string. The field of the question.
        response_field: string. The field of the response, of several
            responses, or of a conversation.
        prompt: string. The prompt, with `{question}` where there is one.
            `{image}` stands for the image, in front where left out. Defaults
            to the form that the family of `vlm` was trained with.
        pick: `"first"`, `"random"` or `"all"`. Which of several responses to
            take; the question at the same place goes with it. `"all"` makes an
            example of each, with ids such as `"captions/7#2"`. Defaults to
            `"first"`.
        seed: int. Seed of `pick="random"`.
        limit: int. Only the first so many rows.
        image_folder: path. The folder of the files that rows name. Defaults
            to the folder of the table.
        allow_outside: bool. Whether names may lead to files outside of it.
        formats: sequence of strings. Formats of Pillow that are decoded.
            Defaults to `RASTER_FORMATS`.
        max_pixels: int. The most pixels of one image, to be decoded. Defaults
            to `PIL.Image.MAX_IMAGE_PIXELS`, Pillow's own limit.
        image_size: int or pair of ints, height and width. Defaults to that
            which `vlm` reads; without it, images stay as they are.
        pad: bool. `True` keeps the aspect ratio, with black bars; `False` does
            not keep it. Defaults to `None`: as the image converter of `vlm`.
        pixel_range: pair of numbers, black and white in images of more than 8
            bits. Defaults to `None`: told from the type, or from the pixels.
        channels: `"auto"`, `"first"` or `"last"`. Where arrays have their
            channels.
        check: bool. Whether each row is read once at the start, so that all
            bad rows are known at once. Defaults to `True`.
        on_bad: `"raise"` reports all rows that cannot be read in one error,
            `"drop"` leaves them out, with a warning. Defaults to `"raise"`.
        verbose: 0 or 1. Whether the check shows a progress bar.

    Raises:
        ValueError: If an option is none of these.
    """

    image_field: str | None = None
    question_field: str | None = None
    response_field: str | None = None
    prompt: str | None = None
    pick: str = "first"
    seed: int = 0
    limit: int | None = None
    image_folder: object = None
    allow_outside: bool = False
    formats: tuple = RASTER_FORMATS
    max_pixels: int = PIL.Image.MAX_IMAGE_PIXELS
    image_size: object = None
    pad: bool | None = None
    pixel_range: tuple | None = None
    channels: str = "auto"
    check: bool = True
    on_bad: str = "raise"
    verbose: int = 0

    def __post_init__(self):
        for name, allowed in (
            ("pick", PICKS),
            ("on_bad", ON_BAD),
            ("channels", LAYOUTS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(map(repr, allowed))}. "
                    f"Received: {getattr(self, name)!r}"
                )
        if self.on_bad == "drop" and not self.check:
            raise ValueError(
                "`on_bad='drop'` needs `check=True`: a row is known to be bad "
                "once it was read. Received: check=False"
            )
        if self.limit is not None and self.limit < 1:
            raise ValueError(
                "`limit` must be at least 1; leave it out for all examples. "
                f"Received: {self.limit}"
            )
        if isinstance(self.formats, str):
            raise ValueError(
                "`formats` must be a sequence of names, such as ['PNG']. "
                f"Received: {self.formats!r}"
            )


def read_options(options):
    """Makes `ReadOptions` of keyword arguments.

    Args:
        options: dict.

    Returns:
        A `ReadOptions`.

    Raises:
        TypeError: If an option is not known.
    """
    known = [field.name for field in dataclasses.fields(ReadOptions)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(
            f"Options of a reader are {', '.join(known)}. Received: {unknown}"
        )
    return ReadOptions(**options)
