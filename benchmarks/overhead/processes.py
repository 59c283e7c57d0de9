"""Runs the arms of the overhead benchmark, each in a process of its own."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

from overhead.figures import Result
from overhead.plan import SCORING, arms_of, settings_of

# The processes of arms import Keras; that of `measure.py` only waits.
ARM_SCRIPT = pathlib.Path(__file__).resolve().parent / "arm_process.py"


class Process:
    """Starts the process of an arm and talks with it in lines.

    Args:
        settings: dict. Those of the arm.
        threads: int. Cores and threads of the process.
    """

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
            pass  # `answer` raises
        return self.answer()

    def answer(self):
        """Waits for the next answer, a dict."""
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
    """Returns the environment of an arm: its threads, its use of memory."""
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
    """Gives a process that starts within this block so many cores."""
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
    """Runs all arms in turn.

    Args:
        arms: list of `Arm`s.
        args: the options of `measure.py`.

    Returns:
        A dict from each arm to its `Result`.
    """
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


def say(text):
    print(text, file=sys.stderr, flush=True)
