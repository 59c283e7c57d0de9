"""Compares a run with the one that it is to go on with."""

import json
import warnings

import keras

from keras_byorn.data.digests import digest
from keras_byorn.detection.choices import choices_of
from keras_byorn.vlm.adapters import lora_layers


def identity_of(callback, model, batches):
    """Describes everything that the result of a run follows from.

    Args:
        callback: a `BYORnCallback`.
        model: a `BYORnModel`, compiled.
        batches: its `TargetBatches`.

    Returns:
        A dict of texts and numbers, by the name of what they describe.
    """
    prepared = batches.prepared
    return {
        "backend": keras.config.backend(),
        "examples": digest([*prepared.example_ids, *prepared.digests]),
        "number of examples": len(prepared),
        "pretrained weights": model.reference.identity(),
        "adapters": _adapters_of(model),
        "trained weights": digest(
            f"{v.path.rsplit('/', 1)[-1]} {v.shape} {v.dtype}"
            for v in model.trainable_variables
        ),
        "optimizer": _config_of(model.optimizer),
        "steps_per_execution": model.steps_per_execution,
        "batch_size": batches.batch_size,
        "seed of the batches": batches.seed,
        "shuffle": batches.shuffle,
        "defence": _defence_of(callback),
        "trusted examples": _trusted_of(callback, prepared),
    }


def check_same(known, now, folder):
    """Refuses to go on with a run of something else.

    Args:
        known: dict, the identity of the run in the folder.
        now: dict, the identity of this one.
        folder: path.

    Raises:
        ValueError: if they differ; it names what changed.
    """
    changed = [
        name for name in {**known, **now} if known.get(name) != now.get(name)
    ]
    if changed:
        shown = "; ".join(
            f"{name}: {_cut(known.get(name))} there, {_cut(now.get(name))} here"
            for name in changed
        )
        raise ValueError(
            "`state_dir` holds the run of something else, and going on with "
            "it would give neither the one nor the other. Pass what it was "
            "begun with, or another folder. Received: other "
            f"{', '.join(changed)} in {folder} ({shown})"
        )


def warn_of_versions(known, now, folder):
    """Warns where a run goes on under other versions.

    Args:
        known, now: dicts, see `versions`.
        folder: path.
    """
    differ = [
        f"{name} {known.get(name)} there, {version} here"
        for name, version in now.items()
        if known.get(name) != version
    ]
    if differ:
        warnings.warn(
            f"The run in {folder} was begun with other versions, so that its "
            "result may differ from an uninterrupted one: "
            f"{'; '.join(differ)}.",
            stacklevel=2,
        )


def _defence_of(callback):
    """The options of a callback, and what judges."""
    given = callback.given_detection
    judge = callback.detector
    if given is not None:
        judged = digest(
            [
                *map(str, given.verdicts),
                given.plausibility,
                given.suspect_probability,
            ]
        )
    else:
        config = keras.saving.serialize_keras_object(judge)
        for name in ("verbose", "score_cache"):
            config["config"].pop(name, None)
        judged = json.dumps(config, sort_keys=True, default=repr)
    sampler = callback.sampler
    if not isinstance(sampler, str):
        sampler = f"{type(sampler).__name__} {_plain(sampler)}"
    return {
        "detection" if given is not None else "detector": judged,
        "teacher": callback.teacher,
        "sampler": sampler,
        "suspects": callback.suspects,
        "review": callback.review,
        "batch_size": callback.batch_size,
        "seed": callback.seed,
    }


def _trusted_of(callback, prepared):
    """A digest of whom a person trusts, or `None`."""
    trusted = callback.trusted
    if trusted is None or callback.given_detection is not None:
        return None  # a given detection has it in its verdicts
    examples = zip(prepared.example_ids, prepared.prompts, prepared.responses)
    chosen = choices_of(trusted, examples)
    return digest(["trusted", *chosen.trusted, "dropped", *chosen.dropped])


def _adapters_of(model):
    layers = [
        [layer.path, layer.lora_rank, layer.lora_alpha]
        for layer in lora_layers(model.vlm)
    ]
    # Names of backbones are numbered within a process.
    return [[path.split("/", 1)[-1], *rest] for path, *rest in layers]


def _config_of(optimizer):
    config = keras.saving.serialize_keras_object(optimizer)
    config["config"].pop("name", None)
    return json.dumps(config, sort_keys=True, default=float)


def _plain(sampler):
    config = sampler.get_config() if hasattr(sampler, "get_config") else {}
    return json.dumps(config, sort_keys=True, default=repr)


def _cut(value, most=120):
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."
