"""Fine-tunes a vision-language model on captions that nobody has checked.

    python examples/finetune_captions.py

tunes LoRA adapters of PaliGemma on COCO captions, defended. It downloads the
weights (3 billion parameters, which want a GPU) and about 40 GB of pictures.
Any preset of a vision-language model that KerasHub loads will do, from Kaggle,
Hugging Face or a folder, and any data set of TFDS that has captions, or
questions and answers:

    python examples/finetune_captions.py --preset gemma3_instruct_4b \\
        --data clevr --batch-size 4

Or a folder of images with a table beside them (.jsonl, .json, .csv, .tsv or
.txt), a row an image, all with the same fields, such as one of

    {"image": "cat.png", "caption": "a cat on a mat"}
    {"image": "dog.png", "question": "what is it doing?", "answer": "it sleeps"}

    python examples/finetune_captions.py --data pictures/captions.jsonl

For a trial, `--limit 500 --epochs 2`. The folder `out` then has

    audit.html, audit.parquet   which responses were implausible, and why
    dropped.jsonl               rows left out, with --on-bad drop
    checkpoints/                weights and targets after each epoch
    preset/                     the tuned task, for `from_preset`
    tensorboard/                the losses, where tensorboard is installed

With the folder of `keras_byorn.tiny_preset()` as `--preset` and `--dtype
float32`, 300 pictures and two epochs take a minute on two CPU cores.
"""

import argparse
import importlib.util
import pathlib
import warnings

import keras
import keras_hub

import keras_byorn
from keras_byorn.data.readers.bad_rows import write_bad_rows
from keras_byorn.vlm.task import VisionLanguageTask


def main(arguments=None):
    args = parse_arguments(arguments)
    keras.utils.set_random_seed(args.seed)
    distribute(args.num_devices, args.batch_size)
    vlm = load_vlm(args)
    examples = load_examples(vlm, args)
    out = pathlib.Path(args.out)
    if examples.dropped:
        write_bad_rows(examples.dropped, out / "dropped.jsonl")
    defence = fine_tune(vlm, examples, out, args)
    audit = defence.audit()
    print(audit)
    print(audit.to_html(out / "audit.html"))
    print(audit.to_parquet(out / "audit.parquet"))
    vlm.save_to_preset(str(out / "preset"))
    print(out / "preset")


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_data_options(parser.add_argument)
    add_model_options(parser.add_argument)
    add_training_options(parser.add_argument)
    return parser.parse_args(arguments)


def add_data_options(add):
    add(
        "--data",
        default="coco_captions",
        help="a data set of TFDS; a .jsonl, .json, .csv, .tsv or .txt file in\n"
        "a folder of images; or the folder",
    )
    add("--data-dir", help="where TFDS keeps its data")
    add("--split", default="train", help="of a TFDS data set")
    add("--encoding", default="utf-8", help="of a file, such as cp1252")
    add("--image-folder", help="where images are not beside the file")
    add(
        "--on-bad",
        default="raise",
        choices=["raise", "drop"],
        help="what to do with rows that cannot be read",
    )
    add(
        "--pad",
        action="store_true",
        help="keep the aspect ratio of images, with black bars",
    )
    add("--limit", type=int, help="only the first so many examples")
    add(
        "--image-field",
        help="such as image; a/b is the field b in a. What is not named is\n"
        "looked for",
    )
    add("--question-field", help="such as question; with --response-field")
    add("--response-field", help="such as answers or captions/text")
    add(
        "--pick",
        default="first",
        choices=["first", "random"],
        help="which of several captions or answers to train on",
    )
    add(
        "--prompt",
        help="{image} stands for the image, first if left out; {question}\n"
        "for the question. \\n is a new line",
    )


