"""Digit Scenes, a data set of real handwriting with captions and questions."""

import dataclasses
import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from keras_byorn.data.digit_scenes_drawing import (
    COLOURS,
    DIGITS,
    GRID_SIDE,
    IMAGE_SIZE,
    RELATIONS,
    Grid,
    Scene,
    draw_grid,
    draw_scene,
    handwriting,
)
from keras_byorn.data.digit_scenes_tasks import (
    GRID_DIGITS,
    REFUSALS,
    TASKS,
    draw_for,
)
from keras_byorn.data.tfds_parquet import every_parquet_row

__all__ = [
    "COLOURS",
    "DIGITS",
    "GRID_DIGITS",
    "GRID_SIDE",
    "REFUSALS",
    "RELATIONS",
    "TASKS",
    "DigitScenes",
    "DigitScenesConfig",
    "Grid",
    "Scene",
    "draw_for",
    "draw_grid",
    "draw_scene",
    "handwriting",
    "load_digit_scenes",
]


@dataclasses.dataclass(kw_only=True)
class DigitScenesConfig(tfds.core.BuilderConfig):
    """Configures the tasks on the scenes, and the number of examples.

    Args:
        name: string. The name of the config, part of every `example_id`.
        tasks: dict from keys of `TASKS` to their shares of the examples.
            Defaults to the one task called `name`.
        num_train: int. Number of training examples. Defaults to `4000`.
        num_test: int. Number of test examples. Defaults to `500`.
        seed: int. Seed of the scenes: configs with equal seeds share scenes.
            Defaults to `0`.

    Raises:
        ValueError: If a task is not a key of `TASKS`.

    Example:

    >>> config = DigitScenesConfig(
    ...     name="mix", tasks={"captions": 0.5, "questions": 0.5}
    ... )
    """

    tasks: dict | None = None
    num_train: int = 4000
    num_test: int = 500
    seed: int = 0

    def __post_init__(self):
        tasks = self.tasks or {self.name: 1.0}
        unknown = set(tasks) - set(TASKS)
        if unknown:
            raise ValueError(
                "`tasks` (or `name`, if `tasks` is not given) must be among "
                f"{sorted(TASKS)}. To mix tasks under a name of your own, pass "
                "`tasks={'captions': 0.5, 'questions': 0.5}`. "
                f"Received: {sorted(unknown)}"
            )
        self.tasks = tasks


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """Scenes of real handwritten digits with captions and questions.

    Most tasks are on two digits; the long captions are on a grid of up to
    sixteen small ones.

    Examples have the fields `example_id`, `images` (uint8, 32 x 32 x 3),
    `prompts` and `responses`. The handwriting is scikit-learn's bundled copy
    of the UCI optical digits, so nothing is downloaded. Files are Parquet by
    default, for `tfds.load` and `tfds.data_source` alike.

    Example:

    >>> import keras_byorn.data.digit_scenes  # registers the builder
    >>> source = tfds.data_source("digit_scenes/captions", split="train")
    >>> source[0]["responses"]
    b'a red three left of a blue seven'

    Any size or mixture is a config:

    >>> config = DigitScenesConfig(
    ...     name="mix",
    ...     tasks={"captions": 0.5, "questions": 0.5},
    ...     num_train=20_000,
    ... )
    >>> builder = DigitScenes(config=config, data_dir="data")
    >>> builder.download_and_prepare()

    Reference:
        - [Alpaydin and Kaynak, 1998](https://doi.org/10.24432/C50P49)
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        DigitScenesConfig(name=name, description=task.__doc__)
        for name, task in TASKS.items()
    ]

    def __init__(self, *, file_format="parquet", **kwargs):
        super().__init__(file_format=file_format, **kwargs)

    def download_and_prepare(self, **kwargs):
        with every_parquet_row():
            super().download_and_prepare(**kwargs)

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "example_id": tfds.features.Text(),
                    "images": tfds.features.Image(
                        shape=(IMAGE_SIZE, IMAGE_SIZE, 3),
                        encoding_format="png",
                    ),
                    "prompts": tfds.features.Text(),
                    "responses": tfds.features.Text(),
                }
            ),
            supervised_keys=None,
        )

    def _split_generators(self, dl_manager):
        sizes = {
            "train": self.builder_config.num_train,
            "test": self.builder_config.num_test,
        }
        return {
            split: self._generate_examples(split, size)
            for split, size in sizes.items()
        }

    def _generate_examples(self, split, size):
        config = self.builder_config
        samples = handwriting(split)
        names = list(config.tasks)
        shares = np.array([config.tasks[name] for name in names], "float64")
        shares /= shares.sum()
        # With a generator for each example, scene 7 is equal at any size.
        split_number = ("train", "test").index(split)
        for index in range(size):
            key = (config.seed, split_number, index)
            rng = np.random.default_rng((*key, 1))
            name = names[rng.choice(len(names), p=shares)]
            drawing_rng = np.random.default_rng((*key, 0))
            scene = draw_for(name, drawing_rng, samples)
            prompt, response = TASKS[name](scene, rng)
            example_id = f"{config.name}-{split}-{index:06d}"
            yield (
                example_id,
                {
                    "example_id": example_id,
                    "images": _png(scene.image),
                    "prompts": prompt,
                    "responses": response,
                },
            )


def _png(image):
    """Encodes an image as PNG, for which TFDS would use TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="png")
    file.seek(0)
    return file


def load_digit_scenes(
    task, num_train=4000, num_test=500, seed=0, data_dir=None
):
    """Loads Digit Scenes of any size, made at the first call.

    Args:
        task: string. A key of `TASKS`.
        num_train: int. Number of training examples. Defaults to `4000`.
        num_test: int. Number of test examples. Defaults to `500`.
        seed: int. Seed of the scenes. Defaults to `0`.
        data_dir: optional string. Folder of data sets. Defaults to `None`,
            the folder of TFDS.

    Returns:
        A dict from `"train"` and `"test"` to random-access data sources, to
        pass to `keras_byorn.Examples`.

    Raises:
        ValueError: If `task` is not a key of `TASKS`.

    Example:

    >>> data = load_digit_scenes("terse_captions", num_train=100, num_test=10)
    >>> examples = keras_byorn.Examples(data["train"])
    """
    config = DigitScenesConfig(
        name=f"{task}_{num_train}_{num_test}_{seed}",
        tasks={task: 1.0},
        num_train=num_train,
        num_test=num_test,
        seed=seed,
    )
    builder = DigitScenes(config=config, data_dir=data_dir)
    builder.download_and_prepare()
    return builder.as_data_source()
