"""The command `finetune`: a defended fine-tune, with its audit."""

import pathlib
import shutil
import time

import keras
import numpy as np

from keras_byorn.cli import tensorboard
from keras_byorn.cli.card import write_card
from keras_byorn.cli.detecting import detector_of
from keras_byorn.cli.loading import (
    load_examples_into,
    load_vlm,
    save_command,
)
from keras_byorn.cli.reporting import print_paths
from keras_byorn.cli.summary import facts_of, print_facts
from keras_byorn.cli.vocabulary import told_to_a_shell, warn_if_spelt
from keras_byorn.data.examples import Examples
from keras_byorn.detection.choices import DROP, TRUST, choices_of
from keras_byorn.detection.detection import Detection
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.fitting import SHARES_BATCHES
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.run_state import is_finished
from keras_byorn.training.target_batches import TargetBatches

STATE = "state"


def run(args):
    """Tunes a preset on a data set, and accounts for it.

    Args:
        args: namespace, see `keras_byorn_cli`.
    """
    start, out = time.perf_counter(), pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    distribute(args.num_devices, args.batch_size)
    vlm = load_vlm(args)
    if args.lora_rank:
        vlm.backbone.enable_lora(
            args.lora_rank, target_layer_names=args.lora_layers
        )
    examples = load_examples_into(out, vlm, args)
    defence = fine_tune(vlm, examples, out, args)
    audit = defence.audit()
    print(audit)
    print_paths(
        [
            audit.to_html(out / "audit.html"),
            audit.to_parquet(out / "audit.parquet"),
            *account(defence, examples, args, out),
        ]
    )
    vlm.save_to_preset(str(out / "preset"))
    print(out / "preset")
    seconds = time.perf_counter() - start
    targets = origins_of(defence.store)
    print_facts(args, facts_of(defence.detection, seconds, targets=targets))


def fine_tune(vlm, examples, out, args):
    """Tunes the task in place.

    Args:
        vlm: a KerasHub task, with its adapters.
        examples: an `Examples`.
        out: path of the folder.
        args: namespace, see `keras_byorn_cli`.

    Returns:
        The `BYORnCallback`, for its audit.
    """
    examples, held_back = split(examples, args.validation_split, args.seed)
    model = BYORnModel(vlm)
    options = {"batch_size": args.batch_size, "seed": args.seed}
    with told_to_a_shell(examples, vlm):
        batches = TargetBatches(examples, vlm, **options)
    warn_if_spelt(batches.prepared)
    validation = held_back and TargetBatches(held_back, vlm, **options)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            args.learning_rate,
            global_clipnorm=1.0,
            use_ema=True,
            # The average writes replacements after an epoch: at most a
            # quarter of it is then the pretrained model.
            ema_momentum=min(0.99, 0.25 ** (1 / len(batches))),
        )
    )
    defence = BYORnCallback(
        **judge(batches.prepared, held_back, args),
        teacher=args.teacher,
        suspects=args.suspects,
        review=args.review,
        seed=args.seed,
        state_dir=state_folder(out, args.resume),
    )
    # The defence comes first: it adds to the logs that TensorBoard shows.
    callbacks = [defence, Checkpoints(out / "checkpoints")]
    callbacks += tensorboard.callbacks(out)
    model.fit(
        batches,
        epochs=args.epochs,
        callbacks=callbacks,
        validation_data=validation,
    )
    return defence


def state_folder(out, resume):
    """Returns the folder of the state of a run, and clears a finished one.

    Args:
        out: path of the folder of the run.
        resume: bool. Whether to go on with a run that is there.

    Returns:
        path.

    Raises:
        ValueError: if a run that is not finished would be lost.
    """
    folder = out / STATE
    if resume or not folder.exists():
        return folder
    if not is_finished(folder):
        raise ValueError(
            "`--out` has the state of a run that is not finished: pass "
            "`--resume` to go on with it, or another `--out`. "
            f"Received: {out}"
        )
    shutil.rmtree(folder)
    return folder


def judge(prepared, held_back, args):
    """Chooses what judges the examples: a detection, or a detector.

    Args:
        prepared: the `PreparedExamples` to train on.
        held_back: optional `Examples` to validate on.
        args: namespace, see `keras_byorn_cli`.

    Returns:
        A dict of arguments of `BYORnCallback`: `detection`, or `detector` and
        `trusted`.

    Raises:
        ValueError: if a trusted id is of no example.
    """
    if args.detection is not None:
        detection = Detection.load(args.detection)
        if args.trusted is not None:
            detection.review(args.trusted)
        return {"detection": detection}
    if args.trusted is None:
        return {"detector": detector_of(args, verbose=1)}
    own = set(prepared.example_ids)
    known = [*own, *(held_back.example_ids if held_back else ())]
    found = choices_of(args.trusted, ((i, "", "") for i in known))
    chosen = {
        name: [example_id for example_id in ids if example_id in own]
        for name, ids in ((TRUST, found.trusted), (DROP, found.dropped))
    }
    return {"detector": detector_of(args, verbose=1), "trusted": chosen}


