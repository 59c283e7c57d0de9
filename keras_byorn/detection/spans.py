"""Spans of a response that make it implausible, with all that they force.

A response is read from left to right, and a token is taken out if it stands
out *after the tokens that were kept before it*. So a word that is likely only
because the span stands before it, such as the "dot com" after "visit evil",
stands out once these are gone, and goes with them; while a plausible word that
a strange span made look strange is judged without it, and stays.
"""

import collections

import numpy as np

# A token stands out if its regret is below this quantile of those of kept
# responses.
STANDS_OUT = 0.01
# A span is the lesser part of a response, and short: each token of the longest
# one costs a pass over the few responses that are searched.
MAX_SHARE = 0.5
MAX_TOKENS = 16
# At most so many tokens between two of a span are taken for a part of it.
MAX_HOLE = 2
# A run that stands out in so many responses is no accident.
MIN_COPIES = 5


def token_cut(regrets):
    """Computes the regret below which a token stands out.

    Args:
        regrets: float array, `(M,)`, nats, of all tokens of kept responses:
            how far a token lags behind the likeliest one; at most 0.

    Returns:
        float, nats.
    """
    return float(np.quantile(regrets, STANDS_OUT))


def find_spans(responses, regrets, cut, score_rests):
    """Finds in each response the span without which it is plausible.

    A run that was taken out of five responses or more is taken out of the
    others, too, wherever it stands in them, so that no part of a span that
    many have in common is learned.

    Args:
        responses: dict from the position of an example to its response's
            token ids, without end token.
        regrets: dict from position to a float array, the regrets of these
            tokens and, last, of the end token, nats.
        cut: float, nats. A token whose regret is below it stands out.
        score_rests: callable from a dict as `responses`, of the rests of them,
            to two dicts from position: the regrets, and whether the whole is
            plausible.

    Returns:
        A dict from position to a tuple of ints: the tokens of the response
        that are the span, or the spans, in ascending order. Responses that
        have none, or that are not plausible without it, are missing.
    """
    found = _take_out(responses, regrets, cut, score_rests)
    phrases = common_phrases(responses, found)
    spans = {}
    for index, span in found.items():
        response = responses[index]
        span = without_holes(with_phrases(response, span, phrases))
        if is_small(span, len(response)):
            spans[index] = span
    if not spans:
        return {}
    _, is_plausible = score_rests(
        {index: rest_of(responses[index], spans[index]) for index in spans}
    )
    return {i: span for i, span in spans.items() if is_plausible[i]}


def _take_out(responses, regrets, cut, score_rests):
    """Grows spans, one token a round, until no other token stands out."""
    spans, found = dict.fromkeys(responses, ()), {}
    while regrets:
        grown = {}
        for index, values in regrets.items():
            length = len(responses[index])
            apart = np.flatnonzero(np.asarray(values) < cut)
            if not len(apart):
                found[index] = spans[index]
                continue
            kept = np.setdiff1d(np.arange(length), spans[index])
            if apart[0] == len(kept):
                continue  # the rest does not end here
            span = tuple(sorted((*spans[index], int(kept[apart[0]]))))
            if is_small(span, length):
                grown[index] = span
        spans.update(grown)
        rests = {i: rest_of(responses[i], span) for i, span in grown.items()}
        regrets = score_rests(rests)[0] if rests else {}
    return {index: span for index, span in found.items() if span}


def rest_of(response, span):
    """Returns the token ids of a response without the span, int array."""
    return np.delete(np.asarray(response, "int32"), list(span))


def is_small(span, length):
    """Returns whether a span is the lesser part of a response."""
    return len(span) <= min(MAX_TOKENS, MAX_SHARE * length)


def without_holes(span):
    """Adds the few tokens that stand between two of a span.

    Example:

    >>> without_holes((1, 3, 8))
    (1, 2, 3, 8)
    """
    filled = set(span)
    for low, high in zip(span, span[1:]):
        if high - low <= MAX_HOLE + 1:
            filled.update(range(low, high))
    return tuple(sorted(filled))


def common_phrases(responses, spans):
    """Finds the runs of tokens that were taken out of many responses.

    Args:
        responses: dict from position to token ids.
        spans: dict from position to the tokens that were taken out.

    Returns:
        A list of tuples of token ids.
    """
    counts = collections.Counter(
        phrase
        for index, span in spans.items()
        for phrase in {
            tuple(int(responses[index][token]) for token in run)
            for run in _runs(span)
        }
    )
    return [phrase for phrase, count in counts.items() if count >= MIN_COPIES]


def with_phrases(response, span, phrases):
    """Adds all phrases that stand in the response to its span.

    Example:

    >>> with_phrases([7, 4, 5, 6], (1,), [(4, 5)])
    (1, 2)
    """
    response = [int(token_id) for token_id in response]
    found = set(span)
    for phrase in phrases:
        for start in range(len(response) - len(phrase) + 1):
            end = start + len(phrase)
            if tuple(response[start:end]) == phrase:
                found.update(range(start, end))
    return tuple(sorted(found))


def with_what_follows(span, length):
    """Adds to a span, after each of its runs, the one token that follows.

    That token, the end token or the next word of the plausible rest, is
    predicted from the span's last one.

    Args:
        span: sequence of ints, ascending.
        length: int. Tokens of the response, its end token included.

    Returns:
        int array, ascending.
    """
    span = np.asarray(span, int)
    both = np.union1d(span, span + 1)
    return both[both < length]


def _runs(span):
    """Parts a span where it is interrupted."""
    span = np.asarray(span, int)
    return np.split(span, np.flatnonzero(np.diff(span) > 1) + 1)
