"""Control tokens in prompts and responses: told, refused or made mere text."""

import collections
import dataclasses
import os
import warnings

from keras_byorn.data.shown import listed, shortened
from keras_byorn.vlm.chat_format import IMAGE, QUESTION
from keras_byorn.vlm.control_tokens import ControlTokens

MODES = ("warn", "refuse", "escape")
NUM_NAMED = 5  # ids that a message names


@dataclasses.dataclass(frozen=True)
class Found:
    """A text with control tokens that no template wrote.

    Attributes:
        index: int. Position of the example.
        field: `"prompts"` or `"responses"`.
        text: string.
        written: list of pairs of ints. Places of tokens that a template wrote.
        strays: tuple of strings, the other tokens as they are spelled. Empty
            where only the tokenizer sees them.
        expected: int. Control tokens that the tokenizer reads in what is
            written.
        acts: bool. Whether the tokenizer reads more of them.
    """

    index: int
    field: str
    text: str
    written: list
    strays: tuple
    expected: int
    acts: bool

    def mere(self, tokens, normalize=False):
        """Returns the text with the strays parted, see `ControlTokens`."""
        parts, begin = [], 0
        for start, stop in self.written:
            parts.append(tokens.parted(self.text[begin:start], normalize))
            parts.append(self.text[start:stop])
            begin = stop
        parts.append(tokens.parted(self.text[begin:], normalize))
        return "".join(parts)


def settle_control_tokens(examples, texts, num_images, task, mode):
    """Tokenizes texts, and warns of, refuses or parts their control tokens.

    Control tokens of a *response* are never a template's. Those of a *prompt*
    are where they stand in the beginning or the end that more than half of
    the prompts share, or that the family's own form has: nobody gives a
    prompt such an end by adding fewer than half of the examples. So are the
    image tokens, one for each image, and the whole of a prompt that a reader
    wrote, which parts those of the data. All others came with untrusted text.

    Args:
        examples: an `Examples`.
        texts: pair of tuples of N strings, prompts and responses.
        num_images: sequence of N ints.
        task: a `VisionLanguageTask`.
        mode: `"warn"`, `"refuse"` or `"escape"`, see `PreparedExamples`.

    Returns:
        A tuple of the `Examples`, prompts, responses, and two lists of N
        int32 arrays, the ids of prompts and responses. With `"escape"` the
        texts are the parted ones, in the `Examples` too.

    Raises:
        ValueError: if there is such a token and `mode` is `"refuse"`, if one
            cannot be parted, or if `mode` is none of the three.
    """
    check_mode(mode)
    prompts, responses = texts
    prompt_ids = task.tokenize_prompts(list(prompts))
    response_ids = task.tokenize(list(responses))
    tokens = ControlTokens(task)
    found = [
        *_in_prompts(tokens, examples, prompts, num_images, prompt_ids, task),
        *_in_responses(tokens, responses, response_ids),
    ]
    if not found:
        return examples, prompts, responses, prompt_ids, response_ids
    message = _message(found, examples.example_ids)
    if mode == "refuse":
        raise ValueError(
            f"{message} Drop or mend the examples, or pass "
            "`control_tokens='escape'` to make mere text of them."
        )
    if mode == "warn":
        warnings.warn(
            f"{message} Pass `control_tokens='escape'` to make mere text of "
            "them, or `'refuse'` to train on no such data.",
            stacklevel=3,
        )
        return examples, prompts, responses, prompt_ids, response_ids
    warnings.warn(
        f"{message} They were parted by a space, '< eos>', and are mere text "
        "now.",
        stacklevel=3,
    )
    return _escaped(found, tokens, examples, texts, task)


def check_mode(mode):
    """Refuses a value of `control_tokens` that is none of `MODES`."""
    if mode not in MODES:
        raise ValueError(
            "`control_tokens` must be 'warn', 'refuse' or 'escape'. "
            f"Received: control_tokens={shortened(mode)}"
        )


class Frame:
    """Beginnings and ends of prompts that a template wrote.

    Args:
        prompts: list of strings. What more than half of them begin or end
            with is a template's; of a single prompt nothing is.
        chat: the family's `ChatFormat`.

    Example:

    >>> frame = Frame(["<a>x<b>", "<a>y<b>", "<a>z"], ChatFormat())
    >>> frame.ends("<a>new<b>")
    (3, 6)
    """

    def __init__(self, prompts, chat):
        templates = (chat.caption, chat.question, chat.instruction)
        beginnings = {text.partition(IMAGE)[0] for text in templates}
        ends = {text.rpartition(QUESTION)[2] for text in templates}
        beginnings |= {_shared_by_most(prompts)}
        backwards = _shared_by_most([prompt[::-1] for prompt in prompts])
        self._beginnings = sorted(beginnings - {""})
        self._endings = sorted({end[::-1] for end in ends} | {backwards})

    def ends(self, prompt):
        """Returns where a prompt's shared beginning ends, and its end begins.

        Args:
            prompt: string.

        Returns:
            A pair of ints, positions in the prompt.
        """
        start = max((_common(prompt, b) for b in self._beginnings), default=0)
        backwards = prompt[::-1]
        stop = max((_common(backwards, e) for e in self._endings), default=0)
        return start, len(prompt) - stop


