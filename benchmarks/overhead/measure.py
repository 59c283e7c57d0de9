"""What the defence costs: time and memory beside KerasHub's own `fit`.

    KERAS_BACKEND=jax python benchmarks/overhead/measure.py

Tunes the same model on the same examples, a tenth of them poisoned, for as
many epochs and with the same optimizer, by KerasHub's `vlm.fit`, by
`BYORnModel` without a defence, and defended. Each of these arms has a process
of its own, which builds model and data once and then runs whenever it is told
to; only one runs at a time, and they take turns, so that a machine that slows
down slows all of them. A first round pays for tracing and compiling; the
others are whole fine-tunes, from the weights and the optimizer as they were at
first, of the same programs. Checking and tokenizing the examples counts in
every arm.

Sizes are `scaled`, a PaliGemma of 6 million parameters in which head, decoder
and vision tower cost as much, relative to one another, as in PaliGemma 3B, and
which has learnt a small language first; `tiny`, the bundled preset on Digit
Scenes, which are bound by what is not arithmetic; `pali_gemma_3b`, which has
random weights and wants a GPU:

    python benchmarks/overhead/measure.py --size pali_gemma_3b \\
        --dtype bfloat16 --threads 16

or any preset of KerasHub whose preprocessor takes images, prompts and
responses, such as `--size pali_gemma_3b_mix_224`.

`--measure` names what is to be measured, with its bar:

    lora_defaults           0.90   LoRA, defaults, over KerasHub's fit
    full_paper              1.00   all weights, the paper's 40 %, over it
    tiny_defaults           1.35   `tiny`, all weights, defaults, over it
    score_over_train        2.5    examples scored a second over examples
                                   trained on a second, all weights, undefended
    score_over_lora_train          the same with LoRA, of which a step costs
                                   about two forward passes, not three
    lora_peak_memory        1.00   LoRA, defaults, over KerasHub's fit
    growth_16k_over_4k      4.2    `tiny`, defaults: seconds for 16,000
                                   examples over seconds for 4,000 (of
                                   `--examples`, and four times as many)
    lora_decoder_defaults          as lora_defaults, with adapters in the
                                   decoder only, so that images are seen once

All but the scoring should be no more than the bar. By default all of a
size are measured. On one CPU core `scaled` takes about an hour with the
default of three rounds, `tiny` half an hour with its growth.

The last line is one JSON object: `size`, `backend`, `ratios`, what was
compiled after the first fine-tune (`recompilations`, which should be 0; `null`
on PyTorch, which compiles nothing), and, beside other things, the ratios with
the time of compiling (`ratios_with_compilation`).
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys

# The process of an arm has Keras and the model; this one only waits.
ARM_SCRIPT = pathlib.Path(__file__).resolve().parent / "overhead_arm.py"
TINY_MEASURES = ("tiny_defaults", "growth_16k_over_4k")
# At most so much; of scoring at least.
BARS = {
    "lora_defaults": 0.90,
    "full_paper": 1.00,
    "tiny_defaults": 1.35,
    "score_over_train": 2.5,
    "score_over_lora_train": None,
    "lora_peak_memory": 1.00,
    "growth_16k_over_4k": 4.2,
    "lora_decoder_defaults": None,
}
# By size, if nothing else is said: examples, and how many in a batch.
NUM_EXAMPLES = {"tiny": 4000, "scaled": 512, "other": 512}
BATCH_SIZES = {"tiny": 64, "scaled": 16, "other": 8}
SCORING = {"score_over_train": "full", "score_over_lora_train": "lora"}
PARTS = ("score", "train", "regenerate", "data", "other")


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to tune one model.

    Attributes:
        size: string, as in `--size`.
        tuning: `"full"`, `"lora"` or `"lora_decoder"`.
        method: `"kerashub"`, `"undefended"`, `"defaults"` or `"paper"`.
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
        """KerasHub's own fine-tune of the same."""
        return dataclasses.replace(self, method="kerashub")


