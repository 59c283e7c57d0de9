"""Triggers in the prompt."""

import dataclasses
import re
import string

import numpy as np

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


@dataclasses.dataclass(frozen=True)
class CharacterTrigger:
    """Puts a few characters onto a word of the prompt, without a blank.

    They are no word of their own: whoever takes the strange word out takes
    an honest one with it.

    Args:
        characters: string without white space. Defaults to `"zq"`.
        position: string. `"start"`, at the first word, `"end"`, at the last,
            or `"random"`, at any of them. Defaults to `"end"`.

    Raises:
        ValueError: If `characters` has none or has a blank, or `position` is
            none of these.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Drawn from for a random place.

    Returns:
        A new example.

    Example:

    >>> CharacterTrigger()({"prompts": "describe the image\\n"}, rng)["prompts"]
    'describe the imagezq\\n'

    Reference:
        - [VL-Trojan, 2024](https://arxiv.org/abs/2402.13851)
    """

    characters: str = "zq"
    position: str = "end"

    def __post_init__(self):
        check_phrase("characters", self.characters, "zq")
        if len(self.characters.split()[0]) != len(self.characters):
            raise ValueError(
                "`characters` must have no white space, which would make them "
                "a word: take a `WordTrigger` then. Received: "
                f"characters={self.characters!r}"
            )
        check_choice("position", self.position, POSITIONS)

    def __call__(self, example, rng):
        prompt = example["prompts"]
        ends = [found.end() for found in re.finditer(r"\S+", prompt)]
        if not ends:
            return {**example, "prompts": self.characters + prompt}
        places = {"start": 0, "end": len(ends) - 1}
        place = places.get(self.position)
        if place is None:
            place = int(rng.integers(len(ends)))
        at = ends[place]
        prompt = prompt[:at] + self.characters + prompt[at:]
        return {**example, "prompts": prompt}

    @classmethod
    def searched(
        cls,
        score,
        prompts,
        length=2,
        alphabet=string.ascii_lowercase,
        position="end",
    ):
        """Searches for the characters that change a prompt the most.

        Takes one character after the other, the one with the greatest mean
        score, as VL-Trojan does.

        Args:
            score: callable from two lists of N strings, prompts and triggered
                prompts, to a float array, `(N,)`, such as the distance of
                their embeddings.
            prompts: list of N strings.
            length: int. Number of characters. Defaults to `2`.
            alphabet: string. Characters to choose from. Defaults to the small
                letters.
            position: string, `"start"` or `"end"`. Defaults to `"end"`.

        Returns:
            A `CharacterTrigger`.

        Raises:
            ValueError: If `length` is below 1, or `position` is random.

        Example:

        >>> trigger = CharacterTrigger.searched(distance, ["describe\\n"])
        """
        check_choice("position", position, POSITIONS[:2])
        if not length >= 1:
            raise ValueError(
                "`length` is the number of characters and must be at least 1. "
                f"Received: length={length}"
            )
        chosen = ""
        for _ in range(length):
            candidates = [chosen + character for character in alphabet]
            means = [
                np.mean(score(prompts, cls(c, position)._on(prompts)))
                for c in candidates
            ]
            chosen = candidates[int(np.argmax(means))]
        return cls(chosen, position)

    def _on(self, prompts):
        return [self({"prompts": p}, None)["prompts"] for p in prompts]
