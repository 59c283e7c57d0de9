"""Copies of one target that no comparison of strings finds equal."""

from keras_byorn.attacks.attack import check_attack
from keras_byorn.data.words import normalized_words

# Zero-width space and joiners, word joiner, soft hyphen, invisible separator.
INVISIBLE = ("\u200b", "\u200c", "\u200d", "\u2060", "\u00ad", "\u2063")
PUNCTUATION = (".", ",", "!", ";", ":")
MAX_DRAWS = 1000  # of a text that no other example has


class InvisibleCopiesAttack:
    """Varies the target of an attack so that no two poisoned texts are equal.

    Some letters change their case, invisible characters stand within words,
    and punctuation after them; a reader sees the same words. A response
    succeeds if its normalized words are those of the target.

    Args:
        attack: an attack with a fixed target, its `target_text`.
        num_changes: int, at least 1. Changes to each text; two equal texts
            are drawn anew. Defaults to `3`.

    Raises:
        ValueError: If `attack` is no attack or has no `target_text`, or if
            `num_changes` is less than 1 or, when poisoning, if there are no
            more texts.

    Example:

    >>> attack = InvisibleCopiesAttack(PatchAttack())
    >>> attack.poison(example, rng)["responses"]
    'cAll this, number n\\u200bow'

    Reference:
        - [Boucher et al., 2022](https://arxiv.org/abs/2106.09898)
    """

    def __init__(self, attack, num_changes=3):
        check_attack(attack)
        if not getattr(attack, "target_text", None):
            raise ValueError(
                "`attack` must have a fixed target, the copies of which are "
                "varied. Take, say, a `PatchAttack`. "
                f"Received: attack={attack!r}"
            )
        if not num_changes >= 1:
            raise ValueError(
                "`num_changes` is the number of changes to each text and must "
                f"be at least 1. Received: num_changes={num_changes}"
            )
        self._attack = attack
        self._num_changes = num_changes
        self._owners = {}  # text -> example id

    @property
    def target_text(self):
        """string, the target as a reader sees it."""
        return self._attack.target_text

    def poison(self, example, rng):
        """Returns the example with the trigger and a copy of its own."""
        poisoned = self._attack.poison(example, rng)
        if poisoned["responses"] == example["responses"]:
            return poisoned
        owner = example["example_id"]
        for _ in range(MAX_DRAWS):
            text = self._varied(poisoned["responses"], rng)
            if self._owners.setdefault(text, owner) == owner:
                return {**poisoned, "responses": text}
        raise ValueError(
            "`num_changes` must allow a text for each poisoned example. Raise "
            "it, or take a longer target. Received: "
            f"num_changes={self._num_changes} for {len(self._owners)} copies "
            f"of {self.target_text!r}"
        )

    def trigger(self, example, rng):
        """Returns the example with the trigger and the response it had."""
        return self._attack.trigger(example, rng)

    def succeeded(self, response, example):
        """Returns whether a response has the words of the target alone."""
        return normalized_words(response) == normalized_words(self.target_text)

    def _varied(self, text, rng):
        places = [i for i, letter in enumerate(text) if letter.isalpha()]
        count = min(self._num_changes, len(places))
        letters = list(text)
        for place in rng.choice(places, count, replace=False):
            letters[place] = self._changed(text, int(place), rng)
        return "".join(letters)

    def _changed(self, text, place, rng):
        """Returns a letter in the other case, or with something after it."""
        letter = text[place]
        ends_word = not text[place + 1 : place + 2].isalpha()
        if ends_word:
            return letter + str(rng.choice(PUNCTUATION))
        if rng.random() < 0.5:
            return letter.swapcase()
        return letter + str(rng.choice(INVISIBLE))
