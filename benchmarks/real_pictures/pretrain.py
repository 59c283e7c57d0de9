# ruff: noqa: E402
"""Pretrains a small captioner on photographs, to fine-tune and to defend.

    python benchmarks/real_pictures/pretrain.py --data FOLDER --out PRESET

The folder holds `captions.jsonl` and `images`, see `pictures.py`; Flickr8k in
that form, of which 4,091 pictures with 20,455 captions are trained on. A run
that was stopped goes on after its last epoch. About 25 minutes on one CPU core
for eight epochs of the size `small`, 1.63 million parameters. The last line,
and `pretraining.json` in the preset, are the figures of the best epoch; on the
1,000 test pictures about

    {"nats_per_token": 2.95, "nats_per_token_other_image": 3.05,
     "right_likelier": 0.76, "cider": 0.158, ...}
"""

import argparse
import json
import os
import pathlib
import string
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import keras
import numpy as np

import keras_byorn
from keras_byorn import evaluation
from keras_byorn.data.files import replacing
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma
from keras_byorn.vlm.tiny_models.tokenizers import train_sentence_pieces
from real_pictures.pictures import (
    IMAGE_SIZE,
    PROMPT,
    fitting,
    read_pictures,
)

PARTS = ("pretrain", "extra")
VOCABULARY_SIZE = 2000
SEQUENCE_LENGTH = 48
PATCH_SIZE = 16
# Width, layers of the decoder and of the vision tower each, heads, dropout.
SIZES = {
    "tiny": {"width": 32, "layers": 1, "heads": 2, "dropout": 0.0},
    "small": {"width": 160, "layers": 3, "heads": 4, "dropout": 0.1},
    "base": {"width": 224, "layers": 4, "heads": 4, "dropout": 0.15},
}
WEIGHT_DECAY = 0.05
MAX_SHIFT = 4  # pixels
PATIENCE = 2  # epochs without a better one
NUM_SAMPLES = 10


def main(arguments=None):
    args = parse_arguments(arguments)
    keras.utils.set_random_seed(args.seed)
    started = time.perf_counter()
    train = read_pictures(args.data, PARTS, limit=args.limit)
    proto = train_tokenizer(train, args.vocabulary_size)
    vlm = make_captioner(proto, args.size)
    print(f"{vlm.count_params():,} parameters", flush=True)
    pretrain(vlm, fitting(train, vlm), args)
    vlm = without_dropout(vlm, proto, args.size)
    vlm.save_to_preset(args.out)
    figures = {
        "size": args.size,
        "parameters": int(vlm.count_params()),
        "seed": args.seed,
        "backend": keras.config.backend(),
        **read_history(args),
        **{
            part: measure(vlm, args.data, part, args.limit)
            for part in ("dev", "test")
        },
        "seconds_of_this_run": round(time.perf_counter() - started),
    }
    line = json.dumps(figures)
    (pathlib.Path(args.out) / "pretraining.json").write_text(line + "\n")
    state_path(args).unlink()
    print(line, flush=True)
    return figures


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument("--epochs", type=int, default=8, help="at most")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--vocabulary-size", type=int, default=VOCABULARY_SIZE)
    parser.add_argument("--limit", type=int, help="pictures of each part")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def train_tokenizer(pictures, vocabulary_size):
    """Trains SentencePiece on the captions; letters and digits are known."""
    captions = [text for texts in pictures.captions for text in texts]
    return train_sentence_pieces(
        [PROMPT, *captions],
        vocabulary_size,
        required_chars=string.ascii_lowercase + string.digits + ".,'!?",
        hard_vocab_limit=False,
    )


