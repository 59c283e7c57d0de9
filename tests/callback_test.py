"""The defence in action: who is trained on what, epoch by epoch."""

import types
import warnings

import keras
import numpy as np
import pytest

from keras_byorn.baselines import OracleFlags, RandomFlags
from keras_byorn.detection.scorers import (
    Duplication,
    Ensemble,
    MeanLogLikelihood,
    Regret,
)
from keras_byorn.detection.decisions import (
    FlagFraction,
    MixtureThreshold,
    Threshold,
)
from keras_byorn.training.target_store import TargetStore
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.regeneration import Regenerator
from keras_byorn.training.ema import averaged_weights

RESPONSES = "red green blue yellow purple white one two".split()
SUSPECTS = (0, 1, 2)
LETTERS = "dowe"  # what the teacher writes, letter by letter
CODES = {**{f"▁{w}": i for i, w in enumerate(RESPONSES)}}
CODES.update({letter: len(RESPONSES) + i for i, letter in enumerate(LETTERS)})


class Sum(keras.metrics.Metric):
    """Sums a value over the tokens of an epoch that are trained on.

    Args:
        values: list of floats, one for each token of the vocabulary.
        name: string.
    """

    def __init__(self, values, name):
        super().__init__(name=name)
        self.values = np.asarray(values, "float32")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = keras.ops.take(
            keras.ops.convert_to_tensor(self.values),
            keras.ops.cast(y_true, "int32"),
        )
        weight = keras.ops.cast(sample_weight, "float32")
        if len(weight.shape) == 1:  # only while Keras builds its metrics
            weight = weight[:, None]
        self.total.assign_add(keras.ops.sum(values * weight))

    def result(self):
        return self.total + 0.0


def recording_metrics(tokenizer):
    """Metrics whose sums tell which responses an epoch trained on."""
    codes = np.zeros(tokenizer.vocabulary_size())
    for piece, code in CODES.items():
        codes[tokenizer.token_to_id(piece)] = 4.0**code
    return [Sum(codes, "trained"), Sum(np.ones_like(codes), "num_tokens")]


