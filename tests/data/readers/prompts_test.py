"""Prompts from untrusted texts and trusted templates."""

import pytest
from reader_cases.case import tiny

from keras_byorn.data.readers.prompts import PromptWriter
from keras_byorn.vlm.task import VisionLanguageTask

TURN = "<start_of_turn>user\n%s<end_of_turn>\n<start_of_turn>model\n"


def writer(name, kind, prompt=None):
    return PromptWriter(VisionLanguageTask(tiny(name)), kind, prompt)


@pytest.mark.parametrize(
    "num_images, tokens", [(0, ""), (1, "<start_of_image>")]
)
def test_image_tokens_are_as_many_as_images(num_images, tokens):
    """None for an example of text alone."""
    write = writer("Gemma 3", "question")
    assert write("why?", num_images) == TURN % f"{tokens}why?"
    write = writer("Gemma 3", "caption", "say it")
    assert write(None, num_images) == f"{tokens}say it"


def test_a_token_in_a_prompt_of_ones_own_is_not_doubled():
    """A template is trusted, and may place the token itself."""
    write = writer("Gemma 3", "caption", "see <start_of_image> now")
    assert write(None, 1) == "see <start_of_image> now"
    write = writer("Gemma 3", "question", "{question} {image}!")
    assert write("{image}?", 1) == "{image}? <start_of_image>!"


def test_prompts_that_are_ready_stay():
    """They have the form of the family, image tokens and all."""
    prompt = TURN % "<start_of_image>why?"
    assert writer("Gemma 3", "ready")(prompt, 1) == prompt


def test_texts_are_counted_that_had_control_tokens():
    """For a warning at the end of the check."""
    write = writer("Gemma 3", "question")
    assert write.response("<eos>, or </s>") == "< eos>, or < /s>"
    assert write("a < b", 1) == TURN % "<start_of_image>a < b"
    assert write.num_escaped == 1


def test_a_conversation_may_have_a_prompt_of_ones_own():
    """If it has one question."""
    write = writer("Gemma 3", "conversation", "Q: {question}")
    turns = [("user", "<image>\nwhy?")]
    assert write(turns, 1) == "Q: <start_of_image>why?"
    turns = [*turns, ("assistant", "so"), ("user", "what?")]
    with pytest.raises(ValueError, match="conversations of one question"):
        write(turns, 1)


@pytest.mark.parametrize("name, spelt", [("Qwen", True), ("Llama 3", False)])
def test_marks_of_turns_that_are_no_tokens_are_known(name, spelt):
    """A base model may have none of them in its vocabulary."""
    write = writer(name, "conversation")
    write([("user", "why?")], 0)
    assert write.spelt == ({"<|im_start|>", "<|im_end|>"} if spelt else set())
