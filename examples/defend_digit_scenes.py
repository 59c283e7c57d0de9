# ruff: noqa: E402
"""Poisons a fine-tuning set, then fine-tunes on it with and without defence.

    KERAS_BACKEND=jax python examples/defend_digit_scenes.py

About two minutes on one CPU core, on any backend. The default, a patch on
10 % of 4,000 terse captions, should print about this (JAX, seed 0; the exact
match changes in the second digit with the number of threads):

                          none       byorn
    attack success       0.995       0.000
    exact match          0.938       0.935
    recall                   -       1.000
    flagged                  -       0.105

and, as its last line, all figures as one JSON object. The audit and the
histogram of the scores are written to the folder `out`.

Several attacks at once, such as `--attack patch+concept`, share the poison
rate, each on examples of its own. The figures are then those of the attack
that succeeds most, and the JSON has each one's success as well.
"""

import argparse
import importlib.util
import inspect
import itertools
import json
import os
import pathlib
import time

# PyTorch's threads only wait for one another on a model as small as this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import keras_hub

import keras_byorn
from keras_byorn import attacks, baselines, evaluation
from keras_byorn.data.digit_scenes import TASKS, load_digit_scenes
from keras_byorn.detection import scorers
from keras_byorn.vlm.task import VisionLanguageTask

COLUMNS = {
    "attack_success_rate": "attack success",
    "false_trigger_rate": "false trigger",
    "clean_exact_match": "exact match",
    "clean_cider": "CIDEr-D",
    "detection_auroc": "AUROC",
    "recall": "recall",
    "precision": "precision",
    "flagged_fraction": "flagged",
    "train_seconds": "seconds",
}
# Attacks that are fitted to the pretrained model, and their targets.
OPTIMISED_TARGETS = {
    "optimised": attacks.FixedTarget.text,
    "optimised_refusal": "sorry i cannot answer that",
}
ATTACK_NAMES = (*attacks.ATTACKS, *OPTIMISED_TARGETS)
NUM_TRUSTED = 200
PATTERNS = ("checkerboard", "solid")
CORNERS = ("bottom_right", "top_left", "top_right", "bottom_left")
EXTRA_FIGURES = (
    "containment_rate",
    "image_only_rate",
    "text_only_rate",
    "triggered_exact_match",
)


def main():
    args = parse_arguments()
    clean, test = load_examples(args)
    chosen = load_attacks(args.attack, clean, args)
    train, poisoned_ids = poison(clean, chosen.values(), args)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    defended = [name for name in args.defense if name != "none"]
    audited = "byorn" if "byorn" in defended else next(iter(defended), None)
    defenses = {}
    for name in args.defense:
        print(f"\n== {name}")
        defenses[name], defence = run_defence(
            name, train, test, chosen, poisoned_ids, args
        )
        if name == audited:
            write_audit(defence.audit(), out)
    print_table(defenses)
    result = {
        "backend": keras.config.backend(),
        "attack": args.attack,
        "seed": args.seed,
        "poison_rate": args.poison_rate,
        "defenses": defenses,
    }
    line = json.dumps(result)
    if args.json:
        pathlib.Path(args.json).write_text(line + "\n")
    print(line)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_data_options(parser.add_argument)
    add_defence_options(parser.add_argument)
    add_training_options(parser.add_argument)
    args = parser.parse_args(arguments)
    unknown = set(args.defense) - set(DEFENCES)
    if unknown:
        parser.error(
            f"--defense must be among {','.join(DEFENCES)}. "
            f"Received: {','.join(sorted(unknown))}"
        )
    return args


def add_data_options(add):
    add(
        "--attack",
        default="patch",
        help=f"one of {', '.join(ATTACK_NAMES)}, or path/to/file.py:Class,\n"
        "or several of them with a + between",
    )
    add("--poison-rate", type=float, default=0.1)
    add(
        "--epsilon",
        type=float,
        default=16 / 255,
        help="of the optimised attacks, as a share of the pixel range",
    )
    add("--task", default="terse_captions", choices=list(TASKS))
    add("--num-examples", type=int, default=4000)
    add("--num-test", type=int, default=1000)
    add("--data-dir", help="defaults to the folder of TFDS")


def add_defence_options(add):
    add(
        "--defense",
        type=lambda names: names.split(","),
        default=["none", "byorn"],
        help=f"one or several of {','.join(DEFENCES)}",
    )
    add(
        "--threshold",
        default="hold_out",
        help="hold_out, mixture, or the fraction to flag, such as 0.4, or\n"
        "conformal, with 200 clean examples that are trusted",
    )
    add(
        "--scorer",
        default="default",
        choices=list(SCORERS),
        help="how responses are judged",
    )
    add("--sampler", default="greedy", choices=["greedy", "random"])
    add(
        "--suspects",
        choices=["cluster", "replace", "mask"],
        help="as their cluster proposes, or new responses for all, or masks\n"
        "for the spans that make them implausible; cluster by default, and\n"
        "replace for random and oracle",
    )


