"""Attention of a prompt's last token to the image, layer by layer."""

import keras
import numpy as np
from keras import ops

from keras_byorn.vlm.keras_internals import (
    input_within,
    keeping_weights,
    rotated,
)
from keras_byorn.vlm.response_logits import gather
from keras_byorn.vlm.task import VisionLanguageTask

# Of a share of attention, in its logarithm, as the reference of `entropy`.
TINY = 1e-8


class ImageAttention(keras.Model):
    """Computes how the last token of a prompt attends to the image.

    From this position a model predicts the first token of its response.
    Computes queries and keys again from the inputs of each decoder block, and
    so needs no hook and no eager attention, and leaves the task as it is:
    fused kernels and compiled programs stay.

    Args:
        task: a PaliGemma or Gemma 3 task of KerasHub with its preprocessor.

    Raises:
        ValueError: if the task is of another family, or reads no images.

    Example:

    >>> attention = ImageAttention(vlm)
    >>> attention.entropies(prepared.scoring_batches()).shape
    (4000, 3)
    """

    def __init__(self, task):
        super().__init__(name="image_attention")
        self._wrapped = VisionLanguageTask(task)
        backbone = task.backbone
        blocks = getattr(backbone, "transformer_layers", ())
        known = all(
            hasattr(getattr(block, "attention", None), "query_dense")
            and hasattr(block, "pre_attention_norm")
            for block in blocks
        )
        prefix = self._wrapped.prefix_length
        if (
            not blocks
            or not known
            or not (prefix or "vision_mask" in task.input)
        ):
            raise ValueError(
                "`task` must be a PaliGemma or Gemma 3 task that reads images, "
                "for the attention of other families is computed in other "
                f"ways. Received: {type(task).__name__}"
            )
        self.task = task  # tracked, so that its weights are not constants
        self.blocks = list(blocks)
        self.prefix_length = prefix
        self._states = keras.Model(
            backbone.input, [input_within(backbone, block) for block in blocks]
        )
        self.built = True

    def call(self, batch):
        """Computes the attention to each position.

        Args:
            batch: a dict of `x`, the task's inputs, and `response_mask`, bool
                `(B, T)`, whether the token that follows is of the response.

        Returns:
            A pair of `(B, L, K)` float32, the attention of the last token of
            the prompt to each of K positions in L layers, the mean over heads,
            which sums to 1; and `(B, K)` bool, whether a position is of the
            image.
        """
        x = self._wrapped.inputs_of(batch["x"])
        last = ops.argmax(ops.cast(batch["response_mask"], "int32"), axis=-1)
        last = ops.cast(last, "int32") + self.prefix_length
        states = self._states(x)
        if not isinstance(states, (list, tuple)):
            states = [states]
        attention = [
            attention_from(block, state, last)
            for block, state in zip(self.blocks, states)
        ]
        return ops.stack(attention, axis=1), self._of_image(x, states[0])

    def entropies(self, batches, verbose=0):
        """Computes the entropy of the attention within the image.

        Args:
            batches: a `ScoringBatches` with images, not embeddings.
            verbose: as in `keras.Model.predict`.

        Returns:
            float32 array, `(N, L)`, nats.
        """
        with keeping_weights(self):
            attention, of_image = self.predict(
                _Batches(batches), verbose=verbose
            )
        count = len(batches.response_mask)
        return entropy(attention[:count], of_image[:count])

    def _of_image(self, x, state):
        batch, length = ops.shape(state)[:2]
        if self.prefix_length:
            mask = ops.arange(length) < self.prefix_length
            return ops.broadcast_to(mask, (batch, length))
        return ops.cast(x["vision_mask"], "bool")


def attention_from(block, state, position):
    """Computes the attention of one position of each row, in one block.

    Args:
        block: a decoder block of KerasHub's PaliGemma or Gemma 3.
        state: float tensor, `(B, K, D)`, its input.
        position: int tensor, `(B,)`. It sees itself and what stands before.

    Returns:
        float32 tensor, `(B, K)`, the mean over heads.
    """
    attention = block.attention
    x = block.pre_attention_norm(state)
    query, key = attention.query_dense(x), attention.key_dense(x)
    if getattr(attention, "use_query_key_norm", False):
        query, key = attention.query_norm(query), attention.key_norm(key)
    query, key = rotated(attention, query), rotated(attention, key)
    query = gather(query, position[:, None])[:, 0]  # (B, heads, H)
    heads, key_heads = attention.num_query_heads, attention.num_key_value_heads
    width = attention.head_dim
    if not attention.query_head_dim_normalize:
        width = attention.hidden_dim // heads
    query = query * ops.cast(width**-0.5, query.dtype)
    query = ops.reshape(
        query, (-1, key_heads, heads // key_heads, attention.head_dim)
    )
    logits = ops.einsum("bkgh,bskh->bkgs", query, key)
    cap = attention.logit_soft_cap
    if cap is not None:
        logits = ops.tanh(logits / cap) * cap
    logits = ops.cast(logits, "float32")
    seen = _seen(attention, position, ops.shape(state)[1])
    logits = ops.where(seen[:, None, None], logits, -1e9)
    return ops.mean(ops.softmax(logits, axis=-1), axis=(1, 2))


def entropy(attention, of_image):
    """Computes the entropy of attention, as a distribution over the image.

    Args:
        attention: float array, `(N, L, K)`.
        of_image: bool array, `(N, K)`. Positions of the image.

    Returns:
        float32 array, `(N, L)`, nats; 0 without an image.

    Reference:
        - [Rong et al., 2025](https://arxiv.org/abs/2505.16916)
    """
    within = np.where(of_image[:, None], attention, 0.0).astype("float64")
    total = within.sum(axis=-1, keepdims=True)
    share = within / np.where(total > 0, total, 1.0)
    return -(share * np.log(share + TINY)).sum(axis=-1).astype("float32")


def _seen(attention, position, length):
    """Marks the positions that a position sees, bool `(B, K)`."""
    others = ops.arange(length, dtype="int32")[None]
    position = position[:, None]
    seen = others <= position
    if attention.use_sliding_window_attention:
        seen = ops.logical_and(
            seen, others > position - attention.sliding_window_size
        )
    return seen


class _Batches(keras.utils.PyDataset):
    """Batches of a `ScoringBatches` as one input of a model."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        x, _, sample_weight = self._batches[index]
        return {"x": x, "response_mask": sample_weight["response_mask"]}
