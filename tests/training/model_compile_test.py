"""Compiling: metrics, the loss, and optimizers of half precision."""

import keras
import numpy as np
import pytest

from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma


def logits_of(vlm, x):
    return keras.ops.convert_to_numpy(vlm(x, training=False))


@pytest.fixture
def make_vlm_of(tokenizer_proto):
    """A function from a global policy and a backbone's own to a task."""
    before = keras.config.dtype_policy()

    def make(policy, dtype):
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(0)
        config = {} if dtype is None else {"dtype": dtype}
        return tiny_pali_gemma(tokenizer_proto, sequence_length=16, **config)

    yield make
    keras.config.set_dtype_policy(before)


def test_metrics_see_response_tokens_only(vlm, make_batches):
    """A weighted metric counts trained tokens: no prompt, no filler."""
    batches = make_batches(vlm, batch_size=4)
    model = BYORnModel(vlm)
    metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(optimizer="adam", weighted_metrics=[metric], run_eagerly=True)
    right, count = 0, 0
    for x, y, extra in batches:
        mask = extra["response_mask"] & (extra["weight"][:, None] > 0)
        hits = logits_of(vlm, x).argmax(axis=-1) == y
        right, count = right + (hits & mask).sum(), count + mask.sum()
    result = model.evaluate(batches, verbose=0, return_dict=True)
    np.testing.assert_allclose(result["accuracy"], right / count, rtol=1e-5)


def test_a_metric_of_ones_own_gets_token_weights(vlm, make_batches):
    """From its first call on, that in which Keras builds it."""

    class Shapes(keras.metrics.Mean):
        def update_state(self, y_true, y_pred, sample_weight=None):
            assert tuple(sample_weight.shape) == tuple(y_true.shape)

    batches = make_batches(vlm)
    batches.store.set_scores(-np.ones(6), np.zeros(6))
    model = BYORnModel(vlm)
    model.compile(optimizer="adam", weighted_metrics=[Shapes()])
    model.fit(batches, verbose=0)


def test_a_loss_of_ones_own_is_refused(vlm):
    """The model weighs examples and tokens itself."""
    with pytest.raises(ValueError, match="`loss`.*Received: loss='mse'"):
        BYORnModel(vlm).compile(optimizer="adam", loss="mse")


@pytest.mark.parametrize("dtype", [None, "float32", "mixed_float16"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_the_loss_is_scaled_where_the_task_scales_its_own(
    make_vlm_of, policy, dtype
):
    """By the policy of the task, whatever the global one is."""
    vlm = make_vlm_of(policy, dtype)
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(1e-3))
    vlm.compile(optimizer=keras.optimizers.AdamW(1e-3))
    assert type(model.optimizer) is type(vlm.optimizer)
    scaled = (dtype or policy) == "mixed_float16"
    scaling = keras.optimizers.LossScaleOptimizer
    assert isinstance(model.optimizer, scaling) == scaled


@pytest.mark.parametrize(
    "policy, dtype", [("float32", "mixed_float16"), ("mixed_float16", None)]
)
def test_half_precision_trains(make_vlm_of, make_batches, policy, dtype):
    """With the defence and its average, on a loss that is not scaled."""
    vlm = make_vlm_of(policy, dtype)
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.5))
    assert type(model.optimizer) is keras.optimizers.LossScaleOptimizer
    before = vlm.get_weights()
    batches = make_batches(vlm)
    expected = model.evaluate(batches, verbose=0)
    history = model.fit(
        batches, epochs=3, callbacks=[BYORnCallback(verbose=0)], verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0] < 1.5 * expected
    after = vlm.get_weights()
    assert all(value.dtype == "float32" for value in after)
    assert any(np.any(a != b) for a, b in zip(before, after))
