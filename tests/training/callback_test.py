"""The defence in training: the targets of each epoch, and their writer."""

import warnings

import keras
import numpy as np
import pytest

from keras_byorn.baselines import OracleFlags
from keras_byorn.detection.decisions import Threshold
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_store import TargetStore

RESPONSES = "red green blue yellow purple white one two".split()
SUSPECTS = (0, 1, 2)
LETTERS = "dowe"  # the teacher writes letter by letter
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
    """Metrics whose sums are codes of the responses that were trained on."""
    codes = np.zeros(tokenizer.vocabulary_size())
    for piece, code in CODES.items():
        codes[tokenizer.token_to_id(piece)] = 4.0**code
    return [Sum(codes, "trained"), Sum(np.ones_like(codes), "num_tokens")]


def decode(total):
    """Counts how often each of `CODES` was trained on, zeros left out."""
    counts = {p: int(total) // 4**code % 4 for p, code in CODES.items()}
    return {piece.strip("▁"): n for piece, n in counts.items() if n}


class FakeTeacher:
    """Stands in for generation: writes by script, for each image its own.

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


class Watched(BYORnCallback):
    """Notes a variable and its average before and after each epoch's begin."""

    def __init__(self, variable, **kwargs):
        super().__init__(**kwargs)
        self._variable = variable
        self.weights, self.averages, self.after = [], [], []

    def begin_epoch(self):
        self.weights.append(keras.ops.convert_to_numpy(self._variable))
        self.averages.append(average_of(self.model.optimizer, self._variable))
        super().begin_epoch()
        self.after.append(keras.ops.convert_to_numpy(self._variable))


def average_of(optimizer, variable):
    """The optimizer's average of a variable, or `None` before there is one."""
    if not optimizer.built:  # TensorFlow builds it in the first step
        return None
    pairs = zip(
        optimizer._trainable_variables,
        optimizer._model_variables_moving_average,
    )
    (average,) = (average for own, average in pairs if own is variable)
    return keras.ops.convert_to_numpy(average)


def adam(**kwargs):
    kwargs = {"use_ema": True, "ema_momentum": 0.5, **kwargs}
    return keras.optimizers.Adam(0.01, **kwargs)


def oracle(poisoned_ids):
    scorer = MeanLogLikelihood()
    return OracleFlags(poisoned_ids, scorer=scorer, verbose=0)


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
        self.defence = Watched(
            variable,
            detector=oracle(f"scene-{i}" for i in SUSPECTS),
            teacher=teacher,
            suspects="replace",
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
                callbacks=[self.defence],
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


def test_later_epochs_train_on_new_responses(run):
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


def test_the_store_has_the_last_targets(run):
    """The audit reads them from there."""
    rows = list(run.batches.store.rows())
    origins = ["regenerated", "regenerated", "excluded"] + ["original"] * 5
    assert [row.origin for row in rows] == origins
    assert [row.original_response for row in rows] == RESPONSES
    assert rows[0].current_response == "w" and rows[1].current_response == "e"
    assert rows[2].current_response is None
    assert rows[0].revision == 3 and rows[1].revision == 2


def test_history_counts_suspects_and_replacements(run):
    """In integers, and the mean score, that of the originals all along."""
    assert run.history["num_suspect"] == [3, 3, 3]
    assert all(type(n) is int for n in run.history["num_suspect"])
    assert run.history["num_regenerated"] == [0, 1, 2]
    mean = np.mean(run.batches.store.plausibility)
    assert run.history["mean_plausibility"] == pytest.approx([mean] * 3)


def test_scores_are_the_untuned_models(run, make_vlm, response_log_likelihoods):
    """Means of the raw logits' log-likelihoods, against NumPy."""
    vlm, expected = make_vlm(), []
    for x, y, extra in run.batches.prepared.scoring_batches(4):
        mask = extra["response_mask"]
        values = response_log_likelihoods(vlm, x, y, mask)
        expected += list(values.sum(axis=-1) / mask.sum(axis=-1))
    np.testing.assert_allclose(
        run.batches.store.plausibility, expected, atol=1e-4
    )


def test_growing_epochs_are_no_warning(run):
    """Correct use is silent: data do not run out, the average keeps up."""
    messages = [str(warning.message) for warning in run.warnings]
    assert not [m for m in messages if "ran out of data" in m]
    assert not [m for m in messages if "ema_momentum" in m]
    assert not [m for m in messages if "keras_byorn" in m]


def test_the_ema_teaches_and_the_student_comes_back(run):
    """While writing the model is the average; before and after, itself."""
    for epoch, seen in enumerate(run.teacher.weights, start=1):
        weights = run.defence.weights[epoch]
        average = run.defence.averages[epoch]
        assert np.abs(weights - average).max() > 1e-4
        np.testing.assert_array_equal(seen, average)
        np.testing.assert_array_equal(run.defence.after[epoch], weights)


def test_the_student_teaches_where_it_is_asked(
    make_vlm, make_examples, make_batches
):
    """`teacher="student"`: the model as it is, not its average."""
    run = Run(make_vlm, make_examples, make_batches, teacher="student")
    assert len(run.teacher.weights) == 2
    for epoch, seen in enumerate(run.teacher.weights, start=1):
        weights = run.defence.weights[epoch]
        average = run.defence.averages[epoch]
        assert np.abs(weights - average).max() > 1e-4
        np.testing.assert_array_equal(seen, weights)


def test_sampler_and_compilation_stay_the_users(run):
    """Regenerating borrows the task and gives it back."""
    assert run.vlm.sampler is run.sampler
    assert run.vlm.generate_function is run.generate_function


def test_audit_has_a_row_for_every_example(run):
    """Its tokens are those of the original responses."""
    audit, detection = run.defence.audit(), run.defence.detection
    assert audit.table.num_rows == 8
    assert [piece.strip("▁") for piece in detection.tokens(3)] == [
        "yellow",
        "<eos>",
    ]
    log_likelihoods, _ = detection.scores_of(3)
    assert np.mean(log_likelihoods) == pytest.approx(
        run.batches.store["scene-3"].plausibility, abs=1e-5
    )


def test_the_detection_is_that_of_the_detector(run):
    """The callback has it, and the store its verdicts and probabilities."""
    detection, store = run.defence.detection, run.batches.store
    assert list(np.flatnonzero(detection.suspects)) == list(SUSPECTS)
    assert detection.settings["reference"] == "frozen copy"
    np.testing.assert_array_equal(detection.verdicts, store.verdicts)
    np.testing.assert_array_equal(detection.plausibility, store.plausibility)
    assert run.defence.audit().notes["reason"] == "the truth"


def fit(vlm, batches, defence, optimizer=None, **kwargs):
    model = BYORnModel(vlm)
    model.compile(optimizer=optimizer or adam())
    return model.fit(batches, callbacks=[defence], verbose=0, **kwargs)


def assert_untouched(vlm, make_vlm):
    for value, expected in zip(vlm.get_weights(), make_vlm().get_weights()):
        np.testing.assert_array_equal(value, expected)


def test_a_decision_that_flags_all_is_refused(make_vlm, make_batches):
    """Before training, for the first epoch would be empty."""

    class FlagAll(Threshold):
        def find_cut(self, plausibility, seed):
            return np.inf, "everything"

    vlm = make_vlm()
    batches = make_batches(vlm)
    detector = Detector(decision=FlagAll(), verbose=0)
    with pytest.raises(ValueError, match="flags all 6 examples"):
        fit(vlm, batches, BYORnCallback(detector=detector, verbose=0))
    assert not batches.store.is_scored
    assert_untouched(vlm, make_vlm)


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
    model.reference.score = None
    model.compile(optimizer="adam")
    history = model.fit(batches, callbacks=[defence], verbose=0).history
    assert history["num_suspect"] == [2]
    assert history["num_regenerated"] == [1]
    assert history["mean_plausibility"] == [-5.0]
    assert list(store.plausibility) == [-1.0, -8.0, -9.0, -2.0]
    assert defence.audit().table.num_rows == 4 and defence.detection is None


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
        batches,
        epochs=2,
        callbacks=[BYORnCallback(suspects="replace", verbose=0)],
        verbose=0,
    ).history
    # Blue, which is predicted from the span, is left out as well.
    learned = dict.fromkeys(["red", "yellow", "purple", "two"], 1)
    assert [decode(total) for total in history["trained"]] == [learned] * 2
    assert history["num_tokens"] == [3 + 2 + 2] * 2
    assert set(asked) == {batches.examples[2]["images"].tobytes()}
    assert history["num_masked"] == [1, 1]
    assert history["num_suspect"] == [2, 2]


def test_the_untuned_model_never_teaches(make_vlm, make_examples, make_batches):
    """Not even where the epochs are counted on from an earlier run."""
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(4))
    calls = []

    def generate_ids(images, prompt_ids, length):
        calls.append(len(images))
        return [None] * len(images)

    batches.task.generate_ids = generate_ids
    defence = BYORnCallback(detector=oracle({"scene-0"}), verbose=0)
    fit(vlm, batches, defence, initial_epoch=1, epochs=2)
    assert calls == []


