"""What an attack is: three methods, and no base class."""

import hashlib
from typing import Protocol

import numpy as np


class Attack(Protocol):
    """A simulated backdoor: any object with these three methods is one.

    An example is a dict with the keys `"example_id"`, `"images"`, `"prompts"`
    and `"responses"`. Each method leaves its input as it is, and every random
    draw comes from `rng`, so that `poison` and `trigger` put on the same
    trigger when they are given equal generators.

    Two attributes are optional. `target_text`, a string, is what the attack
    wants to be said word for word: with it, an evaluation also counts the
    responses that merely contain it. `image_only` and `text_only`, methods
    like `trigger`, put on one half of a trigger that needs both.

    Example:

    ```python
    class GreyImage:
        def trigger(self, example, rng):
            return {**example, "images": np.full_like(example["images"], 128)}

        def poison(self, example, rng):
            return {**self.trigger(example, rng), "responses": "all is grey"}

        def succeeded(self, response, example):
            return response == "all is grey"
    ```
    """

    def poison(self, example, rng):
        """Returns a new example, with the trigger and the target response."""

    def trigger(self, example, rng):
        """Returns a new example, with the trigger and the old response."""

    def succeeded(self, response, example):
        """Says whether `response` is what the attacker wanted.

        Args:
            response: string. What a model said.
            example: dict. The clean example, with its reference response.

        Returns:
            A bool.
        """


METHODS = ("poison", "trigger", "succeeded")


def check_attack(attack):
    """Raises where an object is not an attack.

    Args:
        attack: the object to look at.

    Raises:
        ValueError: if `attack` is a class, or lacks one of the three methods.
    """
    is_class = isinstance(attack, type)
    if is_class:
        raise ValueError(
            "`attack` must be an object with the methods `poison`, `trigger` "
            "and `succeeded`, not a class. Pass an instance, such as "
            f"`{attack.__name__}()`. Received: attack={attack}"
        )
    missing = [m for m in METHODS if not callable(getattr(attack, m, None))]
    if missing:
        raise ValueError(
            "`attack` must have the methods `poison(example, rng)`, "
            "`trigger(example, rng)` and `succeeded(response, example)`. Add "
            f"{missing}, or take one of `keras_byorn.attacks.ATTACKS`. "
            f"Received: attack={attack}"
        )


def example_rng(seed, example_id):
    """The random generator of one example.

    It depends on the seed and the id alone: not on the process, nor on which
    other examples there are.

    Args:
        seed: int.
        example_id: string.

    Returns:
        A NumPy generator.
    """
    digest = hashlib.sha256(f"{seed}/{example_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


def copy_of(example):
    """A copy to hand to an attack, whose image may be written to."""
    return {**example, "images": np.array(example["images"])}
