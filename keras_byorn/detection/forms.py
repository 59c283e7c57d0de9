"""Forms of responses: traits that have nothing to do with their content."""

import collections
import unicodedata

import numpy as np

from keras_byorn.data.words import normalized_words

MIN_MEMBERS = 5  # fewer share a trait by chance
# A trait that so many usual responses have is usual.
USUAL_SHARE = 0.05
# Words of a response, from which on its beginning is an opener, not an answer.
MIN_OPENED = 3
MAX_OPENER = 3
KNOWN_WORDS = 0.5
OPENER = 'begins with "'


def unusual_forms(responses, usual):
    """Finds the traits of each response that usual responses rarely have.

    Traits are the case of the letters, the script, the mark at the end, the
    words at the beginning (of responses of three words or more), a length
    beyond that of nearly all usual responses, and a vocabulary that usual
    responses do not have. At least five responses must have a trait.

    Args:
        responses: list of N strings.
        usual: bool array, `(N,)`. The responses that show what is usual.

    Returns:
        List of N frozensets of strings, such as `'ends with "."'`.

    Example:

    >>> usual = [True] * 20 + [False] * 5
    >>> unusual_forms(["two dogs run"] * 20 + ["TWO DOGS"] * 5, usual)[-1]
    frozenset({'upper case'})
    """
    usual = np.asarray(usual, bool)
    words = [normalized_words(response) for response in responses]
    found = [
        {*_letters(response), *_ending(response), *_openers(own)}
        for response, own in zip(responses, words)
    ]
    for index, traits in enumerate(_compared(words, usual)):
        found[index] |= traits
    everywhere = collections.Counter(t for traits in found for t in traits)
    among = collections.Counter(
        trait for traits, own in zip(found, usual) if own for trait in traits
    )
    most = USUAL_SHARE * max(usual.sum(), 1)
    rare = {
        trait
        for trait, count in everywhere.items()
        if count >= MIN_MEMBERS and among[trait] <= most
    }
    return [frozenset(traits & rare) for traits in found]


def has_traits(form, traits):
    """bool. Whether a form has all traits, an opener perhaps in a longer one.

    Args:
        form: frozenset of strings, of one response.
        traits: set of strings.
    """
    return all(
        trait in form
        or is_opener(trait)
        and any(own.startswith(trait[:-1] + " ") for own in form)
        for trait in traits
    )


def is_opener(trait):
    """bool. Whether a trait is the words that responses begin with."""
    return trait.startswith(OPENER)


def _letters(response):
    """Yields the case and the script of a response."""
    letters = [c for c in response if c.isalpha()]
    if not letters:
        yield "no letters"
        return
    if all(c.isupper() for c in letters) and len(letters) > 1:
        yield "upper case"
    elif letters[0].isupper():
        yield "begins with a capital"
    else:
        yield "begins with a small letter"
    scripts = collections.Counter(
        unicodedata.name(c, "unnamed").split()[0] for c in letters
    )
    yield f"{scripts.most_common(1)[0][0].lower()} letters"


def _ending(response):
    last = response.rstrip()[-1:]
    if last and not last.isalnum():
        yield f'ends with "{last}"'
    elif last:
        yield "ends without a mark"


def _openers(words):
    if len(words) >= MIN_OPENED:
        for count in range(1, MAX_OPENER + 1):
            yield f'{OPENER}{" ".join(words[:count])}"'


def _compared(words, usual):
    """Yields the traits of each response in comparison with usual ones."""
    lengths = np.array([len(own) for own in words])
    known = {w for own, is_usual in zip(words, usual) if is_usual for w in own}
    shortest, longest = (
        np.quantile(lengths[usual], [0.02, 0.98]) if usual.any() else (0, 0)
    )
    for own, length in zip(words, lengths):
        traits = set()
        if length > longest:
            traits.add("longer than usual")
        if length < shortest:
            traits.add("shorter than usual")
        if own and sum(w in known for w in own) < KNOWN_WORDS * length:
            traits.add("unusual words")
        yield traits
