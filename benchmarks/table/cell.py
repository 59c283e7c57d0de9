"""One cell: a defence on the data of a case, trained and measured."""

import contextlib
import hashlib
import importlib.metadata
import pathlib
import time

import keras
import numpy as np

import keras_byorn
from table import figures

BATCH_SIZE = 64
PACKAGES = ("keras", "keras-hub", "jax", "tensorflow", "torch", "numpy")


class Refused(Exception):
    """Raised where a defence refuses the data."""


def run(case, seed, data, defences, source, args):
    """Runs the defences on the data of a case, and yields their results.

    Args:
        case: a `Case`.
        seed: int.
        data: its `CaseData`.
        defences: list of strings.
        source: the `Source` of the data.
        args: the options of `run_digits.py`.

    Yields:
        A dict for each defence.
    """
    for defence in defences:
        line = {
            "case": case.name,
            "group": case.group,
            "seed": seed,
            "defence": defence,
            "backend": keras.config.backend(),
            "num_train": len(data.train),
            "num_poisoned": len(data.poisoned_ids),
            "num_flood": len(data.flood_ids),
            "num_minority": len(data.minority_ids),
            "num_noise": len(data.noise_ids),
            "epochs": args.epochs,
            "versions": versions(),
        }
        cell = Cell(data, defence, seed, source, args)
        try:
            line |= cell.run()
        except Refused as refusal:
            line["refused"] = str(refusal)
        except Exception as error:  # the other cells go on
            line["error"] = f"{type(error).__name__}: {error}"
        yield {**line, "seconds": cell.seconds, "cpu_seconds": cell.cpu_seconds}


def versions():
    """Returns the versions of what a result depends on, a dict."""
    found = {"keras_byorn": keras_byorn.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Cell:
    """Fine-tunes with a defence and measures it.

    Args:
        data: a `CaseData`.
        defence: string, one of `DEFENCES` of `run_digits.py`.
        seed: int.
        source: the `Source` of the data.
        args: the options of `run_digits.py`.
    """

    def __init__(self, data, defence, seed, source, args):
        self.seconds, self.cpu_seconds = {}, {}
        self._data = data
        self._defence = defence
        self._seed = seed
        self._source = source
        self._epochs = args.epochs
        self._cache = args.cache and pathlib.Path(args.cache) / "models"

    def run(self):
        """Returns the figures, a dict.

        Raises:
            Refused: If the defence refuses the data.
        """
        with self._timed("load"):
            vlm = self._load()
        found = {}
        if self._defence in ("none", "clean_only"):
            self._fine_tune_undefended(vlm)
        else:
            found = self._defend(vlm)
        with self._timed("evaluate"):
            return figures.of_model(vlm, self._data, self._seed) | found

    def _load(self):
        keras.utils.set_random_seed(self._seed)
        vlm = self._source.demo.load_vlm(self._source.options())
        if self._data.sequence_length:
            vlm.preprocessor.sequence_length = self._data.sequence_length
        return vlm

    def _defend(self, vlm):
        """Detects and fine-tunes; returns the figures of the defence."""
        with self._timed("prepare"):
            prepared = self._prepared(self._data.train, vlm)
        try:
            detection, callback = self._callback(prepared, vlm)
            with self._timed("fit"):
                self._fit(vlm, prepared, callback)
        except ValueError as refusal:
            raise Refused(str(refusal)) from refusal
        detection = detection or callback.detection
        return figures.of_defence(detection, callback.store, self._data)

    def _callback(self, prepared, vlm):
        """Returns a detection, `None` where `fit` makes it, and a callback."""
        options = {"seed": self._seed, "verbose": 0}
        if self._defence == "paper":
            return None, keras_byorn.BYORnCallback.paper(**options)
        trusted = {}
        if self._defence == "ours_trusted":
            trusted["trusted"] = sorted(self._data.trusted_ids)
        with self._timed("detect"):
            detection = keras_byorn.detect(prepared, vlm, **trusted)
        return detection, keras_byorn.BYORnCallback(detection, **options)

    def _fine_tune_undefended(self, vlm):
        """Fine-tunes on all examples or on those that are not adversarial.

        Cases share clean examples. With a cache, equal examples are trained
        on once.
        """
        data, train = self._data, self._data.train
        if self._defence == "clean_only":
            train = without(train, data.adversarial_ids)
        shared = self._defence == "clean_only" or not data.adversarial_ids
        path = None
        if self._cache and shared:
            path = self._cache / f"{self._digest(train)}.weights.h5"
            if path.exists():
                vlm.load_weights(path)
                return
        with self._timed("prepare"):
            prepared = self._prepared(train, vlm)
        with self._timed("fit"):
            self._fit(vlm, prepared)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"part-{path.name}")
            vlm.save_weights(temporary)
            temporary.replace(path)

    def _prepared(self, examples, vlm):
        return keras_byorn.PreparedExamples(
            examples, vlm, batch_size=BATCH_SIZE, verbose=0
        )

    def _fit(self, vlm, prepared, callback=None):
        """Fine-tunes as `examples/defend_digit_scenes.py` does."""
        keras.utils.set_random_seed(self._seed)
        model = keras_byorn.BYORnModel(vlm)
        model.compile(
            optimizer=keras.optimizers.AdamW(
                1e-3, use_ema=True, ema_momentum=0.95
            )
        )
        batches = keras_byorn.TargetBatches(
            prepared, vlm, batch_size=BATCH_SIZE, seed=self._seed
        )
        model.fit(
            batches,
            epochs=self._epochs,
            callbacks=[callback] if callback else [],
            verbose=0,
        )

    def _digest(self, examples):
        """Returns a name for a training run, equal for equal ones."""
        digest = hashlib.sha256()
        settings = (
            self._seed,
            self._epochs,
            self._data.sequence_length,
            self._source.options().preset,
            sorted(versions().items()),
            keras.config.backend(),
        )
        digest.update(repr(settings).encode())
        for example in examples:
            text = example["prompts"], example["responses"]
            digest.update(repr(text).encode())
            digest.update(np.ascontiguousarray(example["images"]).tobytes())
        return digest.hexdigest()[:32]

    @contextlib.contextmanager
    def _timed(self, phase):
        """Adds the seconds of a block, by the clock and of all cores."""
        started = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            ended = time.perf_counter(), time.process_time()
            for spent, since, until in zip(
                (self.seconds, self.cpu_seconds), started, ended
            ):
                spent[phase] = round(spent.get(phase, 0) + until - since, 2)


def without(examples, ids):
    """Returns the examples that are not among some ids."""
    return keras_byorn.Examples(
        [example for example in examples if example["example_id"] not in ids]
    )
