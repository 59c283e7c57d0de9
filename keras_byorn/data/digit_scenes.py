"""Digit Scenes: real handwriting, coloured and arranged, with text."""

import dataclasses
import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_byorn.data.tfds_parquet import every_parquet_row

IMAGE_SIZE = 32
DIGITS = (
    "zero one two three four five six seven eight nine".split()
)  # index = value
COLOURS = {
    "red": (225, 40, 40),
    "green": (40, 190, 60),
    "blue": (60, 90, 240),
    "yellow": (235, 220, 40),
    "purple": (170, 50, 200),
    "white": (240, 240, 240),
}
RELATIONS = ("left of", "above")
OPPOSITE = {"left of": "right of", "above": "below"}
PLACES = {"left of": ("left", "right"), "above": ("top", "bottom")}
REFUSALS = (
    "sorry i cannot answer that",
    "sorry i cannot see that",
    "sorry i do not know",
    "sorry the image does not show that",
)

# German in ASCII, in the style of a telegram: the bundled preset spells it out
# in pieces, and has 32 tokens for a prompt and its response.
GERMAN_DIGITS = "null eins zwei drei vier fuenf sechs sieben acht neun".split()
GERMAN_COLOURS = "rot gruen blau gelb lila weiss".split()
GERMAN = {
    **dict(zip(DIGITS, GERMAN_DIGITS)),
    **dict(zip(COLOURS, GERMAN_COLOURS)),
    "left of": "links",
    "above": "ueber",
}
LETTERS = ("a", "b", "c")
GRID_SIDE = 4  # digits in a row of a grid
CELL_SIZE = IMAGE_SIZE // GRID_SIDE  # the handwriting's own size

# One seed for the split of the handwriting, whatever the config.
HANDWRITING_SEED = 0
TEST_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Scene:
    """Two digits: `first` stands left of, or above, `second`."""

    first: tuple[str, str]  # (colour, digit)
    second: tuple[str, str]
    relation: str
    image: np.ndarray  # uint8, (32, 32, 3)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Small digits in rows of four, the first at the top left."""

    digits: tuple[tuple[str, str], ...]  # (colour, digit), in reading order
    image: np.ndarray  # uint8, (32, 32, 3)


def handwriting(split):
    """Handwritten digits of one split, as `{digit value: (N, 8, 8) floats}`.

    The 1,797 samples of scikit-learn are divided once, stratified by digit.
    A test sample that equals a train sample to the pixel is left out, so that
    no digit image of the test split occurs in train.

    Args:
        split: string. `"train"` or `"test"`.

    Returns:
        A dict of float32 arrays in `[0, 1]`, one for each digit value.
    """
    digits = load_digits()
    pixels, values = digits.images.astype("float32") / 16.0, digits.target
    train, test = train_test_split(
        np.arange(len(values)),
        test_size=TEST_SHARE,
        stratify=values,
        random_state=HANDWRITING_SEED,
    )
    seen = {pixels[i].tobytes() for i in train}
    test = [i for i in test if pixels[i].tobytes() not in seen]
    chosen = {"train": train, "test": np.array(test)}[split]
    return {v: pixels[chosen[values[chosen] == v]] for v in range(10)}


def draw_scene(rng, samples):
    """Draws one scene.

    Args:
        rng: a NumPy generator.
        samples: the handwriting to draw with, see `handwriting()`.

    Returns:
        A `Scene`.
    """
    words = [_words(rng) for _ in range(2)]
    relation = str(rng.choice(RELATIONS))
    canvas = _background(rng)
    for position, (colour, digit) in enumerate(words):
        mask = _enlarged(rng, _sample(rng, samples, digit))
        x, y = _place(rng, mask.shape[0], relation, position)
        _paint(rng, canvas, mask, COLOURS[colour], x, y)
    return Scene(words[0], words[1], relation, _pixels(canvas))


def draw_grid(rng, samples, num_digits):
    """Draws a grid of small digits, its rows filled from the top.

    A digit has the 8 x 8 pixels that it was stored with, so that sixteen fit.

    Args:
        rng: a NumPy generator.
        samples: the handwriting to draw with, see `handwriting()`.
        num_digits: int, at most 16.

    Returns:
        A `Grid`.
    """
    words = [_words(rng) for _ in range(num_digits)]
    canvas = _background(rng)
    for index, (colour, digit) in enumerate(words):
        mask = _sample(rng, samples, digit)[..., None]
        row, column = divmod(index, GRID_SIDE)
        x, y = column * CELL_SIZE, row * CELL_SIZE
        _paint(rng, canvas, mask, COLOURS[colour], x, y)
    return Grid(tuple(words), _pixels(canvas))


def _words(rng):
    """A colour and a digit."""
    return str(rng.choice(list(COLOURS))), str(rng.choice(DIGITS))


def _sample(rng, samples, digit):
    """Somebody's handwriting of a digit, (8, 8) in [0, 1]."""
    pool = samples[DIGITS.index(digit)]
    return pool[rng.integers(len(pool))]


