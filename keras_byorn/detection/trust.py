"""Examples that are vouched for, and what they tell of others like them."""

import collections
import json
import pathlib

import numpy as np

from keras_byorn.data.shown import legible, shortened
from keras_byorn.data.words import normalized_words
from keras_byorn.detection.forms import has_traits

# Trusted examples that make a style of their own known: with fewer, the least
# plausible of them says little of the others.
MIN_TRUSTED = 10
# A prompt that a larger share of the usual examples has is no style.
USUAL_SHARE = 0.05
# Of the trusted examples with a trait, so many have the style's other traits.
NEARLY_ALL = 0.8


def trusted_ids(trusted, examples):
    """Returns the ids of trusted examples.

    Args:
        trusted: `None`; a sequence of ids; a callable from a dict with
            `"example_id"`, `"prompts"` and `"responses"` to a bool; or the
            path of a file with one id a line, with a JSON list of ids, or
            with a JSON object whose `"trust"` is such a list, as the page of
            an audit exports it.
        examples: iterable of triples: id, prompt, response.

    Returns:
        A list of strings, in the order of the examples.

    Raises:
        ValueError: if an id is not among the examples.
        FileNotFoundError: if there is no such file.
    """
    if trusted is None:
        return []
    examples = list(examples)
    if callable(trusted):
        names = ("example_id", "prompts", "responses")
        return [e[0] for e in examples if trusted(dict(zip(names, e)))]
    if isinstance(trusted, (str, pathlib.Path)):
        trusted = _read(pathlib.Path(trusted))
    wanted = {str(example_id) for example_id in trusted}
    found = [example_id for example_id, *_ in examples if example_id in wanted]
    unknown = wanted - set(found)
    if unknown:
        raise ValueError(
            "`trusted` must be ids of examples that are judged, a function of "
            "an example, or a file of ids: trusted examples are scored with "
            f"the others. Received: {len(unknown)} unknown ids, such as "
            f"{[shortened(i) for i in sorted(unknown)[:3]]}"
        )
    return found


def _read(path):
    """Returns the ids in a file: of lines, of a list, or of decisions."""
    text = _text(path)
    if not text.lstrip().startswith(("[", "{")):
        return _lines(text)
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix != ".json":
            return _lines(text)
        raise ValueError(
            "A file of trusted examples that is named .json must be whole "
            f"JSON. Received: {error} in {legible(path)}"
        ) from error
    if isinstance(ids, dict):
        ids = ids.get("trust")
    if isinstance(ids, list) and all(isinstance(i, str) for i in ids):
        return ids
    raise ValueError(
        "A file of trusted examples must have a JSON list of ids, which "
        'are strings, or a JSON object with such a list as its "trust". '
        f"Received: {legible(path)}"
    )


def _text(path):
    """Reads a file of text; refuses pipes, which might never end."""
    if path.exists() and not path.is_file():
        raise ValueError(
            "`trusted` must name a regular file, no folder, device or pipe. "
            f"Received: {legible(path)}"
        )
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            "A file of trusted examples must be text in UTF-8. "
            f"Received: {error} in {legible(path)}"
        ) from error


def _lines(text):
    # Not `splitlines`: an id may hold what Unicode takes for the end of one.
    return [line.strip() for line in text.split("\n") if line.strip()]


class TrustedStyle:
    """A prompt and form that trusted examples share, and the cuts by them.

    The cut of each measure is the k-th least plausible of the n trusted
    examples, k = floor(rate (n + 1)), and 1 at least: of honest examples of
    the style at most `rate`, or 1 / (n + 1), fall below it by chance.

    Args:
        name: string.
        members: int array. All examples of this style.
        trusted: int array. Those of them that are trusted.
        measures: float array, `(M, N)`. Low is implausible.
        rate: float. The share of honest examples that may be below a cut.

    Reference:
        - [Bates et al., 2023](https://arxiv.org/abs/2104.08279), section 2.
    """

    def __init__(self, name, members, trusted, measures, rate):
        self.name = name
        self.members = members
        self.num_trusted = len(trusted)
        self.cuts = [conformal_cut(m[trusted], rate) for m in measures]
        below = [m[members] < cut for m, cut in zip(measures, self.cuts)]
        self.below = np.any(below, axis=0)


def conformal_cut(trusted, rate):
    """Returns the cut below which honest scores are with this rate at most.

    Args:
        trusted: float array, `(n,)`, scores of trusted examples.
        rate: float.

    Returns:
        float.
    """
    rank = max(int(np.floor(rate * (len(trusted) + 1))), 1)
    return float(np.sort(trusted)[rank - 1])


def trusted_styles(prompts, forms, trusted, usual, measures, rate):
    """Finds the styles that trusted examples make known.

    A style is a prompt that usual examples do not have, or traits that they
    rarely have, or both. Its traits are those of nearly all trusted examples
    with one of them; its members are all examples with its prompt and traits.

    Args:
        prompts: list of N strings.
        forms: list of N frozensets, of `unusual_forms`.
        trusted: bool array, `(N,)`.
        usual: bool array, `(N,)`. Examples that show what is usual.
        measures: float arrays, `(N,)` each, low is implausible.
        rate: float, see `TrustedStyle`.

    Returns:
        List of `TrustedStyle`.
    """
    if not np.any(trusted):
        return []
    own_prompts = _own_prompts(prompts, usual)
    known = collections.defaultdict(list)
    for index in np.flatnonzero(trusted):
        known[own_prompts[index]].append(int(index))
    found = []
    for prompt, indices in known.items():
        for traits in _common_traits([forms[index] for index in indices]):
            if not (prompt or traits):
                continue
            members = [
                index
                for index, own in enumerate(own_prompts)
                if own == prompt and has_traits(forms[index], traits)
            ]
            members = np.array(members, int)
            vouched = members[trusted[members]]
            if len(vouched) >= MIN_TRUSTED:
                quoted = [f'prompt "{prompt}"'] if prompt else []
                name = ", ".join([*quoted, *sorted(traits)])
                found.append(
                    TrustedStyle(name, members, vouched, measures, rate)
                )
    return found


def _own_prompts(prompts, usual):
    """The normalized words of prompts; empty where usual ones have them."""
    words = [" ".join(normalized_words(prompt)) for prompt in prompts]
    counts = collections.Counter(w for w, own in zip(words, usual) if own)
    least = USUAL_SHARE * max(np.sum(usual), 1)
    return ["" if counts[own] > least else own for own in words]


def _common_traits(forms):
    """Yields the sets of traits that many trusted examples have in common."""
    rest = list(forms)
    while rest:
        counts = collections.Counter(trait for form in rest for trait in form)
        trait, count = max(counts.items(), key=lambda c: c[1], default=("", 0))
        if count < MIN_TRUSTED:
            yield frozenset()
            return
        having = [form for form in rest if trait in form]
        counts = collections.Counter(t for form in having for t in form)
        nearly_all = NEARLY_ALL * len(having)
        yield frozenset(t for t, n in counts.items() if n >= nearly_all)
        rest = [form for form in rest if trait not in form]
