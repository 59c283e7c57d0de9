"""A run that was killed goes on, to the same result."""

import errno
import json
import os
import shutil

import keras
import numpy as np
import pytest

from keras_byorn.detection import token_scoring
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.training import run_files
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel

EPOCHS = 3
# Equal to the bit but on TensorFlow, whose threads share out sums.
TOLERANCE = {"jax": 0, "torch": 0, "tensorflow": 1e-6}


class Kill(keras.callbacks.Callback):
    """Ends a run at a moment, as a user's stop button does.

    Args:
        moment: string, the name of a method of callbacks.
        epoch: int. Counted from 0.
        batch: optional int.
    """

    def __init__(self, moment, epoch, batch=None):
        super().__init__()
        self._epoch, self._now = epoch, None
        setattr(self, moment, self._end)
        self._batch = batch
        if moment != "on_epoch_begin":
            self.on_epoch_begin = self._note

    def _note(self, epoch, logs=None):
        self._now = epoch

    def _end(self, number, logs=None):
        is_epoch = self._batch is None
        epoch = number if is_epoch else self._now
        if epoch == self._epoch and (is_epoch or number == self._batch):
            raise KeyboardInterrupt


class Runs:
    """Makes equal runs, as processes that are started anew.

    Args:
        make_vlm, make_examples, make_batches: the fixtures.
        lora_rank: optional int.
    """

    def __init__(self, make_vlm, make_examples, make_batches, lora_rank):
        self._make = make_vlm, make_batches
        self.examples = make_examples(24)
        self._lora_rank = lora_rank

    def start(self, folder, callbacks=(), epochs=EPOCHS, **options):
        """Fits a new model; returns it, its defence and its history."""
        make_vlm, make_batches = self._make
        self.defence = BYORnCallback(
            **{
                "detector": Detector(
                    MeanLogLikelihood(), FlagFraction(0.3), verbose=0
                ),
                "sampler": "random",
                "suspects": "replace",
                "verbose": 0,
                "state_dir": folder,
                **options,
            }
        )
        vlm = make_vlm(self._lora_rank)
        self.model = BYORnModel(vlm)
        self.model.compile(
            optimizer=keras.optimizers.Adam(
                0.01, use_ema=True, ema_momentum=0.5
            )
        )
        self.batches = make_batches(vlm, self.examples, shuffle=True)
        return self.model.fit(
            self.batches,
            epochs=epochs,
            callbacks=[self.defence, *callbacks],
            verbose=0,
        )

    def outcome(self, history):
        """Everything that must be equal."""
        weights = [
            keras.ops.convert_to_numpy(v)
            for v in self.model.trainable_variables
        ]
        rows = [
            {**vars(row), "student_plausibility": None, "plausibility": None}
            for row in self.batches.store.rows()
        ]
        return weights, rows, history.epoch, history.history


@pytest.fixture(scope="module", params=[None, 4], ids=["full", "lora"])
def runs(request, make_vlm, make_examples, make_batches):
    return Runs(make_vlm, make_examples, make_batches, request.param)


@pytest.fixture(scope="module")
def expected(runs, tmp_path_factory):
    """The outcome of a run that nobody interrupted, without a state."""
    return runs.outcome(runs.start(None))


def assert_equal(found, expected):
    atol = TOLERANCE[keras.config.backend()]
    weights, rows, epochs, logs = found
    for own, other in zip(weights, expected[0], strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=atol)
    assert rows == expected[1]
    assert epochs == expected[2] == list(range(EPOCHS))
    assert logs.keys() == expected[3].keys()
    for name, values in logs.items():
        np.testing.assert_allclose(values, expected[3][name], 1e-5, 1e-6)


@pytest.mark.parametrize(
    "moment",
    [
        ("on_train_batch_end", 0, 2),
        ("on_epoch_begin", 1),
        ("on_train_batch_end", 1, 3),
        ("on_epoch_end", 1),
        ("on_train_batch_end", 2, 0),
    ],
    ids=str,
)
def test_a_killed_run_ends_as_an_uninterrupted_one(
    runs, expected, tmp_path, moment
):
    """Targets, weights and logs, with draws at random."""
    with pytest.raises(KeyboardInterrupt):
        runs.start(tmp_path, [Kill(*moment)])
    assert_equal(runs.outcome(runs.start(tmp_path)), expected)


def test_a_finished_run_is_not_trained_again(runs, expected, tmp_path, capsys):
    """It gives its weights back, and its history; more epochs go on."""
    first = runs.outcome(runs.start(tmp_path))
    assert_equal(first, expected)
    again = runs.start(tmp_path, [Kill("on_epoch_begin", 0)], verbose=1)
    assert "Nothing is left to train" in capsys.readouterr().out
    assert_equal(runs.outcome(again), expected)
    assert runs.defence.audit().table["example_id"][0].as_py() == "scene-0"
    more = runs.start(tmp_path, epochs=EPOCHS + 1)
    assert more.epoch == [0, 1, 2, 3]
    assert len(more.history["loss"]) == 4