def decode(total):
    """How often each of `CODES` was trained on, zeros left out."""
    counts = {p: int(total) // 4**code % 4 for p, code in CODES.items()}
    return {piece.strip("▁"): n for piece, n in counts.items() if n}


class FakeTeacher:
    """Stands in for generation: writes what it is told to, by image.

    Args:
        images: uint8 array of the suspects' images.
        script: one list for each call, with the ids for each suspect.
        variable: a variable of the student, to be looked at while writing.
    """

    def __init__(self, images, script, variable):
        self._images, self._script = images, list(script)
        self._variable = variable
        self.weights = []

    def __call__(self, images, prompt_ids, length):
        self.weights.append(keras.ops.convert_to_numpy(self._variable))
        answers = self._script.pop(0)
        keys = [image.tobytes() for image in self._images]
        return [answers[keys.index(image.tobytes())] for image in images]


class Watch(keras.callbacks.Callback):
    """Notes a variable, and the optimizer's average of it, at epoch begin."""

    def __init__(self, variable):
        super().__init__()
        self._variable = variable
        self.weights, self.averages = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.weights.append(keras.ops.convert_to_numpy(self._variable))
        optimizer = self.model.optimizer
        if not optimizer.built:  # TensorFlow builds it in the first step
            self.averages.append(None)
            return
        for variable, average in zip(
            optimizer._trainable_variables,
            optimizer._model_variables_moving_average,
        ):
            if variable is self._variable:
                self.averages.append(keras.ops.convert_to_numpy(average))


def adam(**kwargs):
    kwargs = {"use_ema": True, "ema_momentum": 0.5, **kwargs}
    return keras.optimizers.Adam(0.01, **kwargs)


class Run:
    """A defended run of three epochs with a teacher that writes by script."""

    def __init__(self, make_vlm, make_examples, make_batches, teacher="ema"):
        self.vlm = make_vlm()
        self.sampler = self.vlm.sampler
        self.examples = make_examples(8, responses=RESPONSES)
        self.batches = make_batches(
            self.vlm, self.examples, batch_size=2, shuffle=True
        )
        tokenizer = self.vlm.preprocessor.tokenizer
        d, o, w, e = (tokenizer.token_to_id(piece) for piece in LETTERS)
        script = [
            [np.array([d, o]), np.array([], "int32"), None],
            [np.array([w]), np.array([e]), None],
        ]
        variable = self.vlm.backbone.get_layer("token_embedding").embeddings
        images = np.stack([self.examples[i]["images"] for i in SUSPECTS])
        self.teacher = FakeTeacher(images, script, variable)
        self.batches.task.generate_ids = self.teacher
        self.before, self.after = Watch(variable), Watch(variable)
        self.defence = OracleFlags(
            {f"scene-{i}" for i in SUSPECTS},
            scorer=MeanLogLikelihood(),
            teacher=teacher,
            batch_size=3,
            verbose=0,
        )
        self.model = BYORnModel(self.vlm)
        self.model.compile(
            optimizer=adam(), weighted_metrics=recording_metrics(tokenizer)
        )
        self.generate_function = self.vlm.generate_function = object()
        with warnings.catch_warnings(record=True) as self.warnings:
            warnings.simplefilter("always")
            self.history = self.model.fit(
                self.batches,
                epochs=3,
                callbacks=[self.before, self.defence, self.after],
                verbose=0,
            ).history


@pytest.fixture(scope="module")
def run(make_vlm, make_examples, make_batches):
    return Run(make_vlm, make_examples, make_batches)


def test_first_epoch_trains_on_kept_examples_only(run):
    """The untuned model teaches nothing, and suspects teach nothing."""
    kept = [w for i, w in enumerate(RESPONSES) if i not in SUSPECTS]
    assert decode(run.history["trained"][0]) == dict.fromkeys(kept, 1)
    assert run.history["num_tokens"][0] == 2 * len(kept)  # each with its end


def test_later_epochs_train_on_what_was_just_generated(run):
    """On the generated ids, not on the text tokenized again.

    Empty and endless responses are no targets, and no epoch is cut short
    though each has more rows than the one before.
    """
    kept = {w: 1 for i, w in enumerate(RESPONSES) if i not in SUSPECTS}
    assert decode(run.history["trained"][1]) == {**kept, "d": 1, "o": 1}
    assert run.history["num_tokens"][1] == 2 * len(kept) + 3
    assert decode(run.history["trained"][2]) == {**kept, "w": 1, "e": 1}
    assert run.history["num_tokens"][2] == 2 * len(kept) + 4


def test_teacher_writes_once_before_each_further_epoch(run):
    """Two calls for three epochs: the first epoch has none."""
    assert len(run.teacher.weights) == 2


def test_the_store_says_what_happened(run):
    """The audit reads it from there."""
    rows = list(run.batches.store.rows())
    origins = ["regenerated", "regenerated", "excluded"] + ["original"] * 5
    assert [row.origin for row in rows] == origins
    assert [row.original_response for row in rows] == RESPONSES
    assert rows[0].current_response == "w" and rows[1].current_response == "e"
    assert rows[2].current_response is None
    assert rows[0].revision == 3 and rows[1].revision == 2


def test_history_counts_suspects_and_replacements(run):
    """And the mean score, which is that of the originals all along."""
    assert run.history["num_suspect"] == [3, 3, 3]
    assert run.history["num_regenerated"] == [0, 1, 2]
    mean = np.mean(run.batches.store.plausibility)
    assert run.history["mean_plausibility"] == pytest.approx([mean] * 3)


def test_scores_are_the_untuned_models(run, make_vlm, response_log_likelihoods):
    """Means of the raw logits' log-likelihoods, against NumPy."""
    vlm, expected = make_vlm(), []
    for x, y, extra in run.batches.originals(4):
        mask = extra["response_mask"]
        values = response_log_likelihoods(vlm, x, y, mask)
        expected += list(values.sum(axis=-1) / mask.sum(axis=-1))
    np.testing.assert_allclose(
        run.batches.store.plausibility, expected, atol=1e-4
    )


def test_growing_epochs_are_no_warning(run):
    """Correct use is silent: Keras must not say that data ran out."""
    messages = [str(warning.message) for warning in run.warnings]
    assert not [m for m in messages if "ran out of data" in m]
    assert not [m for m in messages if "keras_byorn" in m]


def test_the_ema_teaches_and_the_student_comes_back(run):
    """While writing the model is the average; before and after, itself."""
    for epoch, seen in enumerate(run.teacher.weights, start=1):
        weights, average = run.before.weights[epoch], run.before.averages[epoch]
        assert np.abs(weights - average).max() > 1e-4
        np.testing.assert_array_equal(seen, average)
        np.testing.assert_array_equal(run.after.weights[epoch], weights)
        np.testing.assert_array_equal(run.after.averages[epoch], average)


def test_the_student_teaches_where_it_is_asked(
    make_vlm, make_examples, make_batches
):
    """`teacher="student"`: the model as it is, not its average."""
    run = Run(make_vlm, make_examples, make_batches, teacher="student")
    assert len(run.teacher.weights) == 2
    for epoch, seen in enumerate(run.teacher.weights, start=1):
        weights, average = run.before.weights[epoch], run.before.averages[epoch]
        assert np.abs(weights - average).max() > 1e-4
        np.testing.assert_array_equal(seen, weights)


def test_sampler_and_compilation_stay_the_users(run):
    """Regenerating borrows the task and gives it back."""
    assert run.vlm.sampler is run.sampler
    assert run.vlm.generate_function is run.generate_function


def test_audit_has_a_row_for_every_example(run):
    """The five lines end with it; its tokens are the originals'."""
    audit = run.defence.audit()
    scores = run.defence._token_scores(run.batches)
    assert len(scores) == 8 and audit is not None
    pieces, log_likelihoods = scores["scene-3"]
    assert [piece.strip("▁") for piece in pieces] == ["yellow", "<eos>"]
    assert np.mean(log_likelihoods) == pytest.approx(
        run.batches.store["scene-3"].plausibility, abs=1e-5
    )


def to_the_last_token(task):
    """Keeps what a random model writes: it seldom ends, or means anything."""
    until_end = task._until_end

    def keep(token_ids):
        ended = until_end(token_ids)
        return token_ids if ended is None else ended

    task._until_end = keep
    task.detokenize = lambda token_ids: f"ids {list(token_ids)}"


def test_regeneration_is_one_by_one(wordy_vlm, make_examples, make_batches):
    """Prompts of several lengths, in filled batches, against single calls."""
    prompts = [
        "describe the image\n",
        "what is the left digit\n",
        "describe the right\n",
        "what\n",
    ]
    examples = make_examples(8, prompts=prompts * 2)
    batches = make_batches(wordy_vlm, examples)
    to_the_last_token(batches.task)
    indices = np.array([7, 0, 1, 2, 3, 5, 6])
    write = Regenerator(batches, "greedy", batch_size=4, seed=0)
    written = write(indices, verbose=0)
    assert sorted(written) == sorted(indices)
    assert len({tuple(ids) for _, ids in written.values()}) > 3
    wordy_vlm.compile(sampler="greedy")
    for index in indices:
        text, ids = written[index]
        (expected,) = batches.task.generate_ids(
            examples[index]["images"][None],
            [batches.prompt_ids[index]],
            batches.text_length,
        )
        np.testing.assert_array_equal(ids, expected)
        assert text == batches.task.detokenize(ids).strip()


def test_random_sampling_follows_its_seed(
    make_vlm, make_examples, make_batches
):
    """Same seed, same responses; another seed, others."""
    vlm = make_vlm(seed=2)
    batches = make_batches(vlm, make_examples(8))
    to_the_last_token(batches.task)
    texts = []
    for seed in (0, 0, 1):
        write = Regenerator(batches, "random", batch_size=8, seed=seed)
        texts.append({i: t for i, (t, _) in write(np.arange(8), 0).items()})
    assert texts[0] == texts[1] != texts[2]


def test_a_regenerator_that_is_used_again_draws_as_a_new_one(
    make_vlm, make_examples, make_batches
):
    """A run does not depend on what the callback defended before."""
    batches = make_batches(make_vlm(seed=2), make_examples(8))
    to_the_last_token(batches.task)
    write = Regenerator(batches, "random", batch_size=8, seed=0)
    first = {i: t for i, (t, _) in write(np.arange(8), 0).items()}
    other = {i: t for i, (t, _) in write(np.arange(8), 0).items()}
    write.begin_anew(batches)
    again = {i: t for i, (t, _) in write(np.arange(8), 0).items()}
    assert again == first != other


def limited(task, most, error):
    """Has a task fail on batches of more than `most`; returns the sizes."""
    generate_ids, sizes = task.generate_ids, []

    def generate(images, prompt_ids, length):
        sizes.append(len(prompt_ids))
        if len(prompt_ids) > most:
            raise error
        return generate_ids(images, prompt_ids, length)

    task.generate_ids = generate
    return sizes


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Failed to allocate 8 bytes"),
        type("ResourceExhaustedError", (Exception,), {})("OOM when allocating"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"),
    ],
)
def test_where_memory_is_short_batches_are_halved(
    wordy_vlm, make_examples, make_batches, error
):
    """A fine-tune is not lost for it, and no response."""
    batches = make_batches(wordy_vlm, make_examples(8))
    to_the_last_token(batches.task)
    expected = Regenerator(batches, "greedy", batch_size=2, seed=0)(
        np.arange(8), verbose=0
    )
    sizes = limited(batches.task, 2, error)
    write = Regenerator(batches, "greedy", batch_size=8, seed=0)
    with pytest.warns(UserWarning, match="no memory to generate 8 .* with 4"):
        written = write(np.arange(8), verbose=0)
    assert sizes == [8, 2, 2, 2, 2] or sizes == [8, 4, 2, 2, 2, 2]
    assert sorted(written) == list(range(8))
    for index, (text, ids) in expected.items():
        assert written[index][0] == text
        np.testing.assert_array_equal(written[index][1], ids)
    assert write.suits(batches, 8)  # was asked for so many, and tried


