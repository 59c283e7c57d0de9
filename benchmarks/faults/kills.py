"""Kills defended runs at random moments, and lets them go on.

    python benchmarks/faults/kills.py --kills 20 --backend jax

Each run is killed by SIGKILL at a moment between the beginning and the end of
`fit`: in scoring, regenerating, training or saving. It is then begun again
with the same arguments, and must end as a run that nobody interrupted: the
same store, and the same weights, to the bit on JAX and PyTorch and to 1e-6 on
TensorFlow. LoRA and full fine-tuning take turns. The last line is the number
of kills survived, such as `20/20`; each kill is a line of
`results/kills.jsonl`. About a minute a kill on one CPU core.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
RUN = HERE / "defended_run.py"
RESULTS = HERE / "results" / "kills.jsonl"
TOLERANCE = {"jax": 0.0, "torch": 0.0, "tensorflow": 1e-6}
# Of a store: NaN is not equal to itself, and these are no targets.
SCORES = ("plausibility", "student_plausibility")


def main(arguments=None):
    args = parse_arguments(arguments)
    rng = np.random.default_rng(args.seed)
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        known = {}
        for kill in range(args.kills):
            is_lora = kill % 2 == 0
            if is_lora not in known:
                known[is_lora] = Run(folder / f"whole-{is_lora}", is_lora, args)
                known[is_lora].finish()
            found = one_kill(folder / f"{kill}", known[is_lora], rng, args)
            survived += found["survived"]
            args.results.parent.mkdir(parents=True, exist_ok=True)
            with args.results.open("a") as file:
                file.write(json.dumps(found) + "\n")
            print(json.dumps(found), flush=True)
    print(f"{survived}/{args.kills}")
    return 0 if survived == args.kills else 1


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--kills", type=int, default=20)
    add("--backend", choices=sorted(TOLERANCE), default="jax")
    add("--seed", type=int, default=0, help="of the moments")
    add("--results", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(arguments)


def one_kill(folder, whole, rng, args):
    """Kills a run once, lets it go on, and compares.

    Args:
        folder: path.
        whole: a finished `Run`.
        rng: NumPy random generator.
        args: namespace of the options.

    Returns:
        A dict: the moment, the phase that the kill met, and the outcome.
    """
    run = Run(folder, whole.is_lora, args)
    moment = float(rng.uniform(0, whole.seconds))
    was_killed = run.kill(moment)
    phase = run.phase()
    run.finish()
    distance = run.distance(whole)
    same_store = run.targets() == whole.targets()
    return {
        "backend": args.backend,
        "lora": whole.is_lora,
        "moment": round(moment, 2),
        "of": round(whole.seconds, 2),
        "killed": was_killed,
        "phase": phase,
        "same_store": same_store,
        "distance": distance,
        "survived": same_store and distance <= TOLERANCE[args.backend],
    }


class Run:
    """A defended run in processes of its own.

    Args:
        folder: path.
        is_lora: bool.
        args: namespace of the options.
    """

    def __init__(self, folder, is_lora, args):
        folder.mkdir()
        self.is_lora = is_lora
        self.seconds = None
        self._folder = folder
        self._environment = {**os.environ, "KERAS_BACKEND": args.backend}

    def finish(self):
        """Runs to the end, and notes the seconds of `fit`."""
        process = self._begin()
        begun = time.perf_counter()
        process.wait()
        self.seconds = time.perf_counter() - begun
        if process.returncode:
            raise RuntimeError(f"the run in {self._folder} failed")

    def kill(self, moment):
        """Kills the run some seconds after `fit` began.

        Args:
            moment: float, seconds.

        Returns:
            bool. Whether it was still running.
        """
        process = self._begin()
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True
        return False

    def phase(self):
        """string. What the state tells of the moment of a kill."""
        path = self._folder / "state" / "run.json"
        if not path.exists():
            return "before the first file"
        manifest = json.loads(path.read_text())
        if manifest["end"]:
            return "after the end"
        if manifest["epoch"]:
            return f"after epoch {manifest['epoch']['number']}"
        return "in epoch 1" if manifest["detection"] else "in scoring"

    def targets(self):
        """Rows of the final store, without scores."""
        table = pq.read_table(f"{self._folder / 'out.npz'}.parquet")
        return table.drop_columns(list(SCORES)).to_pylist()

    def distance(self, other):
        """float. The greatest difference of a weight."""
        with np.load(self._folder / "out.npz") as own:
            with np.load(other._folder / "out.npz") as others:
                return max(
                    float(np.abs(own[name] - others[name]).max())
                    for name in others.files
                )

    def _begin(self):
        command = [sys.executable, str(RUN)]
        command += [str(self._folder / "state"), str(self._folder / "out.npz")]
        process = subprocess.Popen(
            command + ["--lora"] * self.is_lora,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in process.stdout:  # the package is loaded by then
            if line.strip() == "fit":
                break
        return process


if __name__ == "__main__":
    sys.exit(main())
