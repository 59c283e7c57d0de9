# ruff: noqa: E402
"""Measures time and memory of the defence beside KerasHub's own `fit`.

    KERAS_BACKEND=jax python benchmarks/overhead/measure.py

takes about an hour on one of two cores, and should print (JAX):

    lora_defaults           0.76
    full_paper              0.60
    score_over_train        6.8
    score_over_lora_train   4.5
    lora_peak_memory        1.00
    lora_decoder_defaults   0.69

With `--size tiny` it takes half an hour, for 0.70 of `tiny_defaults` and 3.5
of `growth_16k_over_4k`. All figures are in `results/overhead.md`.

Tunes the same model on the same examples, a tenth of them poisoned, for as
many epochs and with the same optimizer, by KerasHub's `vlm.fit`, by
`BYORnModel` without a defence, and defended. Each of these arms has a process
of its own, which builds model and data once and then runs whenever it is told
to; only one runs at a time, and they take turns, so that a machine that slows
down slows all of them. A first round pays for tracing and compiling; the
others are whole fine-tunes, from the initial weights and optimizer, of the
same programs. Checking and tokenizing the examples counts in every arm.

Sizes are `scaled`, a PaliGemma of 6 million parameters in which head, decoder
and vision tower cost as much, relative to one another, as in PaliGemma 3B, and
which learns a small language first; `tiny`, the bundled preset on Digit
Scenes, bound by what is not arithmetic; `pali_gemma_3b`, which has random
weights and wants a GPU:

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
    lora_state              1.03   LoRA, defaults with a `state_dir`, over
                                   defaults without
    full_state              1.03   the same of all weights

All but the scoring should be no more than the bar. By default all of a
size are measured.

The last line is one JSON object: `size`, `backend`, `ratios`,
`recompilations` after the first fine-tune (0, or `null` on PyTorch, which
compiles nothing), and, beside other things, the ratios with the time of
compiling (`ratios_with_compilation`).
"""

import argparse
import json
import pathlib
import sys

if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from overhead.figures import make_record
from overhead.plan import BARS, TINY_MEASURES, arms_of, measures_of
from overhead.processes import run
from overhead.report import append, render, write_table


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.table:
        write_table(args.table)
        return
    arms = [arm for name in args.measure for arm in arms_of(name, args)]
    record = make_record(run(list(dict.fromkeys(arms)), args), args)
    print(render(record))
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


if __name__ == "__main__":
    main()