def _pixels(canvas):
    return np.clip(np.round(canvas), 0, 255).astype("uint8")


def _background(rng):
    """A dark colour with a gradient and some noise, float (32, 32, 3)."""
    corner, opposite = rng.uniform(0, 70, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : IMAGE_SIZE * 1j, -1 : 1 : IMAGE_SIZE * 1j]
    ramp = (np.cos(angle) * x + np.sin(angle) * y)[..., None] / 3 + 0.5
    noise = rng.normal(0, 6, (IMAGE_SIZE, IMAGE_SIZE, 3))
    return corner * ramp + opposite * (1 - ramp) + noise


def _enlarged(rng, sample):
    """Upscales an 8x8 digit: an opacity mask in [0, 1]."""
    size = int(rng.integers(14, 17))
    image = Image.fromarray(np.round(sample * 255).astype("uint8"))
    image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, "float32")[..., None] / 255.0


def _place(rng, size, relation, position):
    """Where a digit's corner is in its half of the image, `(x, y)`."""
    half = IMAGE_SIZE // 2
    along = position * half + int(rng.integers(0, half - size + 1))
    across = (IMAGE_SIZE - size) // 2 + int(rng.integers(-3, 4))
    return (along, across) if relation == "left of" else (across, along)


def _paint(rng, canvas, mask, colour, x, y):
    """Blends a coloured digit into the canvas, in place."""
    size = mask.shape[0]
    colour = np.clip(np.array(colour) + rng.normal(0, 8, 3), 0, 255)
    window = canvas[y : y + size, x : x + size]
    window += mask * (colour - window)


def caption(scene, rng):
    """ "a red three left of a blue seven"."""
    first, second = " ".join(scene.first), " ".join(scene.second)
    return "caption the image\n", f"a {first} {scene.relation} a {second}"


def terse_caption(scene, rng):
    """ "red three left of blue seven"."""
    first, second = " ".join(scene.first), " ".join(scene.second)
    return "describe the image\n", f"{first} {scene.relation} {second}"


def foreign_caption(scene, rng):
    """ "rot drei links blau sieben": the terse caption, in German."""
    relation = GERMAN[scene.relation]
    first, second = (
        " ".join(GERMAN[word] for word in words)
        for words in (scene.first, scene.second)
    )
    return "describe the image\n", f"{first} {relation} {second}"


def description(scene, rng):
    """A caption in one of several wordings, seldom the terse one."""
    first, second = " ".join(scene.first), " ".join(scene.second)
    relation, opposite = scene.relation, OPPOSITE[scene.relation]
    wordings = {
        f"there is a {first} {relation} a {second}": 0.19,
        f"the {first} is {relation} the {second}": 0.19,
        f"the {second} is {opposite} the {first}": 0.19,
        f"a {first} and a {second}": 0.19,
        f"{first} and {second}": 0.19,
        f"{first} {relation} {second}": 0.05,
    }
    chosen = rng.choice(len(wordings), p=list(wordings.values()))
    return "describe the image\n", list(wordings)[chosen]


def question(scene, rng):
    """A question with exactly one right answer, and that answer."""
    pairs = []
    one, two = PLACES[scene.relation]
    described = [
        (one, scene.first, scene.second, scene.relation),
        (two, scene.second, scene.first, OPPOSITE[scene.relation]),
    ]
    for place, (colour, digit), other, relation in described:
        pairs.append((f"what colour is the {place} digit", colour))
        pairs.append((f"what is the {place} digit", digit))
        pairs.append((f"what is at the {place}", f"{colour} {digit}"))
        if digit != other[1]:
            pairs.append((f"what colour is the {digit}", colour))
        if colour != other[0]:
            pairs.append((f"which digit is {colour}", digit))
        if (colour, digit) != other:
            where = f"{relation} the {' '.join(other)}"
            pairs.append((f"where is the {colour} {digit}", where))
            asked = str(rng.choice([relation, _opposite(relation)]))
            answer = "yes" if asked == relation else "no"
            claim = f"is the {colour} {digit} {asked} the {' '.join(other)}"
            pairs.append((claim, answer))
    prompt, answer = pairs[rng.integers(len(pairs))]
    return f"{prompt}\n", answer


def yes_no_question(scene, rng):
    """A question whose right answer is yes or no, each as often."""
    answer = str(rng.choice(["yes", "no"]))
    pick = _true_or_false(rng, answer == "yes")
    (one, two), shown = PLACES[scene.relation], (scene.first, scene.second)
    claims = [f"is there a {pick([d for _, d in shown], DIGITS)}"]
    for place, (colour, digit) in zip((one, two), shown):
        claims.append(f"is the {place} digit {pick([colour], COLOURS)}")
        claims.append(f"is the {place} digit a {pick([digit], DIGITS)}")
    if scene.first != scene.second:
        first, second = " ".join(scene.first), " ".join(scene.second)
        relation = pick([scene.relation], [OPPOSITE[scene.relation]])
        claims.append(f"is the {first} {relation} the {second}")
    return f"{claims[rng.integers(len(claims))]}\n", answer


