"""Strategies: hostile texts, ids and images."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

SPELLED = (
    "<eos> <bos> <pad> <unk> <s> </s> <mask> <img> <image> <end_of_turn> "
    "<start_of_turn> <start_of_image> <end_of_image> <image_soft_token> "
    "[multimodal] <|image|> <|image> <image|> <turn|> <|turn> <|im_start|> "
    "<|im_end|> <|endoftext|> <|eot_id|> <|end_of_text|> <|begin_of_text|> "
    "<|start_header_id|> [INST] <<SYS>> <extra_id_0> <unused7>"
).split()
ODD = (
    "\x00",  # ends a string of C
    "\x1b[31m",  # colours a terminal
    "\u202e",  # turns the direction
    "\u200b",  # has no width
    "\u2800",  # has no ink
    "\ufeff",
    "\ud800",  # half a character
    "\U0010ffff",
    "\r\n",
    "\u2028",
    "＜eos＞",  # compatibility forms
    "{image}",
    "{question}",
)
# Of all planes, and half characters.
characters = st.characters(codec=None)
words = st.sampled_from("red three left of a blue seven".split())
texts = st.one_of(
    st.lists(
        st.one_of(
            words,
            st.sampled_from(SPELLED),
            st.sampled_from(ODD),
            st.text(characters, max_size=4),
        ),
        max_size=6,
    ).map(" ".join),
    st.lists(st.sampled_from((*SPELLED, *ODD)), max_size=5).map("".join),
    st.text(characters, max_size=20),
    st.builds(lambda text, n: text * n, st.text(min_size=1), st.just(20_000)),
)
# What stands in a field where a text belongs.
values = st.one_of(
    texts,
    texts,
    texts,
    texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    texts.map(np.str_),
    st.none(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(max_size=8),
    st.lists(texts, max_size=2),
    st.dictionaries(texts, st.none(), max_size=1),
)
_dtypes = st.one_of(
    arrays.unsigned_integer_dtypes(),
    arrays.integer_dtypes(),
    arrays.floating_dtypes(),
    arrays.boolean_dtypes(),
    arrays.complex_number_dtypes(),
    arrays.unicode_string_dtypes(),
    arrays.byte_string_dtypes(),
    arrays.datetime64_dtypes(),
    st.just(np.dtype(object)),
)
_sides = st.sampled_from([0, 1, 2, 3, 4, 16, 32])
_shapes = st.one_of(
    st.just((32, 32, 3)),
    st.tuples(_sides, _sides, st.just(3)),
    st.lists(_sides, max_size=4).map(tuple),
)


def _image(dtype, shape, value):
    """An array of one value, which costs no time to draw."""
    with np.errstate(all="ignore"):
        try:
            return np.full(shape, value).astype(dtype)
        except (TypeError, ValueError, OverflowError):
            return np.zeros(shape, dtype)


_images = st.builds(
    _image,
    _dtypes,
    _shapes,
    st.one_of(st.integers(0, 255), st.integers(), st.floats()),
)
good_images = st.integers(0, 255).map(
    lambda value: np.full((32, 32, 3), value, "uint8")
)
images = st.one_of(
    good_images,
    good_images,
    _images,
    st.lists(_images, max_size=2),
    st.sampled_from([None, "a.png", b"\x89PNG", 7, {"path": "a.png"}, []]),
)
ids = st.one_of(st.integers(0, 99).map("scene-{}".format), values)