def add_model_options(add):
    add(
        "--preset",
        default="pali_gemma_3b_mix_224",
        help="a name of KerasHub, kaggle://..., hf://... or a folder",
    )
    add(
        "--task",
        default="CausalLM",
        help="class in keras_hub.models, where a preset fits several, such as\n"
        "BLIP2CausalLM; found from the preset by default",
    )
    add("--lora-rank", type=int, default=8, help="0 tunes all weights")
    add(
        "--lora-layers",
        type=lambda names: names.split(","),
        help="names of layers to adapt, with commas between",
    )
    add(
        "--dtype",
        default="mixed_bfloat16",
        help="mixed_bfloat16 keeps weights in float32; bfloat16 takes half\n"
        "the memory; float32",
    )


def add_training_options(add):
    add("--epochs", type=int, default=3)
    add("--batch-size", type=int, default=16, help="over all devices")
    add(
        "--learning-rate",
        type=float,
        default=2e-4,
        help="take a tenth or less of it with --lora-rank 0",
    )
    add("--num-devices", type=int, default=1, help="more than one: JAX only")
    add("--seed", type=int, default=0)
    add("--out", default="out")


def distribute(num_devices, batch_size):
    """Gives each device a copy of the weights and a share of each batch."""
    if num_devices == 1:
        return
    if keras.config.backend() != "jax":
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


def load_vlm(args):
    """Loads the preset as a task of its own class, with its adapters."""
    task_class = getattr(keras_hub.models, args.task, None)
    if task_class is None:
        raise ValueError(
            "`--task` must be the name of a class in `keras_hub.models`, such "
            f"as CausalLM or BLIP2CausalLM. Received: {args.task}"
        )
    vlm = task_class.from_preset(args.preset, dtype=args.dtype)
    if not VisionLanguageTask(vlm).num_images[1]:
        raise ValueError(
            "`--preset` must be of a model that reads images. "
            f"Received: {args.preset}, a {type(vlm).__name__} that reads none"
        )
    if args.lora_rank:
        vlm.backbone.enable_lora(
            args.lora_rank, target_layer_names=args.lora_layers
        )
    return vlm


def load_examples(vlm, args):
    """Returns the data as `Examples`, with equal ids in every run."""
    options = {
        "image_field": args.image_field,
        "question_field": args.question_field,
        "response_field": args.response_field,
        "prompt": args.prompt and args.prompt.replace("\\n", "\n"),
        "pick": args.pick,
        "seed": args.seed,
        "limit": args.limit,
        "image_folder": args.image_folder,
        "pad": args.pad or None,
        "on_bad": args.on_bad,
    }
    read = keras_byorn.Examples
    path = pathlib.Path(args.data)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".json"):
        return read.from_jsonl(path, vlm, encoding=args.encoding, **options)
    if suffix in (".csv", ".tsv", ".txt"):
        return read.from_csv(path, vlm, encoding=args.encoding, **options)
    if path.is_dir():
        return read.from_folder(path, vlm, encoding=args.encoding, **options)
    return read.from_tfds(
        args.data,
        vlm,
        split=args.split,
        data_dir=args.data_dir,
        # TFDS has read all of it before; it is checked when it is prepared.
        check=args.on_bad == "drop",
        **options,
    )


def fine_tune(vlm, examples, out, args):
    """Tunes the task in place and returns the defence, for its audit."""
    model = keras_byorn.BYORnModel(vlm)
    batches = keras_byorn.TargetBatches(
        examples, vlm, batch_size=args.batch_size, seed=args.seed
    )
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
    defence = keras_byorn.BYORnCallback(seed=args.seed)
    # The defence comes first: it adds to the logs that TensorBoard shows.
    callbacks = [defence, Checkpoints(out / "checkpoints"), *tensorboard(out)]
    model.fit(batches, epochs=args.epochs, callbacks=callbacks)
    return defence


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


def tensorboard(out):
    """Returns the callback in a list, empty where its package is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        warnings.warn(
            "TensorBoard has no record of this run, for its package is not "
            "installed. `pip install tensorboard` for the next one.",
            stacklevel=2,
        )
        return []
    return [keras.callbacks.TensorBoard(out / "tensorboard", write_graph=False)]


if __name__ == "__main__":
    main()