def test_other_errors_are_not_taken_for_lack_of_memory(
    wordy_vlm, make_examples, make_batches
):
    """Nor is it hidden that a single response does not fit."""
    batches = make_batches(wordy_vlm, make_examples(2))
    limited(batches.task, 0, ValueError("something else"))
    with pytest.raises(ValueError, match="something else"):
        Regenerator(batches, "greedy", batch_size=2, seed=0)([0, 1], 0)
    limited(batches.task, 0, MemoryError())
    with pytest.warns(UserWarning, match="no memory to generate 2"):
        with pytest.raises(MemoryError):
            Regenerator(batches, "greedy", batch_size=2, seed=0)([0, 1], 0)


@pytest.mark.parametrize("placeholders, size", [(0, 16), (16, 17), (4, 16)])
def test_no_default_batch_is_of_the_size_that_is_refused(placeholders, size):
    """As many rows as image placeholders would fail after the first epoch."""
    task = types.SimpleNamespace(max_placeholders=placeholders)
    batches = types.SimpleNamespace(batch_size=4, task=task)
    assert BYORnCallback()._generating_batch_size(batches) == size
    own = BYORnCallback(batch_size=16)  # is refused where scoring begins
    assert own._generating_batch_size(batches) == 16


def test_what_never_ends_is_no_target(vlm, make_examples, make_batches):
    """Without an end token the response was cut off, wherever that was."""
    task = make_batches(vlm, make_examples(2)).task
    end = vlm.preprocessor.tokenizer.end_token_id

    def generate(inputs, stop_token_ids):
        assert tuple(stop_token_ids) == (end,)
        ids = np.array(inputs["token_ids"])
        ids[:, 6:] = 9
        ids[0, 8] = end
        return {"token_ids": ids}

    vlm.make_generate_function = lambda: generate
    prompt = task.tokenize(["describe the image\n"])[0]
    assert len(prompt) == 4  # and the start token: responses begin at 5
    images = np.zeros((2, 16, 16, 3), "uint8")
    ended, endless = task.generate_ids(images, [prompt] * 2, 12)
    assert list(ended[1:]) == [9, 9] and len(ended) == 3
    assert endless is None


