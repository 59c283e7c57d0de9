"""Computes the figures of the overhead benchmark from its arms' answers."""

import dataclasses
import statistics

from overhead.plan import SCORING, arms_of, settings_of

PARTS = ("score", "train", "regenerate", "data", "other")


@dataclasses.dataclass
class Result:
    """Holds the answers of an arm.

    Attributes:
        ready: dict, when it was built.
        first: dict, the fine-tune that compiled.
        rounds: list of dicts, the ones after it.
        end: dict, with the peak of memory.
    """

    ready: dict
    first: dict | None = None
    rounds: list = dataclasses.field(default_factory=list)
    end: dict | None = None

    def all_of(self, key):
        """Returns a figure of each round but the first, a list."""
        return [found[key] for found in self.rounds]

    @property
    def seconds(self):
        """float. Median of a fine-tune that compiles nothing."""
        return statistics.median(self.all_of("seconds"))

    @property
    def seconds_with_compilation(self):
        """float. The first fine-tune, from the loaded weights on."""
        traced = self.first.get("traced_seconds", 0.0)
        return self.ready["setup_seconds"] + self.first["seconds"] + traced

    @property
    def own_memory(self):
        """int. Peak memory in bytes, without Python and all libraries."""
        if self.end["memory_kind"] == "device":
            return self.end["peak_memory"]
        return self.end["peak_memory"] - self.end["memory_before"]

    def part(self, name):
        """Returns the median seconds of a part of a fine-tune."""
        return statistics.median(f["split"][name] for f in self.rounds)


def make_record(results, args):
    """Returns all figures as one dict, which is printed last.

    Args:
        results: dict from `Arm`s to `Result`s.
        args: the options of `measure.py`.
    """
    ready = next(iter(results.values())).ready
    ratios = {name: ratio_of(name, results, args) for name in args.measure}
    compiled, spread = {}, {}
    for name in args.measure:
        arms = arms_of(name, args)
        if name in (*SCORING, "lora_peak_memory"):
            continue
        one, other = (results[arm] for arm in arms[:2])
        compiled[name] = (
            one.seconds_with_compilation / other.seconds_with_compilation
        )
        each = list(map(divide, one.all_of("seconds"), other.all_of("seconds")))
        spread[name] = [rounded(min(each)), rounded(max(each))]
    return {
        "size": args.size,
        "backend": ready["backend"],
        "ratios": rounded_all(ratios),
        "recompilations": recompilations(results),
        "ratios_with_compilation": rounded_all(compiled),
        "spread": spread,
        "more": rounded_all(more_ratios(results)),
        "arms": [arm_record(*item, args) for item in results.items()],
        "settings": {
            "epochs": args.epochs,
            "rounds": args.rounds,
            "threads": args.threads,
            "dtype": args.dtype,
        },
        "machine": ready["machine"],
    }


def ratio_of(measure, results, args):
    """Returns the figure of a measure, which its bar bounds."""
    arms = arms_of(measure, args)
    found = [results[arm] for arm in arms]
    if measure in SCORING:
        scored = statistics.median(found[0].all_of("score_seconds"))
        trained = statistics.median(found[0].all_of("epoch_seconds"))
        return trained / args.epochs / scored
    if measure == "lora_peak_memory":
        one, other = (result.end["peak_memory"] for result in found)
        return one / other
    return found[0].seconds / found[1].seconds


def more_ratios(results):
    """Returns time and memory of each arm over those of KerasHub's fit."""
    more = {}
    for arm, result in results.items():
        plain = results.get(arm.plain)
        if plain is None or plain is result:
            continue
        more[f"{arm}: time"] = result.seconds / plain.seconds
        one, other = result.end["peak_memory"], plain.end["peak_memory"]
        more[f"{arm}: memory"] = one / other
        more[f"{arm}: memory without libraries"] = (
            result.own_memory / plain.own_memory
        )
    return more


def recompilations(results):
    """Sums late compilations of `BYORnModel`; `None` where none can be."""
    counts = [
        result.end["compilations"]
        for arm, result in results.items()
        if arm.method != "kerashub"
    ]
    return None if None in counts else sum(counts)


def arm_record(arm, result, args):
    """Returns all figures of one arm, a dict."""
    steps = arm.num_examples * args.epochs
    median = statistics.median
    record = {
        "arm": str(arm),
        **dataclasses.asdict(arm),
        "batch_size": settings_of(arm, args)["batch_size"],
        "num_params": result.ready["num_params"],
        "seconds": [rounded(seconds) for seconds in result.all_of("seconds")],
        "seconds_with_compilation": rounded(result.seconds_with_compilation),
        "split": {name: rounded(result.part(name)) for name in PARTS},
        "examples_per_second": rounded(steps / result.seconds),
        "peak_memory": result.end["peak_memory"],
        "memory_before": result.end["memory_before"],
        "memory_kind": result.end["memory_kind"],
        "compilations": result.end["compilations"],
    }
    for name in ("num_held_out", "num_regenerated", "num_restored"):
        if result.first.get(name) is not None:
            record[name] = median(result.all_of(name))
    if "score_seconds" in result.first:
        record["score_seconds"] = median(result.all_of("score_seconds"))
    if "matrix_rate" in result.end:
        # Backward costs as much as forward, and again where weights are tuned.
        passes = 3 if arm.tuning == "full" else 2
        flops = passes * result.end["forward_flops"] * steps
        record["matrix_rate"] = result.end["matrix_rate"]
        record["share_of_matrix_rate"] = rounded(
            flops
            / median(result.all_of("epoch_seconds"))
            / result.end["matrix_rate"]
        )
    return record


def divide(a, b):
    return a / b


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


def rounded_all(values):
    return {name: rounded(value) for name, value in values.items()}
