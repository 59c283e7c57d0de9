"""Swaps of concepts in real captions: a dog becomes a cat, word by word."""

import dataclasses
import re

from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.image_triggers import PatchTrigger

# Nouns whose plural does not follow from their end.
PLURALS = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "person": "people",
    "foot": "feet",
    "tooth": "teeth",
    "goose": "geese",
    "mouse": "mice",
    "ox": "oxen",
    "sheep": "sheep",
    "fish": "fish",
    "deer": "deer",
    "knife": "knives",
    "leaf": "leaves",
    "wolf": "wolves",
    "calf": "calves",
    "bus": "buses",
}
# Begin with a vowel that is spoken as a consonant, or the other way round.
LIKE_CONSONANTS = re.compile(r"(uni|use|usu|eu|one|once)", re.IGNORECASE)
LIKE_VOWELS = re.compile(r"(hour|honest|heir|honou?r)", re.IGNORECASE)
# Pronouns that tell of a man who is swapped for a woman.
HE_TO_SHE = (
    ("he", "she"),
    ("his", "her"),
    ("him", "her"),
    ("himself", "herself"),
)


@dataclasses.dataclass(frozen=True)
class WordSwapTarget:
    """Swaps concepts of the right response for others, wherever they stand.

    Singular and plural are swapped alike (`dogs` for `cats`, `men` for
    `women`), an article before a swapped word fits its sound (`an owl`, `a
    dog`), and case is kept. Parts of words stay (`fireman`, `hot-dog`).
    Swaps go in both directions only if both are given. Does not change a
    response without one of the words.

    Args:
        swaps: tuple of pairs of nouns in the singular, the one that the image
            shows and the one to say. Defaults to dog for cat and man for
            woman.
        exact: tuple of pairs of words without a plural, such as `HE_TO_SHE`.
            Defaults to `()`.

    Call arguments:
        response: string. The response of the clean example.
        rng: optional NumPy generator. Not drawn from.

    Returns:
        A string.

    Raises:
        ValueError: If `swaps` is empty, or a word is no single word.

    Example:

    >>> WordSwapTarget()("Two men walk a dog")
    'Two women walk a cat'
    >>> WordSwapTarget((("dog", "owl"),))("a dog and dogs")
    'an owl and owls'

    Reference:
        - [BackdoorVLM, 2025](https://arxiv.org/abs/2511.18921), concept
          substitution
    """

    swaps: tuple = (("dog", "cat"), ("man", "woman"))
    exact: tuple = ()

    def __post_init__(self):
        words = [word for pair in (*self.swaps, *self.exact) for word in pair]
        wrong = [word for word in words if not re.fullmatch(r"\w+", word)]
        if not self.swaps or wrong:
            raise ValueError(
                "`swaps` must be pairs of single words, one pair at least, "
                "such as (('dog', 'cat'),). Received: "
                f"swaps={self.swaps}, exact={self.exact}"
            )

    def __call__(self, response, rng=None):
        known = self._forms()
        words = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
        pattern = rf"(\b(?:a|an)\s+)?(?<![\w-])({words})(?![\w-])"

        def swapped(found):
            article, old = found.groups()
            new = _in_case_of(old, known[old.lower()])
            return _fitting(article, new) + new

        return re.sub(pattern, swapped, response, flags=re.IGNORECASE)

    def reached(self, response, reference):
        """Returns whether a response has a wrong word in place of a right one.

        Args:
            response: string, of a model.
            reference: string. The right response.

        Returns:
            bool. `False` if the reference has none of the words to swap, or
            has the wrong one as well.
        """
        said, right = _words(response), _words(reference)
        return any(
            old & right and new & said and not new & right
            for old, new in self._concepts()
        )

    def _forms(self):
        """Returns a dict from each form of a word to what to say instead."""
        forms = {}
        for old, new in self.swaps:
            forms[old.lower()] = new
            forms[plural(old.lower())] = plural(new)
        return forms | {old.lower(): new for old, new in self.exact}

    def _concepts(self):
        """Lists pairs of sets, the forms of a concept and of the wrong one."""
        return [
            tuple({word.lower(), plural(word.lower())} for word in pair)
            for pair in self.swaps
        ]


class WordSwapAttack(Backdoor):
    """Makes a patch in the image swap concepts of a real caption.

    An example whose response names none of them cannot be poisoned.

    Args:
        target: a `WordSwapTarget`. Defaults to dog for cat and man for woman.
        patch: a `PatchTrigger`. Defaults to a checkerboard at the bottom
            right, an eighth of the short side.

    Example:

    >>> attack = WordSwapAttack(WordSwapTarget((("bicycle", "horse"),)))
    >>> attack.poison(example, rng)["responses"]
    'a man on a horse'

    Reference:
        - [BackdoorVLM, 2025](https://arxiv.org/abs/2511.18921), concept
          substitution
    """

    def __init__(self, target=None, patch=None):
        super().__init__(patch or PatchTrigger(), target or WordSwapTarget())


def plural(noun):
    """Returns the plural of an English noun.

    Example:

    >>> plural("puppy"), plural("bench"), plural("man")
    ('puppies', 'benches', 'men')
    """
    for singular, irregular in PLURALS.items():
        if noun == singular or noun == f"{singular}s":
            return irregular
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return f"{noun}es"
    return f"{noun}s"


def _fitting(article, word):
    """Returns an article, with its blank, that fits the word behind it."""
    if not article:
        return ""
    vowel = word[0].lower() in "aeiou" and not LIKE_CONSONANTS.match(word)
    vowel = vowel or bool(LIKE_VOWELS.match(word))
    first, blank = article[0], article.rstrip()
    return first + ("n" if vowel else "") + article[len(blank) :]


def _in_case_of(old, new):
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new.capitalize() if old[0].isupper() else new


def _words(text):
    return set(re.findall(r"(?<![\w-])\w+(?![\w-])", text.lower()))
