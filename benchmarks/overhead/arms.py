"""Arms of the overhead benchmark: one model, tuned again and again."""

import gc
import tempfile
import time
import warnings

import keras
import numpy as np

import keras_byorn
from overhead.clock import Clock, EpochTimes, TimedBatches, split
from overhead.data import SEED, columns, load_examples
from overhead.model import load_vlm

LEARNING_RATES = {"lora": 1e-3, "lora_decoder": 1e-3, "full": 2e-4}
EMA_MOMENTUM = 0.9


class Start:
    """Keeps the state before training, so that a model can be tuned again.

    Args:
        model: a compiled Keras model.
    """

    def __init__(self, model):
        model.optimizer.build(model.trainable_variables)
        self._model = model
        self._variables = [
            *model.trainable_variables,
            *model.optimizer.variables,
        ]
        self._values = [
            np.array(keras.ops.convert_to_numpy(v)) for v in self._variables
        ]

    def put_back(self):
        """Assigns the kept state to the model and its optimizer."""
        for variable, value in zip(self._variables, self._values):
            variable.assign(value)
        history = getattr(self._model, "loss_history", None)
        if history is not None:
            history.reset()
        gc.collect()


def make_optimizer(settings):
    """Builds the optimizer of every arm.

    It keeps an average in all of them: that the defence asks for one is not
    its overhead.
    """
    return keras.optimizers.AdamW(
        LEARNING_RATES[settings["tuning"]],
        use_ema=True,
        ema_momentum=EMA_MOMENTUM,
    )


class KerasHubArm:
    """Fine-tunes by `vlm.fit`, as a user of KerasHub calls it.

    Each `fit` traces its preprocessing anew, for seconds before training
    begins. Like compiling, that is left out of `seconds`; the work of the
    preprocessing is in them.

    Args:
        settings: dict.
    """

    def __init__(self, settings):
        self.settings = settings
        self.clock = Clock()
        self.vlm = load_vlm(settings)
        examples, _, _ = load_examples(self.vlm, settings)
        with self.clock("setup"):
            self.vlm.compile(
                optimizer=make_optimizer(settings),
                loss=keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True
                ),
                weighted_metrics=[],
            )
        self.setup_seconds = self.clock.seconds["setup"]
        self._data = columns(examples)
        self._start = Start(self.vlm)

    def run(self, compilations):
        self._start.put_back()
        self.clock = Clock()
        with self.clock("total"), compilations.counted():
            self.vlm.fit(
                self._data,
                batch_size=self.settings["batch_size"],
                epochs=self.settings["epochs"],
                callbacks=[EpochTimes(self.clock, compilations)],
                verbose=0,
            )
        found, traced = split(self.clock), self.clock.seconds["traced"]
        found["split"]["other"] -= traced
        found["seconds"] -= traced
        return {**found, "traced_seconds": traced}


class BYORnArm:
    """Fine-tunes by `BYORnModel.fit`, defended or not.

    Args:
        settings: dict.
    """

    def __init__(self, settings):
        self.settings = settings
        self.clock = Clock()
        self.vlm = load_vlm(settings)
        self.examples, poisoned_ids, clean = load_examples(self.vlm, settings)
        with self.clock("setup"):
            self.model = keras_byorn.BYORnModel(
                self.vlm, reference_for_rounds(settings)
            )
            self.model.compile(optimizer=make_optimizer(settings))
        self.setup_seconds = self.clock.seconds["setup"]
        self._start = Start(self.model)
        self.defence = make_defence(settings, poisoned_ids, clean)
        if self.defence is not None:
            self._begin_fit = self.defence.begin_fit
            self._begin_epoch = self.defence.begin_epoch

    def run(self, compilations):
        self._start.put_back()
        clock = self.clock = Clock()
        callbacks = [EpochTimes(clock, compilations)]
        if self.defence is not None:
            defence = self.defence
            if self.settings["method"] == "state":
                self._state = tempfile.TemporaryDirectory(prefix="byorn-")
                defence.state_dir = self._state.name
            defence.begin_fit = clock.timed("score", self._begin_fit)
            defence.begin_epoch = clock.timed("regenerate", self._begin_epoch)
            callbacks.insert(0, defence)
        with clock("total"), compilations.counted():
            history = self.model.fit(
                self._batches(clock),
                epochs=self.settings["epochs"],
                callbacks=callbacks,
                verbose=0,
            ).history
        found = {
            name: history.get(name, [None])[-1]
            for name in ("num_held_out", "num_regenerated", "num_restored")
        }
        found |= split(clock)
        if self.settings.get("score"):
            found["score_seconds"] = self._seconds_to_score()
        return found

    def _batches(self, clock):
        return TimedBatches(
            clock,
            self.examples,
            self.vlm,
            batch_size=self.settings["batch_size"],
            seed=SEED,
            verbose=0,
        )

    def _seconds_to_score(self):
        """Times one pass of the reference over all examples."""
        self._start.put_back()
        batches = self._batches(Clock()).prepared.scoring_batches()
        started = time.perf_counter()
        self.model.reference.score(batches, verbose=0)
        return time.perf_counter() - started


