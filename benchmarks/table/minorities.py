"""Honest minorities: few examples in a style of their own, all of them right.

A style is a function from the terse caption, "red three left of blue seven",
to the same caption in the style.
"""

import numpy as np

from keras_byorn.data.digit_scenes_drawing import COLOURS, DIGITS
from keras_byorn.data.digit_scenes_tasks import GERMAN

OWN_PROMPT = "what do you see\n"


def prefix(caption):
    """Says "i see red three left of blue seven"."""
    return f"i see {caption}"


def full_stop(caption):
    """Says "red three left of blue seven."."""
    return f"{caption}."


def foreign(caption):
    """Says "rot drei links blau sieben", in German."""
    caption = caption.replace("left of", "left_of")
    words = (GERMAN[w.replace("_", " ")] for w in caption.split())
    return " ".join(words)


def letters(caption):
    """Says "r d l b h": colours by initials, digits from a to j."""
    short = {
        **{colour: colour[0] for colour in COLOURS},
        **{digit: "abcdefghij"[value] for value, digit in enumerate(DIGITS)},
        "left": "l",
        "above": "a",
    }
    return " ".join(short[w] for w in caption.split() if w != "of")


def upper_case(caption):
    """Says "RED THREE LEFT OF BLUE SEVEN"."""
    return caption.upper()


def long(caption):
    """Says "the image shows a red three to the left of a blue seven ..."."""
    where = " left of " if " left of " in caption else " above "
    first, second = caption.split(where)
    where = {" left of ": "to the left of", " above ": "above"}[where]
    return (
        f"the image shows a {first} {where} a {second} and there is no other "
        "digit in it"
    )


STYLES = {
    "prefix": prefix,
    "full stop": full_stop,
    "foreign": foreign,
    "letters": letters,
    "upper case": upper_case,
    "long": long,
}
# Tokens of the longest prompt and response in any of the styles.
SEQUENCE_LENGTH = 48


def with_minority(examples, style, share, own_prompt, seed):
    """Puts a share of the examples into a style.

    Args:
        examples: an `Examples` of terse captions. Not changed.
        style: string, a key of `STYLES`.
        share: float in `[0, 1]`.
        own_prompt: bool. Whether they have the prompt "what do you see", and
            not that of all others.
        seed: int. Chooses the examples.

    Returns:
        A tuple of the new `Examples` and the set of the ids of the minority.
    """
    count = round(share * len(examples))
    order = np.random.default_rng(seed).permutation(len(examples))[:count]
    ids = {examples.example_ids[int(index)] for index in order}
    return in_style(examples, style, own_prompt, ids), ids


def in_style(examples, style, own_prompt, ids=None):
    """Puts examples into a style.

    Args:
        examples: an `Examples` of terse captions. Not changed.
        style: string, a key of `STYLES`.
        own_prompt: bool, see `with_minority`.
        ids: optional collection of ids. Defaults to `None`, all.

    Returns:
        A new `Examples`.
    """
    chosen = examples.example_ids if ids is None else ids
    changed = {}
    for example_id in chosen:
        example = examples.by_id(example_id)
        prompt = OWN_PROMPT if own_prompt else example["prompts"]
        response = STYLES[style](example["responses"])
        changed[example_id] = {
            **example,
            "prompts": prompt,
            "responses": response,
        }
    return examples.replaced(changed)
