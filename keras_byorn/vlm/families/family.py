"""What may differ from one kind of task to the next, and what it is if not."""

import numpy as np
from keras import ops

from keras_byorn.vlm import packing
from keras_byorn.vlm.vision import IMAGE_EMBEDDINGS, Embedded, Vision


class Family:
    """One kind of KerasHub task: what it calls things, and what it feeds.

    A decoder that reads one image beside its prompt. A subclass says what is
    different, mostly as data; the rest of the package knows no family.

    Attributes:
        task_classes: tuple of KerasHub task classes.
        pixel_range: pair of floats. What the backbone wants pixels to be,
            after the task's image converter.
        raw_pixel_range: pair of floats or `None`. What the image converter
            takes, where that does not follow from its scale and offset.
        mixed_prompt_lengths: bool. Whether one `generate` call may hold
            prompts of different token lengths.
        image_token: string or `None`. What a user writes into a prompt where
            an image stands.
        more_end_tokens: tuple of strings. Pieces that end a response, beside
            the tokenizer's end token, where the vocabulary has them.
        prompt_key: string. What the task's `generate` calls the prompt.
        vision_layer: string or `None`. The backbone's attribute that reads
            images, each for itself, if the backbone can be parted behind it.
        image_keys: tuple of strings. The inputs that only it reads.
        image_axis: bool. Whether an example has an axis of images.
    """

    task_classes = ()
    pixel_range = (-1.0, 1.0)
    raw_pixel_range = None
    mixed_prompt_lengths = True
    image_token = None
    more_end_tokens = ()
    prompt_key = "prompts"
    vision_layer = None
    image_keys = ("images",)
    image_axis = False

    def check(self, task):
        """Raises a `ValueError` where it cannot be trained; may warn."""

    # What the task's `call` does, in two parts: the second is dear, and only
    # needed where a response stands.

    def hidden(self, task, inputs, training):
        """What the decoder makes of each text position, `(B, T, D)`."""
        if IMAGE_EMBEDDINGS in inputs:
            return self.vision(task).decode(inputs, training)
        return task.backbone(inputs, training=training)

    def project(self, task, hidden):
        """Logits `(..., V)` of the tokens that follow hidden states."""
        return task.backbone.token_embedding(hidden, reverse=True)

    # Text

    def sequence_length(self, preprocessor):
        """int. The most tokens of prompt and response together."""
        return preprocessor.sequence_length

    def expanded_image_token(self, preprocessor):
        """The text that the task reads in the place of `image_token`."""
        return self.image_token

    def prefix_length(self, task):
        """int. Positions that the decoder reads before the text."""
        return 0

    def packed_length(self, preprocessor, prompt_ids, response_ids):
        """int. Tokens of prompt and response, start and end included."""
        start, _ = self._start_end(preprocessor)
        return len(start) + len(prompt_ids) + len(response_ids) + 1

    def pack(self, preprocessor, prompt_ids, response_ids, length):
        """Rows of prompt and response. See `VisionLanguageTask.pack`."""
        start, end = self._start_end(preprocessor)
        rows = [
            (np.concatenate([start, prompt]), np.append(response, end))
            for prompt, response in zip(prompt_ids, response_ids)
        ]
        pad = preprocessor.tokenizer.pad_token_id
        return packing.rows_of_segments(rows, length, pad)

    def num_tokens(self, packed):
        """Tokens before the padding in each packed row, int `(N,)`."""
        return packing.up_to_last(packed[1]).sum(axis=-1)

    def training_text(self, packed):
        """The task's text inputs from packed rows, as a dict."""
        token_ids, in_response = packed
        return {
            "token_ids": token_ids[:, :-1],
            "padding_mask": packing.up_to_last(in_response)[:, :-1],
            "response_mask": in_response[:, :-1].astype("bool"),
        }

    def generation_text(self, preprocessor, prompt_ids, length):
        """Text inputs to generate from, and where each response begins."""
        start, _ = self._start_end(preprocessor)
        rows = [np.concatenate([start, prompt]) for prompt in prompt_ids]
        pad = preprocessor.tokenizer.pad_token_id
        token_ids, padding_mask = packing.rows_of(rows, length, pad)
        text = {
            "token_ids": token_ids,
            "padding_mask": padding_mask,
            "response_mask": np.zeros_like(padding_mask),
        }
        return text, padding_mask.sum(axis=-1)

    def generated_ids(self, outputs):
        """Token ids of prompt and response in what the task generated."""
        return ops.convert_to_numpy(outputs["token_ids"])

    # Images

    def image_placeholder_id(self, preprocessor):
        """int or `None`. The id that the task replaces by image embeddings."""

    def reads_images(self, preprocessor):
        """bool. Whether this task has eyes."""
        return getattr(preprocessor, "image_converter", None) is not None

    def num_images(self, preprocessor):
        """pair of ints. The fewest and the most images of one example."""
        return (1, 1) if self.reads_images(preprocessor) else (0, 0)

    def stack_images(self, preprocessor, images):
        """The raw images of a batch in one array.

        Args:
            preprocessor: the task's.
            images: list of B lists of `(H, W, 3)` arrays of one size.

        Returns:
            array, `(B, H, W, 3)`; `(B, 0)` where the task reads none.
        """
        if not self.reads_images(preprocessor):
            return np.zeros((len(images), 0), "uint8")
        return np.stack([own[0] for own in images])

    def image_inputs(self, preprocessor, images, text):
        """The task's image inputs from stacked images, as a dict."""
        if not self.reads_images(preprocessor):
            return {}
        return self.shown(preprocessor, images)

    def shown(self, preprocessor, images, mask=None):
        """What the task sees: pixels, or what it saw before, `Embedded`."""
        if isinstance(images, Embedded):
            return {IMAGE_EMBEDDINGS: images.values}
        return self.converted(preprocessor, np.asarray(images), mask)

    def converted(self, preprocessor, images, mask=None):
        """Pixels as the backbone wants them, as a dict."""
        converted = preprocessor.image_converter(images)
        return {"images": ops.convert_to_numpy(converted)}

    def vision(self, task):
        """The task's `Vision`, or `None` where it cannot be parted."""
        name = self.vision_layer
        if name is None or getattr(task.backbone, name, None) is None:
            return None
        # Not by `setattr`: Keras would track the parts within the whole.
        own = task.backbone.__dict__
        if "_byorn_vision" not in own:
            own["_byorn_vision"] = Vision(task.backbone, name, self.image_keys)
        return own["_byorn_vision"]

    def inputs(self, preprocessor, images, text):
        """All inputs of the task, and maybe more, as a dict."""
        return {**text, **self.image_inputs(preprocessor, images, text)}

    def _start_end(self, preprocessor):
        tokenizer = preprocessor.tokenizer
        has_start = (
            preprocessor.add_start_token
            and getattr(tokenizer, "start_token_id", None) is not None
        )
        start = [tokenizer.start_token_id] if has_start else []
        return np.array(start, "int32"), tokenizer.end_token_id


def soft_capped(logits, cap):
    """Logits bent into (-cap, cap); `None` leaves them as they are."""
    if cap is None:
        return logits
    return ops.tanh(logits / cap) * cap