def make_captioner(proto, size, dropout=None):
    """Builds a PaliGemma of one of `SIZES`, with random weights.

    Args:
        proto: bytes. A serialized SentencePiece model.
        size: string, a key of `SIZES`.
        dropout: optional float. Defaults to that of the size.

    Returns:
        A `keras_hub.models.PaliGemmaCausalLM`.
    """
    config = SIZES[size]
    width, layers, heads = (config[k] for k in ("width", "layers", "heads"))
    return tiny_pali_gemma(
        proto,
        image_size=IMAGE_SIZE,
        sequence_length=SEQUENCE_LENGTH,
        num_layers=layers,
        num_query_heads=heads,
        num_key_value_heads=1,
        hidden_dim=width,
        intermediate_dim=3 * width,  # halved inside
        head_dim=width // heads,
        vit_patch_size=PATCH_SIZE,
        vit_num_heads=heads,
        vit_hidden_dim=width,
        vit_num_layers=layers,
        vit_intermediate_dim=2 * width,
        dropout=config["dropout"] if dropout is None else dropout,
    )


def without_dropout(vlm, proto, size):
    """Copies a captioner to one that is fine-tuned without dropout."""
    copy = make_captioner(proto, size, dropout=0.0)
    copy.backbone.set_weights(vlm.backbone.get_weights())
    return copy


class AugmentedBatches(keras_byorn.TargetBatches):
    """Training batches whose pictures are mirrored and shifted at random."""

    def __getitem__(self, index):
        x, y, sample_weight = super().__getitem__(index)
        rng = np.random.default_rng((self.seed, self._epoch, index))
        images = augmented(np.asarray(x["images"]), rng)
        return {**x, "images": images}, y, sample_weight


def augmented(images, rng):
    """Mirrors half of some pictures, and shifts each by a few pixels.

    Args:
        images: array, `(B, H, W, 3)`.
        rng: NumPy generator.

    Returns:
        An array of the same shape and dtype.
    """
    height, width = images.shape[1:3]
    margin = ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT), (0, 0))
    padded = np.pad(images, margin, mode="edge")
    result = np.empty_like(images)
    offsets = rng.integers(2 * MAX_SHIFT + 1, size=(len(images), 2))
    mirrored = rng.random(len(images)) < 0.5
    for row, (top, left) in enumerate(offsets):
        image = padded[row, top : top + height, left : left + width]
        result[row] = image[:, ::-1] if mirrored[row] else image
    return result


def pretrain(vlm, train, args):
    """Trains a captioner, and leaves it with the weights of its best epoch."""
    batches = AugmentedBatches(
        train.pairs(),
        vlm,
        batch_size=args.batch_size,
        seed=args.seed,
        image_cache=None,
        verbose=0,
    )
    dev = fitting(read_pictures(args.data, ["dev"], limit=args.limit), vlm)
    model = keras_byorn.BYORnModel(vlm)
    model.compile(optimizer=make_optimizer(len(batches), args))
    model.optimizer.build(model.trainable_variables)
    progress = Progress(state_path(args))
    epoch = progress.resume(model)
    for _ in range(epoch):
        batches.next_epoch()
    if epoch < args.epochs and not progress.is_over:
        model.fit(
            batches,
            validation_data=keras_byorn.TargetBatches(
                dev.pairs(), vlm, batch_size=128, verbose=0
            ),
            initial_epoch=epoch,
            epochs=args.epochs,
            callbacks=[progress],
            verbose=2,
        )
    vlm.backbone.set_weights(progress.best_weights)