@dataclasses.dataclass
class Result:
    """What an arm said.

    Attributes:
        ready: dict, what it said when it was built.
        first: dict, the fine-tune that compiled.
        rounds: list of dicts, the ones after it.
        end: dict, with the peak of memory.
    """

    ready: dict
    first: dict | None = None
    rounds: list = dataclasses.field(default_factory=list)
    end: dict | None = None

    def all_of(self, key):
        return [found[key] for found in self.rounds]

    @property
    def seconds(self):
        """Median seconds of a fine-tune, nothing compiled."""
        return statistics.median(self.all_of("seconds"))

    @property
    def seconds_with_compilation(self):
        """Of the first fine-tune, from the loaded weights on."""
        traced = self.first.get("traced_seconds", 0.0)
        return self.ready["setup_seconds"] + self.first["seconds"] + traced

    @property
    def own_memory(self):
        """Peak less what Python and all libraries take, in bytes."""
        if self.end["memory_kind"] == "device":
            return self.end["peak_memory"]
        return self.end["peak_memory"] - self.end["memory_before"]

    def part(self, name):
        """Median seconds of a part; `None` where it cannot be told."""
        return statistics.median(f["split"][name] for f in self.rounds)


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.table:
        write_table(args.table)
        return
    arms = [arm for name in args.measure for arm in arms_of(name, args)]
    record = make_record(run(list(dict.fromkeys(arms)), args), args)
    print(report(record))
    if args.results:
        append(args.results, record)
    print(json.dumps(record), flush=True)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--size", help="scaled, tiny, pali_gemma_3b, or a preset")
    add(
        "--measure",
        type=lambda names: names.split(","),
        help="one or several of the above, with commas",
    )
    add("--examples", type=int, help="4000 for tiny, 512 for others")
    add("--epochs", type=int, default=3)
    add("--batch-size", type=int, help="64 for tiny, 16 for scaled, else 8")
    add("--rounds", type=int, default=3, help="after the one that compiles")
    add("--threads", type=int, default=1, help="cores that an arm may use")
    add("--dtype", help="of weights and arithmetic; the preset's by default")
    add("--results", help="JSONL file to add the result to; .md beside it")
    add("--table", help="only makes the .md of such a file")
    add("--shrink", action="store_true", help=argparse.SUPPRESS)  # for tests
    args = parser.parse_args(arguments)
    if args.size is None:
        only_tiny = args.measure and set(args.measure) <= set(TINY_MEASURES)
        args.size = "tiny" if only_tiny else "scaled"
    args.measure = args.measure or measures_of(args.size)
    unknown = set(args.measure) - set(BARS)
    if unknown:
        parser.error(
            f"--measure must be among {','.join(BARS)}. "
            f"Received: {','.join(sorted(unknown))}"
        )
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1. Received: {args.rounds}")
    return args


def measures_of(size):
    """What is measured by default."""
    if size == "tiny":
        return list(TINY_MEASURES)
    names = [name for name in BARS if name not in TINY_MEASURES]
    if size != "scaled":  # all weights of a large model are too many
        names.remove("full_paper")
        names.remove("score_over_train")
    return names


def arms_of(measure, args):
    """The arms that a measure takes; the first is over the second."""

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
    size = args.size
    if tuning == "tiny":
        tuning, size = "full", "tiny"
    return [
        arm(tuning, method, size)
        for method in (method, "kerashub", "undefended")
    ]


# == Running =================================================================