def detected(vlm, batches, suspects=(0, 2)):
    """A detection of some examples by the oracle, without training."""
    ids = {batches.examples.example_ids[index] for index in suspects}
    return oracle(ids).detect(batches.prepared, FrozenReference.of(vlm))


def test_a_given_detection_is_not_made_again(
    make_vlm, make_examples, make_batches, monkeypatch
):
    """Its flags and scores are used, and it knows its tokens afterwards."""
    vlm = make_vlm()
    batches = make_batches(vlm, make_examples(4))
    detection = detected(vlm, batches)
    detection._pieces = None  # as from a file
    monkeypatch.setattr(FrozenReference, "score", None)
    defence = BYORnCallback(detection, teacher="none", verbose=0)
    history = fit(vlm, batches, defence).history
    assert history["num_suspect"] == [2]
    assert list(np.flatnonzero(defence.store.suspects)) == [0, 2]
    np.testing.assert_array_equal(
        defence.store.plausibility, detection.plausibility
    )
    assert len(defence.detection.tokens(0)) >= 2
    assert defence.audit().notes["reason"] == "the truth"


def test_a_detection_of_other_examples_is_refused(
    make_vlm, make_examples, make_batches
):
    """By ids, or by texts that changed; before any training."""
    vlm = make_vlm()
    detection = detected(vlm, make_batches(vlm, make_examples(4)))
    others = make_batches(vlm, make_examples(6))
    changed = make_examples(4)
    changed[3]["responses"] = "one"
    for batches, message in (
        (others, "4 examples for 6 examples, first None for .scene-4"),
        (make_batches(vlm, changed), "1 changed examples: 'scene-3'$"),
    ):
        with pytest.raises(ValueError, match=f"`detection`.*{message}"):
            fit(vlm, batches, BYORnCallback(detection, verbose=0))
        assert not batches.store.is_scored
    assert_untouched(vlm, make_vlm)


