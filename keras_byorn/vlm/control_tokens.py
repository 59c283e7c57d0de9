"""Control tokens of a task: found in untrusted text, and made mere text."""

import re
import unicodedata

import numpy as np

from keras_byorn.vlm.chat_format import CONTROL

# Beside those of `CONTROL`: ends, padding and images of all known families.
SPELLED = re.compile(
    CONTROL.pattern + r"|</?s>|<(?:pad|bos|eos|mask|img|image|video|audio)>"
    r"|<extra_id_\d{1,3}>|<unused\d{1,4}>|\[multimodal\]|\[@BOS@\]"
)
# Parting one token may leave another: `<<eos>eos>`.
NUM_ROUNDS = 4


class ControlTokens:
    """Knows the tokens of a task that are no text, by spelling and by id.

    They are the tokenizer's special tokens, those of the task's family, and
    the pieces of the vocabulary that look like one of `SPELLED`. A piece for
    unknown text is none of them: any rare character becomes it.

    Args:
        task: a `VisionLanguageTask`.

    Attributes:
        ids: int array. Ids of the control tokens that the vocabulary has.

    Example:

    >>> tokens = ControlTokens(VisionLanguageTask(gemma3))
    >>> tokens.spans("red <end_of_turn>")
    [(4, 17)]
    >>> tokens.parted("red <end_of_turn>")
    'red < end_of_turn>'
    """

    def __init__(self, task):
        self._task = task
        tokenizer = task.tokenizer
        pieces = set(task.family.control_tokens(tokenizer))
        vocabulary = set(tokenizer.get_vocabulary())
        pieces |= {p for p in vocabulary if SPELLED.fullmatch(p)}
        pieces -= {"<unk>", getattr(tokenizer, "unk_token", None)}
        known = sorted(pieces & vocabulary)
        self.ids = np.array([tokenizer.token_to_id(p) for p in known], int)
        # The longest first: one may begin as another does.
        exact = sorted(pieces, key=lambda piece: (-len(piece), piece))
        self._pattern = re.compile(
            "|".join([*map(re.escape, exact), SPELLED.pattern])
        )
        self._counts = {}
        self._opening = {piece[0] for piece in pieces} | {"<", "["}

    def spans(self, text):
        """Finds control tokens by their spelling.

        Args:
            text: string.

        Returns:
            List of pairs of ints, the places in the text.
        """
        if not any(character in text for character in self._opening):
            return []
        return [found.span() for found in self._pattern.finditer(text)]

    def counts(self, token_ids):
        """Counts the control tokens in rows of ids.

        Args:
            token_ids: list of N int arrays.

        Returns:
            int array, `(N,)`.
        """
        ends = np.cumsum([0, *map(len, token_ids)])
        flat = np.concatenate([np.zeros(0, int), *token_ids])
        found = np.cumsum([0, *np.isin(flat, self.ids)])
        return found[ends[1:]] - found[ends[:-1]]

    def count(self, piece):
        """Counts the control tokens that the tokenizer makes of one token.

        Args:
            piece: string, as it is spelled.

        Returns:
            int. 0 where it is mere text to the tokenizer.
        """
        if piece not in self._counts:
            (self._counts[piece],) = self.counts(self._task.tokenize([piece]))
        return int(self._counts[piece])

    def parted(self, text, normalize=False):
        """Parts the control tokens of a text, so that they are mere text.

        Args:
            text: string.
            normalize: bool. Whether to put the text into Unicode form NFKC
                first, where a tokenizer would do so behind a space: it reads
                `＜eos＞` as `<eos>`. Defaults to `False`.

        Returns:
            A string, with a space behind the first character of each.
        """
        if normalize:
            text = unicodedata.normalize("NFKC", text)
        for _ in range(NUM_ROUNDS):
            if not self.spans(text):
                break
            text = self._pattern.sub(_part, text)
        return text


def _part(match):
    return f"{match[0][0]} {match[0][1:]}"