class Process:
    """The process of an arm: answers each line with one of JSON."""

    def __init__(self, settings, threads):
        self._settings = settings
        with pinned(threads):
            self._process = subprocess.Popen(
                [sys.executable, str(ARM_SCRIPT), json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
                env=environment(threads),
            )

    def ask(self, line):
        """Sends a line and waits for the answer, a dict."""
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what went wrong is told below
        return self.answer()

    def answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                "The process of an arm must answer. See above why it ended. "
                f"Received: exit code {self._process.wait()} of "
                f"{self._settings}"
            )
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.stdin.close()
        try:
            self._process.wait(timeout=0.1 if error[0] else 60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def environment(threads):
    """That of the arms: so many threads, and no more memory than is used."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        # Several arms are on one GPU, of which only one runs.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


@contextlib.contextmanager
def pinned(threads):
    """A process that is started here has so many cores, where one can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def run(arms, args):
    """A dict from each arm to its `Result`."""
    if any(arm.size == "scaled" for arm in arms):
        say("pretraining `scaled`, if it is not on disk yet")
        settings = {"size": "scaled", "method": "pretrain"}
        settings["shrink"] = args.shrink
        with Process(settings, os.cpu_count()) as arm:
            arm.answer()
    scored = [
        arm
        for measure in args.measure
        if measure in SCORING
        for arm in arms_of(measure, args)
    ]
    with contextlib.ExitStack() as stack:
        processes, results = {}, {}
        for arm in arms:
            settings = settings_of(arm, args) | {"score": arm in scored}
            process = stack.enter_context(Process(settings, args.threads))
            processes[arm], results[arm] = process, Result(process.answer())
            say(f"ready: {arm}")
        for turn in range(args.rounds + 1):
            for arm, process in processes.items():
                found = process.ask("run")
                say(f"round {turn}: {arm}: {found['seconds']:.1f} s")
                if turn:
                    results[arm].rounds.append(found)
                else:
                    results[arm].first = found
        for arm, process in processes.items():
            results[arm].end = process.ask("end")
    return results


def settings_of(arm, args):
    """What the process of an arm is told."""
    batch_size = BATCH_SIZES.get(arm.size, BATCH_SIZES["other"])
    return {
        **dataclasses.asdict(arm),
        "epochs": args.epochs,
        "batch_size": args.batch_size or batch_size,
        "dtype": args.dtype,
        "shrink": args.shrink,
    }


def say(text):
    print(text, file=sys.stderr, flush=True)


# == Figures =================================================================


def make_record(results, args):
    """What is printed last."""
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
    """The figure that has the bar."""
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
    """Each arm over KerasHub's fit of the same, in time and memory."""
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
    """In all arms of ours; `None` where nothing is ever compiled."""
    counts = [
        result.end["compilations"]
        for arm, result in results.items()
        if arm.method != "kerashub"
    ]
    return None if None in counts else sum(counts)


def arm_record(arm, result, args):
    """All figures of one arm."""
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
    for name in ("num_suspect", "num_regenerated", "num_restored"):
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


# == Tables ==================================================================


def report(record):
    """Tables of one result, in Markdown."""
    machine = ", ".join(f"{k} {v}" for k, v in record["machine"].items())
    settings = ", ".join(f"{k} {v}" for k, v in record["settings"].items())
    title = f"## {record['size']}, {record['backend']}"
    late = record["recompilations"]
    late = "not counted, nothing is compiled" if late is None else late
    return "\n".join(
        [
            f"{title}\n\n{machine}\n\n{settings}\n",
            *ratio_lines(record),
            f"\nRecompilations: {late}\n",
            *arm_lines(record),
            "",
        ]
    )


def ratio_lines(record):
    lines = [
        "| measure | ratio | spread | with compilation | bar | |",
        "|---|---|---|---|---|---|",
    ]
    for name, ratio in record["ratios"].items():
        low, high = record["spread"].get(name, (None, None))
        spread = "-" if low is None else f"{low:.3f}–{high:.3f}"
        bar = BARS[name]
        cells = [
            name,
            shown(ratio, 3),
            spread,
            shown(record["ratios_with_compilation"].get(name), 3),
            shown(bar, 2),
            "" if bar is None else ("✓" if is_met(name, ratio) else "missed"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def is_met(measure, ratio):
    bar = BARS[measure]
    return ratio >= bar if measure == "score_over_train" else ratio <= bar


def arm_lines(record):
    lines = [
        "| arm, examples | seconds | with compilation | score | train | "
        "regenerate | data | other | examples/s | suspects | peak MiB |",
        "|" + "---|" * 11,
    ]
    for arm in record["arms"]:
        seconds = arm["seconds"]
        cells = [
            arm["arm"],
            f"{statistics.median(seconds):.1f} "
            f"({min(seconds):.1f}–{max(seconds):.1f})",
            shown(arm["seconds_with_compilation"], 1),
            *(shown(arm["split"][name], 1) for name in PARTS),
            shown(arm["examples_per_second"], 1),
            shown(arm.get("num_suspect"), 0),
            shown(arm["peak_memory"] / 2**20, 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for arm in record["arms"]:
        # Of a shared CPU the rate of a moment says nothing.
        if "share_of_matrix_rate" in arm and arm["memory_kind"] == "device":
            lines.append(
                f"\n{arm['arm']} trains at {arm['share_of_matrix_rate']:.2f} "
                f"of the rate of large matrix products, "
                f"{arm['matrix_rate'] / 1e9:,.0f} GFLOP/s, counted as "
                "KerasHub's plain way would need it."
            )
    return lines


def shown(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def append(path, record):
    """Adds the result to a file, and makes its table anew."""
    path = pathlib.Path(path)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    write_table(path)


def write_table(path):
    path = pathlib.Path(path)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    tables = "\n".join(report(record) for record in records)
    table = path.with_suffix(".md")
    table.write_text(
        "# What the defence costs\n\n"
        "Made by `python benchmarks/overhead/measure.py`, which tells what "
        "is measured; below 1 is cheaper than KerasHub's own `fit`. On a CPU "
        "the peak of memory is what was resident, compiled programs with it, "
        "of which the defence has several times as many: PyTorch, which "
        "compiles none, shows what the arrays take.\n\n"
        f"{tables}"
    )
    print(table)


if __name__ == "__main__":
    main()
