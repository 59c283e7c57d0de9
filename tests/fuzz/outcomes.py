"""Outcomes that a hostile input may have: taken as it is, or refused."""

import collections
import contextlib
import warnings

from keras_byorn.data.readers.bad_rows import BadRowsError, RowError

# Exactly these: a `UnicodeDecodeError` is a `ValueError` that names nothing.
NAMED = (ValueError, RowError, BadRowsError, FileNotFoundError)
MAX_MESSAGE = 12_000  # of twenty examples


class Outcomes:
    """Counts what became of the cases of a test.

    Example:

    >>> outcomes = Outcomes()
    >>> with outcomes.case():
    ...     read()
    """

    def __init__(self, named=NAMED):
        self.counts = collections.Counter()
        self._named = named

    @contextlib.contextmanager
    def case(self):
        """A context that lets no error out but one that is named and short."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                yield
            except self._named as error:
                assert type(error) in self._named, repr(error)
                check_message(str(error))
                self.counts["refused"] += 1
            else:
                self.counts["taken"] += 1
        for warning in told:
            check_message(str(warning.message))

    def check(self, least=0.01):
        """Asserts that both came often, or the cases would show nothing."""
        total = self.counts.total()
        assert self.counts["taken"] >= least * total, self.counts
        assert self.counts["refused"] >= least * total, self.counts


def check_message(message):
    """Asserts that a message is short, and can be printed and logged."""
    assert message and len(message) <= MAX_MESSAGE, message[:500]
    message.encode()
    assert message.replace("\n", "").isprintable(), ascii(message)