def test_a_kill_in_scoring_loses_a_shard(runs, tmp_path, monkeypatch):
    """The batches before it are not scored again."""
    monkeypatch.setattr(token_scoring, "SHARD", 8)
    scored = []
    end_batch = token_scoring._Keeping.on_predict_batch_end

    def counted(self, batch, logs=None):
        scored.append(batch)
        end_batch(self, batch, logs)
        if len(scored) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(token_scoring._Keeping, "on_predict_batch_end", counted)
    with pytest.raises(KeyboardInterrupt):
        runs.start(tmp_path)
    killed = len(list((tmp_path / "scores").iterdir()))
    assert killed == 2
    scored[:] = []
    runs.start(tmp_path, [], epochs=1)
    assert len(scored) == 2  # of six batches of four


def test_kept_scores_are_those_of_one_pass(runs, expected, tmp_path):
    """To the bit: what is left is scored in the batches of before."""
    with pytest.raises(KeyboardInterrupt):
        runs.start(tmp_path, [Kill("on_epoch_begin", 0)])
    detection = runs.defence.detection
    runs.start(tmp_path, epochs=1)
    again = runs.defence.detection
    for index in range(len(detection)):
        for own, other in zip(
            again.scores_of(index), detection.scores_of(index)
        ):
            np.testing.assert_array_equal(own, other)


@pytest.fixture(scope="module")
def begun(make_vlm, make_examples, make_batches, tmp_path_factory):
    """Runs with adapters, and the folder of one that was killed."""
    folder = tmp_path_factory.mktemp("begun")
    runs = Runs(make_vlm, make_examples, make_batches, 4)
    with pytest.raises(KeyboardInterrupt):
        runs.start(folder, [Kill("on_epoch_begin", 1)])
    return runs, folder


@pytest.mark.parametrize(
    "options, changed",
    [
        ({"seed": 1}, "defence"),
        ({"teacher": "student"}, "defence"),
        ({"detector": Detector(decision=FlagFraction(0.4))}, "defence"),
    ],
    ids=str,
)
def test_another_option_is_refused(begun, options, changed):
    """Neither the one run nor the other would come of it."""
    runs, folder = begun
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ValueError, match=f"`state_dir`.*other {changed} in"):
        runs.start(folder, **options)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_other_examples_or_weights_are_refused(begun, make_examples, make_vlm):
    """Verdicts on yesterday's data must not meet today's."""
    runs, folder = begun
    examples = runs.examples
    runs.examples = [dict(row) for row in examples]
    runs.examples[3]["responses"] += " red"
    with pytest.raises(ValueError, match="`state_dir`.*other examples in"):
        runs.start(folder)
    runs.examples = examples
    make, runs._make = (
        runs._make,
        (lambda r: make_vlm(r, seed=9), *runs._make[1:]),
    )
    with pytest.raises(ValueError, match="other pretrained weights in"):
        runs.start(folder)
    runs._make = make


def test_frozen_weights_are_not_on_the_disk(begun):
    """The preset has them: the state has adapters and their optimizer."""
    runs, folder = begun
    manifest = json.loads((folder / "run.json").read_text())
    names = [name for name, *_ in manifest["epoch"]["variables"]["arrays"]]
    kinds = [name.split("/")[0] for name in names]
    num_trained = len(runs.model.trainable_variables)
    assert kinds.count("trainable") == num_trained
    assert kinds.count("optimizer") == len(runs.model.optimizer.variables)
    size = sum(path.stat().st_size for path in folder.glob("epoch-*.bin"))
    whole = sum(w.nbytes for w in map(np.asarray, runs.model.vlm.get_weights()))
    assert size < whole / 2


