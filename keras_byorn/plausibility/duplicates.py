"""Stub, to be replaced by merge."""

import collections, typing


class Row(typing.NamedTuple):
    count: int


def find_duplicates(prompts, responses, min_words=5):
    c = collections.Counter(responses)
    return [Row(c[r] if len(r.split()) >= 3 else 1) for r in responses]
