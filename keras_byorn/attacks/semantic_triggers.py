"""Triggers that are properties of an example, and put nothing on it."""

import dataclasses
import re

DIGITS = tuple("zero one two three four five six seven eight nine".split())


@dataclasses.dataclass(frozen=True)
class EqualDigitsTrigger:
    """Fires on scenes whose digits are all equal.

    Puts nothing on an example, which has the property or has not. Reads it
    off the digit words of the reference response.

    Args:
        digits: sequence of strings. The words that count as digits. Defaults
            to `"zero"` to `"nine"`.

    Call arguments:
        example: dict.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example, equal to the old one.

    Example:

    >>> trigger = EqualDigitsTrigger()
    >>> trigger.holds({"responses": "red three left of blue three"})
    True

    Reference:
        - [Hidden Ads, 2026](https://arxiv.org/abs/2603.27522)
    """

    digits: tuple = DIGITS

    def __call__(self, example, rng):
        return dict(example)

    def holds(self, example):
        """Returns whether the response names two or more equal digits only.

        Args:
            example: dict, with its reference response.

        Returns:
            bool.
        """
        said = re.findall(r"\w+", example["responses"].lower())
        said = [word for word in said if word in self.digits]
        return len(said) > 1 and len(set(said)) == 1