def test_averaged_weights_come_back_after_an_error(vlm):
    """A crash while regenerating must not leave the average in place."""
    model = BYORnModel(vlm)
    model.compile(optimizer=adam())
    model.optimizer.build(model.trainable_variables)
    before = [keras.ops.convert_to_numpy(v) for v in vlm.trainable_variables]
    with pytest.raises(RuntimeError), averaged_weights(model):
        assert not np.array_equal(vlm.trainable_variables[0].numpy(), before[0])
        raise RuntimeError
    for variable, value in zip(vlm.trainable_variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_second_fit_goes_on(make_vlm, make_examples, make_batches):
    """The first ends with the average in the model; the next starts there."""
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(4))
    model = BYORnModel(vlm)
    model.compile(optimizer=adam())
    losses = [
        model.fit(batches, epochs=2, verbose=0).history["loss"]
        for _ in range(2)
    ]
    assert max(losses[1]) < losses[0][0]


def test_a_slow_average_is_a_warning(vlm, make_examples, make_batches):
    """It would teach the pretrained style for many epochs."""
    batches = make_batches(vlm, make_examples(4))
    batches.store.set_scores([-1.0] * 4, [0.0] * 4)
    defence = BYORnCallback(verbose=0)
    model = BYORnModel(vlm)
    model.compile(optimizer=adam(ema_momentum=0.999))
    model._batches = batches
    defence.set_model(model)
    with pytest.warns(UserWarning, match="ema_momentum"):
        defence.before_fit()
    model.compile(optimizer=adam(ema_momentum=0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        defence.before_fit()


def fit(vlm, batches, defence, optimizer=None, **kwargs):
    model = BYORnModel(vlm)
    model.compile(optimizer=optimizer or adam())
    return model.fit(batches, callbacks=[defence], verbose=0, **kwargs)


def assert_untouched(vlm, make_vlm):
    for value, expected in zip(vlm.get_weights(), make_vlm().get_weights()):
        np.testing.assert_array_equal(value, expected)


def test_an_optimizer_without_ema_is_refused(make_vlm, make_batches):
    """Before training; the message shows the argument that is missing."""
    vlm = make_vlm()
    batches = make_batches(vlm)
    with pytest.raises(ValueError, match="use_ema=True.*teacher='student'"):
        fit(vlm, batches, BYORnCallback(verbose=0), adam(use_ema=False))
    assert not batches.store.is_scored
    assert_untouched(vlm, make_vlm)


def test_a_stream_with_the_callback_is_refused(make_vlm, make_batches):
    """There are no targets to replace; the message says what to do."""
    vlm = make_vlm()
    stream = make_batches(vlm).originals()
    with pytest.raises(ValueError, match="TargetBatches.*calibrate"):
        fit(vlm, stream, BYORnCallback(verbose=0))
    assert_untouched(vlm, make_vlm)


def test_batches_of_another_task_are_refused(make_vlm, make_batches):
    """Their targets would be read with another tokenizer."""
    batches = make_batches(make_vlm())
    with pytest.raises(ValueError, match="`x`.*same `vlm`.*PaliGemma"):
        fit(make_vlm(), batches, BYORnCallback(verbose=0))


def test_backup_with_lora_is_refused(make_vlm, make_batches, tmp_path):
    """What it restores has merged adapters: the reference would be gone."""
    vlm = make_vlm(lora_rank=2)
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    with pytest.raises(ValueError, match="save_lora_weights.*BackupAndR"):
        fit(vlm, make_batches(vlm), backup)


def test_the_callback_on_another_model_is_refused(vlm, make_batches):
    """On a plain Keras model nothing would be defended."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x = np.zeros((2, 1), "float32")
    with pytest.raises(ValueError, match="BYORnModel.*Sequential"):
        model.fit(x, x, callbacks=[BYORnCallback(verbose=0)], verbose=0)


def test_a_threshold_that_flags_all_is_refused(make_vlm, make_batches):
    """Before training, for the first epoch would be empty."""

    class FlagAll(Threshold):
        def find_cut(self, plausibility, seed):
            return np.inf, "everything"

    vlm = make_vlm()
    batches = make_batches(vlm)
    with pytest.raises(ValueError, match="flags all 6 examples"):
        fit(vlm, batches, BYORnCallback(FlagAll(), verbose=0))
    assert not batches.store.is_scored
    assert_untouched(vlm, make_vlm)


@pytest.mark.parametrize(
    "kwargs",
    [{"teacher": "reference"}, {"sampler": "beam"}, {"suspects": "forgive"}],
)
def test_unknown_choices_are_refused(kwargs):
    """The message lists the choices and repeats what came."""
    ((name, value),) = kwargs.items()
    with pytest.raises(
        ValueError, match=f"`{name}`.*Received: {name}='{value}"
    ):
        BYORnCallback(**kwargs)


def test_a_scored_store_is_not_scored_again(
    make_vlm, make_examples, make_batches, tmp_path
):
    """A run that is resumed goes on with its scores and replacements."""
    vlm = make_vlm()
    examples = make_examples(4)
    store = make_batches(vlm, examples).store
    store.set_scores([-1.0, -8.0, -9.0, -2.0], [0.0, 1.0, 1.0, 0.0])
    store.replace("scene-1", "red", [9])
    store = TargetStore.load(store.save(tmp_path / "targets.parquet"))
    batches = make_batches(vlm, examples, store=store)
    defence = BYORnCallback(teacher="none", verbose=0)
    model = BYORnModel(vlm)

    def refuse(*args):
        raise AssertionError("scored again")

    model.reference.log_likelihoods = refuse
    model.compile(optimizer="adam")
    history = model.fit(batches, callbacks=[defence], verbose=0).history
    assert history["num_suspect"] == [2]
    assert history["num_regenerated"] == [1]
    assert history["mean_plausibility"] == [-5.0]
    assert list(store.plausibility) == [-1.0, -8.0, -9.0, -2.0]
    assert defence.audit() is not None


def test_a_masked_suspect_is_trained_on_but_for_its_span(
    make_vlm, make_examples, make_batches
):
    """In every epoch, the span never; and nobody writes in its place."""
    vlm = make_vlm()
    texts = ["red green blue yellow", "purple", "white", "two"]
    batches = make_batches(vlm, make_examples(4, responses=texts), batch_size=2)
    batches.store.set_scores([-9.0, -1.0, -9.0, -1.0], [1.0, 0.0, 1.0, 0.0])
    batches.store.mask("scene-0", [1], "red blue yellow")
    asked = []

    def generate_ids(images, prompt_ids, length):
        asked.extend(image.tobytes() for image in images)
        return [None] * len(images)

    batches.task.generate_ids = generate_ids
    model = BYORnModel(vlm)
    tokenizer = vlm.preprocessor.tokenizer
    model.compile(
        optimizer=adam(), weighted_metrics=recording_metrics(tokenizer)
    )
    history = model.fit(
        batches, epochs=2, callbacks=[BYORnCallback(verbose=0)], verbose=0
    ).history
    # Blue, which is predicted from the span, is left out as well.
    learned = dict.fromkeys(["red", "yellow", "purple", "two"], 1)
    assert [decode(total) for total in history["trained"]] == [learned] * 2
    assert history["num_tokens"] == [3 + 2 + 2] * 2
    assert set(asked) == {batches.examples[2]["images"].tobytes()}
    assert history["num_masked"] == [1, 1]
    assert history["num_suspect"] == [2, 2]


def test_masks_need_a_scorer_of_tokens():
    """Others could not judge what remains; the message names some."""
    for scorer in (Duplication(), Ensemble([Regret(), Duplication()])):
        with pytest.raises(ValueError, match="`suspects='mask'`.*`Regret"):
            BYORnCallback(scorer=scorer, suspects="mask")
    BYORnCallback(scorer=Duplication(), suspects="replace")
    BYORnCallback(suspects="mask")


def test_the_untuned_model_never_teaches(make_vlm, make_examples, make_batches):
    """Not even where the epochs are counted on from an earlier run."""
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(4))
    calls = []

    def generate_ids(images, prompt_ids, length):
        calls.append(len(images))
        return [None] * len(images)

    batches.task.generate_ids = generate_ids
    defence = OracleFlags({"scene-0"}, verbose=0)
    fit(vlm, batches, defence, initial_epoch=1, epochs=2)
    assert calls == []


def test_the_oracle_refuses_ids_that_it_does_not_know(
    vlm, make_examples, make_batches
):
    """An oracle of other examples would be no oracle, without a word."""
    batches = make_batches(vlm, make_examples(4))
    with pytest.raises(ValueError, match="`poisoned_ids`.*'elsewhere'"):
        fit(vlm, batches, OracleFlags({"elsewhere"}, verbose=0), epochs=1)


def flags_of(defence, plausibility):
    """What a defence flags, without a model in training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return defence.flag(np.asarray(plausibility, "float32"))


def test_the_threshold_decides_by_default():
    """The mixture, or what the user gave instead."""
    scores = np.r_[np.full(20, -9.0), np.full(80, -1.0)]
    scores = scores + np.random.default_rng(0).normal(0, 0.1, 100)
    assert isinstance(BYORnCallback().threshold, MixtureThreshold)
    assert list(flags_of(BYORnCallback(), scores)) == [1] * 20 + [0] * 80
    defence = BYORnCallback(FlagFraction(0.1))
    assert flags_of(defence, scores).sum() == 10


def test_random_flags_keep_the_rate_and_lose_the_aim():
    """As many as the threshold flags, but any: what regularises alone."""
    scores = -np.random.default_rng(0).gamma(2.0, 1.0, 400)
    aimed = flags_of(BYORnCallback(FlagFraction(0.25)), scores)
    drawn = [
        flags_of(RandomFlags(threshold=FlagFraction(0.25), seed=seed), scores)
        for seed in (0, 0, 1)
    ]
    assert aimed.sum() == drawn[0].sum() == drawn[2].sum() == 100
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    hit = (drawn[0] * aimed).sum() / 100
    assert 0.1 < hit < 0.45  # by chance 0.25


def test_oracle_flags_are_the_truth(run):
    """Exactly the poisoned ids, whatever the scores say."""
    flags = flags_of(run.defence, np.zeros(8))
    assert list(flags) == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("read", [lambda d: d.audit(), lambda d: d.store])
def test_nothing_is_told_before_training(read):
    with pytest.raises(ValueError, match="once training has begun"):
        read(BYORnCallback())
