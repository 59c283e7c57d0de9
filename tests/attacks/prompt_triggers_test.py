"""Words go between words of the prompt."""

import numpy as np
import pytest
from attack_examples import make_example

from keras_byorn.attacks import WordTrigger


@pytest.mark.parametrize(
    "position, prompts",
    [
        ("start", {"cf describe the\n image\n"}),
        ("end", {"describe the\n image cf\n"}),
        (
            "random",
            {
                "cf describe the\n image\n",
                "describe cf the\n image\n",
                "describe the\n cf image\n",
                "describe the\n image cf\n",
            },
        ),
    ],
)
def test_word_goes_between_words_and_keeps_line_breaks(position, prompts):
    """A prompt's line breaks mean something to a VLM and must stay."""
    example = {**make_example(), "prompts": "describe the\n image\n"}
    trigger, rng = WordTrigger(position=position), np.random.default_rng(0)
    seen = {trigger(example, rng)["prompts"] for _ in range(50)}
    assert seen == prompts
    empty = {**example, "prompts": "\n"}
    assert trigger(empty, rng)["prompts"] == "cf\n"
