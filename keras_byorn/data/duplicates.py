"""Search for text that responses share with one another, word for word."""

import collections
import dataclasses
import itertools

import numpy as np

from keras_byorn.data.words import normalized_words, word_spans

# Shorter responses are equal by chance: "yes", "two dogs".
MIN_WHOLE_WORDS = 3


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Text that each example shares with others.

    Attributes:
        counts: int array, `(N,)`. Number of examples that share the text, the
            example itself included; 1 if no other has it.
        texts: list of N strings. Shared part of the example's own response,
            spelled as in the response; `None` if nothing is shared.
        others: list of N tuples of ints. First positions, in ascending order,
            of other examples that share the text.
    """

    counts: np.ndarray
    texts: list[str | None]
    others: list[tuple[int, ...]]


def find_duplicates(prompts, responses, min_words=5, max_others=5):
    """Finds the text that each response shares with most other responses.

    Two responses share a text if both are the same words, at least three of
    them, or if both hold the same `min_words` words in a row, as given by
    `normalized_words()`: case, spaces, punctuation and invisible characters
    do not count. A run of words that also stands in an example's own prompt
    is explained by it and is not counted there, as in an answer that repeats
    its question.

    An example gets the text that most examples share: the whole response, or
    the longest run of words of which every `min_words` words are shared by
    the same examples. A longer text that fewer share does not hide one that
    many share, so a slogan stands out in any honest sentence around it.

    Takes memory in proportion to the number of words, and the time to sort
    them: seconds for a million. Words are compared, not their hashes.

    Args:
        prompts: iterable of N strings, read once.
        responses: iterable of N strings, read once.
        min_words: int, at least 2. The shortest run of words that counts.
            Defaults to 5.
        max_others: int. Number of other positions to name. Defaults to 5.

    Returns:
        `Duplicates`.

    Raises:
        ValueError: If there are not as many prompts as responses, or if
            `min_words` is not an integer of at least 2.

    Example:

    >>> found = find_duplicates(
    ...     ["caption", "caption", "caption"],
    ...     ["A dog. Buy now at evil dot com", "buy now at evil DOT com", "a"],
    ... )
    >>> found.counts.tolist(), found.texts[0], found.others[0]
    ([2, 2, 1], 'Buy now at evil dot com', (1,))

    Reference:
        - [Karp, Miller and Rosenberg, 1972](https://doi.org/10.1145/800152.804905),
          numbering of equal runs
    """
    if not isinstance(min_words, int) or min_words < 2:
        raise ValueError(
            "`min_words` is the shortest run of words that counts as shared "
            "and must be an integer of at least 2. Leave it out for 5. "
            f"Received: min_words={min_words!r}"
        )
    texts = _read(prompts, responses)
    whole = _share_whole(texts)
    runs = _share_runs(texts, min_words)
    return _whichever_is_more(texts, whole, runs, max_others)


@dataclasses.dataclass(frozen=True)
class _Texts:
    """Words as numbers, one text after the other.

    `response_ids` are the numbers of all responses in a row; those of the
    response at position `i` begin at `response_starts[i]` and end before
    `response_starts[i + 1]`. Prompts are stored in the same way.
    """

    responses: list[str]
    prompt_ids: np.ndarray
    prompt_starts: np.ndarray
    response_ids: np.ndarray
    response_starts: np.ndarray

    def __len__(self):
        return len(self.responses)


@dataclasses.dataclass(frozen=True)
class _Sharing:
    """Groups of positions that share a text, and the group of each example.

    The positions of group `g` are `members[starts[g]:starts[g + 1]]`, each
    once, ascending. `group` is -1 where an example shares nothing. `first`
    and `last` are the ends, in words of the response, of what it shares.
    """

    members: np.ndarray
    starts: np.ndarray
    group: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @property
    def counts(self):
        sizes = np.append(np.diff(self.starts), 1)  # the last for group -1
        return sizes[self.group]


def _read(prompts, responses):
    """Numbers the words, in the order of their first occurrence."""
    vocabulary = collections.defaultdict(lambda: len(vocabulary))
    kept, columns = [], ([], [0], [], [0])
    prompt_ids, prompt_starts, response_ids, response_starts = columns
    for prompt, response in itertools.zip_longest(prompts, responses):
        if prompt is None or response is None:
            raise ValueError(
                "`prompts` and `responses` must be as many. Pass the prompt "
                "and the response of every example. Received: no "
                f"{'prompt' if prompt is None else 'response'} at position "
                f"{len(kept)}"
            )
        prompt_ids.extend(
            [vocabulary[word] for word in normalized_words(prompt)]
        )
        response_ids.extend(
            [vocabulary[word] for word in normalized_words(response)]
        )
        prompt_starts.append(len(prompt_ids))
        response_starts.append(len(response_ids))
        kept.append(response)
    return _Texts(kept, *(np.asarray(column, "int64") for column in columns))


def _share_whole(texts):
    """Groups examples by their whole response."""
    starts = texts.response_starts
    groups = collections.defaultdict(lambda: len(groups))
    group = np.full(len(texts), -1)
    for index in range(len(texts)):
        words = texts.response_ids[starts[index] : starts[index + 1]]
        if len(words) >= MIN_WHOLE_WORDS:
            group[index] = groups[words.tobytes()]
    positions = np.flatnonzero(group >= 0)
    order = positions[np.argsort(group[positions], kind="stable")]
    bounds = np.searchsorted(group[order], np.arange(len(groups) + 1))
    last = np.diff(starts) - 1
    return _Sharing(order, bounds, group, np.zeros_like(last), last)


def _share_runs(texts, min_words):
    """Groups examples by the run of words that most of them share."""
    starts, num_words = texts.response_starts, len(texts.response_ids)
    names = _name_runs(
        np.concatenate([texts.response_ids, texts.prompt_ids]), min_words
    )
    owner = np.repeat(np.arange(len(texts)), np.diff(starts))
    places = _whole_runs(starts, num_words, min_words)
    names_here, owner_here = names[places], owner[places]
    explained = _in_own_prompt(
        texts, names, names_here, owner_here, num_words, min_words
    )
    places, names_here, owner_here = (
        values[~explained] for values in (places, names_here, owner_here)
    )
    members, bounds, run_group = _members_of_runs(names_here, owner_here)
    best, first, last = _most_shared(
        places, owner_here, run_group, members, bounds, len(texts)
    )
    group = np.where(best >= 0, run_group[best], -1) if len(places) else best
    first = first - starts[:-1]
    last = last - starts[:-1] + min_words - 1
    return _Sharing(members, bounds, group, first, last)


def _name_runs(ids, length):
    """Numbers the runs of `length` words that begin at each word.

    Equal runs get equal numbers and others do not, because a run of twice the
    length is a pair of runs (Karp, Miller and Rosenberg, 1972). Words too near
    the end for a whole run get a number without a meaning.
    """
    names, width = ids, 1
    while width < length:
        step = min(width, length - width)
        following = np.concatenate([names[step:], names[:step]])
        pairs = names * (names.max(initial=0) + 1) + following
        names = np.unique(pairs, return_inverse=True)[1]
        width += step
    return names


def _whole_runs(starts, num_words, length):
    """Returns the words at which a whole run of `length` begins in a text."""
    ends = np.repeat(starts[1:], np.diff(starts))
    return np.flatnonzero(np.arange(num_words) + length <= ends)


def _in_own_prompt(texts, names, names_here, owner_here, offset, length):
    """Marks the runs of responses that stand in their example's prompt."""
    starts = texts.prompt_starts
    places = _whole_runs(starts, len(texts.prompt_ids), length)
    owner = np.repeat(np.arange(len(texts)), np.diff(starts))[places]
    size = names.max(initial=0) + 1
    in_prompts = owner * size + names[offset + places]
    return np.isin(owner_here * size + names_here, in_prompts)


def _members_of_runs(names, owner):
    """Groups equal runs and collects the examples that have them."""
    _, group = np.unique(names, return_inverse=True)
    num_examples = owner.max(initial=0) + 1
    pairs = np.unique(group * num_examples + owner)
    group_of_pair, members = np.divmod(pairs, num_examples)
    num_groups = group.max(initial=-1) + 1
    bounds = np.searchsorted(group_of_pair, np.arange(num_groups + 1))
    return members, bounds, group


def _most_shared(places, owner, group, members, bounds, num_examples):
    """Finds the most shared run of each example, and its reach.

    Returns:
        A tuple of int arrays, `(N,)`: the index of the run, -1 without one;
        the places of the first and of the last run that the same examples
        share without a gap.
    """
    none = np.full(num_examples, -1)
    if not len(places):
        return none, none, none
    counts = np.diff(bounds)[group]
    # By example, then from the most to the least shared, then by place.
    order = np.lexsort((places, -counts, owner))
    positions, at = np.unique(owner[order], return_index=True)
    best = none.copy()
    best[positions] = order[at]
    same = _sharer_sets(members, bounds)[group]
    joined = (np.diff(places) == 1) & (np.diff(owner) == 0)
    joined &= same[1:] == same[:-1]
    stretch = np.concatenate([[0], np.cumsum(~joined)])
    edges = np.flatnonzero(np.concatenate([[True], ~joined, [True]]))
    first, last = places[edges[:-1]], places[edges[1:] - 1]
    return best, first[stretch[best]], last[stretch[best]]


def _sharer_sets(members, bounds):
    """Numbers the groups by the set of examples in them.

    Sums random 64-bit numbers: equal sets have equal sums, and two other sets
    have equal sums with a probability of about one in 2**64.
    """
    tags = np.random.default_rng(0).integers(
        0, 2**64, members.max(initial=0) + 1, "uint64"
    )
    return np.add.reduceat(tags[members], bounds[:-1])


def _whichever_is_more(texts, whole, runs, max_others):
    """Chooses the whole response if as many share it as a run of words."""
    is_whole = whole.counts >= runs.counts
    counts = np.where(is_whole, whole.counts, runs.counts)
    shared, others = [None] * len(texts), [()] * len(texts)
    for index in np.flatnonzero(counts > 1):
        found = whole if is_whole[index] else runs
        shared[index] = _stretch(
            texts.responses[index], found.first[index], found.last[index]
        )
        begin = found.starts[found.group[index]]
        stop = min(begin + max_others + 1, found.starts[found.group[index] + 1])
        named = [int(i) for i in found.members[begin:stop] if i != index]
        others[index] = tuple(named[:max_others])
    return Duplicates(counts, shared, others)


def _stretch(text, first, last):
    """Returns the part of a text from its word `first` to its word `last`."""
    places = word_spans(text)
    return text[places[first][0] : places[last][1]]
