"""The state of a run in a folder, to go on from after a kill."""

import contextlib
import itertools
import pathlib

import keras
import numpy as np

from keras_byorn.data.versions import versions
from keras_byorn.detection.detection import Detection
from keras_byorn.training import run_arrays, run_files, run_identity
from keras_byorn.training.ema import own_memory
from keras_byorn.training.target_store import TargetStore

SCORES = "scores"
ALWAYS = (SCORES, run_files.MANIFEST, run_files.LOCK)
# Parts of a state that are arrays of the defence, and no variables.
HISTORY, FIRST_EPOCH = "history", "first epoch"


class RunState:
    """Keeps what a run of the defence goes on from, in one folder.

    Token scores are kept while they are computed, the detection once it is
    made, and all that training changes at the end of each epoch: targets,
    trained weights, optimizer, loss history, random states. Frozen weights
    are not kept. Files have names of their own; the manifest, which names
    them, is written last, and what it does not name is removed. Checksums
    tell accidents: whoever can write to the folder can turn the defence off.

    Args:
        folder: string or path. Made where it is missing. One run at a time
            may have it, until `close`.
        callback: a `BYORnCallback`.
        model: its `BYORnModel`, compiled, its optimizer built.
        batches: its `TargetBatches`.

    Raises:
        ValueError: if the folder holds the state of another run, or a damaged
            one, or is in use.

    Attributes:
        num_epochs: int. Epochs that are done.
        first_epoch: what the student thought of the examples when it first met
            them, see `SuspectReview`, or `None`.
    """

    def __init__(self, folder, callback, model, batches):
        self._folder = pathlib.Path(folder)
        self._callback = callback
        self._model = model
        self._batches = batches
        self.first_epoch = None
        identity = run_identity.identity_of(callback, model, batches)
        own_versions = dict(versions())
        self._folder.mkdir(parents=True, exist_ok=True)
        self._refuse_strangers()
        self._lock = run_files.locked(self._folder)
        self._manifest = run_files.read_manifest(self._folder)
        if self._manifest is None:
            self._manifest = {
                "format": run_files.FORMAT,
                "identity": identity,
                "versions": own_versions,
                "detection": None,
                "start": None,
                "epoch": None,
                "end": None,
                "logs": [],
            }
            self._write()
        else:
            known = self._manifest["identity"]
            run_identity.check_same(known, identity, self._folder)
            run_identity.warn_of_versions(
                self._manifest["versions"], own_versions, self._folder
            )
            self._tidy()

    def close(self):
        """Lets another run have the folder."""
        self._lock.close()

    @property
    def scores_folder(self):
        """path. The place of the token scores."""
        return self._folder / SCORES

    @property
    def num_epochs(self):
        epoch = self._manifest["epoch"]
        return 0 if epoch is None else epoch["number"]

    @property
    def num_student_epochs(self):
        """int. Epochs that this student trained, at the end of the last."""
        return self._manifest["epoch"]["student epochs"]

    def is_complete(self, num_epochs):
        """Returns whether nothing is left to train.

        Args:
            num_epochs: int. The argument `epochs` of `fit`.
        """
        epoch = self._manifest["epoch"]
        return epoch is not None and (
            epoch["stopped"] or epoch["number"] >= num_epochs
        )

    def resume(self, writer):
        """Takes the state, or keeps that of the beginning where there is none.

        Gives the model its variables, the batches their targets and order, and
        the loss history what it knew.

        Args:
            writer: the `ResponseWriter` of the run.

        Returns:
            bool. Whether an epoch is done.
        """
        epoch, start = self._manifest["epoch"], self._manifest["start"]
        if epoch is None and start is None:
            variables = run_arrays.starting_variables(self._model, writer)
            start = self._keep("start", run_arrays.values_of(variables))
            self._write(start={"variables": start})
            return False
        variables = run_arrays.variables_of(self._model, writer)
        if epoch is None:  # the optimizer, for one, has seen nothing yet
            variables = run_arrays.starting_variables(self._model, writer)
        parts = self._assign((epoch or start)["variables"], variables)
        if epoch is None:
            return False
        self.first_epoch = parts.get(FIRST_EPOCH)
        self._model.loss_history.restore(parts[HISTORY])
        store = TargetStore.load(
            self._folder / pathlib.Path(epoch["targets"]).name
        )
        self._batches.go_on(store, epoch["order"])
        self._say(
            f"Going on after epoch {epoch['number']}, from {self._folder}"
        )
        return True

    def detection(self):
        """Returns the detection that was saved, or `None`."""
        entry = self._manifest["detection"]
        if entry is None:
            return None
        return Detection.load(self._folder / pathlib.Path(entry).name)

    def save_detection(self, detection):
        """Keeps a detection."""
        name = run_files.new_name("detection")
        with self._writing():
            detection.save(self._folder / name)
        self._write(detection=name)

    def end_epoch(self, writer, reviewer, num_student_epochs, number, logs):
        """Keeps the state at the end of an epoch.

        Args:
            writer: the `ResponseWriter`.
            reviewer: the `SuspectReview`.
            num_student_epochs: int. Epochs that this student trained.
            number: int. Epochs that are done.
            logs: dict of numbers, of the epoch.
        """
        arrays = itertools.chain(
            run_arrays.values_of(run_arrays.variables_of(self._model, writer)),
            _in_part(HISTORY, self._model.loss_history.state()),
            _in_part(FIRST_EPOCH, reviewer.first_epoch or {}),
        )
        targets = run_files.new_name("targets") + ".parquet"
        with self._writing():
            self._batches.store.save(self._folder / targets)
        entry = {
            "number": number,
            "student epochs": num_student_epochs,
            "order": self._batches.epoch,
            "stopped": bool(self._model.stop_training),
            "targets": targets,
            "variables": self._keep("epoch", arrays),
        }
        earlier = [e for e in self._manifest["logs"] if e["epoch"] < number]
        logs = [*earlier, {"epoch": number, "logs": _plain(logs)}]
        # What begins the run is not needed any more.
        self._write(epoch=entry, logs=logs, start=None, end=None)

    def end(self):
        """Keeps the weights that `fit` ends with."""
        found = self._keep("end", run_arrays.values_of(self._trainable()))
        self._write(end={"variables": found})

    def finish(self):
        """Gives the model the weights that the run ended with.

        Returns:
            A `keras.callbacks.History` of all epochs.
        """
        end, model = self._manifest["end"], self._model
        if end is not None:
            self._assign(end["variables"], self._trainable())
        else:  # killed after its last epoch: as Keras ends `fit`
            model.optimizer.finalize_variable_values(model.trainable_variables)
            own_memory(model.trainable_variables)
            self.end()
        history = keras.callbacks.History()
        history.set_model(model)
        history.on_train_begin()
        model.history = history
        self._say("Nothing is left to train")
        return self.prepend_to(history)

    def prepend_to(self, history):
        """Puts the epochs of earlier runs in front of those of a `History`.

        Args:
            history: the `keras.callbacks.History` of this run.

        Returns:
            The same object.
        """
        first = history.epoch[0] + 1 if history.epoch else None
        earlier = [
            entry
            for entry in self._manifest["logs"]
            if first is None or entry["epoch"] < first
        ]
        history.epoch[:0] = [entry["epoch"] - 1 for entry in earlier]
        for entry in reversed(earlier):
            for name, value in entry["logs"].items():
                history.history.setdefault(name, []).insert(0, value)
        return history

    def _say(self, line):
        if self._callback.verbose:
            print(line)

    def _trainable(self):
        return run_arrays.trainable_variables(self._model)

    def _keep(self, name, arrays):
        with self._writing():
            return run_files.write_arrays(self._folder, name, arrays)

    @contextlib.contextmanager
    def _writing(self):
        """Tells what is still there where nothing can be written."""
        try:
            yield
        except OSError as error:
            raise OSError(
                "The state of the run cannot be written. What it was before, "
                f"after epoch {self.num_epochs}, is whole: free space, or let "
                "the folder be written to, and call `fit` again. Received: "
                f"{error} in {self._folder}"
            ) from error

    def _assign(self, entry, variables):
        """Assigns variables; returns the other arrays, by part and name."""
        parts, missing = {}, set(variables)
        for name, values in run_files.read_arrays(self._folder, entry):
            part, _, key = name.partition("/")
            if part in (HISTORY, FIRST_EPOCH):
                parts.setdefault(part, {})[key] = np.array(values)
                continue
            try:
                run_arrays.assign(variables, name, values)
            except ValueError as error:
                raise run_files.damaged(self._folder, error) from error
            missing.discard(name)
        if missing:
            lack = f"no value of {sorted(missing)[:3]}"
            raise run_files.damaged(self._folder, lack)
        return parts

    def _refuse_strangers(self):
        """Refuses a folder of something else than a run."""
        names = {path.name for path in self._folder.iterdir()}
        others = sorted(
            name
            for name in names - {SCORES, run_files.LOCK}
            if not name.startswith(".")
        )
        if others and run_files.MANIFEST not in names:
            raise ValueError(
                "`state_dir` must be a folder of its own, for files that no "
                "run needs are removed from it. Pass an empty or a new one. "
                f"Received: {self._folder} with {others[:3]}"
            )

    def _write(self, **changes):
        manifest = {**self._manifest, **changes}
        with self._writing():
            run_files.write_manifest(self._folder, manifest)
        self._manifest = manifest
        self._tidy()

    def _tidy(self):
        manifest, names = self._manifest, {*ALWAYS}
        if manifest["detection"]:
            names.add(manifest["detection"])
        for key in ("start", "epoch", "end"):
            if manifest[key]:
                names.add(manifest[key]["variables"]["file"])
        if manifest["epoch"]:
            names.add(manifest["epoch"]["targets"])
        run_files.remove_others(self._folder, names)


def is_finished(folder):
    """Returns whether a folder has the state of a run that came to its end.

    Args:
        folder: path.
    """
    manifest = run_files.read_manifest(pathlib.Path(folder))
    return manifest is not None and manifest["end"] is not None


def _in_part(part, arrays):
    return ((f"{part}/{name}", values) for name, values in arrays.items())


def _plain(logs):
    """Logs as JSON holds them."""
    return {
        name: int(value)
        if isinstance(value, (int, np.integer))
        else float(value)
        for name, value in (logs or {}).items()
    }