def make_optimizer(steps_per_epoch, args):
    """Builds AdamW, warmed up over half an epoch, then a cosine."""
    steps = steps_per_epoch * args.epochs
    warmup = max(1, steps_per_epoch // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, steps - warmup),
        warmup_target=args.learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(
        schedule, weight_decay=WEIGHT_DECAY, global_clipnorm=1.0
    )


class Progress(keras.callbacks.Callback):
    """Keeps the state after each epoch in a file, and stops in time.

    Args:
        path: path of the file.

    Attributes:
        history: list of dicts, the figures of each epoch.
        best_weights: list of arrays, of the epoch with the least loss on
            `dev`.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.history = []
        self.best_weights = None

    @property
    def losses(self):
        return [epoch["val_loss"] for epoch in self.history]

    @property
    def is_over(self):
        """bool. Whether the last epochs were no better than one before."""
        since = len(self.losses) - 1 - int(np.argmin(self.losses or [0]))
        return since >= PATIENCE

    def resume(self, model):
        """Gives a model the kept state; returns how many epochs it had."""
        if not self.path.exists():
            return 0
        with np.load(self.path) as state:
            self.history = json.loads(str(state["history"]))
            variables = self._variables(model)
            for index, variable in enumerate(variables):
                variable.assign(state[f"variable_{index}"])
            count = len(model.vlm.backbone.weights)
            self.best_weights = [state[f"best_{i}"] for i in range(count)]
        return len(self.history)

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.perf_counter() - self._started, 1)
        figures = {k: float(logs[k]) for k in ("loss", "val_loss")}
        self.history.append({**figures, "seconds": seconds})
        if self.losses[-1] == min(self.losses):
            self.best_weights = self.model.vlm.backbone.get_weights()
        self._save()
        self.model.stop_training |= self.is_over

    def _save(self):
        arrays = {
            f"variable_{index}": keras.ops.convert_to_numpy(variable)
            for index, variable in enumerate(self._variables(self.model))
        }
        for index, weights in enumerate(self.best_weights):
            arrays[f"best_{index}"] = weights
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, history=json.dumps(self.history), **arrays)

    def _variables(self, model):
        return [*model.vlm.backbone.weights, *model.optimizer.variables]


def state_path(args):
    """Returns the path of the state of an unfinished run."""
    return pathlib.Path(args.out) / "training_state.npz"


def read_history(args):
    """Returns epochs, losses and seconds of the training, a dict."""
    progress = Progress(state_path(args))
    with np.load(progress.path) as state:
        progress.history = json.loads(str(state["history"]))
    return {
        "epochs": len(progress.history),
        "best_epoch": 1 + int(np.argmin(progress.losses)),
        "dev_losses": [round(loss, 4) for loss in progress.losses],
        "training_seconds": sum(e["seconds"] for e in progress.history),
    }


def measure(vlm, data, part, limit=None):
    """Measures a captioner on the pictures of a part.

    Args:
        vlm: a KerasHub task.
        data: string, the folder.
        part: string.
        limit: optional int. The most pictures.

    Returns:
        A dict. `nats_per_token` and `nats_per_word` of all captions, each
        also with `other_image`, the picture that comes next; `right_likelier`,
        the share of captions that are likelier with their own; `cider`; and
        some captions, beside the first that a person wrote.
    """
    pictures = read_pictures(data, [part], limit=limit)
    scored = fitting(pictures, vlm)
    right, mask, words = token_log_likelihoods(scored.pairs(), vlm)
    other, *_ = token_log_likelihoods(scored.others().pairs(), vlm)
    examples = list(pictures.drawn(seed=0))
    captions = evaluation.responder(vlm)(examples)
    samples = zip(captions[:NUM_SAMPLES], pictures.captions)
    return {
        "pictures": len(pictures),
        "captions": len(right),
        "nats_per_token": round(float(-right.sum() / mask.sum()), 4),
        "nats_per_word": round(float(-right.sum() / words), 4),
        "nats_per_token_other_image": round(
            float(-other.sum() / mask.sum()), 4
        ),
        "nats_per_word_other_image": round(float(-other.sum() / words), 4),
        "right_likelier": round(
            float(np.mean(right.sum(axis=-1) > other.sum(axis=-1))), 4
        ),
        "cider": round(
            float(np.mean(evaluation.cider(captions, pictures.captions))), 4
        ),
        "distinct": len(set(captions)),
        "samples": [[ours, texts[0]] for ours, texts in samples],
    }


def token_log_likelihoods(examples, vlm):
    """Returns log-likelihoods and mask, `(N, T)`, and the number of words."""
    detector = keras_byorn.Detector(
        scorer=MeanLogLikelihood(),
        decision=keras_byorn.FlagFraction(0.0),
        verbose=0,
    )
    detection = keras_byorn.detect(examples, vlm, detector, batch_size=128)
    words = sum(len(text.split()) for text in detection.responses)
    scores = detection.token_scores
    return scores.log_likelihoods, scores.response_mask, words


if __name__ == "__main__":
    main()
