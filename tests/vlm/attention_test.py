"""Attention to the image is that of KerasHub's own layers."""

import keras
import numpy as np
import pytest

from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.vlm.attention import ImageAttention, entropy
from keras_byorn.vlm.tiny_models import TINY

IMAGE_SIZE = 16


def recording(softmax, monkeypatch):
    """Keeps what a softmax layer returns, in a list."""
    kept, call = [], softmax.call

    def recorded(inputs, mask=None):
        kept.append(call(inputs, mask))
        return kept[-1]

    monkeypatch.setattr(softmax, "call", recorded)
    return kept


def prepared_for(vlm, name):
    """Two examples whose prompts and responses differ in length."""
    token = "<start_of_image>" if name.startswith("Gemma 3") else ""
    rng = np.random.default_rng(0)
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    examples = [
        {
            "example_id": response,
            "images": rng.integers(0, 256, shape).astype("uint8"),
            "prompts": token + prompt,
            "responses": response,
        }
        for prompt, response in (
            ("describe the image\n", "red one two three"),
            ("what\n", "blue"),
            ("what is the left digit\n", "nine"),
        )
    ]
    return PreparedExamples(examples, vlm, batch_size=2, verbose=0)


def spread_out(vlm):
    """Draws large weights, so that attention is not even."""
    rng = np.random.default_rng(1)
    for variable in vlm.backbone.weights:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 0.5, variable.shape))


@pytest.mark.parametrize(
    "name, options",
    [
        ("PaliGemma", {"num_layers": 2}),
        ("PaliGemma 2", {"num_layers": 2, "sliding_window_size": 5}),
        ("Gemma 3", {}),
    ],
)
def test_attention_is_what_the_layers_compute(name, options, monkeypatch):
    """Recorded in their own softmax, of the last token of the prompt."""
    vlm = TINY[name](**options)
    spread_out(vlm)
    prepared = prepared_for(vlm, name)
    x, _, extra = prepared.scoring_batches()[0]
    attention = ImageAttention(vlm)
    found, of_image = attention.predict_on_batch(
        {"x": x, "response_mask": extra["response_mask"]}
    )
    blocks = vlm.backbone.transformer_layers
    kept = [recording(b.attention.softmax, monkeypatch) for b in blocks]
    vlm(x)
    last = extra["response_mask"].argmax(-1) + attention.prefix_length
    assert last[0] != last[1]
    for layer, (weights,) in enumerate(kept):
        weights = keras.ops.convert_to_numpy(weights)
        weights = weights.mean(axis=(1, 2))[np.arange(2), last]
        np.testing.assert_allclose(found[:, layer], weights, atol=2e-5)
        assert weights.std() > 0.02  # not even
    per_image = of_image.sum(axis=1)
    assert (per_image == per_image[0]).all() and 0 < per_image[0] < 20
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)


def test_entropies_are_in_the_order_of_the_examples():
    """Compiled, in batches, without the rows that fill them."""
    vlm = TINY["PaliGemma"]()
    spread_out(vlm)
    before = [keras.ops.convert_to_numpy(w) for w in vlm.weights]
    prepared = prepared_for(vlm, "PaliGemma")
    attention = ImageAttention(vlm)
    found = attention.entropies(prepared.scoring_batches())
    assert found.shape == (3, 1) and found.dtype == "float32"
    order = [2, 0, 1]
    mixed = attention.entropies(prepared.scoring_batches(indices=order))
    np.testing.assert_allclose(mixed, found[order], atol=1e-4)
    assert np.ptp(found) > 0.01 and (found < np.log(4) + 1e-4).all()
    after = [keras.ops.convert_to_numpy(w) for w in vlm.weights]
    for left, right in zip(before, after):
        np.testing.assert_array_equal(left, right)


def test_entropy_is_within_the_image():
    """Even attention over n positions has log(n); one position has none."""
    attention = np.array(
        [[[0.1, 0.1, 0.1, 0.7]], [[0.0, 0.4, 0.0, 0.6]], [[0.2, 0.1, 0.1, 0.6]]]
    )
    of_image = np.array([[True, True, True, False]] * 3)
    share = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(
        entropy(attention, of_image)[:, 0],
        [np.log(3), 0.0, -(share * np.log(share)).sum()],
        atol=1e-6,
    )
    nothing = np.zeros((3, 4), bool)
    assert (entropy(attention, nothing) == 0).all()


@pytest.mark.parametrize("name", ["BLIP-2 OPT", "Gemma 3, text only", "Gemma"])
def test_tasks_without_such_attention_are_refused(name):
    with pytest.raises(ValueError, match="must be a PaliGemma or Gemma 3"):
        ImageAttention(TINY[name]())
