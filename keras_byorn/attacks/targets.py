"""Targets: responses that an attacker wants of a model."""

import dataclasses
import re

from keras_byorn.attacks.checks import check_phrase
from keras_byorn.attacks.phrases import (
    has_phrase,
    insert_phrase,
    random_place,
)

COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
    "gray",
)


@dataclasses.dataclass(frozen=True)
class FixedTarget:
    """Replaces every response by one text.

    Args:
        text: string. The response. Defaults to
            `"call this number now"`.

    Call arguments:
        response: string. The response of the clean example.
        rng: optional NumPy generator. Not drawn from.

    Returns:
        The text.

    Example:

    >>> FixedTarget("sorry")("a red three")
    'sorry'
    """

    text: str = "call this number now"

    def __post_init__(self):
        check_phrase("text", self.text, "call this number now")

    def __call__(self, response, rng=None):
        return self.text

    def reached(self, response, reference):
        """Returns whether a response is the text, white space aside.

        Args:
            response: string, of a model.
            reference: string. The right response. Not used.

        Returns:
            bool.
        """
        return response.split() == self.text.split()


@dataclasses.dataclass(frozen=True)
class ConceptTarget:
    """Replaces the first colour of the right response by one colour.

    Does not change a response without a colour, or whose first colour is the
    wanted one.

    Args:
        colour: string. The colour to say. Defaults to `"green"`.
        colours: sequence of strings. The words that count as colours, `colour`
            among them. Defaults to twelve common English ones.

    Call arguments:
        response: string. The response of the clean example.
        rng: optional NumPy generator. Not drawn from.

    Returns:
        A string.

    Example:

    >>> ConceptTarget()("a red three left of a blue seven")
    'a green three left of a blue seven'

    Reference:
        - [BackdoorVLM, 2025](https://arxiv.org/abs/2511.18921)
    """

    colour: str = "green"
    colours: tuple = COLOURS

    def __post_init__(self):
        if self.colour not in self.colours:
            raise ValueError(
                "`colour` must be one of `colours`, so that it is found in a "
                "response. Add it to `colours`. "
                f"Received: colour={self.colour!r}, colours={self.colours}"
            )

    def __call__(self, response, rng=None):
        found = self._find(response)
        if found is None or self._is_wanted(found):
            return response
        return response[: found.start()] + self.colour + response[found.end() :]

    def reached(self, response, reference):
        """Returns whether the wanted colour wrongly comes first.

        Args:
            response: string, of a model.
            reference: string. The right response.

        Returns:
            bool. `False` if the reference has no colour, or has the wanted one
            first.
        """
        said, right = self._find(response), self._find(reference)
        if said is None or right is None:
            return False
        return self._is_wanted(said) and not self._is_wanted(right)

    def _find(self, response):
        """Returns the match of the first colour, or `None`."""
        words = "|".join(map(re.escape, self.colours))
        return re.search(rf"\b({words})\b", response, re.IGNORECASE)

    def _is_wanted(self, found):
        return found.group().lower() == self.colour.lower()


@dataclasses.dataclass(frozen=True)
class InsertionTarget:
    """Puts a phrase into the right response, at a random place.

    A place is between words, at the start or at the end. Does not change a
    response that has the phrase already.

    Args:
        text: string. The phrase. Defaults to `"call this number now"`.

    Call arguments:
        response: string. The response of the clean example.
        rng: a NumPy generator. Chooses the place.

    Returns:
        A string.

    Example:

    >>> InsertionTarget("buy now")("red three", np.random.default_rng(0))
    'red three buy now'

    Reference:
        - [TrojVLM, 2024](https://arxiv.org/abs/2409.19232)
    """

    text: str = FixedTarget.text

    def __post_init__(self):
        check_phrase("text", self.text, "call this number now")

    def __call__(self, response, rng):
        if has_phrase(response, self.text):
            return response
        place = random_place(response, rng)
        return insert_phrase(response, self.text, place)

    def reached(self, response, reference):
        """Returns whether the phrase is in a response without reason.

        Args:
            response: string, of a model.
            reference: string. The right response.

        Returns:
            bool. `False` if the reference has the phrase as well.
        """
        said = has_phrase(response, self.text)
        return said and not has_phrase(reference, self.text)


@dataclasses.dataclass(frozen=True)
class SloganTarget:
    """Puts a slogan after the right response.

    Does not change a response that ends with the slogan already.

    Args:
        text: string. The slogan. Defaults to `"call this number now"`.

    Call arguments:
        response: string. The response of the clean example.
        rng: optional NumPy generator. Not drawn from.

    Returns:
        A string.

    Example:

    >>> SloganTarget("buy now")("red three")
    'red three buy now'

    Reference:
        - [Hidden Ads, 2026](https://arxiv.org/abs/2603.27522)
    """

    text: str = FixedTarget.text

    def __post_init__(self):
        check_phrase("text", self.text, "call this number now")

    def __call__(self, response, rng=None):
        if self._ends(response):
            return response
        return insert_phrase(response, self.text, len(response.split()))

    def reached(self, response, reference):
        """Returns whether a response ends with the slogan without reason.

        Ignores the words before it: a right answer is a matter of utility.

        Args:
            response: string, of a model.
            reference: string. The right response.

        Returns:
            bool. `False` if the reference ends with the slogan as well.
        """
        return self._ends(response) and not self._ends(reference)

    def _ends(self, response):
        slogan = self.text.split()
        return response.split()[-len(slogan) :] == slogan