def split(examples, share, seed):
    """Holds back a share of the examples, to validate on.

    Args:
        examples: an `Examples`.
        share: float in [0, 1).
        seed: int. Chooses them.

    Returns:
        A pair of `Examples`, in their order; the second is `None` for a share
        of none.

    Raises:
        ValueError: if nothing would be left of one of them.
    """
    if not share:
        return examples, None
    count = len(examples)
    num_held_back = round(share * count)
    if not 0 < num_held_back < count:
        raise ValueError(
            "`--validation-split` must leave an example to train on, and one "
            f"to validate on. Received: {share} of {count:,} examples"
        )
    order = np.random.default_rng(seed).permutation(count)
    parts = order[num_held_back:], order[:num_held_back]
    return tuple(_chosen(examples, np.sort(part)) for part in parts)


def account(defence, examples, args, out):
    """Writes the detection and the card, and returns their paths."""
    detection = defence.detection
    detection.save(out / "detection")
    save_command(args, out)
    names = ("epochs", "batch_size", "learning_rate", "lora_rank", "suspects")
    names += ("teacher", "review", "validation_split", "seed")
    training = {name.replace("_", " "): getattr(args, name) for name in names}
    for origin, count in origins_of(defence.store).items():
        training[f"targets that are {origin} in the end"] = f"{count:,}"
    card = write_card(detection, examples, args, out, training)
    # With settings and versions.
    tensorboard.write_text(out, "card", card.read_text("utf-8"))
    return [out / "detection", card]


def origins_of(store):
    """Counts the targets of a store by their origin, a dict."""
    origins = [row.origin for row in store.rows()]
    return {origin: origins.count(origin) for origin in sorted(set(origins))}


def distribute(num_devices, batch_size):
    """Gives each device a copy of the weights and a share of each batch."""
    if num_devices == 1:
        return
    if not SHARES_BATCHES:
        raise ValueError(
            "`--num-devices` above 1 needs the JAX backend: on others Keras "
            "would train on one device without a word. Set KERAS_BACKEND=jax. "
            f"Received: {num_devices} on {keras.config.backend()}"
        )
    if num_devices < 1 or batch_size % num_devices:
        raise ValueError(
            "`--num-devices` must be at least 1, and `--batch-size` must "
            "divide by it: each device takes an equal share. Received: a "
            f"batch size of {batch_size} for {num_devices} devices"
        )
    devices = keras.distribution.list_devices()
    if num_devices > len(devices):
        raise ValueError(
            "`--num-devices` must be no more than there are. "
            f"Received: {num_devices} for the devices {devices}"
        )
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices[:num_devices])
    )


class Checkpoints(keras.callbacks.Callback):
    """Saves the weights that train, and the targets, after each epoch.

    To go on from there, load them by `vlm.backbone.load_lora_weights`, or
    `vlm.load_weights`, and `TargetBatches(..., store=TargetStore.load(...))`.

    Args:
        folder: path.
    """

    def __init__(self, folder):
        super().__init__()
        self._folder = folder

    def on_epoch_end(self, epoch, logs=None):
        self._folder.mkdir(parents=True, exist_ok=True)
        path = str(self._folder / f"epoch_{epoch + 1:02d}")
        vlm = self.model.vlm
        if self.model.reference.adapters_off:
            # KerasHub merges adapters into the weights that it saves.
            vlm.backbone.save_lora_weights(f"{path}.lora.h5")
        else:
            vlm.save_weights(f"{path}.weights.h5")
        self.model.batches.store.save(f"{path}.parquet")


def _chosen(examples, positions):
    ids = [examples.example_ids[index] for index in positions]
    return Examples(_Rows(examples, positions), ids)


class _Rows:
    """Reads some of the examples."""

    def __init__(self, examples, positions):
        self._examples = examples
        self._positions = positions
        self.description = f"{len(positions):,} of {examples!r}"

    def __len__(self):
        return len(self._positions)

    def __getitem__(self, index):
        return self._examples[int(self._positions[index])]