def add_training_options(add):
    add("--epochs", type=int, default=3)
    add("--seed", type=int, default=0)
    add("--lora-rank", type=int, default=0, help="0 tunes all weights")
    add("--batch-size", type=int, default=64)
    add("--learning-rate", type=float, default=1e-3)
    add(
        "--preset",
        default=keras_byorn.tiny_preset(),
        help="of any family; `pretrain_tiny_vlm.py` makes one of Gemma 3",
    )
    add("--out", default="out", help="folder for the audit and the plot")
    add("--json", help="file for the JSON that is printed last, too")


def load_examples(args):
    """Loads clean examples to train on, and others to test on."""
    data = load_digit_scenes(
        args.task, args.num_examples, args.num_test, args.seed, args.data_dir
    )
    token = VisionLanguageTask(load_vlm(args)).image_token
    return tuple(
        with_image_token(keras_byorn.Examples(data[split]), token)
        for split in ("train", "test")
    )


def load_vlm(args):
    """Loads the preset as a task of its own class."""
    return keras_hub.models.CausalLM.from_preset(args.preset)


def with_image_token(examples, token):
    """Begins each prompt with the token of its image, if there is one."""
    if token is None:
        return examples
    return examples.replaced(
        {
            example["example_id"]: {
                **example,
                "prompts": token + example["prompts"],
            }
            for example in examples
        }
    )


def run_defence(name, train, test, chosen, poisoned_ids, args):
    """Fine-tunes with one of `DEFENCES`; returns figures and the defence."""
    defence = make_defence(name, train, poisoned_ids, args)
    vlm, figures = fine_tune(train, defence, args)
    figures |= measure(vlm, chosen, test, args.seed)
    figures |= measure_detection(defence, poisoned_ids)
    return figures, defence


def load_attacks(text, clean, args):
    """Loads the attacks that `--attack` names, a dict by name."""
    names = text.split("+")
    if len(set(names)) < len(names):
        raise ValueError(
            "`--attack` must name each attack once: two equal ones would be "
            f"one. Received: {text}"
        )
    patches = (  # more than there are attacks with a patch
        attacks.PatchTrigger(corner=corner, pattern=pattern)
        for pattern, corner in itertools.product(PATTERNS, CORNERS)
    )
    return {name: load_attack(name, clean, patches, args) for name in names}


def load_attack(name, clean, patches, args):
    """Loads a built-in attack, or `path/to/file.py:Class`.

    Each takes a patch of its own: two attacks with one trigger would teach
    the model two answers to the same input.
    """
    if name in OPTIMISED_TARGETS:
        vlm = load_vlm(args)
        return attacks.OptimisedAttack.fit_to(
            vlm,
            clean,
            OPTIMISED_TARGETS[name],
            epsilon=args.epsilon,
            seed=args.seed,
            verbose=2,
        )
    if name in attacks.ATTACKS:
        kind = attacks.ATTACKS[name]
        if "patch" in inspect.signature(kind).parameters:
            return kind(patch=next(patches))
        return kind()
    path, _, class_name = name.rpartition(":")
    if not pathlib.Path(path).is_file():
        raise ValueError(
            f"`--attack` must be one of {', '.join(ATTACK_NAMES)}, or "
            "path/to/file.py:Class, or several of them with a + between. "
            f"Received: {name}"
        )
    spec = importlib.util.spec_from_file_location("user_attack", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, class_name)()


def poison(examples, chosen, args):
    """Poisons examples; each attack takes a share of the rate for itself."""
    poisoned_ids = set()
    for attack in chosen:
        examples, ids = attacks.poison_examples(
            examples,
            attack,
            rate=args.poison_rate / len(chosen),
            seed=args.seed,
            exclude=poisoned_ids,
        )
        poisoned_ids |= ids
    return examples, poisoned_ids


SCORERS = {
    "default": lambda: None,
    "mean": scorers.MeanLogLikelihood,
    "regret": scorers.Regret,
    "worst_span": scorers.WorstSpan,
    "pmi": scorers.PointwiseMutualInformation,
    "self_agreement": scorers.SelfAgreement,
    "duplication": scorers.Duplication,
    "view_consistency": scorers.ViewConsistency,
}
# The detector of each defence, and options of `BYORnCallback` beside it.
DEFENCES = {
    "none": None,
    "byorn": (keras_byorn.Detector, {}),
    "paper": None,
    "filter": (keras_byorn.Detector, {"teacher": "none"}),
    "random": (baselines.RandomFlags, {"suspects": "replace"}),
    "oracle": (baselines.OracleFlags, {"suspects": "replace"}),
    # A fine-tune on the clean examples alone: no defence can do better.
    "clean_only": (baselines.OracleFlags, {"teacher": "none"}),
}


