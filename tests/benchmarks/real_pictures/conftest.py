"""A folder of made-up pictures with captions, as the benchmark reads it."""

import json

import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
ANIMALS = ("dog", "man", "bird", "child")
PLACES = ("park", "house", "river")
SIZES = {"pretrain": 24, "extra": 4, "finetune": 40, "dev": 4, "test": 6}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a picture of one colour for each few captions."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    with (folder / "captions.jsonl").open("w") as file:
        for part, count in SIZES.items():
            for index in range(count):
                for row in rows_of(folder, part, index, rng):
                    file.write(json.dumps(row) + "\n")
    return str(folder)


def rows_of(folder, part, index, rng):
    """Saves a picture, and yields the lines of its two captions."""
    colour = str(rng.choice(list(COLOURS)))
    name = f"{part}_{index}.png"
    pixels = np.full((24, 24, 3), COLOURS[colour], "uint8")
    Image.fromarray(pixels).save(folder / "images" / name)
    for n in range(2):
        animal, place = rng.choice(ANIMALS), rng.choice(PLACES)
        caption = f"A {colour} {animal}  near the {place} ."
        yield {"image": name, "caption": caption, "n": n, "part": part}
