"""The model: its loss to the digit, its two ways, and what users expect."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.decisions import Threshold
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import Scorer
from keras_byorn.training.model import BYORnModel

PROMPTS = ["describe the image\n", "what colour is the left digit\n"]


@keras.saving.register_keras_serializable(package="model_test")
class Soft(Threshold):
    """A smooth probability: 1/2 at the cut, more below it."""

    def __call__(self, plausibility, cut=None):
        return keras.ops.sigmoid(4.0 * (self.cut - plausibility))


@keras.saving.register_keras_serializable(package="model_test")
class FirstToken(Scorer):
    """Judges by the first response token only."""

    in_step = True

    def call(self, scores):
        mask = keras.ops.cast(scores.response_mask, "int32")
        first = (keras.ops.cumsum(mask, axis=-1) == 1) & (mask == 1)
        first = keras.ops.cast(first, "float32")
        return keras.ops.sum(scores.log_likelihoods * first, axis=-1)


class Stream(keras.utils.PyDataset):
    """Batches as the task's preprocessor returns them: no scores, no weights.

    Args:
        batches: a `TargetBatches`.
        extra: function from a batch's `sample_weight` to the stream's.
    """

    def __init__(self, batches, extra=lambda e: e["response_mask"]):
        super().__init__()
        self._items = [
            (x, y, extra(e)) for x, y, e in batches.prepared.scoring_batches()
        ]

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        return self._items[index]


def compiled(vlm, learning_rate=0.05, optimizer=keras.optimizers.Adam, **kw):
    model = BYORnModel(vlm, **kw)
    model.compile(optimizer=optimizer(learning_rate))
    return model


def mean_losses(response_log_likelihoods, vlm, x, y, mask):
    """The oracle's L: mean negative log-likelihood of response tokens."""
    values = response_log_likelihoods(vlm, x, y, mask)
    return -values.sum(axis=-1) / mask.sum(axis=-1)


def score_softly(model, batches, decision):
    """Scores the store with the reference, outside the step."""
    x, y, extra = batches.prepared.scoring_batches()[0]
    mask = extra["response_mask"]
    scores = model.scorer(model.reference(x, y, mask), mask)
    plausibility = keras.ops.convert_to_numpy(scores)
    decision.cut = float(np.median(plausibility))
    probability = decision.suspect_probability_of(plausibility)
    assert 0.01 < probability.min() < 0.49 and 0.51 < probability.max() < 0.99
    batches.store.set_scores(plausibility, probability)


def logits_of(vlm, x):
    return keras.ops.convert_to_numpy(vlm(x, training=False))


@pytest.fixture(scope="module")
def trained(make_vlm, make_examples, make_batches):
    """One plain run of full fine-tuning, for several tests."""
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(6), shuffle=True)
    model = compiled(vlm)
    history = model.fit(batches, epochs=4, verbose=0)
    return model, batches, history.history["loss"]


