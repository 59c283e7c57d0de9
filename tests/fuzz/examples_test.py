"""Any examples are taken as they are, or refused by an error that names one."""

import unicodedata

import numpy as np
import pytest
from hypothesis import strategies as st

from fuzz import strategies
from fuzz.outcomes import Outcomes
from fuzz.profiles import fuzzed
from keras_byorn.data.control_texts import MODES
from keras_byorn.data.examples import Examples
from keras_byorn.data.prepared import PreparedExamples

FIELDS = ("example_id", "images", "prompts", "responses")
good_texts = st.sampled_from(["red three", "a blue seven left of a red one"])
HOSTILE = {
    "example_id": strategies.ids,
    "images": strategies.images,
    "prompts": strategies.values,
    "responses": strategies.values,
}
missing = st.one_of(*[st.just(())] * 9, st.sets(st.sampled_from(FIELDS)))


@st.composite
def rows(draw, has_images):
    """A list of rows, most of them honest but for one field."""
    found = []
    for index in range(draw(st.integers(0, 3))):
        row = {
            "example_id": f"{index}",
            "images": draw(strategies.good_images) if has_images else None,
            "prompts": draw(good_texts),
            "responses": draw(good_texts),
        }
        for field in draw(st.lists(st.sampled_from(FIELDS), max_size=1)):
            row[field] = draw(HOSTILE[field])
        for field in draw(missing):
            del row[field]
        found.append(row or draw(strategies.values))
    return found


@pytest.mark.parametrize("name", ["SentencePiece", "BPE"])
def test_examples_are_taken_as_they_are_or_refused(tasks, name):
    """Ids, texts and pixels; nothing is changed unasked."""
    outcomes = Outcomes()

    @fuzzed(
        source=rows(name == "SentencePiece"),
        mode=st.sampled_from(MODES),
        content=st.sampled_from([False, False, True]),
    )
    def check(source, mode, content):
        with outcomes.case():
            examples = Examples(source, "content" if content else None)
            prepared = PreparedExamples(
                examples, tasks[name], verbose=0, control_tokens=mode
            )
            for index, row in enumerate(source):
                if not content:
                    given = plain(row["example_id"])
                    assert examples.example_ids[index] == str(given)
                example = prepared.examples[index]
                for field in ("prompts", "responses"):
                    text = getattr(prepared, field)[index]
                    assert example[field] == text
                    assert mere(text, mode) == mere(plain(row[field]), mode)
                if name == "SentencePiece":
                    check_pixels(example["images"], row["images"])
            # Every token of every response is trained on.
            lengths = [len(ids) + 1 for ids in prepared.response_ids]
            assert prepared.response_mask.sum(axis=-1).tolist() == lengths

    check()
    outcomes.check()


def plain(value):
    """A text as the example has it, of whatever type it came in."""
    return value.decode() if isinstance(value, bytes) else value


def mere(text, mode):
    """A text without what `escape` may change: spaces, and forms."""
    if mode != "escape":
        return text
    return unicodedata.normalize("NFKC", text).replace(" ", "")


def check_pixels(images, given):
    if isinstance(images, list):
        (images,) = images
    given = np.asarray(given)
    given = given[0] if given.ndim == 4 else given
    assert images.dtype == given.dtype
    np.testing.assert_array_equal(images, given)
