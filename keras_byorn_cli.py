"""The command `keras-byorn`, and its options.

It stands beside the package, whose import loads Keras and a backend: its
classes must be registered before Keras loads a saved model, for Keras imports
no module of others to find them. So `--help` and wrong usage answer at once,
and a command loads the package when it runs.
"""

import argparse
import importlib
import sys

SCORERS = (
    "MeanLogLikelihood",
    "Regret",
    "WorstSpan",
    "PointwiseMutualInformation",
    "ViewConsistency",
    "SelfAgreement",
    "Duplication",
)
MAX_ERROR = 800  # characters of the line on stderr


def main(arguments=None):
    """Runs a command.

    Args:
        arguments: optional list of strings. Defaults to those of the process.

    Returns:
        int, the exit code: 0 if it is done, 1 for bad input, with one line on
        stderr. Wrong usage exits with 2.

    Example:

    >>> main(["audit", "captions.jsonl", "--preset", folder, "--out", "report"])
    0
    """
    args = build_parser().parse_args(arguments)
    try:
        importlib.import_module(f"keras_byorn.cli.{args.command}").run(args)
    except (ValueError, OSError, ImportError) as error:
        if args.traceback:
            raise
        line = " ".join(str(error).split()) or type(error).__name__
        if len(line) > MAX_ERROR:
            line = f"{line[:MAX_ERROR]}..."
        print(f"keras-byorn {args.command}: error: {line}", file=sys.stderr)
        return 1
    return 0


def build_parser():
    """Returns the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="keras-byorn",
        description="Fine-tune vision-language models on data that you did "
        "not collect, without learning its backdoors.",
        epilog="Keras takes its backend from the variable KERAS_BACKEND: jax, "
        "tensorflow or torch. Exit codes: 0 done, 1 bad input, 2 usage.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told, add_options in (
        ("audit", "find implausible responses, without training", _audit),
        ("finetune", "fine-tune a model, defended", _finetune),
        ("review", "apply what a person decided on a report", _review),
    ):
        command = commands.add_parser(
            name,
            help=told,
            description=f"{told[0].upper()}{told[1:]}.",
            formatter_class=argparse.RawTextHelpFormatter,
        )
        add_options(command.add_argument)
        command.add_argument(
            "--json",
            action="store_true",
            help="print one JSON object in the last line",
        )
        command.add_argument(
            "--traceback",
            action="store_true",
            help="show where in the code an error arose",
        )
    return parser


def _audit(add):
    add("data", metavar="DATA", help=DATA_HELP)
    add_data_options(add)
    add_model_options(add)
    add_detection_options(add)
    add("--batch-size", type=int, default=16)
    add("--seed", type=int, default=0)
    add("--out", required=True, metavar="DIR", help="folder of the report")


def _finetune(add):
    add("data", metavar="DATA", help=DATA_HELP)
    add_finetune_options(add)


def _review(add):
    add("folder", metavar="DIR", help="folder that `audit` or `finetune` wrote")
    add(
        "--decisions",
        required=True,
        metavar="FILE",
        help='JSON such as {"trust": [ids], "drop": [ids]}, as the report\n'
        "exports it",
    )


DATA_HELP = (
    "a .jsonl, .json, .csv, .tsv or .txt file in a folder of images; the\n"
    "folder; or the name of a data set of TFDS"
)


def add_finetune_options(add, preset=None, out=None):
    """Adds all options of a fine-tune.

    Args:
        add: `argparse.ArgumentParser.add_argument`, or the like.
        preset, out: optional strings. Defaults of `--preset` and `--out`,
            which are required without.
    """
    add_data_options(add)
    add_model_options(add, preset)
    add_detection_options(add)
    add_defence_options(add)
    add_training_options(add)
    add("--seed", type=int, default=0)
    add("--out", default=out, required=out is None, metavar="DIR")


def add_data_options(add):
    """Adds the options of readers: fields, prompt, images."""
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
        choices=["first", "random", "all"],
        help="which of several captions or answers to take; all makes an\n"
        "example of each",
    )
    add(
        "--prompt",
        help="{image} stands for the image, first if left out; {question}\n"
        "for the question. \\n is a new line",
    )


def add_model_options(add, preset=None):
    """Adds the options of the pretrained model."""
    add(
        "--preset",
        default=preset,
        required=preset is None,
        help="a name of KerasHub, kaggle://..., hf://... or a folder",
    )
    add(
        "--task",
        default="CausalLM",
        help="class in keras_hub.models, where a preset fits several, such as\n"
        "BLIP2CausalLM; found from the preset by default",
    )
    add(
        "--dtype",
        default="mixed_bfloat16",
        help="mixed_bfloat16 keeps weights in float32; bfloat16 takes half\n"
        "the memory; float32",
    )
    add(
        "--sequence-length",
        type=int,
        help="most tokens of prompt and response, where the preset has fewer\n"
        "than the data need",
    )


def add_detection_options(add):
    """Adds the options of the detector."""
    add(
        "--decision",
        type=_decision,
        default="hold_out",
        help="hold_out keeps what is clearly plausible; mixture flags a group\n"
        "that stands apart; a fraction such as 0.4 flags the least plausible",
    )
    add(
        "--scorer",
        type=_scorer,
        help="one of, or several with commas between:\n" + "\n".join(SCORERS),
    )
    add(
        "--trusted",
        metavar="FILE",
        help="ids of examples that are vouched for, one a line or a JSON\n"
        "list; or the decisions.json that a report exports",
    )
    add(
        "--score-cache",
        metavar="DIR",
        help="keeps scores, so that the next run scores only what is new",
    )


def add_defence_options(add):
    """Adds the options of the defence in training."""
    add(
        "--detection",
        metavar="DIR",
        help="train on the verdicts of this folder, `detection` of an audit\n"
        "of the same data, and score nothing",
    )
    add(
        "--suspects",
        default="cluster",
        choices=["cluster", "replace", "mask"],
        help="what becomes of them: as their cluster proposes; a new response\n"
        "for each; or the implausible span out of the loss where that is all",
    )
    add(
        "--teacher",
        default="ema",
        choices=["ema", "student", "none"],
        help="who writes new responses",
    )
    add(
        "--no-review",
        dest="review",
        action="store_false",
        help="suspects stay suspects: the student judges none again",
    )
    add(
        "--validation-split",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the examples to validate on, not to train on",
    )


def add_training_options(add):
    """Adds the options of the fine-tune itself."""
    add("--lora-rank", type=int, default=8, help="0 tunes all weights")
    add(
        "--lora-layers",
        type=lambda names: names.split(","),
        help="names of layers to adapt, with commas between",
    )
    add("--epochs", type=int, default=3)
    add("--batch-size", type=int, default=16, help="over all devices")
    add(
        "--learning-rate",
        type=float,
        default=2e-4,
        help="take a tenth or less of it with --lora-rank 0",
    )
    add("--num-devices", type=int, default=1, help="more than one: JAX only")
    add(
        "--resume",
        action="store_true",
        help="go on with the run in --out that was killed, with the same\n"
        "options; where there is none, begin",
    )


def _decision(text):
    if text in ("hold_out", "mixture"):
        return text
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1.0
    if 0 <= fraction < 1:
        return fraction
    raise argparse.ArgumentTypeError(
        "must be hold_out, mixture, or a fraction in [0, 1), such as 0.4. "
        f"Received: {text!r}"
    )


def _scorer(text):
    names = text.split(",")
    unknown = [name for name in names if name not in SCORERS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"must be among {', '.join(SCORERS)}. Received: {unknown}"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())