def _shared_by_most(texts):
    """Returns the longest beginning of more than half of the texts."""
    if len(texts) < 2:
        return ""
    texts, most = sorted(texts), len(texts) // 2
    # Texts of one beginning are neighbours once they are sorted.
    shared = (
        os.path.commonprefix([first, last])
        for first, last in zip(texts, texts[most:])
    )
    return max(shared, key=len)


def _common(one, other):
    return len(os.path.commonprefix([one, other]))


def _in_responses(tokens, responses, response_ids):
    """Yields a `Found` for each response with a control token."""
    acting = tokens.counts(response_ids)
    for index, (text, acts) in enumerate(zip(responses, acting)):
        strays = tuple(text[a:b] for a, b in tokens.spans(text))
        if strays or acts:
            yield Found(index, "responses", text, [], strays, 0, bool(acts))


def _in_prompts(tokens, examples, prompts, num_images, prompt_ids, task):
    """Yields a `Found` for each prompt with a token that no template wrote."""
    of_image, image_token = 0, task.image_token
    if image_token is not None:
        expanded = task.family.expanded_image_token(task.preprocessor)
        of_image = tokens.count(expanded)
    frame, acting = None, tokens.counts(prompt_ids)
    for index, text in enumerate(prompts):
        expected = num_images[index] * of_image
        spans = tokens.spans(text)
        others = [(a, b) for a, b in spans if text[a:b] != image_token]
        if others and not examples.writes_prompt(index):
            if frame is None:
                frame = Frame(_unwritten(examples, prompts), task.family.chat)
            begin, end = frame.ends(text)
            others = [(a, b) for a, b in others if b > begin and a < end]
        else:
            others = []
        strays, own = tuple(text[a:b] for a, b in others), set(others)
        written = [span for span in spans if span not in own]
        expected += sum(
            tokens.count(text[a:b])
            for a, b in written
            if text[a:b] != image_token
        )
        acts = bool(acting[index] > expected)
        if strays or acts:
            yield Found(index, "prompts", text, written, strays, expected, acts)


def _unwritten(examples, prompts):
    """Lists the prompts that came as they are, from no reader's template."""
    return [
        prompt
        for index, prompt in enumerate(prompts)
        if not examples.writes_prompt(index)
    ]


def _escaped(found, tokens, examples, texts, task):
    """Returns what `settle_control_tokens` does, with parted texts."""
    columns = dict(zip(("prompts", "responses"), map(list, texts)))
    tokenize = {"prompts": task.tokenize_prompts, "responses": task.tokenize}
    left = found
    for normalize in (False, True):
        for one in left:
            columns[one.field][one.index] = one.mere(tokens, normalize)
        ids = {field: tokenize[field](columns[field]) for field in columns}
        counts = {field: tokens.counts(ids[field]) for field in columns}
        left = [o for o in left if counts[o.field][o.index] > o.expected]
    if left:
        raise ValueError(
            f"{_message(left, examples.example_ids)} The tokenizer reads them "
            "however they are parted by spaces. Drop or mend the examples."
        )
    new = {}
    for one in found:
        example_id = examples.example_ids[one.index]
        text = columns[one.field][one.index]
        new.setdefault(example_id, {})[one.field] = text
    prompts, responses = (tuple(columns[field]) for field in columns)
    ids = ids["prompts"], ids["responses"]
    return examples.with_texts(new), prompts, responses, *ids


def _message(found, example_ids):
    """Describes the texts that have control tokens, with the first ids."""
    counts = collections.Counter(one.field for one in found)
    where = " and ".join(f"{n:,} {name}" for name, n in counts.items())
    ids = dict.fromkeys(example_ids[one.index] for one in found)
    spelled = dict.fromkeys(piece for one in found for piece in one.strays)
    acting = sum(one.acts for one in found)
    reads = "the tokenizer takes none for more than text"
    if acting:
        reads = f"the tokenizer reads one in {acting:,} of them"
    return (
        f"Control tokens of a model stand in {where}, and no template wrote "
        f"them; {reads}. One that it reads can end a turn, or pass for "
        f"another's. Received: {listed(spelled, NUM_NAMED)} in {len(ids):,} "
        f"examples, {listed(ids, NUM_NAMED)}, such as "
        f"{shortened(found[0].text)}."
    )
