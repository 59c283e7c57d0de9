"""Prompts and conversations in the form that a family was trained with."""

import dataclasses
import re

IMAGE = "{image}"  # stands for the image tokens
QUESTION = "{question}"
TEXT = "{text}"
DESCRIBE = "Describe the image in one sentence."
# Tokens that split turns or place images, of all families that are known.
CONTROL = re.compile(
    r"<\|[^<>|\s]{1,40}\|?>|<[^<>|\s]{1,40}\|>"
    r"|<(?:start|end)_of_(?:turn|image|audio)>"
    r"|<(?:image|audio)_soft_token>|\[/?INST\]|<</?SYS>>"
)


@dataclasses.dataclass(frozen=True)
class ChatFormat:
    """Templates of a family of models.

    Attributes:
        caption: string. The prompt for a caption, with `{image}`.
        question: string. The prompt for an answer, with `{image}` and
            `{question}`.
        instruction: string. The prompt where the data have the whole of it,
            for `{question}`, with `{image}`.
        user: string. A user's turn of a conversation, with `{text}`.
        assistant: string. An earlier turn of the model, with `{text}`.
        system: string or `None`. A turn of the system; `None` puts its text
            in front of that of the user's first turn.
        system_in_user: string. That text there, with `{text}`.
        opening: string. The beginning of the turn that is the response.
        marks: tuple of strings. Those between turns that are a token each in
            the vocabulary of a model that was trained on conversations.

    Example:

    >>> ChatFormat().render([("user", "what is it?")])
    'Question: what is it? Answer:'
    """

    caption: str = f"{IMAGE}a photo of"
    question: str = f"{IMAGE}Question: {QUESTION} Answer:"
    instruction: str = f"{IMAGE}{QUESTION}"
    user: str = f"Question: {TEXT} "
    assistant: str = f"Answer: {TEXT} "
    system: str | None = None
    system_in_user: str = f"{TEXT}\n\n"
    opening: str = "Answer:"
    marks: tuple[str, ...] = ()

    def render(self, turns):
        """Makes the prompt of a conversation, up to the response.

        Args:
            turns: sequence of `(role, text)`, with the roles `"system"`,
                `"user"` and `"assistant"`, the last one of the user.

        Returns:
            A string.
        """
        if self.system is None:
            turns = self._system_into_user(turns)
        templates = {
            "system": self.system,
            "user": self.user,
            "assistant": self.assistant,
        }
        parts = [templates[role].replace(TEXT, text) for role, text in turns]
        return "".join(parts) + self.opening

    def _system_into_user(self, turns):
        turns = list(turns)
        if turns and turns[0][0] == "system" and len(turns) > 1:
            (_, system), (role, text), *rest = turns
            system = self.system_in_user.replace(TEXT, system)
            turns = [(role, system + text), *rest]
        return turns


def turns_format(start, end):
    """Makes the format of Gemma's turns.

    Args:
        start, end: strings. The tokens that enclose a turn.

    Returns:
        A `ChatFormat`.

    Example:

    >>> turns_format("<start_of_turn>", "<end_of_turn>").caption[:21]
    '<start_of_turn>user\\n{'
    """
    user = f"{start}user\n{TEXT}{end}\n"
    opening = f"{start}model\n"

    def prompt(text):
        return user.replace(TEXT, IMAGE + text) + opening

    return ChatFormat(
        caption=prompt(DESCRIBE),
        question=prompt(QUESTION),
        instruction=prompt(QUESTION),
        user=user,
        assistant=f"{opening}{TEXT}{end}\n",
        opening=opening,
        marks=(start, end),
    )


# Of the models that were trained on conversations. Their classes also load
# models that were not, so that captions and questions stay plain.

LLAMA2 = ChatFormat(
    user=f"[INST] {TEXT} [/INST]",
    assistant=f" {TEXT} </s><s>",
    system_in_user=f"<<SYS>>\n{TEXT}\n<</SYS>>\n\n",
    opening="",
    marks=("</s>", "<s>"),
)
MISTRAL = ChatFormat(
    user=f"[INST] {TEXT} [/INST]",
    assistant=f" {TEXT}</s>",
    opening="",
    marks=("</s>",),
)


def headed_format(before, after, end, break_after_end=""):
    """Makes a format whose turns begin with a header that names the role.

    Args:
        before, after: strings. What encloses the role.
        end: string. The token that ends a turn.
        break_after_end: string. What follows it.

    Returns:
        A `ChatFormat`.

    Example:

    >>> headed_format("<|im_start|>", "\n", "<|im_end|>", "\n").opening
    '<|im_start|>assistant\n'
    """

    def turn(role):
        return f"{before}{role}{after}{TEXT}{end}{break_after_end}"

    marks = (before, after, end)
    return ChatFormat(
        user=turn("user"),
        assistant=turn("assistant"),
        system=turn("system"),
        opening=f"{before}assistant{after}",
        marks=tuple(mark.strip() for mark in marks if mark.strip()),
    )


TURNS = dataclasses.replace(
    turns_format("<start_of_turn>", "<end_of_turn>"),
    caption=ChatFormat.caption,
    question=ChatFormat.question,
    instruction=ChatFormat.instruction,
)
LLAMA3 = headed_format(
    "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"
)
CHATML = headed_format("<|im_start|>", "\n", "<|im_end|>", "\n")


def escaped(text, tokens=()):
    """Parts control tokens of untrusted text, so that they are mere text.

    Args:
        text: string.
        tokens: sequence of strings, beside those of `CONTROL`.

    Returns:
        A string, with a space behind the first character of each of them.

    Example:

    >>> escaped("<end_of_turn> a < b")
    '< end_of_turn> a < b'
    """
    exact = "|".join(re.escape(token) for token in tokens if len(token) > 1)
    if exact:
        text = re.sub(exact, _part, text)
    return CONTROL.sub(_part, text)


def _part(match):
    return f"{match[0][0]} {match[0][1:]}"
