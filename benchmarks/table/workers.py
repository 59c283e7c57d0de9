"""Worker processes: each takes whole cases, so that programs compile once."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from table import token_scores
from table.case_data import Source
from table.cases import CASES, HONEST_GROUPS
from table.results import key_of, read_cells


def run_missing(args):
    """Runs what is missing, in as many processes as jobs.

    Args:
        args: the options of `run_digits.py`.
    """
    cores = sorted(os.sched_getaffinity(0))
    jobs = max(1, args.jobs)
    processes = [
        subprocess.Popen(
            [sys.executable, *sys.argv, "--worker", f"{index}/{jobs}"],
            preexec_fn=_pin(cores[index % len(cores)]),
        )
        for index in range(jobs)
    ]
    for process in processes:
        process.wait()


def _pin(core):
    return lambda: os.sched_setaffinity(0, {core})


def work(args):
    """Runs every n-th case and seed that has something missing.

    Args:
        args: the options of `run_digits.py`, with `worker`, such as `"0/2"`.
    """
    index, jobs = map(int, args.worker.split("/"))
    todo = missing(args, _backend())
    if args.cache:
        _keep_programs(args.cache)
    import defend_digit_scenes as demo

    scorer, sources = None, {}
    for case, seed, defences in todo[index::jobs]:
        is_long = CASES[case].is_long
        preset = args.long_preset if is_long else None
        if (seed, preset) not in sources:
            sources = {(seed, preset): source_of(demo, seed, preset, args)}
        source = sources[seed, preset]
        with contextlib.redirect_stdout(sys.stderr):
            data = CASES[case].make(source)
        if needs_scores(case, seed, args):
            if scorer is None or scorer[0] != preset:
                vlm = demo.load_vlm(source.options())
                scorer = preset, token_scores.Scorer(vlm)
            write_scores(case, seed, data, scorer[1], args)
        if defences:
            from table import cell

            case_ = CASES[case]
            for line in cell.run(case_, seed, data, defences, source, args):
                append(args.results, line)
        print(case, seed, *defences, flush=True)


def source_of(demo, seed, preset, args):
    """Returns the `Source` of a seed."""
    return Source(
        demo,
        seed,
        args.num_train,
        args.num_test,
        preset,
        args.cache,
        args.data_dir,
    )


def missing(args, backend):
    """Lists the cases and seeds that have something to do.

    Args:
        args: the options of `run_digits.py`.
        backend: string.

    Returns:
        A list of triples: case, seed, list of defences.
    """
    known = {key_of(line) for line in read_cells(args.results)}
    todo = []
    for seed in args.seeds:
        for name in args.cases:
            case = CASES[name]
            if case.is_long and not args.long_preset:
                continue
            defences = [
                defence
                for defence in args.defences
                if (name, seed, defence, backend) not in known
                and applies(defence, case)
                and not args.scores_only
            ]
            if defences or needs_scores(name, seed, args):
                todo.append((name, seed, defences))
    return todo


def applies(defence, case):
    """Returns whether a defence is to be run on a case."""
    if case.is_long:
        return False  # they are about detection only
    if defence == "ours_trusted":
        return case.has_trusted
    if defence == "clean_only":  # of honest data `none` is the same
        return case.group not in HONEST_GROUPS
    return True


def needs_scores(case, seed, args):
    """Returns whether token scores are wanted and not there."""
    if not args.scores:
        return False
    return not token_scores.path_of(args.scores, case, seed).exists()


def write_scores(case, seed, data, scorer, args):
    """Writes the token scores of a case and seed."""
    path = token_scores.path_of(args.scores, case, seed)
    token_scores.save(path, case, seed, data, scorer.score(data))


def append(path, line):
    """Appends one result, in a single write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _backend():
    import keras

    return keras.config.backend()


def _keep_programs(cache):
    """Lets JAX keep compiled programs in a folder for the next process."""
    folder = pathlib.Path(cache or tempfile.gettempdir()) / "programs"
    if _backend() != "jax":
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