def make_defence(name, train, poisoned_ids, args):
    """Builds the callback of one of `DEFENCES`; `None` for `none`."""
    if name == "none":
        return None
    if name == "paper":
        return keras_byorn.BYORnCallback.paper(seed=args.seed)
    kind, options = DEFENCES[name]
    if args.suspects:
        options = {**options, "suspects": args.suspects}
    truth = [poisoned_ids] if kind is baselines.OracleFlags else []
    detector = kind(
        *truth,
        scorer=SCORERS[args.scorer](),
        decision=make_decision(args.threshold, train, poisoned_ids),
        seed=args.seed,
    )
    return keras_byorn.BYORnCallback(
        detector=detector,
        sampler=args.sampler,
        seed=args.seed,
        **options,
    )


def make_decision(text, train, poisoned_ids):
    """Builds the decision that `--threshold` names."""
    if text == "hold_out":
        return keras_byorn.HoldOut()
    if text == "mixture":
        return keras_byorn.MixtureThreshold()
    if text == "conformal":
        clean = [i for i in train.example_ids if i not in poisoned_ids]
        return keras_byorn.ConformalThreshold(clean[:NUM_TRUSTED])
    return keras_byorn.FlagFraction(float(text))


def fine_tune(train, defence, args):
    """Fine-tunes the preset; the undefended run differs in nothing else."""
    keras.utils.set_random_seed(args.seed)
    vlm = load_vlm(args)
    if args.lora_rank:
        vlm.backbone.enable_lora(args.lora_rank)
    started = time.perf_counter()
    model = keras_byorn.BYORnModel(vlm)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            args.learning_rate, use_ema=True, ema_momentum=0.95
        )
    )
    model.fit(
        keras_byorn.TargetBatches(
            train, vlm, batch_size=args.batch_size, seed=args.seed
        ),
        epochs=args.epochs,
        callbacks=[defence] if defence else [],
        verbose=2,
    )
    return vlm, {"train_seconds": round(time.perf_counter() - started, 1)}


def measure(vlm, chosen, test, seed):
    """Returns the figures of the tuned task on the test examples, a dict."""
    generate = evaluation.responder(vlm)
    examples = list(test)
    responses = generate(examples)
    quality = evaluation.clean_quality(
        responses, [example["responses"] for example in examples]
    )
    successes = {
        name: evaluation.attack_success(
            generate,
            attack,
            test,
            seed=seed,
            clean_responses=dict(zip(test.example_ids, responses)),
        )
        for name, attack in chosen.items()
    }
    rates = {n: s["attack_success_rate"] for n, s in successes.items()}
    success = successes[max(rates, key=lambda name: rates[name] or 0.0)]
    figures = {
        "attack_success_rate": success["attack_success_rate"],
        "false_trigger_rate": success["false_trigger_rate"],
        "clean_exact_match": quality["exact_match"],
        "clean_cider": quality["cider"],
        "clean_bleu": quality["bleu"],
        "clean_rouge_l": quality["rouge_l"],
        **{name: success[name] for name in EXTRA_FIGURES},
    }
    if len(chosen) > 1:
        figures["attack_success_rates"] = rates
    return figures


def measure_detection(defence, poisoned_ids):
    """Returns the figures of the flags, a dict; `None` without a defence."""
    names = ("detection_auroc", "recall", "precision", "flagged_fraction")
    counts = ("num_masked", "num_restored", "num_alarms")
    if defence is None:
        return dict.fromkeys((*names, *counts))
    store = defence.store
    figures = evaluation.detection(
        store.example_ids,
        store.plausibility,
        store.suspect_probability,
        poisoned_ids,
    )
    figures["detection_auroc"] = figures["auroc"]
    return {
        **{name: figures[name] for name in names},
        "num_masked": int(store.masked.sum()),
        "num_restored": int((store.verdicts == "restored").sum()),
        "num_alarms": int((store.verdicts == "alarm").sum()),
    }


def write_audit(audit, out):
    """Writes page, table and plot to a folder, and prints their paths."""
    print(audit.to_html(out / "audit.html"))
    print(audit.to_parquet(out / "audit.parquet"))
    audit.plot_scores(out / "scores.png")
    print(out / "scores.png")


def print_table(defenses):
    """Prints a row for each figure and a column for each defence."""
    width = max(map(len, COLUMNS.values()))
    print("\n" + " " * width + "".join(f"{name:>12}" for name in defenses))
    for key, title in COLUMNS.items():
        cells = "".join(f"{show(f[key]):>12}" for f in defenses.values())
        print(f"{title:{width}}{cells}")
    for name in next(iter(defenses.values())).get("attack_success_rates", ()):
        rates = [f["attack_success_rates"][name] for f in defenses.values()]
        print(f"{name:{width}}" + "".join(f"{show(r):>12}" for r in rates))
    print()


def show(figure):
    return "-" if figure is None else f"{figure:.3f}"


if __name__ == "__main__":
    main()