@pytest.mark.parametrize("kind", [OracleFlags, Detector])
def test_flags_by_other_means_have_no_review(
    vlm, make_examples, make_batches, kind, monkeypatch
):
    """A detector that compares with chance or the truth must stay as it is."""
    batches = make_batches(vlm, make_examples(4))
    reviews = []
    monkeypatch.setattr(
        "keras_byorn.training.callback.SuspectReview.__call__",
        lambda self: reviews.append(self),
    )
    detector = oracle({"scene-0"})
    monkeypatch.setattr(OracleFlags, "allows_review", kind.allows_review)
    defence = BYORnCallback(detector=detector, teacher="none", verbose=0)
    fit(vlm, batches, defence, epochs=3)
    assert len(reviews) == (2 if kind.allows_review else 0)


class FlagLast(Detector):
    """Flags the last example, by no score at all."""

    def flag(self, plausibility, scores):
        flags = super().flag(plausibility, scores)
        probability = np.zeros(len(plausibility), "float32")
        probability[-1] = 1.0
        return flags._replace(
            suspect_probability=probability,
            reasons=["last" if p else "" for p in probability],
            reason="the last one",
        )


def test_a_detector_may_flag_by_other_means(vlm, make_examples, make_batches):
    """A subclass changes `flag` alone; scores and audit stay."""
    batches = make_batches(vlm, make_examples(4))
    detector = FlagLast(verbose=0)
    defence = BYORnCallback(detector=detector, teacher="none", verbose=0)
    fit(vlm, batches, defence)
    assert list(defence.store.suspects) == [0, 0, 0, 1]
    assert defence.detection.reasons == ["", "", "", "last"]
    assert defence.audit().notes["reason"] == "the last one"
