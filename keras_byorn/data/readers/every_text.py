"""Rows with several texts, as a row for each of them."""

from keras_byorn.data.readers.fields import field
from keras_byorn.data.readers.rows import Rows
from keras_byorn.data.readers.texts import is_several, unwrapped


class EveryText:
    """Reads each row as often as it has responses.

    Reads all rows once, to count their responses. A row that cannot be read
    stays one row, for whoever reads it to raise.

    Args:
        rows: a `Rows`.
        response: string, the field of the responses.
        limit: optional int. Only the first so many texts.

    Attributes:
        rows: a `Rows`, a row for each text. The ids of a row with a list of
            them end in `#` and their number, from 0, as in `"captions/7#2"`.
    """

    def __init__(self, rows, response, limit=None):
        self._rows = rows
        self._where = []
        for index in range(len(rows)):
            if limit is not None and len(self._where) >= limit:
                break
            count = _num_texts(rows.source, index, response)
            self._where += [(index, n, count) for n in range(count or 1)]
        self._where = self._where[:limit]
        ids = [self._id(*where) for where in self._where]
        places = [self._place(*where) for where in self._where]
        self.rows = Rows(self, ids, rows.name, places)

    def __len__(self):
        return len(self._where)

    def __getitem__(self, index):
        return self._rows.source[self._where[index][0]]

    def share(self, index):
        """Returns which text of its row a row is, a float in [0, 1)."""
        _, number, count = self._where[index]
        return 0.0 if count is None else (number + 0.5) / count

    def count(self, index):
        """Returns the number of texts of a row; `None` for no list."""
        return self._where[index][2]

    def _id(self, row, number, count):
        own = self._rows.ids[row]
        return own if count is None else f"{own}#{number}"

    def _place(self, row, number, count):
        place = self._rows.place(row)
        return place if count is None else f"{place}, text {number + 1}"


def _num_texts(source, index, response):
    try:
        value = unwrapped(field(source[index], response))
        return len(value) or None if is_several(value) else None
    except Exception:  # told by whoever reads the row
        return None
