"""Makes the table of KerasHub families that the package defends.

    python benchmarks/vlm_contract/vlm_contract_table.py --json contract.json

About ten minutes on two cores. Scores, trains, regenerates, adapts with LoRA,
saves and reloads a tiny random model of each family on each backend. Every
cell should be a tick but those of Qwen 3.5, with which KerasHub 0.32 does not
generate correctly.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BACKENDS = ("jax", "tensorflow", "torch")
ROW = "contract row: "


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--families", help="names, with commas; default all")
    parser.add_argument("--json", help="file to write the rows to")
    parser.add_argument("--worker", action="store_true", help="(internal)")
    arguments = parser.parse_args()
    if arguments.worker:
        return run_families(arguments.families)
    rows = []
    for backend in arguments.backends.split(","):
        rows += rows_of_backend(backend, arguments.families)
    print(table(rows))
    if arguments.json:
        pathlib.Path(arguments.json).write_text(
            json.dumps(rows, indent=1) + "\n"
        )


def rows_of_backend(backend, families):
    """Runs one backend in a process of its own and returns its rows."""
    command = [sys.executable, __file__, "--worker"]
    if families:
        command += ["--families", families]
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), os.environ.get("PYTHONPATH", "")]
        ),
    }
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    environment.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    rows = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stdout:
            if line.startswith(ROW):
                rows.append(json.loads(line.removeprefix(ROW)))
                print(".", end="", flush=True, file=sys.stderr)
    if process.returncode:
        raise RuntimeError(
            f"The process for backend {backend!r} must end well. Received: "
            f"exit code {process.returncode} after {len(rows)} rows"
        )
    return rows


def run_families(families):
    """Prints a row for each family and capability, as the worker."""
    sys.path.insert(0, str(ROOT / "tests" / "vlm"))
    import family_contract
    import keras

    from keras_byorn.vlm.tiny_models import REFUSED, TINY
    from keras_byorn.vlm.tiny_models.presets import save_tiny_preset

    makers = {**TINY, **REFUSED}
    for name in families.split(",") if families else makers:
        with tempfile.TemporaryDirectory() as folder:
            contract, reason = None, None
            try:
                task_class, preset = save_tiny_preset(makers[name], folder)
                contract = family_contract.Contract(name, task_class, preset)
            except Exception as error:
                reason = named(error)
            for capability in family_contract.CAPABILITIES:
                if contract is not None:
                    reason = attempt(getattr(contract, capability))
                row = {
                    "family": name,
                    "backend": keras.config.backend(),
                    "capability": capability,
                    "ok": reason is None,
                    "reason": reason,
                }
                print(ROW + json.dumps(row), flush=True)


def attempt(capability):
    """Tries a capability; returns `None`, or the error in one line."""
    try:
        capability()
    except Exception as error:
        return named(error)
    return None


def named(error):
    """Returns an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500]


def table(rows):
    """Renders families by backend and capability, with faults below."""
    capabilities = list(dict.fromkeys(row["capability"] for row in rows))
    cells, faults = {}, []
    for row in rows:
        mark = "✓"
        if not row["ok"]:
            if row["reason"] not in faults:
                faults.append(row["reason"])
            mark = f"[{faults.index(row['reason']) + 1}]"
        cells.setdefault((row["family"], row["backend"]), []).append(mark)
    lines = [
        "| family | backend | " + " | ".join(capabilities) + " |",
        "|" + "---|" * (2 + len(capabilities)),
    ]
    lines += [
        f"| {family} | {backend} | " + " | ".join(marks) + " |"
        for (family, backend), marks in sorted(cells.items())
    ]
    lines += [f"\n[{n}] {fault}" for n, fault in enumerate(faults, 1)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
