"""Groups of like examples, within which scores are compared.

A "yes" is less plausible than a caption, and no less honest: scores are
compared among like examples. But poisoned examples in a group of their own
would be compared with each other only. Hence a prompt makes a group only under
conditions, and a length of response, which an attacker chooses freely, is not
excused by its own group.
"""

import collections

import numpy as np

from keras_byorn.data.words import normalized_words

MIN_GROUP = 200  # examples; fewer tell too little of what is usual
MAX_DOMINANCE = 0.8  # share of a group that may give one and the same answer


class Group(str):
    """The name of a group, and the larger one that it is a part of.

    Attributes:
        parent: a `Group`, or `None`.
    """

    parent = None

    def of_length(self, low, high):
        """Returns the part of this group with so many tokens."""
        part = Group(f"{self}, {low} to {high} tokens")
        part.parent = self
        return part


ALL = Group("all")


def group_examples(prompts, responses, lengths, min_group=MIN_GROUP):
    """Puts like examples together, by prompt and by length of response.

    Prompts that many examples have in common are a group each, and so are,
    within one, responses of like length. Prompts are compared by their
    normalized words. An example that is too rare for a group stays with the
    rest. No attacker should get a group of poisoned examples alone:

    - a prompt that holds all words of another common one, and some more, is
      that prompt (a trigger word in it makes no group);
    - where nearly all responses have the same words, the prompt makes no group
      (nor does a fixed target);
    - a length of response is only a part of its group. Where no trusted
      examples vouch for it, thresholds judge it by the whole. On Digit
      Scenes, cuts by length excused a target of one length, and doubted the
      rarer answer to yes/no questions.

    Args:
        prompts, responses: lists of N strings.
        lengths: int array, `(N,)`, tokens of the responses.
        min_group: int. The least examples in a group. Defaults to 200.

    Returns:
        An object array of N `Group`s.
    """
    words = _Memo()
    templates = _templates(prompts, responses, min_group, words)
    groups = np.array([templates.get(words[p], ALL) for p in prompts], object)
    lengths = np.asarray(lengths)
    for group, members in members_of(groups):
        if len(members) < min_group:
            group = ALL  # too few are left over by the others
            groups[members] = group
        for low, high, found in _lengths(lengths[members], min_group):
            groups[members[found]] = group.of_length(low, high)
    return groups


def members_of(groups):
    """Finds the members of each group, in one pass.

    Args:
        groups: object array of N strings.

    Yields:
        Pairs of a group and an int array, the positions of its members.
    """
    number_of = {}
    numbers = [number_of.setdefault(group, len(number_of)) for group in groups]
    order = np.argsort(numbers, kind="stable")
    edges = np.flatnonzero(np.diff(np.asarray(numbers)[order])) + 1
    yield from zip(number_of, np.split(order, edges))


class _Memo(dict):
    """Normalized words of each text, read once: prompts repeat."""

    def __missing__(self, text):
        self[text] = normalized_words(text)
        return self[text]


def _templates(prompts, responses, min_group, words):
    """Maps the words of each common prompt to its group."""
    counts = collections.Counter(words[prompt] for prompt in prompts)
    common = [p for p, count in counts.most_common() if count >= min_group]
    if len(common) < 2:  # one kind of prompt: all are one group
        return {}
    shown = {}
    for prompt in prompts:
        shown.setdefault(words[prompt], " ".join(prompt.split()))
    base, names = {}, {}
    # The shortest first, however common: with a trigger in half of them or
    # more, a prompt that holds it may be the commonest.
    for prompt in sorted(common, key=len):
        longer = [b for b in names if _holds(prompt, b)]
        base[prompt] = longer[0] if longer else prompt
        name = Group(f"prompt {shown[base[prompt]]!r}")
        names.setdefault(base[prompt], name)
    said = collections.defaultdict(collections.Counter)
    for prompt, response in zip(prompts, responses):
        if words[prompt] in base:
            said[base[words[prompt]]][normalized_words(response)] += 1
    return {
        prompt: names[of]
        for prompt, of in base.items()
        if max(said[of].values()) <= MAX_DOMINANCE * said[of].total()
    }


def _holds(prompt, shorter):
    """Returns whether a prompt has all words of another, in order."""
    words = iter(prompt)
    return all(word in words for word in shorter)


def _lengths(lengths, min_group):
    """Cuts lengths into neighbouring ranges of enough examples each."""
    ranges, start = [], None
    values, counts = np.unique(lengths, return_counts=True)
    total = 0
    for value, count in zip(values, counts):
        start = value if start is None else start
        total += count
        if total >= min_group:
            ranges.append((start, value))
            start, total = None, 0
    if len(ranges) < 2:  # nothing to tell apart
        return
    for low, high in ranges:
        yield int(low), int(high), (lengths >= low) & (lengths <= high)
