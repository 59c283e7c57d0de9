"""Plans what the overhead benchmark measures, and which arms that takes."""

import dataclasses

TINY_MEASURES = ("tiny_defaults", "growth_16k_over_4k")
# Upper bounds, but for scoring, whose bound is a lower one.
BARS = {
    "lora_defaults": 0.90,
    "full_paper": 1.00,
    "tiny_defaults": 1.35,
    "score_over_train": 2.5,
    "score_over_lora_train": None,
    "lora_peak_memory": 1.00,
    "growth_16k_over_4k": 4.2,
    "lora_decoder_defaults": None,
    "lora_state": 1.03,
    "full_state": 1.03,
}
# Defaults by size: examples, and how many in a batch.
NUM_EXAMPLES = {"tiny": 4000, "scaled": 512, "other": 512}
BATCH_SIZES = {"tiny": 64, "scaled": 16, "other": 8}
SCORING = {"score_over_train": "full", "score_over_lora_train": "lora"}


@dataclasses.dataclass(frozen=True)
class Arm:
    """Names one way to tune one model.

    Attributes:
        size: string, as in `--size`.
        tuning: `"full"`, `"lora"` or `"lora_decoder"`.
        method: `"kerashub"`, `"undefended"`, `"defaults"`, `"paper"`, or
            `"state"`, the defaults with a `state_dir`.
        num_examples: int.
    """

    size: str
    tuning: str
    method: str
    num_examples: int

    def __str__(self):
        words = [self.size, self.tuning, self.method]
        return " ".join([*words, str(self.num_examples)])

    @property
    def plain(self):
        """KerasHub's own fine-tune of the same model and examples."""
        return dataclasses.replace(self, method="kerashub")


def measures_of(size):
    """Returns the measures of a size by default, a list of names."""
    if size == "tiny":
        return list(TINY_MEASURES)
    names = [name for name in BARS if name not in TINY_MEASURES]
    if size != "scaled":  # all weights of a large model are too many
        for name in ("full_paper", "score_over_train", "full_state"):
            names.remove(name)
    return names


def arms_of(measure, args):
    """Returns the arms that a measure takes.

    Args:
        measure: string, a key of `BARS`.
        args: the options of `measure.py`.

    Returns:
        A list of `Arm`s. A ratio is that of the first over the second.
    """

    def arm(tuning, method, size=args.size, count=None):
        default = NUM_EXAMPLES.get(size, NUM_EXAMPLES["other"])
        count = count or args.examples or default
        return Arm(size, tuning, method, count)

    if measure == "growth_16k_over_4k":  # and 1k, to see how it goes on
        some = args.examples or NUM_EXAMPLES["tiny"]
        return [
            arm("full", "defaults", "tiny", count)
            for count in (4 * some, some, some // 4)
        ]
    if measure in SCORING:
        return [arm(SCORING[measure], "undefended")]
    if measure == "lora_peak_memory":
        return [arm("lora", "defaults"), arm("lora", "kerashub")]
    tuning, method = measure.rsplit("_", 1)
    if method == "state":
        return [arm(tuning, "state"), arm(tuning, "defaults")]
    size = args.size
    if tuning == "tiny":
        tuning, size = "full", "tiny"
    return [
        arm(tuning, method, size)
        for method in (method, "kerashub", "undefended")
    ]


def settings_of(arm, args):
    """Returns the settings of the process of an arm, a dict."""
    batch_size = BATCH_SIZES.get(arm.size, BATCH_SIZES["other"])
    return {
        **dataclasses.asdict(arm),
        "epochs": args.epochs,
        "batch_size": args.batch_size or batch_size,
        "dtype": args.dtype,
        "shrink": args.shrink,
    }


def is_met(measure, ratio):
    """Returns whether a ratio keeps within its bar."""
    bar = BARS[measure]
    return ratio >= bar if measure == "score_over_train" else ratio <= bar
