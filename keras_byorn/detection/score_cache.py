"""Token scores of the reference, kept on disk for the next run."""

import json
import pathlib
import warnings

import keras
import keras_hub
import numpy as np

from keras_byorn.data.digests import digest
from keras_byorn.data.files import replacing
from keras_byorn.data.views import View
from keras_byorn.vlm.adapters import adapter_variables
from keras_byorn.vlm.keras_internals import flatten_layers, own_variables

# Raise it when equal weights and examples give other scores, or when files are
# written in another form.
FORMAT = 2
NUM_READ = 64  # images that are in memory at once
# Parts of a configuration that do not change scores, or are known otherwise:
# names are numbered within a process, the data type is read from each layer,
# and a tokenizer shows in its tokens.
NEUTRAL = ("name", "trainable", "dtype", "tokenizer")
COLUMNS = ("log_likelihoods", "max_log_likelihoods")


class ScoreCache:
    """Keeps token scores in a folder, by reference and by example.

    An example is known by a digest of everything that the reference sees of
    it: the tokens of prompt and response and the pixels, all *under the view*,
    so that neither ids nor positions nor the code of a view matter. The
    weights, the configuration, data types and versions of the reference are in
    the name of the file. Each pass adds a file with the scores that were not
    known before; several processes may share a folder.

    A file is named by a digest of its content as well. A file whose content
    does not fit its name is not read: a warning names it, it is removed, and
    its examples are scored anew.

    Args:
        folder: string or path. Made when something is written.
        reference: the `FrozenReference`. Its weights are read here, one by
            one.
        prepared: a `PreparedExamples`.
    """

    def __init__(self, folder, reference, prepared):
        self._folder = pathlib.Path(folder)
        self._prepared = prepared
        self._reference_name = digest(
            [
                f"format {FORMAT}",
                f"keras {keras.__version__}, {keras_hub.__version__}",
                reference_digest(reference),
                _description(prepared.task.preprocessor),
            ]
        )
        self._keys = {}

    def read(self, view):
        """Reads the scores that are known of the examples under a view.

        Args:
            view: a `View`, or `None` for the examples as they are.

        Returns:
            A dict from the position of an example to an array `(2, R)`,
            float32, nats: log-likelihoods of its R response tokens, and of
            the likeliest tokens there.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        keys = self._keys_under(view)
        wanted = pa.array(sorted(set(keys)))
        known = {}
        for path in sorted(self._folder.glob(f"{self._reference_name}-*")):
            table = self._verified(path)
            if table is not None:
                table = table.filter(pc.is_in(table["example"], wanted))
                columns = (table[name].to_numpy() for name in COLUMNS)
                values = map(np.stack, zip(*columns))
                known.update(zip(table["example"].to_pylist(), values))
        lengths = self._prepared.response_mask.sum(axis=-1)
        return {
            index: known[key]
            for index, key in enumerate(keys)
            if key in known and known[key].shape == (2, lengths[index])
        }

    def add(self, view, scores):
        """Keeps the scores that a pass has found.

        Args:
            view: as in `read`.
            scores: a dict as `read` returns it.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        keys = self._keys_under(view)
        rows = {keys[i]: values for i, values in scores.items()}
        columns = zip(*rows.values())
        scores = pa.list_(pa.float32())
        schema = pa.schema(
            [("example", pa.string()), *((name, scores) for name in COLUMNS)]
        )
        table = pa.table([list(rows), *map(list, columns)], schema=schema)
        content = pa.BufferOutputStream()
        pq.write_table(table, content)
        content = content.getvalue().to_pybytes()
        name = f"{self._reference_name}-{_digest_of_file(content)}.parquet"
        with replacing(self._folder / name) as temporary:
            temporary.write_bytes(content)

    def _verified(self, path):
        """Reads the table of a file, or returns `None` where it is damaged."""
        content = path.read_bytes()
        if path.stem == f"{self._reference_name}-{_digest_of_file(content)}":
            import pyarrow as pa
            import pyarrow.parquet as pq

            return pq.read_table(pa.BufferReader(content))
        warnings.warn(
            f"A file with kept scores is damaged: {path}. It is removed, and "
            "its examples are scored anew.",
            stacklevel=2,
        )
        path.unlink(missing_ok=True)
        return None

    def _keys_under(self, view):
        """Digests of the examples under a view, a list of N strings."""
        view = view or View()
        name = repr(view)
        if name not in self._keys:
            self._keys[name] = list(self._digests(view))
        return self._keys[name]

    def _digests(self, view):
        prepared = self._prepared
        prompt_ids = prepared.prompt_ids_under(view)
        for start in range(0, len(prompt_ids), NUM_READ):
            indices = np.arange(start, min(start + NUM_READ, len(prompt_ids)))
            images = prepared.images.pixels(indices, view)
            for index, image in zip(indices, images):
                response_ids = prepared.response_ids[index]
                yield digest([prompt_ids[index], response_ids, image])


def reference_digest(reference):
    """Computes a digest of everything that a frozen reference computes with.

    The weights of the task, layer by layer, with the data types that they
    compute in, and its configuration. Adapters that are off have no part in
    it, so that the digest is equal before, during and after their training.

    Args:
        reference: a `FrozenReference` that was not released.

    Returns:
        A string of 32 hexadecimal digits.
    """
    return digest(_parts_of(reference))


def _parts_of(reference):
    task = reference.task
    yield _description(getattr(task, "backbone", task))
    off = adapter_variables(task) if reference.adapters_off else []
    off = {id(variable) for variable in off}
    for layer in flatten_layers(task):
        weights = [w for w in own_variables(layer) if id(w) not in off]
        if weights:
            yield _layer_description(layer, reference.adapters_off)
        for weight in weights:
            yield keras.ops.convert_to_numpy(weight)


def _layer_description(layer, adapters_off):
    words = [
        type(layer).__name__,
        layer.compute_dtype,
        str(layer.quantization_mode),
    ]
    if getattr(layer, "lora_enabled", False) and not adapters_off:
        words.append(f"lora {layer.lora_alpha} / {layer.lora_rank}")
    return " ".join(words)


def _description(model):
    """Class and configuration, without the parts that do not matter."""
    try:
        config = _without_neutral(model.get_config())
    except NotImplementedError:  # a model of the user's own
        config = None
    name = f"{type(model).__module__}.{type(model).__name__}"
    return json.dumps([name, config], default=repr, sort_keys=True)


def _without_neutral(config):
    if isinstance(config, dict):
        return {
            str(key): _without_neutral(value)
            for key, value in config.items()
            if key not in NEUTRAL and not str(key).endswith("sequence_length")
        }
    if isinstance(config, (list, tuple)):
        return [_without_neutral(value) for value in config]
    return config


def _digest_of_file(content):
    return digest([np.frombuffer(content, "uint8")])