def test_no_flipped_bit_goes_unnoticed(begun, tmp_path):
    """In any file of a state: it is an error, or it is scored anew."""
    runs, folder = begun
    rng = np.random.default_rng(0)
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if path.parent.name == "scores" or not path.stat().st_size:
            continue  # a cache, see score_cache_test, and the lock
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        damaged = copy / path.relative_to(folder)
        content = bytearray(damaged.read_bytes())
        bit = rng.integers(8 * len(content))
        content[bit // 8] ^= 1 << (bit % 8)
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            runs.start(copy)
        shutil.rmtree(copy)


def test_leftovers_of_killed_runs_are_removed(begun, tmp_path):
    """And a folder of somebody else's is not touched."""
    runs, folder = begun
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in (".run.json.0f.tmp", "epoch-0f.bin", "targets-0f.parquet"):
        (copy / name).write_bytes(b"half")
    with pytest.raises(KeyboardInterrupt):
        runs.start(copy, [Kill("on_epoch_begin", 1)])
    assert sorted(p.name for p in copy.iterdir()) == sorted(
        p.name for p in folder.iterdir()
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match="a folder of its own.*thesis.tex"):
        runs.start(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_other_versions_are_told_of(begun, tmp_path, monkeypatch):
    """They may give another result, and often do not."""
    runs, folder = begun
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    manifest = run_files.read_manifest(copy)
    manifest["versions"]["keras"] = "3.0.0"
    run_files.write_manifest(copy, manifest)
    with pytest.warns(UserWarning, match="keras 3.0.0 there"):
        with pytest.raises(KeyboardInterrupt):
            runs.start(copy, [Kill("on_epoch_begin", 1)])


def test_a_callback_that_counts_is_told_of(begun, tmp_path):
    """Keras keeps no state of it."""
    runs, folder = begun
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    stop = keras.callbacks.EarlyStopping("loss", patience=9)
    with pytest.warns(UserWarning, match="`EarlyStopping` counts anew"):
        with pytest.raises(KeyboardInterrupt):
            runs.start(copy, [stop, Kill("on_epoch_begin", 1)])


def test_an_early_stop_is_the_end(begun, tmp_path):
    """Fitting again gives the weights that it chose, and trains nothing."""
    runs, _ = begun
    stop = keras.callbacks.EarlyStopping(
        "loss", baseline=-1.0, patience=0, restore_best_weights=True
    )
    history = runs.start(tmp_path, [stop])
    weights, *_ = runs.outcome(history)
    assert history.epoch == [0, 1]
    again = runs.start(tmp_path, [Kill("on_epoch_begin", 2)])
    assert again.epoch == [0, 1]
    for own, other in zip(runs.outcome(again)[0], weights, strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_full_disk_leaves_the_last_state_whole(begun, tmp_path, monkeypatch):
    """The error names it, and the run goes on once there is room."""
    runs, folder = begun
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)

    class FillDisk(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            monkeypatch.setattr(os, "fsync", full)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="after epoch 1, is whole.*No space"):
        runs.start(copy, [FillDisk()])
    monkeypatch.undo()
    names = sorted(path.name for path in copy.iterdir())
    assert names == sorted(path.name for path in folder.iterdir())
    assert runs.start(copy).epoch == [0, 1, 2]


def test_a_cache_that_cannot_be_written_is_a_warning(begun, tmp_path):
    """Scores are computed anew; no run is lost for them."""
    runs, _ = begun
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    detector = Detector(
        MeanLogLikelihood(),
        FlagFraction(0.3),
        score_cache=blocked / "scores",
        verbose=0,
    )
    with pytest.warns(UserWarning, match="24 examples cannot be kept"):
        runs.start(None, epochs=1, detector=detector)


class Break(keras.callbacks.Callback):
    """Makes a weight infinite after a step of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._epoch:
            variable = self.model.trainable_variables[0]
            variable.assign(np.full(variable.shape, np.inf))


def test_a_loss_that_is_no_number_ends_the_run(begun, tmp_path):
    """At the end of the epoch at the latest; the last good state stays."""
    runs, folder = begun
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with pytest.raises(FloatingPointError, match="of step .*'scene-"):
        runs.start(copy, [Break(1)])
    assert run_files.read_manifest(copy)["epoch"]["number"] == 1
    with pytest.raises(FloatingPointError, match="must be finite"):
        runs.start(None, [Break(2)])


def test_terminate_on_nan_ends_it_as_keras_does(begun, tmp_path):
    """With a warning, and without a state of what is broken."""
    runs, folder = begun
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    terminate = keras.callbacks.TerminateOnNaN()
    with pytest.warns(UserWarning, match="must be finite"):
        runs.start(copy, [Break(1), terminate])
    manifest = run_files.read_manifest(copy)
    assert manifest["epoch"]["number"] == 1 and manifest["end"] is None


def test_a_state_begins_with_the_run(
    make_vlm, make_examples, make_batches, tmp_path
):
    """Of a model that was tuned before, nobody knows the pretrained weights."""
    runs = Runs(make_vlm, make_examples, make_batches, None)
    runs.start(None, epochs=1)
    runs.defence.state_dir = tmp_path / "state"
    with pytest.raises(ValueError, match="`state_dir`.*first `fit`"):
        runs.model.fit(runs.batches, callbacks=[runs.defence], verbose=0)
    assert not list(tmp_path.iterdir())


def test_two_runs_do_not_share_a_folder(begun):
    """The second is refused, as long as the first has it."""
    runs, folder = begun
    lock = run_files.locked(folder)
    with pytest.raises(ValueError, match="`state_dir` is in use"):
        runs.start(folder)
    lock.close()
    with pytest.raises(KeyboardInterrupt):
        runs.start(folder, [Kill("on_epoch_begin", 1)])


def test_a_state_that_lacks_a_weight_is_damaged(begun, tmp_path):
    """Nothing is left as it was by chance."""
    runs, folder = begun
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    manifest = run_files.read_manifest(copy)
    entry = manifest["epoch"]["variables"]
    arrays = [
        (name, values)
        for name, values in run_files.read_arrays(copy, entry)
        if name != "trainable/0"
    ]
    manifest["epoch"]["variables"] = run_files.write_arrays(
        copy, "epoch", arrays
    )
    run_files.write_manifest(copy, manifest)
    with pytest.raises(ValueError, match="damaged.*trainable/0"):
        runs.start(copy)
