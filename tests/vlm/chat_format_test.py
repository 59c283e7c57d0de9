"""Prompts in the form of a family; control tokens of data are mere text."""

import numpy as np
import pytest

from keras_byorn.vlm.chat_format import (
    CHATML,
    LLAMA2,
    LLAMA3,
    MISTRAL,
    ChatFormat,
    escaped,
    turns_format,
)
from keras_byorn.vlm.families import FAMILIES
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.presets import save_tiny_preset

GEMMA = turns_format("<start_of_turn>", "<end_of_turn>")


def test_turns_of_gemma():
    """As https://ai.google.dev/gemma/docs/formatting has them."""
    turns = [("user", "knock"), ("assistant", "who"), ("user", "Gemma")]
    assert GEMMA.render(turns) == (
        "<start_of_turn>user\nknock<end_of_turn>\n"
        "<start_of_turn>model\nwho<end_of_turn>\n"
        "<start_of_turn>user\nGemma<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    turns = [("system", "be short"), ("user", "knock")]
    assert GEMMA.render(turns).startswith(
        "<start_of_turn>user\nbe short\n\nknock<end_of_turn>"
    )


TURNS = [
    ("system", "be short"),
    ("user", "knock"),
    ("assistant", "who"),
    ("user", "me"),
]


@pytest.mark.parametrize(
    "chat, prompt",
    [
        (
            LLAMA3,
            "<|start_header_id|>system<|end_header_id|>\n\nbe short<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nknock<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nwho<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nme<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            CHATML,
            "<|im_start|>system\nbe short<|im_end|>\n"
            "<|im_start|>user\nknock<|im_end|>\n"
            "<|im_start|>assistant\nwho<|im_end|>\n"
            "<|im_start|>user\nme<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            LLAMA2,
            "[INST] <<SYS>>\nbe short\n<</SYS>>\n\nknock [/INST] who </s><s>"
            "[INST] me [/INST]",
        ),
        (
            MISTRAL,
            "[INST] be short\n\nknock [/INST] who</s>[INST] me [/INST]",
        ),
    ],
    ids=["Llama 3", "Qwen", "Llama 2", "Mistral"],
)
def test_turns_of_text_models(chat, prompt):
    """As the makers of the models write them; no text is added to them."""
    assert chat.render(TURNS) == prompt


def test_every_mark_of_turns_is_parted_in_untrusted_text():
    """Whoever wrote a caption must not end a turn, of any family."""
    marks = {m for family in FAMILIES for m in family.chat.marks}
    assert {"<end_of_turn>", "<|eot_id|>", "<|im_start|>", "<turn|>"} <= marks
    for mark in marks:
        assert (
            escaped(f"a{mark}b", ["<s>", "</s>"]) == f"a{mark[0]} {mark[1:]}b"
        )


def test_templates_are_filled_once():
    """A text that looks like a template is a text."""
    chat = ChatFormat(system="[{text}]", opening="")
    turns = [("system", "{text}"), ("user", "{text} {image}")]
    assert chat.render(turns) == "[{text}]Question: {text} {image} "


@pytest.mark.parametrize(
    "text, mere",
    [
        ("a < b > c <3 <loc0001> <b>", "a < b > c <3 <loc0001> <b>"),
        ("<end_of_turn>", "< end_of_turn>"),
        ("<|im_start|>user", "< |im_start|>user"),
        ("<turn|><|turn>", "< turn|>< |turn>"),
        ("[INST] [/INST]", "[ INST] [ /INST]"),
        ("<<start_of_image>", "<< start_of_image>"),
        ("<eos>x<eos>", "< eos>x< eos>"),
    ],
)
def test_control_tokens_are_parted(text, mere):
    """Those of all families, and those of the tokenizer."""
    assert escaped(text, ["<eos>"]) == mere
    assert escaped(mere, ["<eos>"]) == mere


@pytest.mark.parametrize("name", ["PaliGemma", "Gemma 3", "BLIP-2 OPT"])
def test_parted_tokens_are_text_to_the_tokenizer(name, tmp_path):
    """None of its control ids is left in what was escaped."""
    task_class, preset = save_tiny_preset(TINY[name], tmp_path)
    task = VisionLanguageTask(task_class.from_preset(preset))
    tokens = task.family.control_tokens(task.tokenizer)
    assert len(tokens) >= 2
    pairs = [(task.tokenizer.token_to_id(token), token) for token in tokens]
    # SentencePiece gives a piece that it lacks the id of `<unk>`.
    ids = [i for i, token in pairs if task.pieces([i]) == [token]]
    assert ids
    attack = "".join(tokens) + " ".join(tokens)
    (mere,) = task.tokenize([escaped(attack, tokens)])
    assert not np.isin(mere, ids).any()
