"""Base of the families: the differences between tasks, with defaults."""

import numpy as np
from keras import ops

from keras_byorn.vlm import packing
from keras_byorn.vlm.chat_format import ChatFormat
from keras_byorn.vlm.vision import IMAGE_EMBEDDINGS, Embedded, Vision


class Family:
    """Names and inputs of one kind of KerasHub task.

    The base class describes a decoder that reads one image beside its prompt.
    A subclass overrides the differences, mostly as data, so that no other
    module of the package depends on the kind of task.

    Arrays of a batch have B rows of T tokens:

    - packed rows are int32, `(B, T + 1)`: token ids, and 1 on tokens of the
      response, else 0 (`pack`);
    - text inputs are `token_ids`, int32, `padding_mask`, bool, `True` on
      text, and `response_mask`, bool, each `(B, T)` (`training_text`);
    - raw images are `(B, H, W, 3)`, of any numeric dtype (`stack_images`),
      and converted ones float32 (`converted`);
    - hidden states are `(B, T, D)` and logits `(B, T, V)`, in the dtype that
      the task computes in (`hidden`, `project`).

    Attributes:
        task_classes: tuple of KerasHub task classes.
        pixel_range: pair of floats. Range of the pixels that the backbone
            takes, after the task's image converter.
        raw_pixel_range: pair of floats or `None`. Range of the pixels that
            the image converter takes, where it does not follow from its scale
            and offset.
        mixed_prompt_lengths: bool. Whether one `generate` call may hold
            prompts of different token lengths.
        image_token: string or `None`. Token that a user writes into a prompt
            for each image.
        more_end_tokens: tuple of strings. Pieces that end a response, beside
            the tokenizer's end token, if the vocabulary has them.
        prompt_key: string or `None`. Key of the prompt in the inputs of the
            task's `generate`; `None` where it takes text alone.
        vision_layer: string or `None`. Attribute of the backbone that encodes
            images one by one, if the backbone can be split behind it.
        image_keys: tuple of strings. Inputs that only this layer reads.
        image_axis: bool. Whether an example has an axis of images.
        chat: `ChatFormat`. Prompts as the presets were trained with.

    Example:

    ```python
    class PaliGemma(Family):
        task_classes = (keras_hub.models.PaliGemmaCausalLM,)
        mixed_prompt_lengths = False
        vision_layer = "vit_encoder"
    ```
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
    chat = ChatFormat()

    def check(self, task):
        """Raises a `ValueError` if the task cannot be trained; may warn."""

    # The task's `call` in two parts. The second is expensive, and only needed
    # at positions of the response.

    def hidden(self, task, inputs, training):
        """Computes the decoder's output at text positions, `(B, T, D)`."""
        if IMAGE_EMBEDDINGS in inputs:
            return self.vision(task).decode(inputs, training)
        return task.backbone(inputs, training=training)

    def project(self, task, hidden):
        """Projects hidden states `(..., D)` to logits `(..., V)`."""
        return task.backbone.token_embedding(hidden, reverse=True)

    # Text

    def sequence_length(self, preprocessor):
        """Returns the most tokens of prompt and response together."""
        return preprocessor.sequence_length

    def expanded_image_token(self, preprocessor):
        """Returns the text that replaces `image_token` in a prompt."""
        return self.image_token

    def prefix_length(self, task):
        """Returns the number of positions that precede the text."""
        return 0

    def packed_length(self, preprocessor, prompt_ids, response_ids):
        """Counts tokens of prompt and response, start and end included."""
        start, _ = self._start_end(preprocessor)
        return len(start) + len(prompt_ids) + len(response_ids) + 1

    def pack(self, preprocessor, prompt_ids, response_ids, length):
        """Packs prompts and responses. See `VisionLanguageTask.pack`."""
        start, end = self._start_end(preprocessor)
        rows = [
            (np.concatenate([start, prompt]), np.append(response, end))
            for prompt, response in zip(prompt_ids, response_ids)
        ]
        pad = preprocessor.tokenizer.pad_token_id
        return packing.rows_of_segments(rows, length, pad)

    def num_tokens(self, packed):
        """Counts tokens before the padding of packed rows, int `(N,)`."""
        return packing.up_to_last(packed[1]).sum(axis=-1)

    def training_text(self, packed):
        """Makes the task's text inputs from packed rows, as a dict."""
        token_ids, in_response = packed
        return {
            "token_ids": token_ids[:, :-1],
            "padding_mask": packing.up_to_last(in_response)[:, :-1],
            "response_mask": in_response[:, :-1].astype("bool"),
        }

    def generation_text(self, preprocessor, prompt_ids, length):
        """Makes the text inputs of `generate`.

        Args:
            preprocessor: the task's.
            prompt_ids: list of B int arrays.
            length: int. The most tokens of prompt and response together.

        Returns:
            A pair of a dict and an int array `(B,)`, the position at which
            each response begins.
        """
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
        """Reads ids of prompt and response off generated outputs."""
        return ops.convert_to_numpy(outputs["token_ids"])

    def control_tokens(self, tokenizer):
        """Lists the pieces that are no text, longest first, as strings."""
        special = getattr(tokenizer, "special_tokens", ())
        pieces = {*special, *self.more_end_tokens, self.image_token}
        # A new line may be one; it is text all the same.
        found = {piece for piece in pieces if piece and len(piece.strip()) > 1}
        return sorted(found, key=lambda piece: (-len(piece), piece))

    # Images

    def image_placeholder_id(self, preprocessor):
        """Returns the id that image embeddings replace, or `None`."""

    def reads_images(self, preprocessor):
        """Returns whether this task takes images."""
        return getattr(preprocessor, "image_converter", None) is not None

    def num_images(self, preprocessor):
        """Returns the fewest and the most images of one example."""
        return (1, 1) if self.reads_images(preprocessor) else (0, 0)

    def stack_images(self, preprocessor, images):
        """Stacks the raw images of a batch.

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
        """Makes the task's image inputs from stacked images, as a dict."""
        if not self.reads_images(preprocessor):
            return {}
        return self.converted_or_embedded(preprocessor, images)

    def converted_or_embedded(self, preprocessor, images, mask=None):
        """Converts images; takes those that are `Embedded` as they are."""
        if isinstance(images, Embedded):
            return {IMAGE_EMBEDDINGS: images.values}
        return self.converted(preprocessor, np.asarray(images), mask)

    def converted(self, preprocessor, images, mask=None):
        """Converts raw images to the backbone's image inputs, as a dict."""
        converted = preprocessor.image_converter(images)
        return {"images": ops.convert_to_numpy(converted)}

    def vision(self, task):
        """Returns the task's `Vision`, or `None` if it cannot be split."""
        name = self.vision_layer
        if name is None or getattr(task.backbone, name, None) is None:
            return None
        # By `__dict__`, as Keras would track its parts within the backbone.
        own = task.backbone.__dict__
        if "_byorn_vision" not in own:
            own["_byorn_vision"] = Vision(task.backbone, name, self.image_keys)
        return own["_byorn_vision"]

    def inputs(self, preprocessor, images, text):
        """Makes all inputs of the task, and maybe more, as a dict."""
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
    """Squashes logits into (-cap, cap), unless `cap` is `None`."""
    if cap is None:
        return logits
    return ops.tanh(logits / cap) * cap
