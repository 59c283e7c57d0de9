"""Images of no pixels, of far too many, of no numbers, and none."""

import io
import struct
import zlib

import numpy as np
import PIL.Image

from faults.case import MODEL, changed, kept, prepare, raises

SECTION = "Images in memory"
WHERE = f"`images`, {MODEL}"
LARGE = "`images` must have at most 89,478,485 pixels each"
FLAT = "`images` must have the shape (height, width, 3)"
NUMBERS = "`images` must be uint8 or float arrays"
RANGE = "`images` must have pixels in the range"
FILE = "`images` must be arrays or Pillow images"
HUGE = np.broadcast_to(np.uint8(7), (20_000, 20_000, 3))
NO_PIXEL = "`images` must have at least one pixel"


def filled(value, dtype, shape=(32, 32, 3)):
    return np.full(shape, value, dtype)


for wrong, image, part in (
    ("0 × 0 pixels", filled(0, "uint8", (0, 0, 3)), NO_PIXEL),
    ("0 × 32 pixels", filled(0, "uint8", (0, 32, 3)), NO_PIXEL),
    ("20,000 × 20,000 pixels", HUGE, LARGE),
    ("another size than the first", filled(1, "uint8", (8, 8, 3)), "one size"),
    ("grey, (height, width)", filled(1, "uint8", (32, 32)), FLAT),
    ("four channels", filled(1, "uint8", (32, 32, 4)), FLAT),
    ("a batch axis", filled(1, "uint8", (1, 32, 32, 3)), FLAT),
    ("a single number", 7, FLAT),
    ("NaN", filled(np.nan, "float32"), "`images` must be finite"),
    ("infinity", filled(np.inf, "float32"), "`images` must be finite"),
    ("pixels of -5", filled(-5, "int16"), RANGE),
    ("pixels of 2**63", filled(2**63, "uint64"), RANGE),
    ("pixels of 60,000 in float16", filled(6e4, "float16"), RANGE),
    ("true and false", filled(True, bool), NUMBERS),
    ("complex numbers", filled(1j, complex), NUMBERS),
    ("texts in an array", filled("a", "U1"), NUMBERS),
    ("objects of Python", filled(None, object), NUMBERS),
    ("dates", filled(0, "M8[s]"), NUMBERS),
    ("`None`, for a model of one image", None, "`images` must hold 1 of them"),
    ("two images, for a model of one", [filled(1, "uint8")] * 2, "hold 1 of"),
):
    raises(SECTION, wrong, WHERE, ValueError, part)(changed(images=image))

for wrong, image, part in (
    ("the name of a file", "/etc/passwd", FILE),
    ("bytes of a file", b"\x89PNG", FILE),
    ("rows of several lengths", [[1], [1, 2]], "all rows of one length"),
):
    raises(SECTION, wrong, "`images`, Examples", "RowError", part)(
        changed(images=image)
    )


@kept(SECTION, "1 × 1 pixel, in all examples", WHERE, "taken as is")
def tiny_image(folder):
    assert len(prepare(count=1, images=filled(1, "uint8", (1, 1, 3)))) == 1


def png(size=None):
    """The bytes of a PNG; with a `size`, one that only says to be so large."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (32, 32), (9, 9, 9)).save(file, "PNG")
    data = file.getvalue()
    if size is None:
        return data
    header = b"IHDR" + struct.pack(">II", *size) + data[24:29]
    return (
        data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    )


@raises(
    SECTION,
    "a Pillow image of 30,000 × 30,000 pixels, not yet decoded",
    "`images`, Examples",
    "RowError",
    LARGE,
)
def bomb(folder):
    limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
    try:  # as those do whom Pillow's own warning disturbs
        picture = PIL.Image.open(io.BytesIO(png((30_000, 30_000))))
        prepare(images=picture)
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = limit


@raises(
    SECTION,
    "a Pillow image whose file is cut off",
    "`images`, Examples",
    "RowError",
    "the image cannot be decoded",
)
def cut(folder):
    prepare(images=PIL.Image.open(io.BytesIO(png()[:44])))
