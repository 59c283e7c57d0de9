"""How many threads a backend that runs operation by operation is to use."""

import collections
import contextlib
import functools
import time
import types

# Units of work with each number of threads, the first of which is not timed.
NUM_TRIALS = 3
# As many threads as there are, unless fewer are so many times as fast.
CLEARLY = 1.3


class Threads:
    """Finds how many threads each kind of repeated work is fastest with.

    The first units of a work are timed with all threads that the backend was
    given, then with half of them, a quarter, and so on while that clearly
    helps. It helps where other processes want the cores too: threads that wait
    for one another in every operation can take ten times as long as one.

    Sums are rounded otherwise by another number of threads, so that two runs
    may differ in the last digits.

    Args:
        get: function that returns how many threads the backend has.
        set: function that sets it.
        allowed: function that returns whether it may be set.
        clock: function that returns seconds.

    Example:

    >>> threads = Threads(torch.get_num_threads, torch.set_num_threads)
    >>> with threads.chosen():
    ...     for batch in batches:
    ...         with threads("train", size=len(batch)):
    ...             step(batch)
    """

    def __init__(self, get, set, allowed=lambda: True, clock=time.perf_counter):
        self._get, self._set, self._allowed = get, set, allowed
        self._clock = clock
        self._searches = None

    @classmethod
    def left_alone(cls):
        """For a backend that sees to its threads itself."""
        return cls(None, None, allowed=lambda: False)

    @contextlib.contextmanager
    def chosen(self):
        """In this block, and in no other place, threads are measured and set.

        Anew in each outermost block, for other processes come and go. After it
        the backend has as many as before.
        """
        if self._searches is not None or not self._allowed():
            yield
            return
        given = self._get()
        self._searches = collections.defaultdict(
            functools.partial(_Search, given)
        )
        try:
            yield
        finally:
            self._searches = None
            self._set(given)

    @contextlib.contextmanager
    def __call__(self, work, size=1.0):
        """One unit of a work, with the threads that are best, or tried.

        Args:
            work: string. What is done.
            size: float. How large this unit is, compared with the others.

        Yields:
            An object whose `size` may be set later, where it is known later.
        """
        unit = types.SimpleNamespace(size=size)
        if self._searches is None:
            yield unit
            return
        search = self._searches[work]
        # Left as they are until another work begins: what is between two
        # units is as slow with the wrong number.
        if self._get() != search.now:
            self._set(search.now)
        started = self._clock()
        yield unit
        if not search.is_over:
            search.learn((self._clock() - started) / unit.size)


class _Search:
    """For the number of threads that one kind of work is fastest with."""

    def __init__(self, given):
        self.now = self._best = given
        self.is_over = given == 1
        self._fastest = float("inf")
        self._seconds = []

    def learn(self, seconds):
        self._seconds.append(seconds)
        if len(self._seconds) < NUM_TRIALS:
            return
        fastest, self._seconds = min(self._seconds[1:]), []
        if CLEARLY * fastest < self._fastest:
            self._fastest, self._best = fastest, self.now
            self.now = max(1, self.now // 2)
            self.is_over = self._best == 1
        else:
            self.now = self._best
            self.is_over = True
