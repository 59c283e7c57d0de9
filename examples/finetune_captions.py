"""Fine-tunes a vision-language model on captions that nobody has checked.

    python examples/finetune_captions.py

tunes LoRA adapters of PaliGemma on COCO captions, defended. It downloads the
weights (3 billion parameters, which want a GPU) and about 40 GB of pictures.
Any preset of a vision-language model that KerasHub loads will do, from Kaggle,
Hugging Face or a folder, and any data set of TFDS that has captions, or
questions and answers:

    python examples/finetune_captions.py --preset gemma3_instruct_4b \\
        --data clevr --batch-size 4

Or a folder of images with a JSONL or CSV file beside them, a line an image,
all with the same fields, such as one of

    {"image": "cat.png", "caption": "a cat on a mat"}
    {"image": "dog.png", "question": "what is it doing?", "answer": "it sleeps"}

    python examples/finetune_captions.py --data pictures/captions.jsonl

For a trial, `--limit 500 --epochs 2`. The folder `out` then has

    audit.html, audit.parquet   which responses were implausible, and why
    checkpoints/                weights and targets after each epoch
    preset/                     the tuned task, for `from_preset`
    tensorboard/                the losses, where tensorboard is installed

With the folder of `keras_byorn.tiny_preset()` as `--preset` and `--dtype
float32`, 300 pictures and two epochs take a minute on two CPU cores.
"""

import argparse
import csv
import importlib.util
import json
import pathlib
import warnings

import keras
import keras_hub
import numpy as np
import PIL.Image
import PIL.ImageOps

import keras_byorn
from keras_byorn.vlm.task import VisionLanguageTask

# A prompt to caption an image, and one to answer a question, by the class of
# the task: those that the presets were pretrained or instructed with.
GEMMA_TURN = (
    "<start_of_turn>user\n{image}%s<end_of_turn>\n<start_of_turn>model\n"
)
GEMMA4_TURN = "<|turn>user\n{image}%s<turn|>\n<|turn>model\n"
DESCRIBE = "Describe the image in one sentence."
PROMPTS = {
    "PaliGemmaCausalLM": ("caption en\n", "answer en {question}\n"),
    "Gemma3CausalLM": (GEMMA_TURN % DESCRIBE, GEMMA_TURN % "{question}"),
    "Gemma3nCausalLM": (GEMMA_TURN % DESCRIBE, GEMMA_TURN % "{question}"),
    "Gemma4CausalLM": (GEMMA4_TURN % DESCRIBE, GEMMA4_TURN % "{question}"),
}
OTHER_PROMPTS = ("a photo of", "Question: {question} Answer:")

# Fields of images and texts, in the order in which they are looked for.
IMAGE_FIELDS = ("image", "images", "file_name")
TEXT_FIELDS = (  # question, response
    ("question", "answer"),
    ("question", "answers"),
    ("question_answer/question", "question_answer/answer"),
    (None, "caption"),
    (None, "captions/text"),
    (None, "captions"),
    (None, "text"),
)
RESAMPLING = {
    "nearest": PIL.Image.Resampling.NEAREST,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos3": PIL.Image.Resampling.LANCZOS,
}


def main(arguments=None):
    args = parse_arguments(arguments)
    keras.utils.set_random_seed(args.seed)
    distribute(args.num_devices, args.batch_size)
    vlm = load_vlm(args)
    examples = load_examples(vlm, args)
    out = pathlib.Path(args.out)
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
        help="a data set of TFDS, or a .jsonl or .csv file in a folder of\n"
        "images",
    )
    add("--data-dir", help="where TFDS keeps its data")
    add("--split", default="train", help="of a TFDS data set")
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
    path = pathlib.Path(args.data)
    if path.suffix in (".jsonl", ".csv"):
        rows, folder, name = read_table(path), path.parent, path.stem
    else:
        rows, folder, name = tfds_rows(args), None, f"{args.data}/{args.split}"
    if args.limit is not None and args.limit < 1:
        raise ValueError(
            "`--limit` must be at least 1; leave it out for all examples. "
            f"Received: {args.limit}"
        )
    source = Captions(rows, folder, vlm, args)
    return keras_byorn.Examples(
        source, example_ids=[f"{name}/{row}" for row in range(len(source))]
    )


def tfds_rows(args):
    """Downloads a TFDS data set once; returns a source that reads rows."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(args.data, data_dir=args.data_dir)
    # A data set that is there already, in any format, is not made again.
    builder.download_and_prepare(file_format="array_record")
    return builder.as_data_source(args.split)


def read_table(path):
    """Returns the lines of a JSONL or CSV file as dicts."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            rows = list(csv.DictReader(file))
        else:
            rows = [json.loads(line) for line in file if line.strip()]
    if not rows:
        raise ValueError(
            "`--data` must name a file with at least one example. "
            f"Received: {path}, which has none"
        )
    return rows


