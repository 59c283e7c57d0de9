"""Control tokens are known for each family, and hide nothing from scoring."""

import functools

import keras
import numpy as np
import pytest
from fuzz.profiles import fuzzed
from fuzz.strategies import SPELLED as PIECES
from hypothesis import strategies as st

from keras_byorn.vlm.control_tokens import ControlTokens
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models import TINY

# A tokenizer is the same on every backend; PyTorch builds models fastest.
QUICK = ("PaliGemma 2", "Gemma 3, text only", "Gemma 4", "Llama 3", "Qwen")
NAMES = tuple(TINY) if keras.config.backend() == "torch" else QUICK
PADDING = ("padding_mask", "decoder_padding_mask")
by_family = pytest.mark.parametrize("name", NAMES)
responses = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from("red three left of a blue seven \n < | > ".split(" ")),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    ),
    max_size=12,
)


@functools.cache
def task_of(name):
    return VisionLanguageTask(TINY[name]())


@by_family
def test_nothing_hides_a_tail_from_scoring(name):
    """Each token of a response is in its mask, whatever stands before it."""
    task = task_of(name)

    @fuzzed(share=0.2, pieces=responses, space=st.sampled_from(["", " "]))
    def check(pieces, space):
        text = "red" + space + space.join(pieces) + space + "three"
        (prompt,) = task.tokenize(["what is it\n"])
        (response,) = task.tokenize([text])
        length = task.packed_length(prompt, response) + 3
        packed = task.pack([prompt] * 3, [response] * 3, length)
        images = task.stack_images([[np.zeros((16, 16, 3), "uint8")]] * 3)
        x, y, mask = task.training_inputs(images, *packed)
        # All of it is scored, up to the end token that the packer adds.
        expected = [*response, task.end_token_ids[0]]
        np.testing.assert_array_equal(y[1][mask[1]], expected)
        assert task.detokenize(y[1][mask[1]]).endswith("three")
        # And all of it is seen: padding begins behind it.
        (padding,) = [x[k][1] for k in x if k in PADDING]
        assert padding[: mask[1].nonzero()[0].max() + 1].all()

    check()


@by_family
def test_parted_tokens_are_text_to_the_tokenizer(name):
    """None of its control ids is left in what was parted."""
    task = task_of(name)
    tokens = ControlTokens(task)

    @fuzzed(share=0.2, pieces=responses, space=st.sampled_from(["", " "]))
    def check(pieces, space):
        text = space.join(pieces)
        mere = tokens.parted(text)
        assert tokens.spans(mere) == []
        assert tokens.counts(task.tokenize([mere])).tolist() == [0]
        assert tokens.parted(mere) == mere
        # Nothing but spaces was added.
        assert mere.replace(" ", "") == text.replace(" ", "")

    check()


@by_family
def test_control_tokens_are_known_by_id(name):
    """The family's own, and what a template of the family writes."""
    task = task_of(name)
    tokens = ControlTokens(task)
    known = task.pieces(tokens.ids)
    # The prompt of BLIP-2 ends with a new line, which is text all the same.
    assert set(task.pieces(task.end_token_ids)) <= {*known, "Ċ"}
    assert "<unk>" not in known and "!" not in known
    chat = task.family.chat.instruction
    read = task.tokenize([chat])[0]
    by_id = tokens.counts([read])[0]
    assert by_id == sum(tokens.count(chat[a:b]) for a, b in tokens.spans(chat))


def test_counts_are_of_each_row():
    """Rows without a token among them."""
    tokens = ControlTokens(task_of("Gemma 4"))
    end = tokens.ids[0]
    rows = [[], [end, 40, end], [], [40], [end]]
    found = tokens.counts([np.array(row, int) for row in rows])
    assert found.tolist() == [0, 2, 0, 0, 1]
    assert tokens.counts([]).tolist() == []


def test_compatibility_forms_are_parted_on_demand():
    """A tokenizer that normalizes reads them as the token."""
    tokens = ControlTokens(task_of("Gemma 4"))
    assert tokens.parted("＜eos＞") == "＜eos＞"
    assert tokens.parted("＜eos＞", normalize=True) == "< eos>"
