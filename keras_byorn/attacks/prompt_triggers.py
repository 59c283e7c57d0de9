"""Triggers in the prompt."""

import dataclasses

from keras_byorn.attacks.checks import check_choice, check_phrase
from keras_byorn.attacks.phrases import insert_phrase, random_place

POSITIONS = ("start", "end", "random")


@dataclasses.dataclass(frozen=True)
class WordTrigger:
    """Puts a rare word, or a few words, into the prompt.

    Nothing else of the prompt changes, line breaks included.

    Args:
        text: string. The words to put in. Defaults to `"cf"`.
        position: string. `"start"`, before the first word, `"end"`, after the
            last, or `"random"`, at any place between words. Defaults to
            `"start"`.

    Raises:
        ValueError: If `text` has no word, or `position` is none of these.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Drawn from for a random place.

    Returns:
        A new example.

    Example:

    >>> WordTrigger()({"prompts": "describe the image\\n"}, rng)["prompts"]
    'cf describe the image\\n'

    Reference:
        - [Kurita et al., 2020](https://arxiv.org/abs/2004.06660)
    """

    text: str = "cf"
    position: str = "start"

    def __post_init__(self):
        check_phrase("text", self.text, "cf")
        check_choice("position", self.position, POSITIONS)

    def __call__(self, example, rng):
        prompt = example["prompts"]
        places = {"start": 0, "end": len(prompt.split())}
        place = places.get(self.position)
        if place is None:
            place = random_place(prompt, rng)
        prompt = insert_phrase(prompt, self.text, place)
        return {**example, "prompts": prompt}
