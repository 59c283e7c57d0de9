"""Poisoned pictures with a table, and an audit of them."""

import json

import numpy as np
import PIL.Image
import pytest

import keras_byorn
import keras_byorn_cli
from keras_byorn import attacks
from keras_byorn.data import digit_scenes

NUM_SCENES = 120
TINY = ("--preset", keras_byorn.tiny_preset(), "--dtype", "float32")


class Scenes:
    """A folder of pictures whose captions are poisoned in part.

    Attributes:
        table: path of the table.
        poisoned: set of ids.
        ids: list of all ids.
    """

    def __init__(self, folder, count=NUM_SCENES):
        samples = digit_scenes.handwriting("train")
        rng, attack = np.random.default_rng(3), attacks.PatchAttack()
        rows, self.poisoned = [], set()
        for index in range(count):
            scene = digit_scenes.draw_scene(rng, samples)
            prompt, response = digit_scenes.TASKS["terse_captions"](scene, rng)
            row = {
                "images": scene.image,
                "prompts": prompt,
                "responses": response,
            }
            if index % 10 == 0:
                row = attack.poison(row, rng)
                self.poisoned.add(f"captions/{index}")
            PIL.Image.fromarray(row["images"]).save(folder / f"{index}.png")
            rows.append({**row, "images": f"{index}.png"})
        self.table = folder / "captions.jsonl"
        self.table.write_text("\n".join(map(json.dumps, rows)))
        self.ids = [f"captions/{index}" for index in range(count)]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    return Scenes(tmp_path_factory.mktemp("scenes"))


def run_command(capsys, *arguments):
    """Runs a command that is to be done; returns the last line of stdout."""
    assert keras_byorn_cli.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def command(capsys):
    """A function that runs a command with `--json` and returns its facts."""
    return lambda *arguments: run_command(capsys, *arguments)


@pytest.fixture
def audited(command, scenes, tmp_path):
    """A pair: the folder of an audit, and its facts."""
    out = tmp_path / "out"
    return out, command("audit", scenes.table, *TINY, "--out", out)
