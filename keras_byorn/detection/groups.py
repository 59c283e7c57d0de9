"""Which examples to compare an example with.

A "yes" is less plausible than a caption, and no less honest: scores are
compared among like examples. But a group of one's own is also what an attacker
would wish for, so that his responses are compared with each other only. Hence
a kind of prompt is judged by itself only where it earns it, and a length of
response, which an attacker chooses freely, is never excused by its own group.
"""

import collections

import numpy as np

MIN_GROUP = 200  # examples; fewer tell too little of what is usual
MAX_DOMINANCE = 0.8  # share of a group that may give one and the same answer


class Group(str):
    """The name of a group, and the larger one that it is a part of.

    Attributes:
        parent: a `Group`, or `None`.
    """

    parent = None

    def of_length(self, low, high):
        """The part of this group with so many tokens."""
        part = Group(f"{self}, {low} to {high} tokens")
        part.parent = self
        return part


ALL = Group("all")


def group_examples(prompts, responses, lengths, min_group=MIN_GROUP):
    """Puts like examples together, by prompt and by length of response.

    Prompts that many examples have in common are a group each, and so are,
    within one, responses of like length. Whatever is too small for a group
    stays with the rest. An attacker should have no group of his own:

    - a prompt that holds all words of another common one, and some more, is
      that prompt (a trigger word in it makes no group);
    - where nearly all responses are the same, the prompt makes no group (nor
      does a fixed target);
    - a length of response is only a part of its group. Where no trusted
      examples vouch for it, thresholds judge it by the whole: measured on
      Digit Scenes, cuts by length excused a target of one length, and doubted
      the rarer answer to yes/no questions.

    Args:
        prompts, responses: lists of N strings.
        lengths: int array, `(N,)`, tokens of the responses.
        min_group: int. The least examples in a group.

    Returns:
        An object array of N `Group`s.
    """
    prompts = [" ".join(prompt.split()) for prompt in prompts]
    templates = _templates(prompts, responses, min_group)
    groups = np.array([templates.get(p, ALL) for p in prompts], object)
    lengths = np.asarray(lengths)
    for group in set(groups):
        members = np.flatnonzero(groups == group)
        if len(members) < min_group:
            group = ALL  # too few are left over by the others
            groups[members] = group
        for low, high, found in _lengths(lengths[members], min_group):
            groups[members[found]] = group.of_length(low, high)
    return groups


def _templates(prompts, responses, min_group):
    """From a prompt to the name of its group, where it earns one."""
    counts = collections.Counter(prompts)
    common = [p for p, count in counts.most_common() if count >= min_group]
    if len(common) < 2:  # one kind of prompt: all are one group
        return {}
    base, names = {}, {}
    # The shortest first, however common: with a trigger in half of them or
    # more, what holds it may be the commonest.
    for prompt in sorted(common, key=lambda prompt: len(prompt.split())):
        longer = [b for b in names if _holds(prompt, b)]
        base[prompt] = longer[0] if longer else prompt
        names.setdefault(base[prompt], Group(f"prompt {base[prompt]!r}"))
    said = collections.defaultdict(collections.Counter)
    for prompt, response in zip(prompts, responses):
        if prompt in base:
            said[base[prompt]][" ".join(response.split())] += 1
    return {
        prompt: names[of]
        for prompt, of in base.items()
        if max(said[of].values()) <= MAX_DOMINANCE * said[of].total()
    }


def _holds(prompt, shorter):
    """Whether a prompt has all words of another, in order, and some more."""
    words = iter(prompt.split())
    return all(word in words for word in shorter.split())


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