class Captions:
    """Reads rows as examples, and resizes images, when they are asked for.

    Args:
        rows: anything with a length and integer indexing, of dicts.
        folder: path. The folder of images that the rows name; `None` if the
            rows hold the images.
        vlm: the task that will be tuned, for the size of its images.
        args: the fields, the prompt, `pick`, `seed` and `limit`.
    """

    def __init__(self, rows, folder, vlm, args):
        self._rows = rows
        self._folder = folder
        self._length = min(len(rows), args.limit or len(rows))
        self._image_field, question_field, self._response_field = fields(
            rows[0], args
        )
        self._question_field = question_field
        self._prompt = prompt_template(vlm, args.prompt, bool(question_field))
        self._converter = vlm.preprocessor.image_converter
        self._size = image_size(vlm)
        self._seed = args.seed if args.pick == "random" else None

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        row = self._rows[index]
        # A question and its answer stand at the same place.
        place = 0.0
        if self._seed is not None:
            place = np.random.default_rng((self._seed, index)).random()
        prompt = self._prompt
        if self._question_field:
            question = text_at(row, self._question_field, place, index)
            prompt = prompt.replace("{question}", question)
        return {
            "images": self._image(field(row, self._image_field)),
            "prompts": prompt,
            "responses": text_at(row, self._response_field, place, index),
        }

    def _image(self, image):
        if self._folder is not None:
            image = PIL.Image.open(self._folder / image)
        elif image.shape[-1] == 1:
            image = PIL.Image.fromarray(image[..., 0])
        else:
            image = PIL.Image.fromarray(image)
        return resized(image.convert("RGB"), self._size, self._converter)


def fields(row, args):
    """Returns the fields of image, question (or `None`) and response."""
    image = args.image_field or first_of(IMAGE_FIELDS, row)
    texts = args.question_field, args.response_field
    if not any(texts):
        texts = next(
            (
                names
                for names in TEXT_FIELDS
                if all(has(row, name) for name in names if name)
            ),
            (None, None),
        )
    named = {"image": image, "question": texts[0], "response": texts[1]}
    for kind, name in named.items():
        if name is None and kind != "question" or name and not has(row, name):
            raise ValueError(
                f"`--{kind}-field` must be a field of the data, such as "
                "caption, or captions/text where it is a field in a field. "
                f"Received: {name} for a row with {sorted(row)}"
            )
    return tuple(named.values())


def first_of(names, row):
    """Returns the first of several fields that a row has, or `None`."""
    return next((name for name in names if has(row, name)), None)


def has(row, path):
    """Returns whether a row has a field."""
    try:
        field(row, path)
    except (KeyError, TypeError):
        return False
    return True


def field(row, path):
    """Returns the value at `a/b`; a list of values, where `a` is a list."""
    for name in path.split("/"):
        many = isinstance(row, list)
        row = [item[name] for item in row] if many else row[name]
    return row


def text_at(row, path, place, index):
    """Returns a text of a row; of several, that at a place in [0, 1)."""
    text = field(row, path)
    if isinstance(text, (list, tuple, np.ndarray)):
        if not len(text):
            raise ValueError(
                "Every row must have a text at each field that is read. Drop "
                f"the row. Received: none at {path!r} in row {index}"
            )
        text = text[int(place * len(text))]
    if isinstance(text, bytes):
        return text.decode("utf-8")
    return "" if text is None else str(text)  # "" is refused, with its id


def prompt_template(vlm, prompt, has_question):
    """Returns the prompt, with the family's image token for `{image}`."""
    if prompt is None:
        kinds = PROMPTS.get(type(vlm).__name__, OTHER_PROMPTS)
        prompt = kinds[int(has_question)]
    elif has_question != ("{question}" in prompt):
        raise ValueError(
            "`--prompt` must hold {question} where the data have questions, "
            "and only there; `--question-field` names their field. "
            f"Received: {prompt!r}"
        )
    prompt = prompt.replace("\\n", "\n")
    if "{image}" not in prompt:
        prompt = "{image}" + prompt
    token = VisionLanguageTask(vlm).image_token
    return prompt.replace("{image}", token or "")


def image_size(vlm):
    """Returns height and width of the preset's images."""
    size = vlm.preprocessor.image_converter.image_size
    if size is None:  # Gemma 4 takes any size; its backbone has its own
        size = vlm.backbone.image_size
    return (size, size) if isinstance(size, int) else size


def resized(image, size, converter):
    """Resizes as the image converter would, equally on every backend.

    Args:
        image: a Pillow image, RGB.
        size: pair of ints, height and width.
        converter: the KerasHub image converter, for its way of resizing.

    Returns:
        A uint8 array, `(H, W, 3)`.
    """
    how = RESAMPLING[converter.interpolation]
    width_height = size[::-1]
    if converter.crop_to_aspect_ratio:
        image = PIL.ImageOps.fit(image, width_height, how)
    elif converter.pad_to_aspect_ratio:
        image = PIL.ImageOps.pad(image, width_height, how)
    else:
        image = image.resize(width_height, how)
    return np.asarray(image)


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