def reference_for_rounds(settings):
    """Loads a second task to score every round, where all weights are tuned.

    A model lets go of the frozen copy that it makes itself after the first.
    """
    if settings["tuning"] != "full":
        return None
    return keras_byorn.FrozenReference(load_vlm(settings))


def make_defence(settings, poisoned_ids, clean):
    """Builds the callback of an arm, or `None`.

    Args:
        settings: dict. Those of the arm.
        poisoned_ids: set of strings.
        clean: the `Examples` before they were poisoned.
    """
    method = settings["method"]
    if method == "undefended":
        return None
    if settings["size"] in ("tiny", "scaled"):
        kind = keras_byorn.BYORnCallback
        return kind.paper(verbose=0) if method == "paper" else kind(verbose=0)
    if method == "paper":
        return CleanStandIns.paper(clean=clean, verbose=0)
    detector = ByTheTruth(poisoned_ids, verbose=0)
    return CleanStandIns(clean=clean, detector=detector, verbose=0)


class ByTheTruth(keras_byorn.Detector):
    """Flags the poisoned examples, after all work of a detector.

    Weights that know nothing of these examples find no poison in them. The
    decision is computed as ever, and then replaced.

    Args:
        poisoned_ids: set of strings.
        **kwargs: as for `Detector`.
    """

    def __init__(self, poisoned_ids, **kwargs):
        super().__init__(**kwargs)
        self.poisoned_ids = poisoned_ids

    def flag(self, plausibility, scores):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mostly nothing is found
            flags = super().flag(plausibility, scores)
        truth = [i in self.poisoned_ids for i in scores.example_ids]
        return flags._replace(suspect_probability=np.array(truth, "float32"))


class CleanStandIns(keras_byorn.BYORnCallback):
    """Does the whole work of the defence where its judgement would be noise.

    The student reviews the suspects, which stay suspect. Responses of weights
    that know nothing of these examples do not end: where nothing is written
    in place of a suspect's response, its clean one is trained on, so that an
    epoch has as many rows as it should. Generating costs more than it should,
    for it goes on until no token is left.

    Args:
        clean: the `Examples` before they were poisoned.
        **kwargs: as for `BYORnCallback`.
    """

    def __init__(self, clean, **kwargs):
        super().__init__(**kwargs)
        self._clean = clean

    def begin_fit(self):
        super().begin_fit()
        self.store.review = lambda verdicts, student_plausibility: None

    def begin_epoch(self):
        super().begin_epoch()
        if not self._num_epochs:
            return
        store, task = self.store, self.model.batches.task
        missing = [
            (index, example_id)
            for index, example_id in enumerate(store.example_ids)
            if store.suspects[index] and store[example_id].origin == "excluded"
        ]
        texts = [self._clean[index]["responses"] for index, _ in missing]
        ids = task.tokenize(texts) if texts else []
        for (_, example_id), text, token_ids in zip(missing, texts, ids):
            store.replace(example_id, text, token_ids, "stand-in")
