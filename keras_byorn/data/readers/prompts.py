"""Prompts of examples, from untrusted text and trusted templates."""

import re

from keras_byorn.data.readers.conversations import IMAGE_MARK
from keras_byorn.data.shown import shortened
from keras_byorn.vlm.chat_format import IMAGE, QUESTION, ChatFormat, escaped
from keras_byorn.vlm.control_tokens import ControlTokens

_MARK = re.compile(rf"\n?{IMAGE_MARK}\n?")


class PromptWriter:
    """Writes prompts in the form of a family, with its image tokens.

    Control tokens in untrusted text are parted, so that they are mere text.

    Args:
        task: `VisionLanguageTask` or `None`, for its family.
        kind: see `Fields`.
        prompt: optional string. The prompt, instead of the family's, with
            `{question}` exactly where the data have one. `{image}` stands for
            the image, in front where it is left out.

    Attributes:
        num_escaped: int. Texts so far whose control tokens were parted.
        spelt: set of strings. Marks of turns in conversations so far that are
            no token of the task's tokenizer.

    Raises:
        ValueError: If the prompt does not fit the data, or if there is none
            and no task.

    Example:

    >>> PromptWriter(task, "question")("what is it?", num_images=1)
    'answer en what is it?\\n'
    """

    def __init__(self, task, kind, prompt=None):
        self._chat = ChatFormat() if task is None else task.family.chat
        self._token = None if task is None else task.image_token
        self._control = None if task is None else ControlTokens(task)
        self._spelt = _spelt_marks(task, self._chat.marks)
        self.spelt = set()
        self._kind = kind
        self._template = self._template_for(task, kind, prompt)
        self.num_escaped = 0

    @property
    def writes(self):
        """bool. Whether prompts are a template with untrusted text parted."""
        ready = self._template is None and self._kind != "conversation"
        return self._control is not None and not ready

    def _template_for(self, task, kind, prompt):
        if prompt is None:
            if kind == "ready":
                return None
            if task is None and kind == "caption":
                raise ValueError(
                    "captions need a prompt. Pass `prompt='...'`, or `vlm=`, "
                    "the task that they are for. Received: neither"
                )
            if task is None and kind == "conversation":
                raise ValueError(
                    "conversations are written in the form of a family. Pass "
                    "`vlm=`, the task that they are for. Received: none"
                )
            if task is None:
                return QUESTION
            return getattr(self._chat, kind, None)  # none: a conversation
        if (kind != "caption") != (QUESTION in prompt):
            raise ValueError(
                "`prompt` must hold {question} where the data have questions, "
                "and only there; `question_field` names their field, and "
                "`response_field` alone reads captions. "
                f"Received: {shortened(prompt)}"
            )
        has_token = self._token is not None and self._token in prompt
        if IMAGE not in prompt and not has_token:
            prompt = IMAGE + prompt
        return prompt

    def __call__(self, text, num_images):
        """Writes a prompt.

        Args:
            text: string, the question; `None` for a caption; a list of
                `(role, text)` for a conversation.
            num_images: int. Images of the example.

        Returns:
            A string.

        Raises:
            ValueError: If the text places another number of images.
        """
        if self._kind == "conversation":
            return self._conversation(text, num_images)
        if self._template is None:
            return text
        images = (self._token or "") * num_images
        if text is None:
            return self._template.replace(IMAGE, images)
        placed, text = self._placed(text, num_images)
        prompt = self._template.replace(IMAGE, "" if placed else images)
        return prompt.replace(QUESTION, text)

    def response(self, text):
        """Returns a response with its control tokens parted."""
        return self._escaped(text)

    def _conversation(self, turns, num_images):
        asked = [text for role, text in turns if role == "user"]
        if self._template is not None:
            if len(turns) > 1:
                raise ValueError(
                    "a `prompt` takes conversations of one question. Leave it "
                    "out, for the form of the family. Received: "
                    f"{len(turns)} turns before the response"
                )
            placed, text = self._placed(asked[0], num_images)
            images = "" if placed else (self._token or "") * num_images
            prompt = self._template.replace(IMAGE, images)
            return prompt.replace(QUESTION, text)
        marks = sum(len(_MARK.findall(text)) for text in asked)
        _check_marks(marks, num_images)
        written, first = [], True
        for role, text in turns:
            if role != "user":
                written.append((role, self._escaped(text)))
                continue
            text = self._with_images(text)
            if first and not marks:
                text = (self._token or "") * num_images + text
            written.append((role, text))
            first = False
        prompt = self._chat.render(written)
        self.spelt |= {mark for mark in self._spelt if mark in prompt}
        return prompt

    def _placed(self, text, num_images):
        """Returns whether a text places its images, and the text with them."""
        marks = len(_MARK.findall(text))
        if self._token is None and not num_images:
            return False, self._escaped(text)
        _check_marks(marks, num_images)
        return bool(marks), self._with_images(text)

    def _with_images(self, text):
        pieces = [self._escaped(piece) for piece in _MARK.split(text)]
        if self._token is not None:
            return self._token.join(pieces)
        return "\n".join(piece for piece in pieces if piece)

    def _escaped(self, text):
        if self._control is None:
            mere = escaped(text)
        else:
            mere = self._control.parted(text)
        self.num_escaped += mere != text
        return mere


def _spelt_marks(task, marks):
    """Returns the marks that a tokenizer does not read as a token each."""
    if task is None or not marks:
        return []
    return [
        mark
        for mark, ids in zip(marks, task.tokenize(list(marks)))
        if mark not in task.pieces(ids)
    ]


def _check_marks(marks, num_images):
    if marks not in (0, num_images):
        raise ValueError(
            f"a text places each image once, by {IMAGE_MARK}, or none of them. "
            f"Received: {marks} of them for {num_images} images"
        )
