"""The model and the data that a command line names."""

import argparse
import json
import pathlib

import keras_hub

from keras_byorn.data.examples import Examples
from keras_byorn.data.files import replacing
from keras_byorn.data.readers.bad_rows import BadRowsError, write_bad_rows
from keras_byorn.vlm.task import VisionLanguageTask

COMMAND = "command.json"


def load_vlm(args, load_weights=True):
    """Loads the preset as a task of its own class.

    Args:
        args: namespace with `preset`, `task`, `dtype` and
            `sequence_length`.
        load_weights: bool. `False` for its tokenizer and image converter
            alone.

    Returns:
        A KerasHub task that reads images.

    Raises:
        ValueError: if there is no such class, or if the task reads no images.
    """
    task_class = getattr(keras_hub.models, args.task, None)
    if task_class is None:
        raise ValueError(
            "`--task` must be the name of a class in `keras_hub.models`, such "
            f"as CausalLM or BLIP2CausalLM. Received: {args.task}"
        )
    vlm = task_class.from_preset(
        args.preset, dtype=args.dtype, load_weights=load_weights
    )
    if not VisionLanguageTask(vlm).num_images[1]:
        raise ValueError(
            "`--preset` must be of a model that reads images. "
            f"Received: {args.preset}, a {type(vlm).__name__} that reads none"
        )
    if args.sequence_length is not None:
        vlm.preprocessor.sequence_length = args.sequence_length
    return vlm


def load_examples(vlm, args):
    """Reads the data as `Examples`, with equal ids in every run.

    Args:
        vlm: the task that they are for.
        args: namespace with `data` and the options of readers.

    Returns:
        An `Examples`.

    Raises:
        ValueError: if they cannot be read.
    """
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
    path = pathlib.Path(args.data)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".json"):
        return Examples.from_jsonl(path, vlm, encoding=args.encoding, **options)
    if suffix in (".csv", ".tsv", ".txt"):
        return Examples.from_csv(path, vlm, encoding=args.encoding, **options)
    if path.is_dir():
        return Examples.from_folder(
            path, vlm, encoding=args.encoding, **options
        )
    return Examples.from_tfds(
        args.data,
        vlm,
        split=args.split,
        data_dir=args.data_dir,
        # TFDS has read all of it before; it is checked when it is prepared.
        check=args.on_bad == "drop",
        **options,
    )


def load_examples_into(out, vlm, args):
    """Reads the data, and reports rows that cannot be used in a folder.

    Args:
        out: path of the folder. Gets `dropped.jsonl`, or `bad_rows.jsonl` if
            an error is raised.
        vlm, args: see `load_examples`.

    Returns:
        An `Examples`.

    Raises:
        ValueError: if they cannot be read, in one line.
    """
    try:
        examples = load_examples(vlm, args)
    except BadRowsError as error:
        write_bad_rows(error.rows, out / "bad_rows.jsonl")
        raise ValueError(
            f"{len(error.rows):,} of {error.num_rows:,} rows cannot be used. "
            "Mend them, or leave them out with `--on-bad drop`. All are in "
            f"{out / 'bad_rows.jsonl'}. The first: {error.rows[0]}"
        ) from error
    if examples.dropped:
        write_bad_rows(examples.dropped, out / "dropped.jsonl")
    return examples


def save_command(args, out):
    """Writes the options of a command, for a later review.

    Args:
        args: namespace of strings, numbers and lists of them.
        out: path of the folder.
    """
    options = dict(vars(args))
    for name in ("data", "preset", "image_folder", "data_dir"):
        path = options.get(name)
        if path is not None and pathlib.Path(path).exists():
            options[name] = str(pathlib.Path(path).resolve())
    with replacing(out / COMMAND) as temporary:
        temporary.write_text(json.dumps(options, indent=1), "utf-8")


def load_command(out):
    """Reads what `save_command` wrote.

    Args:
        out: path of the folder.

    Returns:
        A namespace.

    Raises:
        FileNotFoundError: if there is none.
    """
    return argparse.Namespace(**json.loads((out / COMMAND).read_text("utf-8")))
