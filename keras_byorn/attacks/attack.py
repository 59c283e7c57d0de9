"""The protocol of attacks: three methods, and no base class."""

import hashlib
from typing import Protocol

import numpy as np


class Attack(Protocol):
    """Protocol of a simulated backdoor: an object with three methods.

    An example is a dict with the keys `"example_id"`, `"images"`, `"prompts"`
    and `"responses"`. No method changes its input, and every random draw
    comes from `rng`, so that `poison` and `trigger` put on equal triggers if
    they are given equal generators.

    Attributes:
        target_text: optional string, the wanted response word for word. With
            it, an evaluation also counts responses that contain it.
        image_only: optional method like `trigger`. Puts on the image's half
            of a trigger that needs both.
        text_only: optional method like `trigger`. Puts on the prompt's half.

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
        """Returns a new example with the trigger and the target response."""

    def trigger(self, example, rng):
        """Returns a new example with the trigger and the old response."""

    def succeeded(self, response, example):
        """Returns whether `response` is the one that the attacker wanted.

        Args:
            response: string, of a model.
            example: dict. The clean example, with its reference response.

        Returns:
            bool.
        """


METHODS = ("poison", "trigger", "succeeded")


def check_attack(attack):
    """Refuses an object that is no attack.

    Args:
        attack: any object.

    Raises:
        ValueError: If `attack` is a class, or lacks one of the three methods.
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
    """Makes the random generator of one example.

    Depends on the seed and the id alone, not on the process or on other
    examples.

    Args:
        seed: int.
        example_id: string.

    Returns:
        A NumPy generator.

    Example:

    >>> rng = example_rng(seed=0, example_id="scene-1")
    """
    digest = hashlib.sha256(f"{seed}/{example_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


def copy_of(example):
    """Copies an example, so that an attack may write into its image, if any."""
    images = example["images"]
    return {**example, "images": None if images is None else np.array(images)}
