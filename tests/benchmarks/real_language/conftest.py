"""A GGUF file of a tiny Llama, and the weights that are in it."""

import json
import string

import numpy as np
import pytest

from keras_byorn.vlm.tiny_models.tokenizers import WORDS, byte_pairs

gguf = pytest.importorskip("gguf", reason="of the extra `language`")

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CONTROL, NORMAL = 3, 1
LAYERS, HEADS, KEY_HEADS, WIDTH, INNER = 2, 2, 1, 32, 64
ROTATION, EPSILON = 100000.0, 1e-5


@pytest.fixture(scope="session")
def vocabulary():
    """Tokens by id, and merges; two digits and `-` are there, too."""
    tokens, merges = byte_pairs(*SPECIAL, *string.digits, "-", "'")
    return list(tokens), merges


@pytest.fixture(scope="session")
def weights(vocabulary):
    """Random weights under their names in `transformers`."""
    rng = np.random.default_rng(0)

    def matrix(*shape):
        return rng.normal(size=shape, scale=0.3).astype("float32")

    def scale():
        return rng.uniform(0.5, 1.5, WIDTH).astype("float32")

    found = {
        "model.embed_tokens.weight": matrix(len(vocabulary[0]), WIDTH),
        "model.norm.weight": scale(),
    }
    keys = KEY_HEADS * WIDTH // HEADS
    shapes = {
        "self_attn.q_proj": (WIDTH, WIDTH),
        "self_attn.k_proj": (keys, WIDTH),
        "self_attn.v_proj": (keys, WIDTH),
        "self_attn.o_proj": (WIDTH, WIDTH),
        "mlp.gate_proj": (INNER, WIDTH),
        "mlp.up_proj": (INNER, WIDTH),
        "mlp.down_proj": (WIDTH, INNER),
    }
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            found[f"model.layers.{layer}.{name}.weight"] = matrix(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"model.layers.{layer}.{name}.weight"] = scale()
    return found


@pytest.fixture(scope="session")
def write_gguf(vocabulary, weights):
    """A function that writes the file; `extra` are weights, `header` texts."""

    def write(path, extra=(), without=(), **header):
        header = {"architecture": "llama", "pre": "smollm", **header}
        writer = gguf.GGUFWriter(path, header["architecture"])
        writer.add_block_count(LAYERS)
        writer.add_embedding_length(WIDTH)
        writer.add_feed_forward_length(INNER)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KEY_HEADS)
        writer.add_rope_freq_base(ROTATION)
        writer.add_layer_norm_rms_eps(EPSILON)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(header["pre"])
        tokens, merges = vocabulary
        writer.add_token_list(tokens)
        writer.add_token_types(
            [CONTROL if token in SPECIAL else NORMAL for token in tokens]
        )
        writer.add_token_merges(merges)
        for name, values in {**weights, **dict(extra)}.items():
            if name not in without:
                add(writer, gguf_name(name), values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


@pytest.fixture(scope="session")
def gguf_path(write_gguf, tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def add(writer, name, values):
    """Adds a weight as llama.cpp orders it; one kind of them in 4 bits."""
    heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(name.split(".")[-2])
    if heads and values.ndim == 2:
        halves = values.reshape(heads, 2, -1, values.shape[-1])
        values = halves.swapaxes(1, 2).reshape(values.shape)
    if "ffn_up" not in name:
        return writer.add_tensor(name, values)
    kind = gguf.GGMLQuantizationType.Q4_1
    packed = gguf.quants.quantize(values, kind)
    writer.add_tensor(name, packed, raw_dtype=kind)


def gguf_name(name):
    """Returns the name in GGUF of a weight of `transformers`."""
    parts = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers": "blk",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.o_proj": "attn_output",
        "self_attn.": "attn_",
        "mlp.": "ffn_",
        "_proj": "",
    }
    for theirs, own in parts.items():
        name = name.replace(theirs, own)
    return name


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with `captions.jsonl`, as Flickr8k's."""
    folder = tmp_path_factory.mktemp("captions")
    rng = np.random.default_rng(0)
    with (folder / "captions.jsonl").open("w") as file:
        for part, count in {"finetune": 30, "test": 6}.items():
            for index in range(count):
                for n in range(2):
                    words = rng.choice(WORDS, size=8 + index % 3)
                    row = {
                        "image": f"{part}_{index}.jpg",
                        "caption": " ".join(words).capitalize() + " .",
                        "n": n,
                        "part": part,
                    }
                    file.write(json.dumps(row) + "\n")
    return str(folder)