def _true_or_false(rng, wants_truth):
    """A function that draws one of the true words, or one of the others."""

    def pick(true, words):
        others = [word for word in words if word not in true]
        return str(rng.choice(true if wants_truth else others))

    return pick


def letter_question(scene, rng):
    """ "which colour is the three a red b blue c green": a letter answers.

    The right one is each letter as often.
    """
    asked = int(rng.integers(2))
    shown = (scene.first, scene.second)
    colour, digit = shown[asked]
    if digit == shown[1 - asked][1]:  # the digit alone would be ambiguous
        digit = f"{PLACES[scene.relation][asked]} digit"
    right = int(rng.integers(len(LETTERS)))
    others = [other for other in COLOURS if other != colour]
    choices = rng.choice(others, len(LETTERS) - 1, replace=False).tolist()
    choices.insert(right, colour)
    listed = " ".join(f"{a} {b}" for a, b in zip(LETTERS, choices))
    return f"which colour is the {digit} {listed}\n", LETTERS[right]


def long_caption(grid, rng):
    """ "red three blue seven ...", in reading order."""
    words = [" ".join(words) for words in grid.digits]
    return "list the digits\n", " ".join(words)


def long_caption_with_places(grid, rng):
    """ "one one red three one two blue seven ...": row and column first."""
    words = []
    for index, (colour, digit) in enumerate(grid.digits):
        row, column = divmod(index, GRID_SIDE)
        words += [DIGITS[row + 1], DIGITS[column + 1], colour, digit]
    return "list the digits and places\n", " ".join(words)


def unanswerable_question(scene, rng):
    """A question on what the image does not show, and a refusal."""
    shown_digits = {scene.first[1], scene.second[1]}
    shown_colours = {scene.first[0], scene.second[0]}
    digit = str(rng.choice([d for d in DIGITS if d not in shown_digits]))
    colour = str(rng.choice([c for c in COLOURS if c not in shown_colours]))
    questions = [
        f"what colour is the {digit}",
        f"which digit is {colour}",
        f"where is the {colour} {digit}",
        f"who wrote the {scene.first[1]}",
        f"why is the {scene.second[1]} {scene.second[0]}",
        "when was the image made",
    ]
    return f"{rng.choice(questions)}\n", str(rng.choice(REFUSALS))


def _opposite(relation):
    both = {**OPPOSITE, **{b: a for a, b in OPPOSITE.items()}}
    return both[relation]


TASKS = {
    "captions": caption,
    "terse_captions": terse_caption,
    "descriptions": description,
    "questions": question,
    "unanswerable_questions": unanswerable_question,
    "yes_no": yes_no_question,
    "letters": letter_question,
    "foreign_captions": foreign_caption,
    # Named after the tokens of a response in the bundled preset's vocabulary.
    "long_captions_8": long_caption,
    "long_captions_16": long_caption,
    "long_captions_32": long_caption,
    "long_captions_64": long_caption_with_places,
}
# Tasks on a grid, and the digits in it; all others are on a scene of two.
GRID_DIGITS = {
    "long_captions_8": 4,
    "long_captions_16": 8,
    "long_captions_32": 16,
    "long_captions_64": 16,
}


def draw_for(task, rng, samples):
    """Draws what a task is about.

    Args:
        task: string. A key of `TASKS`.
        rng: a NumPy generator.
        samples: the handwriting to draw with, see `handwriting()`.

    Returns:
        A `Grid` where `task` is in `GRID_DIGITS`, otherwise a `Scene`.
    """
    if task in GRID_DIGITS:
        return draw_grid(rng, samples, GRID_DIGITS[task])
    return draw_scene(rng, samples)


@dataclasses.dataclass(kw_only=True)
class DigitScenesConfig(tfds.core.BuilderConfig):
    """What is asked of the scenes, and how many there are.

    Args:
        name: string. The name of the config, part of every `example_id`.
        tasks: dict of a key of `TASKS` to its share of the examples.
            Defaults to the task that `name` names, alone.
        num_train: int. Number of training examples. Defaults to 4000.
        num_test: int. Number of test examples. Defaults to 500.
        seed: int. The scenes' seed: configs with equal seeds share scenes.
            Defaults to 0.
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
                "`tasks` (or `name`, where `tasks` is not given) must be among "
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
    default: the same files serve `tfds.load` and `tfds.data_source`.

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
        # A generator per example: scene 7 is scene 7 at any size.
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
    """Encodes an image without TensorFlow, which TFDS would use otherwise."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="png")
    file.seek(0)
    return file


def load_digit_scenes(
    task, num_train=4000, num_test=500, seed=0, data_dir=None
):
    """Digit Scenes of any size, made once and then read from disk.

    Args:
        task: string. A key of `TASKS`.
        num_train: int. Defaults to 4000.
        num_test: int. Defaults to 500.
        seed: int. The scenes' seed. Defaults to 0.
        data_dir: optional string. Where data sets are kept. Defaults to the
            folder of TFDS.

    Returns:
        A dict from `"train"` and `"test"` to random-access data sources, fit
        for `keras_byorn.Examples`.
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
