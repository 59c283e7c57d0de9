"""Pretrains the tiny vision-language model that comes with the package.

    KERAS_BACKEND=tensorflow python examples/pretrain_tiny_vlm.py --out PRESET

About ten minutes on two cores. Its last line is the exact match on 500 scenes
each of unseen handwriting, on TensorFlow with seed 0:

    {"captions": 0.96, "questions": 0.904, "unanswerable_questions": 0.7, ...}
"""

import argparse
import io
import json
import pathlib
import pydoc_data.topics
import string
import tempfile
import time

import keras
import numpy as np
import sentencepiece

from keras_byorn.data import digit_scenes
from keras_byorn.vlm.tiny import tiny_pali_gemma

# What the model learns before anyone fine-tunes it.
PRETRAINING = digit_scenes.DigitScenesConfig(
    name="pretraining",
    tasks={
        "captions": 0.45,
        "descriptions": 0.25,
        "questions": 0.27,
        "unanswerable_questions": 0.03,
    },
    num_train=40_000,
    num_test=1_000,
    seed=1_000_000,  # none of the fine-tuning scenes
)
TEXT_LENGTH = 17  # tokens; the longest example has as many
VOCABULARY_SIZE = 880


def main():
    args = parse_arguments()
    keras.utils.set_random_seed(args.seed)
    data = load_scenes(PRETRAINING, args.data_dir)
    vlm = tiny_pali_gemma(train_tokenizer(data["train"]))
    print(f"{vlm.count_params():,} parameters")
    started = time.time()
    pretrain_vision(vlm, args)
    pretrain(vlm, data["train"], args)
    minutes = round((time.time() - started) / 60, 1)
    vlm.save_to_preset(args.out)
    print(json.dumps({**evaluate(vlm, args), "minutes": minutes}))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--vision-epochs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data-dir",
        default=str(pathlib.Path(tempfile.gettempdir()) / "digit_scenes"),
    )
    return parser.parse_args()


def load_scenes(config, data_dir):
    """The splits of a Digit Scenes config, `{split: columns}`."""
    builder = digit_scenes.DigitScenes(config=config, data_dir=data_dir)
    builder.download_and_prepare()
    splits = builder.as_data_source()
    return {split: columns(source) for split, source in splits.items()}


def columns(source):
    rows = list(source)
    return {
        "images": np.stack([row["images"] for row in rows]),
        "prompts": [row["prompts"].decode() for row in rows],
        "responses": [row["responses"].decode() for row in rows],
    }


def train_tokenizer(train):
    """SentencePiece: whole words for scenes, pieces for other English.

    Bytes are the fallback, so that no text has an unknown token.
    """
    scenes = train["prompts"] + train["responses"]
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(scenes + english()),
        model_writer=proto,
        model_type="unigram",
        vocab_size=VOCABULARY_SIZE,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        byte_fallback=True,
        required_chars=string.ascii_lowercase + string.digits,
        user_defined_symbols=["\n"],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return proto.getvalue()


def english():
    """Lower-case lines of English: Python's own documentation."""
    text = "\n".join(pydoc_data.topics.topics.values()).lower()
    kept = "".join(c if c.isalpha() or c in "\n.,'" else " " for c in text)
    lines = (" ".join(line.split()) for line in kept.splitlines())
    return [line for line in lines if len(line) > 20]


def pretrain_vision(vlm, args):
    """Teaches the vision tower digits and colours, with labels.

    Through the decoder alone it takes the tower many more epochs to tell
    digits apart. The heads are thrown away afterwards.
    """
    samples = digit_scenes.handwriting("train")
    rng = np.random.default_rng((PRETRAINING.seed, 1))
    scenes = [
        digit_scenes.draw_scene(rng, samples)
        for _ in range(PRETRAINING.num_train)
    ]
    digits = list(digit_scenes.DIGITS)
    colours = list(digit_scenes.COLOURS)
    relations = list(digit_scenes.RELATIONS)
    labels = {
        "first_digit": [digits.index(s.first[1]) for s in scenes],
        "second_digit": [digits.index(s.second[1]) for s in scenes],
        "first_colour": [colours.index(s.first[0]) for s in scenes],
        "second_colour": [colours.index(s.second[0]) for s in scenes],
        "relation": [relations.index(s.relation) for s in scenes],
    }
    images = np.stack([scene.image for scene in scenes])
    inputs = keras.Input(images.shape[1:])
    patches = vlm.backbone.vit_encoder(inputs)
    flat = keras.layers.Flatten()(patches)
    model = keras.Model(
        inputs,
        {
            name: keras.layers.Dense(max(values) + 1, name=name)(flat)
            for name, values in labels.items()
        },
    )
    model.compile(
        optimizer=optimizer(2e-3, len(images), args.vision_epochs, args),
        loss={name: cross_entropy() for name in labels},
    )
    model.fit(
        vlm.preprocessor.image_converter(images),
        {name: np.array(values) for name, values in labels.items()},
        batch_size=args.batch_size,
        epochs=args.vision_epochs,
        verbose=2,
    )


def pretrain(vlm, train, args):
    inputs, targets, response_mask = vlm.preprocessor(
        train, sequence_length=TEXT_LENGTH
    )
    numpy = keras.ops.convert_to_numpy
    # A plain model of the same layers: the arrays are preprocessed already.
    model = keras.Model(vlm.input, vlm.output)
    count = len(train["prompts"])
    model.compile(
        optimizer=optimizer(args.learning_rate, count, args.epochs, args),
        loss=cross_entropy(),
    )
    model.fit(
        keras.tree.map_structure(numpy, inputs),
        numpy(targets),
        sample_weight=numpy(response_mask).astype("float32"),
        batch_size=args.batch_size,
        epochs=args.epochs,
        verbose=2,
    )


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def optimizer(learning_rate, num_examples, epochs, args):
    """AdamW, warmed up over a twentieth of the steps, then a cosine."""
    steps = num_examples // args.batch_size * epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=steps - steps // 20,
        warmup_target=learning_rate,
        warmup_steps=steps // 20,
    )
    return keras.optimizers.AdamW(
        schedule, weight_decay=0.05, global_clipnorm=1.0
    )


def evaluate(vlm, args):
    """Exact match on unseen handwriting, one figure a task."""
    figures = {}
    for name in ("captions", "questions", "unanswerable_questions"):
        config = digit_scenes.DigitScenesConfig(
            name=f"unseen_{name}",
            tasks={name: 1.0},
            num_train=1,
            num_test=500,
            seed=PRETRAINING.seed,
        )
        test = load_scenes(config, args.data_dir)["test"]
        generated = generate(vlm, test)
        if name == "unanswerable_questions":  # any wording is a refusal
            matches = [text in digit_scenes.REFUSALS for text in generated]
        else:
            matches = [a == b for a, b in zip(generated, test["responses"])]
        figures[name] = round(float(np.mean(matches)), 3)
    return figures


def generate(vlm, data, batch_size=128):
    """Greedy responses. PaliGemma wants prompts of one length in a batch."""
    lengths = [len(vlm.preprocessor.tokenizer(p)) for p in data["prompts"]]
    responses = [None] * len(lengths)
    for length in set(lengths):
        rows = [i for i, n in enumerate(lengths) if n == length]
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            padded = (batch * batch_size)[:batch_size]
            texts = vlm.generate(
                {
                    "images": data["images"][padded],
                    "prompts": [data["prompts"][i] for i in padded],
                },
                strip_prompt=True,
            )
            for i, text in zip(batch, texts):
                responses[i] = text.strip()
    return responses


if __name__ == "__main__":
    main()