def test_loss_is_the_papers(
    vlm, make_examples, make_batches, response_log_likelihoods
):
    """(1 - P) L(y) + P L(t) per example, against NumPy on the raw logits.

    Over three batches, the last one filled, it is the mean over examples.
    """
    examples = make_examples(6, prompts=PROMPTS * 3)
    batches = make_batches(vlm, examples, batch_size=5)
    probability = np.array([0.0, 0.1, 0.5, 0.75, 0.9, 0.3], "float32")
    batches.store.set_scores(-np.ones(6), probability)
    new = [dict(e, responses="purple nine") for e in examples]
    ids = batches.task.tokenize(["purple nine"])[0]
    for example in examples:
        batches.store.replace(example["example_id"], "purple nine", ids)

    def losses(examples):
        x, y, extra = make_batches(vlm, examples, batch_size=6)[0]
        mask = extra["response_mask"]
        return mean_losses(response_log_likelihoods, vlm, x, y, mask)

    expected = np.mean(
        (1 - probability) * losses(examples) + probability * losses(new)
    )
    model = compiled(vlm)
    result = model.evaluate(batches, verbose=0, return_dict=True)
    np.testing.assert_allclose(result["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("lora_rank", [None, 4])
def test_a_stream_trains_as_the_cached_way(
    make_vlm, make_batches, response_log_likelihoods, lora_rank
):
    """Scored in the step or before it: the same losses to 1e-5.

    The first of them is the oracle's, for a step logs its loss before its
    update. The decision is smooth, so that a gradient through the score
    would show; the steps are several, so that a moving reference would.
    """
    losses, decision = {}, Soft()
    for way in ("cached", "stream"):
        vlm = make_vlm(lora_rank=lora_rank)
        batches = make_batches(vlm, batch_size=6)
        # Not Adam: near a zero gradient it makes much of a rounding.
        sgd = keras.optimizers.SGD
        model = compiled(vlm, 0.1, optimizer=sgd, decision=decision)
        score_softly(model, batches, decision)
        if way == "cached":
            x, y, extra = batches[0]
            mask, weight = extra["response_mask"], extra["weight"]
            first = mean_losses(response_log_likelihoods, vlm, x, y, mask)
        data = batches if way == "cached" else Stream(batches)
        losses[way] = model.fit(data, epochs=4, verbose=0).history["loss"]
    expected = np.average(first, weights=weight)
    np.testing.assert_allclose(losses["cached"][0], expected, rtol=1e-5)
    np.testing.assert_allclose(losses["stream"], losses["cached"], atol=1e-5)
    assert losses["stream"][-1] < losses["stream"][0] - 0.05


def objective(model, x, y, training=True, **extra):
    """The loss of one batch, outside a compiled step."""
    loss = model.objective((x, y, extra), training=training)
    return float(keras.ops.convert_to_numpy(loss))


def test_scores_in_a_batch_are_used_as_they_are(vlm, make_batches):
    """`weight` wins over `plausibility`, which wins over scoring anew."""
    decision = Soft(cut=-4.0)
    model = compiled(vlm, decision=decision)
    x, y, extra = make_batches(vlm, batch_size=6)[0]
    mask = extra["response_mask"]
    plausibility = np.linspace(-5.0, -3.0, 6).astype("float32")
    turned = plausibility[::-1].copy()
    weight = 1.0 - decision.suspect_probability_of(plausibility)

    def loss(**given):
        return objective(model, x, y, response_mask=mask, **given)

    by_weight = loss(weight=weight)
    assert loss(plausibility=plausibility) == pytest.approx(by_weight, 1e-5)
    both = loss(weight=weight, plausibility=turned)
    assert both == pytest.approx(by_weight, 1e-5)
    assert loss(plausibility=turned) != pytest.approx(by_weight, 1e-3)
    assert loss() != pytest.approx(by_weight, 1e-3)


def test_validation_scores_nothing(vlm, make_batches, response_log_likelihoods):
    """Examples of a stream have a weight of one there; no reference is asked.

    With weights of its own a batch is judged by these.
    """
    model = compiled(vlm, decision=Soft(cut=-4.0))
    model.reference.score_tokens = None
    x, y, extra = make_batches(vlm, batch_size=6)[0]
    mask = extra["response_mask"]
    losses = mean_losses(response_log_likelihoods, vlm, x, y, mask)
    found = objective(model, x, y, training=False, response_mask=mask)
    assert found == pytest.approx(losses.mean(), 1e-5)
    weight = np.linspace(0.0, 1.0, 6).astype("float32")
    found = objective(
        model, x, y, training=False, response_mask=mask, weight=weight
    )
    assert found == pytest.approx(np.average(losses, weights=weight), 1e-5)


def test_the_streams_scorer_is_the_models(
    vlm, make_batches, response_log_likelihoods
):
    """A scorer of one's own decides in the step too."""
    decision = Soft(cut=-4.0)
    model = compiled(vlm, decision=decision, scorer=FirstToken())
    x, y, extra = make_batches(vlm, batch_size=6)[0]
    mask = extra["response_mask"]
    values = response_log_likelihoods(vlm, x, y, mask)
    scores = np.array([row[m][0] for row, m in zip(values, mask)])
    weight = 1 / (1 + np.exp(4.0 * (decision.cut - scores)))
    losses = mean_losses(response_log_likelihoods, vlm, x, y, mask)
    expected = np.average(losses, weights=weight)
    result = objective(model, x, y, response_mask=mask)
    assert result == pytest.approx(expected, 1e-4)
    assert np.mean(losses) != pytest.approx(expected, 1e-3)


def test_no_gradient_flows_into_the_reference(make_vlm, make_batches):
    """Even a reference that someone unfroze stays as it is."""
    vlm, judge = make_vlm(), make_vlm(seed=1)
    reference = FrozenReference(judge)
    judge.trainable = True
    model = compiled(
        vlm,
        optimizer=keras.optimizers.SGD,
        reference=reference,
        decision=Soft(cut=-4.0),
    )
    assert len(model.trainable_variables) > len(vlm.trainable_variables)
    before = [keras.ops.convert_to_numpy(v) for v in judge.weights]
    student = [keras.ops.convert_to_numpy(v) for v in vlm.weights]
    batches = make_batches(vlm, batch_size=6)
    model.fit(Stream(batches), epochs=2, verbose=0)
    for variable, value in zip(judge.weights, before):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert any(
        not np.array_equal(variable.numpy(), value)
        for variable, value in zip(vlm.weights, student)
    )


def test_training_learns(trained):
    """The loss of a constant task falls to a fraction of what it was."""
    _, _, losses = trained
    assert losses[-1] < 0.6 * losses[0]


def test_same_seed_same_losses(trained, make_vlm, make_examples, make_batches):
    """Every random draw comes from one seed."""
    _, _, losses = trained
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(6), shuffle=True)
    again = compiled(vlm).fit(batches, epochs=4, verbose=0)
    assert again.history["loss"] == losses


def test_the_users_task_is_what_was_tuned(trained):
    """`model.vlm` is the object that came, and `predict` is its logits."""
    model, batches, _ = trained
    originals = batches.prepared.scoring_batches()
    predicted = model.predict(originals, verbose=0)
    expected = [logits_of(model.vlm, x) for x, _, _ in originals]
    expected = np.concatenate(expected)
    np.testing.assert_allclose(predicted, expected, atol=1e-4)
    of_examples = model.predict(batches, verbose=0)  # shuffled, filled
    assert len(of_examples) == len(batches.examples)
    np.testing.assert_allclose(
        of_examples, expected[: len(of_examples)], atol=1e-4
    )
    assert model.batches is batches


def test_score_is_of_the_student(
    trained, make_vlm, make_batches, response_log_likelihoods
):
    """As it is now, with adapters on; the reference stays as it was."""
    adapted = make_vlm(lora_rank=2)
    lora = compiled(adapted), make_batches(adapted)
    for variable in adapted.trainable_variables:
        variable.assign(variable + 0.2)
    for model, batches in (trained[:2], lora):
        whole = batches.prepared.scoring_batches()
        expected = np.concatenate(
            [
                response_log_likelihoods(
                    model.vlm, x, y, extra["response_mask"]
                )
                for x, y, extra in whole
            ]
        )
        found = model.score(whole, verbose=0)
        np.testing.assert_allclose(
            found.log_likelihoods, expected[:6], atol=1e-4
        )
        before = model.reference.score(whole, verbose=0)
        assert np.abs(before[0] - found[0]).max() > 0.1


def test_evaluate_is_the_loss_of_the_task(trained, response_log_likelihoods):
    """As Keras users expect: no update, and a dict where one is asked."""
    model, batches, _ = trained
    losses = []
    for x, y, extra in batches:
        mask, weight = extra["response_mask"], extra["weight"]
        values = mean_losses(response_log_likelihoods, model.vlm, x, y, mask)
        losses += list(values[weight > 0])
    before = model.vlm.get_weights()
    result = model.evaluate(batches, verbose=0, return_dict=True)
    np.testing.assert_allclose(result["loss"], np.mean(losses), rtol=1e-4)
    alone = model.evaluate(batches, verbose=0)
    assert alone == pytest.approx(result["loss"], 1e-5)
    for value, old in zip(model.vlm.get_weights(), before):
        np.testing.assert_array_equal(value, old)


def test_generate_with_mixed_prompts_is_one_by_one(wordy_vlm, make_examples):
    """PaliGemma alone is wrong where prompts differ in length."""
    prompts = [*PROMPTS, "describe the right\n", "what\n"] * 2
    images = np.stack([e["images"] for e in make_examples(8)])
    model = BYORnModel(wordy_vlm)
    together = model.generate({"images": images, "prompts": prompts})
    alone = [
        model.generate({"images": images[i : i + 1], "prompts": [prompt]})[0]
        for i, prompt in enumerate(prompts)
    ]
    assert together == alone
    assert len(set(together)) == 8
    for text, prompt in zip(together, prompts):
        assert text.startswith(prompt)
    stripped = model.generate(
        {"images": images, "prompts": prompts}, strip_prompt=True
    )
    for text, whole, prompt in zip(stripped, together, prompts):
        assert text.strip() == whole[len(prompt) :].strip()


def test_generate_after_enable_lora_knows_the_adapters(make_vlm, make_examples):
    """A function compiled before LoRA was enabled must not be kept."""
    vlm = make_vlm()
    images = make_examples(1)[0]["images"][None]
    inputs = {"images": images, "prompts": [PROMPTS[0]]}
    vlm.generate(dict(inputs))
    vlm.backbone.enable_lora(4)
    model = BYORnModel(vlm)
    before = model.generate(inputs)
    rng = np.random.default_rng(0)
    for variable in vlm.trainable_variables:
        variable.assign(rng.normal(0, 1.0, variable.shape))
    assert model.generate(inputs) != before


def test_a_stream_without_decision_is_refused(vlm, make_batches):
    """Nothing says there whose responses are suspect."""
    model = compiled(vlm)
    with pytest.raises(ValueError, match="`decision`.*decision=None"):
        model.fit(Stream(make_batches(vlm)), verbose=0)
