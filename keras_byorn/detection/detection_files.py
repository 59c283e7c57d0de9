"""A detection in a folder: one Parquet file and one JSON file."""

import json
import pathlib

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from keras_byorn.data.digests import digest
from keras_byorn.data.files import (
    MAX_JSON_BYTES,
    parsed_json,
    read_bytes,
    replacing,
)
from keras_byorn.detection.token_scores import TokenScores

FORMAT = 3
MAX_BYTES = 2**36
TABLE, MANIFEST = "detection.parquet", "detection.json"
TEXTS = ("example_ids", "prompts", "responses", "verdicts", "reasons", "groups")
NUMBERS = ("plausibility", "suspect_probability", "cuts")
SCORE = "score: "  # before the name of a scorer, in the name of its column


def save(detection, folder):
    """Writes a detection, see `Detection.save`."""
    folder = pathlib.Path(folder)
    content = pa.BufferOutputStream()
    pq.write_table(_table_of(detection), content)
    content = content.getvalue().to_pybytes()
    manifest = {
        "format": FORMAT,
        "num_examples": len(detection),
        "reason": detection.reason,
        "settings": detection.settings,
        "detector": keras.saving.serialize_keras_object(detection.detector),
    }
    manifest["checksum"] = _checksum(manifest, content)
    with replacing(folder / TABLE) as temporary:
        temporary.write_bytes(content)
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_bytes(_written(manifest))
    return str(folder)


def load(folder):
    """Reads a detection, see `Detection.load`.

    Args:
        folder: string or path.

    Returns:
        A pair: the arguments of `Detection`, a dict, and a function from a
        position to the pieces of a response, or `None`.
    """
    folder = pathlib.Path(folder)
    try:
        content = read_bytes(folder / TABLE, MAX_BYTES)
        written = read_bytes(folder / MANIFEST, MAX_JSON_BYTES)
        manifest = parsed_json(written)
        is_whole = written == _written(manifest)
        is_whole &= manifest.pop("checksum") == _checksum(manifest, content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, repr(error)) from error
    if not is_whole:
        raise _damaged(folder, "bytes that do not give the checksum")
    if manifest["format"] != FORMAT:
        raise ValueError(
            f"A detection must be of format {FORMAT}. Detect again. Received: "
            f"format {manifest['format']} in {folder}"
        )
    table = pq.read_table(pa.BufferReader(content))
    arguments = _arguments(table, manifest)
    tokens = table["tokens"].to_pylist()
    has_tokens = any(pieces is not None for pieces in tokens)
    return arguments, tokens.__getitem__ if has_tokens else None


def _table_of(detection):
    count = len(detection)
    columns = {name: pa.array(getattr(detection, name)) for name in NUMBERS}
    for name in TEXTS:
        values = [str(value) for value in getattr(detection, name)]
        columns[name] = pa.array(values, pa.string())
    for name, values in detection.scores.items():
        columns[SCORE + name] = pa.array(np.asarray(values, "float32"))
    texts = pa.list_(pa.string())
    digests = detection.digests or [None] * count
    columns["digests"] = pa.array(digests, pa.string())
    columns["evidence"] = pa.array(list(map(list, detection.evidence)), texts)
    columns["shares"] = pa.array(
        [
            pair and [str(text) for text in pair]
            for pair in detection.shares or [None] * count
        ],
        texts,
    )
    scores = [detection.scores_of(index) for index in range(count)]
    floats = pa.list_(pa.float32())
    columns["log_likelihoods"] = pa.array([s for s, _ in scores], floats)
    columns["max_log_likelihoods"] = pa.array([m for _, m in scores], floats)
    pieces = [detection.tokens(index) for index in range(count)]
    columns["tokens"] = pa.array(pieces, texts)
    return pa.table(columns)


def _arguments(table, manifest):
    arguments = {name: table[name].to_pylist() for name in TEXTS}
    arguments |= {name: table[name].to_numpy() for name in NUMBERS}
    arguments["scores"] = {
        name.removeprefix(SCORE): table[name].to_numpy()
        for name in table.column_names
        if name.startswith(SCORE)
    }
    arguments["token_scores"] = _token_scores(table)
    digests = table["digests"].to_pylist()
    arguments["digests"] = None if None in digests else digests
    arguments["detector"] = _registered(manifest["detector"])
    arguments["evidence"] = table["evidence"].to_pylist()
    arguments["shares"] = [
        tuple(pair) if pair else None for pair in table["shares"].to_pylist()
    ]
    for name in ("reason", "settings"):
        arguments[name] = manifest[name]
    return arguments


def _token_scores(table):
    """Rows of different lengths in arrays `(N, T)`, from the left."""
    rows = table["log_likelihoods"].to_pylist()
    maxima = table["max_log_likelihoods"].to_pylist()
    length = max(map(len, rows), default=0)
    columns = np.zeros((2, len(rows), length), "float32")
    mask = np.zeros((len(rows), length), bool)
    for index, (own, most) in enumerate(zip(rows, maxima)):
        mask[index, : len(own)] = True
        columns[0, index, : len(own)] = own
        columns[1, index, : len(own)] = own if most is None else most
    has_maxima = all(most is not None for most in maxima)
    return TokenScores(columns[0], columns[1] if has_maxima else None, mask)


def _registered(config):
    """Makes an object of a configuration, of registered classes alone.

    Keras would import any module that a configuration names.
    """
    for name in _class_names(config):
        if keras.saving.get_registered_object(name) is None:
            raise ValueError(
                "The detector of a detection and all its parts must be of "
                "classes that are registered with Keras. Import the module "
                "that registers them first. "
                f"Received: {name!r}"
            )
    return keras.saving.deserialize_keras_object(config)


def _class_names(config):
    if isinstance(config, dict):
        class_name = config.get("class_name")
        if class_name == "function":
            yield str(config["config"])
        elif class_name is not None:
            yield config.get("registered_name") or class_name
        for value in config.values():
            yield from _class_names(value)
    elif isinstance(config, list):
        for value in config:
            yield from _class_names(value)


def _written(manifest):
    """Returns the bytes of a manifest, the only ones that are accepted."""
    return json.dumps(manifest, indent=1).encode()


def _checksum(manifest, content):
    text = json.dumps(manifest, sort_keys=True)
    return digest([text, np.frombuffer(content, "uint8")])


def _damaged(folder, found):
    return ValueError(
        "A detection must be as it was saved. This one is damaged, or was not "
        f"written to its end: detect again. Received: {found} in {folder}"
    )
