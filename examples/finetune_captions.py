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

It is the command `keras-byorn finetune`, with these defaults.

For a trial, `--limit 500 --epochs 2`. The folder `out` then has

    audit.html, audit.parquet   which responses were implausible, and why
    detection/, card.md         the detection, and a fragment of a model card
    dropped.jsonl               rows left out, with --on-bad drop
    checkpoints/                weights and targets after each epoch
    preset/                     the tuned task, for `from_preset`
    tensorboard/                the losses, where tensorboard is installed

With the folder of `keras_byorn.tiny_preset()` as `--preset` and `--dtype
float32`, 300 pictures and two epochs take a minute on two CPU cores.
"""

import argparse

import keras_byorn_cli
from keras_byorn.cli.finetune import run


def main(arguments=None):
    run(parse_arguments(arguments))


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="coco_captions", help=keras_byorn_cli.DATA_HELP)
    keras_byorn_cli.add_finetune_options(
        add, preset="pali_gemma_3b_mix_224", out="out"
    )
    add(
        "--json",
        action="store_true",
        help="print one JSON object in the last line",
    )
    parser.set_defaults(command="finetune")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
