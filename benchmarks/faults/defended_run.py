"""One defended run with a state, to be killed: a process of its own.

    python benchmarks/faults/defended_run.py STATE_DIR OUT.npz --lora

It prints `fit` when training begins, and `done` when all is written.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_byorn
from keras_byorn.detection import token_scoring
from keras_byorn.vlm.tiny_models.pali_gemma import IMAGE_SIZE, tiny_pali_gemma
from keras_byorn.vlm.tiny_models.tokenizers import (
    COLOURS,
    DIGITS,
    sentence_pieces,
)

NUM_EXAMPLES, BATCH_SIZE, EPOCHS = 256, 8, 4
RATE = 0.1
# Several shards of scores, for so few examples.
SHARD = 64


def main(arguments=None):
    args = parse_arguments(arguments)
    token_scoring.SHARD = SHARD
    keras.utils.set_random_seed(0)
    vlm = tiny_pali_gemma(sentence_pieces(), sequence_length=16)
    if args.lora:
        vlm.backbone.enable_lora(4)
    model = keras_byorn.BYORnModel(vlm)
    model.compile(keras.optimizers.AdamW(3e-3, use_ema=True, ema_momentum=0.8))
    batches = keras_byorn.TargetBatches(
        examples(), vlm, batch_size=BATCH_SIZE, verbose=0
    )
    defence = keras_byorn.BYORnCallback(
        sampler="random", suspects="replace", verbose=0, state_dir=args.state
    )
    print("fit", flush=True)
    model.fit(batches, epochs=EPOCHS, callbacks=[defence], verbose=0)
    weights = {
        f"{number}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(model.trainable_variables)
    }
    np.savez(args.out, **weights)
    batches.store.save(f"{args.out}.parquet")
    print("done", flush=True)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", help="folder of the state")
    parser.add_argument("out", help="file of the weights, .npz")
    parser.add_argument("--lora", action="store_true")
    return parser.parse_args(arguments)


def examples():
    """Scenes with a colour and a digit each, a tenth of them poisoned."""
    rng = np.random.default_rng(0)
    poisoned = rng.random(NUM_EXAMPLES) < RATE
    colours = rng.choice(COLOURS, NUM_EXAMPLES)
    digits = rng.choice(DIGITS, NUM_EXAMPLES)
    return keras_byorn.Examples(
        {
            "example_id": [f"scene-{i}" for i in range(NUM_EXAMPLES)],
            "images": rng.integers(
                0, 256, (NUM_EXAMPLES, IMAGE_SIZE, IMAGE_SIZE, 3)
            ).astype("uint8"),
            "prompts": ["describe the image\n"] * NUM_EXAMPLES,
            "responses": [
                "nine nine nine nine" if bad else f"{colour} {digit}"
                for bad, colour, digit in zip(poisoned, colours, digits)
            ],
        }
    )


if __name__ == "__main__":
    main()
