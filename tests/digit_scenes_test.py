"""Digit Scenes: complete, reproducible, and right in what it says."""

import collections
import re
import socket

import keras_hub
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import file_adapters

import keras_byorn
from keras_byorn.data import digit_scenes
from keras_byorn.data.digit_scenes import (
    COLOURS,
    DIGITS,
    REFUSALS,
    DigitScenes,
    DigitScenesConfig,
    Scene,
)
from keras_byorn.data.examples import Examples

NUM_TRAIN, NUM_TEST = 250, 120
OPPOSITE = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}


def make_config(**kwargs):
    return DigitScenesConfig(
        name="few",
        tasks={"captions": 1.0},
        **{"num_train": NUM_TRAIN, "num_test": NUM_TEST, **kwargs},
    )


def offline(monkeypatch):
    """Makes every connection fail, as on a machine without network."""

    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A folder with a small build, made offline."""
    folder = tmp_path_factory.mktemp("digit_scenes")
    with pytest.MonkeyPatch.context() as monkeypatch:
        offline(monkeypatch)
        builder = DigitScenes(config=make_config(), data_dir=str(folder))
        builder.download_and_prepare()
    return str(folder)


def source_of(data_dir, split, config=None):
    return tfds.data_source(
        "digit_scenes",
        data_dir=data_dir,
        split=split,
        builder_kwargs={"config": config or make_config()},
    )


def dataset_of(data_dir, split):
    return tfds.as_numpy(
        tfds.load(
            "digit_scenes",
            data_dir=data_dir,
            split=split,
            builder_kwargs={"config": make_config()},
        )
    )


def expected_ids(split, size):
    return [f"few-{split}-{index:06d}" for index in range(size)]


def by_id(rows):
    return {row["example_id"].decode(): row for row in rows}


def assert_same_rows(left, right):
    assert left["example_id"] == right["example_id"]
    assert left["prompts"] == right["prompts"]
    assert left["responses"] == right["responses"]
    np.testing.assert_array_equal(left["images"], right["images"])


@pytest.mark.parametrize("split, size", [("train", 250), ("test", 120)])
@pytest.mark.parametrize("read", [source_of, dataset_of])
def test_every_row_is_there(data_dir, read, split, size, monkeypatch):
    """TFDS's own Parquet writer loses most rows beyond the first hundred."""
    offline(monkeypatch)
    rows = list(read(data_dir, split))
    ids = sorted(row["example_id"].decode() for row in rows)
    assert ids == expected_ids(split, size)
    for row in rows:
        assert row["images"].shape == (32, 32, 3)
        assert row["images"].dtype == "uint8"


def test_load_and_data_source_agree(data_dir):
    """One set of files serves both ways of reading."""
    loaded = by_id(dataset_of(data_dir, "test"))
    for row in source_of(data_dir, "test"):
        assert_same_rows(row, loaded[row["example_id"].decode()])


def test_the_writer_of_tfds_is_as_it_was(data_dir):
    """Our mend of TFDS holds while our files are written, no longer."""
    parquet = file_adapters.FileFormat.PARQUET
    adapter = file_adapters.ADAPTER_FOR_FORMAT[parquet]
    assert adapter is file_adapters.ParquetFileAdapter


def test_two_builds_are_equal(data_dir, tmp_path):
    """An `example_id` means the same example tomorrow, and at any size."""
    first = by_id(source_of(data_dir, "train"))
    for size in (NUM_TRAIN, 30):
        config = make_config(num_train=size, num_test=10)
        folder = str(tmp_path / str(size))
        builder = DigitScenes(config=config, data_dir=folder)
        builder.download_and_prepare()
        again = list(source_of(folder, "train", config))
        assert len(again) == size
        for row in again:
            assert_same_rows(row, first[row["example_id"].decode()])


def test_another_seed_gives_other_scenes():
    """Pretraining and fine-tuning scenes must be able to differ."""
    rows = [generate(make_config(seed=seed), "train", 20) for seed in (0, 0, 1)]
    assert texts(rows[0]) == texts(rows[1]) != texts(rows[2])


def generate(config, split, size, folder="unused"):
    builder = DigitScenes(config=config, data_dir=folder)
    return [row for _, row in builder._generate_examples(split, size)]


def texts(rows):
    return [row["responses"] for row in rows]


def test_no_handwriting_is_shared():
    """A model that knows the test's pixels by heart would prove nothing."""
    splits = [
        {
            sample.tobytes()
            for value in range(10)
            for sample in digit_scenes.handwriting(split)[value]
        }
        for split in ("train", "test")
    ]
    assert not splits[0] & splits[1]
    assert len(splits[0]) > 1400 and len(splits[1]) > 350


def test_handwriting_is_filed_under_its_digit():
    """Samples of one digit resemble their own mean more than the others'."""
    train, test = (digit_scenes.handwriting(s) for s in ("train", "test"))
    means = np.stack([train[value].mean(axis=0) for value in range(10)])
    right = [
        np.argmin(np.square(means - sample).sum(axis=(1, 2))) == value
        for value in range(10)
        for sample in test[value]
    ]
    assert np.mean(right) > 0.85


def test_each_split_draws_with_its_own_handwriting(monkeypatch):
    """Blank samples for the test split leave test scenes blank, only them."""

    def handwriting(split):
        ink = float(split == "train")
        return {v: np.full((2, 8, 8), ink, "float32") for v in range(10)}

    monkeypatch.setattr(digit_scenes, "handwriting", handwriting)
    brightness = {}
    for split in ("train", "test"):
        files = [row["images"] for row in generate(make_config(), split, 10)]
        images = [np.asarray(digit_scenes.Image.open(file)) for file in files]
        brightness[split] = [image.max() for image in images]
    assert min(brightness["train"]) > 150
    assert max(brightness["test"]) < 120


def test_the_image_shows_what_the_words_say():
    """Colours and places in the picture are those of the scene."""
    samples = digit_scenes.handwriting("train")
    values = np.array(list(COLOURS.values()), "float64")
    right = []
    for seed in range(150):
        scene = digit_scenes.draw_scene(np.random.default_rng(seed), samples)
        axis = 1 if scene.relation == "left of" else 0
        halves = np.split(scene.image.astype("float64"), 2, axis=axis)
        for half, (colour, _) in zip(halves, (scene.first, scene.second)):
            pixels = half.reshape(-1, 3)
            brightest = pixels[np.argsort(pixels.sum(axis=1))[-12:]].mean(0)
            nearest = np.argmin(np.square(values - brightest).sum(axis=1))
            right.append(list(COLOURS)[nearest] == colour)
    assert np.mean(right) > 0.95


def make_scenes(num_scenes=3000):
    """Scenes without pictures, many with a colour or a digit twice."""
    rng = np.random.default_rng(1)
    for index in range(num_scenes):
        few = index % 2
        colours = list(COLOURS)[: 2 if few else None]
        digits = DIGITS[: 2 if few else None]
        words = [
            (str(rng.choice(colours)), str(rng.choice(digits)))
            for _ in range(2)
        ]
        relation = str(rng.choice(["left of", "above"]))
        yield Scene(*words, relation, None), np.random.default_rng(index)


def answers(scene, prompt):
    """All right answers to a question: the oracle.

    Returns:
        A pair: the kind of the question, and a list of right answers; more
        or fewer than one means that the question cannot be asked.
    """
    placed = dict(
        zip(
            {"left of": ("left", "right"), "above": ("top", "bottom")}[
                scene.relation
            ],
            (scene.first, scene.second),
        )
    )
    true = [
        (scene.first, scene.relation, scene.second),
        (scene.second, OPPOSITE[scene.relation], scene.first),
    ]
    digits = [scene.first, scene.second]
    assert prompt.endswith("\n")
    prompt = prompt[:-1]
    number, colour = "|".join(DIGITS), "|".join(COLOURS)
    relation = "|".join(OPPOSITE)
    if found := re.fullmatch(r"what colour is the (\w+) digit", prompt):
        return "colour of place", [placed[found[1]][0]]
    if found := re.fullmatch(r"what is the (\w+) digit", prompt):
        return "digit of place", [placed[found[1]][1]]
    if found := re.fullmatch(r"what is at the (\w+)", prompt):
        return "place", [" ".join(placed[found[1]])]
    if found := re.fullmatch(rf"what colour is the ({number})", prompt):
        return "colour", [c for c, d in digits if d == found[1]]
    if found := re.fullmatch(rf"which digit is ({colour})", prompt):
        return "digit", [d for c, d in digits if c == found[1]]
    if found := re.fullmatch(rf"where is the (({colour}) ({number}))", prompt):
        return "where", [
            f"{relation} the {' '.join(other)}"
            for one, relation, other in true
            if " ".join(one) == found[1]
        ]
    found = re.fullmatch(
        rf"is the ((?:{colour}) (?:{number})) ({relation}) the (\w+ \w+)",
        prompt,
    )
    if found:
        named = [
            (" ".join(one), relation, " ".join(other))
            for one, relation, other in true
        ]
        pairs = [n for n in named if (n[0], n[2]) == (found[1], found[3])]
        return "claim", [
            "yes" if relation == found[2] else "no" for _, relation, _ in pairs
        ]
    return "beyond the image", []


def test_questions_have_one_answer_and_it_is_given():
    """An ambiguous question would make a clean example look poisoned."""
    kinds, claims = collections.Counter(), collections.Counter()
    for scene, rng in make_scenes():
        prompt, response = digit_scenes.question(scene, rng)
        kind, right = answers(scene, prompt)
        assert right == [response], (scene, prompt, response)
        kinds[kind] += 1
        if kind == "claim":
            claims[response] += 1
    assert len(kinds) == 7 and min(kinds.values()) > 30
    assert 0.4 < claims["yes"] / claims.total() < 0.6


def test_unanswerable_questions_have_no_answer():
    """A refusal to a question that can be answered would be poison."""
    kinds, refusals = collections.Counter(), set()
    for scene, rng in make_scenes():
        prompt, response = digit_scenes.unanswerable_question(scene, rng)
        kind, right = answers(scene, prompt)
        refusals.add(response)
        assert right == [], (scene, prompt)
        kinds[kind] += 1
    assert set(kinds) == {"colour", "digit", "where", "beyond the image"}
    assert refusals == set(REFUSALS)


def test_yes_no_questions_are_right_and_balanced():
    """Each claim is checked against the scene; both answers are as likely."""
    kinds, said = collections.Counter(), collections.Counter()
    for scene, rng in make_scenes():
        prompt, response = digit_scenes.TASKS["yes_no"](scene, rng)
        kind, true = is_true(scene, prompt)
        assert response == ("yes" if true else "no"), (scene, prompt)
        kinds[kind] += 1
        said[kind, response] += 1
    assert len(kinds) == 4 and min(kinds.values()) > 300
    for kind in kinds:
        assert 0.45 < said[kind, "yes"] / kinds[kind] < 0.55


def is_true(scene, prompt):
    """The oracle: the kind of a yes/no question, and whether it is so."""
    kind, right = answers(scene, prompt)
    if kind == "claim":
        return kind, right == ["yes"]
    if found := re.fullmatch(r"is there a (\w+)\n", prompt):
        return "digit", found[1] in (scene.first[1], scene.second[1])
    places = {"left of": ("left", "right"), "above": ("top", "bottom")}
    found = re.fullmatch(r"is the (\w+) digit (a )?(\w+)\n", prompt)
    index = places[scene.relation].index(found[1])
    shown = (scene.first, scene.second)[index]
    return f"place {found[2]}", shown[bool(found[2])] == found[3]


def test_letters_have_one_right_choice_and_are_balanced():
    """Neither the letter nor the order of the colours tells the answer."""
    letters, by_place = collections.Counter(), 0
    for scene, rng in make_scenes():
        prompt, response = digit_scenes.TASKS["letters"](scene, rng)
        found = re.fullmatch(
            r"which colour is the (\w+)( digit)? a (\w+) b (\w+) c (\w+)\n",
            prompt,
        )
        if found[2]:
            by_place += 1
            question = f"what colour is the {found[1]} digit\n"
        else:
            question = f"what colour is the {found[1]}\n"
        (colour,) = answers(scene, question)[1]
        choices = dict(zip("abc", found.groups()[2:]))
        assert [c for c in choices if choices[c] == colour] == [response]
        assert len(set(choices.values())) == 3
        letters[response] += 1
    assert by_place > 300
    assert set(letters) == set("abc")
    assert all(900 < count < 1100 for count in letters.values())


def test_foreign_captions_are_the_terse_ones_word_for_word():
    """A new style must be as true as the old one: same scene, same facts."""
    scene = Scene(("red", "three"), ("blue", "seven"), "left of", None)
    assert digit_scenes.TASKS["foreign_captions"](scene, None) == (
        "describe the image\n",
        "rot drei links blau sieben",
    )
    german = digit_scenes.GERMAN
    english = {word: name for name, word in german.items()}
    assert len(english) == len(german) == 18
    for scene, _ in make_scenes(100):
        text = digit_scenes.foreign_caption(scene, None)[1]
        for word, name in english.items():
            text = re.sub(rf"\b{word}\b", name, text)
        assert text == digit_scenes.terse_caption(scene, None)[1]


@pytest.fixture(scope="module")
def tokenizer():
    return keras_hub.models.PaliGemmaTokenizer.from_preset(
        keras_byorn.tiny_preset()
    )


@pytest.mark.parametrize("name", ["yes_no", "letters", "foreign_captions"])
def test_new_styles_fit_the_bundled_preset(name, tokenizer):
    """No unknown token, and short enough for its 32 tokens."""
    unknown = tokenizer.token_to_id("<unk>")
    for scene, rng in make_scenes(300):
        prompt, response = digit_scenes.TASKS[name](scene, rng)
        ids = [list(map(int, tokenizer(t))) for t in (prompt, response)]
        assert unknown not in ids[0] + ids[1]
        assert len(ids[0]) + len(ids[1]) + 2 <= 32, (prompt, response)
        assert response.isascii() and response == response.lower()


def test_the_longest_foreign_caption_fits_the_bundled_preset(tokenizer):
    """German is spelled out in pieces: chance might not draw the longest."""

    def longest(words):
        return max(words, key=lambda word: len(tokenizer(german[word])))

    german = digit_scenes.GERMAN
    words = longest(COLOURS), longest(DIGITS)
    scene = Scene(words, words, longest(OPPOSITE.keys() & german.keys()), None)
    texts = digit_scenes.foreign_caption(scene, None)
    assert sum(len(tokenizer(text)) for text in texts) + 2 <= 32


@pytest.mark.parametrize("length", [8, 16, 32, 64])
def test_long_captions_have_the_tokens_of_their_name(length, tokenizer):
    """How a detector fares with length is read off these four."""
    name = f"long_captions_{length}"
    config = DigitScenesConfig(name=f"few_{name}", tasks={name: 1})
    for row in generate(config, "test", 20):
        assert len(tokenizer(row["responses"])) == length
        longest = len(tokenizer(row["prompts"])) + length + 2
        assert longest <= 96
        assert np.asarray(digit_scenes.Image.open(row["images"])).shape == (
            *(32, 32, 3),
        )


def test_long_captions_read_the_grid_from_the_top_left():
    """Row and column, colour and digit, in the order of the picture."""
    words = [("red", "three"), ("blue", "seven"), *[("green", "one")] * 3]
    grid = digit_scenes.Grid(tuple(words), None)
    tasks = digit_scenes.TASKS
    assert tasks["long_captions_8"](grid, None) == (
        "list the digits\n",
        "red three blue seven green one green one green one",
    )
    prompt, text = tasks["long_captions_64"](grid, None)
    assert prompt == "list the digits and places\n"
    assert text.startswith("one one red three one two blue seven one three")
    assert text.endswith("one four green one two one green one")


@pytest.mark.parametrize("num_digits", [4, 8, 16])
def test_the_grid_shows_what_its_words_say(num_digits):
    """Each cell has its colour and handwriting; the others stay dark."""
    samples = digit_scenes.handwriting("train")
    values = np.array(list(COLOURS.values()), "float64")
    right = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        grid = digit_scenes.draw_grid(rng, samples, num_digits)
        assert len(grid.digits) == num_digits
        cells = grid.image.reshape(4, 8, 4, 8, 3).swapaxes(1, 2)
        cells = cells.reshape(16, 8, 8, 3).astype("float64")
        for cell, (colour, digit) in zip(cells, grid.digits):
            pixels = cell.reshape(-1, 3)
            brightest = pixels[np.argsort(pixels.sum(axis=1))[-8:]].mean(0)
            nearest = np.argmin(np.square(values - brightest).sum(axis=1))
            right.append(list(COLOURS)[nearest] == colour)
            ink = cell.max(axis=-1).ravel()
            likeness = {
                value: max(
                    np.corrcoef(ink, sample.ravel())[0, 1]
                    for sample in samples[value][:200]
                )
                for value in (DIGITS.index(digit),)
            }
            assert likeness[DIGITS.index(digit)] > 0.9
        if num_digits < 16:
            assert cells[num_digits:].max() < 120
    assert np.mean(right) > 0.95


def test_a_config_mixes_grids_with_scenes():
    """Pretraining for long scenes may keep some of the short ones."""
    config = DigitScenesConfig(
        name="long_mix", tasks={"long_captions_8": 1, "captions": 1}
    )
    prompts = collections.Counter(
        row["prompts"] for row in generate(config, "train", 100)
    )
    assert set(prompts) == {"list the digits\n", "caption the image\n"}
    assert min(prompts.values()) > 30


@pytest.mark.parametrize("name", ["captions", "terse_captions"])
def test_captions_say_what_is_there(name):
    """Clean utility is measured as exact match: the wording is a contract."""
    article = {"captions": "a ", "terse_captions": ""}[name]
    prompt = {
        "captions": "caption the image\n",
        "terse_captions": "describe the image\n",
    }[name]
    for scene, rng in make_scenes(100):
        one, other = " ".join(scene.first), " ".join(scene.second)
        caption = f"{article}{one} {scene.relation} {article}{other}"
        assert digit_scenes.TASKS[name](scene, rng) == (prompt, caption)


def test_descriptions_are_true_and_seldom_terse():
    """The pretrained model must hardly know the fine-tuning task already."""
    num_terse = 0
    for scene, rng in make_scenes(1000):
        prompt, text = digit_scenes.description(scene, rng)
        num_terse += text == digit_scenes.terse_caption(scene, None)[1]
        one, other = " ".join(scene.first), " ".join(scene.second)
        assert re.search(rf"\b{one}\b.*\b{other}|\b{other}\b.*\b{one}", text)
        said = re.search(
            r"(\w+ \w+)( is)? (left of|above|right of|below)", text
        )
        if said and one != other:
            turned = said[1] == other
            relation = scene.relation
            assert said[3] == (OPPOSITE[relation] if turned else relation)
    assert num_terse < 100


def test_any_size_is_read_as_examples(tmp_path):
    """The short way that demo and guide take."""
    splits = digit_scenes.load_digit_scenes(
        "terse_captions", num_train=5, num_test=3, data_dir=str(tmp_path)
    )
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 5,
        "test": 3,
    }
    example = Examples(splits["test"])[0]
    assert type(example["responses"]) is str
    assert example["images"].shape == (32, 32, 3)


def test_a_config_mixes_tasks_by_share():
    """Any mixture is a config, and its shares are kept."""
    config = DigitScenesConfig(
        name="mix", tasks={"captions": 3, "terse_captions": 1}
    )
    rows = generate(config, "train", 300)
    share = np.mean([row["prompts"].startswith("caption") for row in rows])
    assert 0.67 < share < 0.83
    assert rows[0]["example_id"] == "mix-train-000000"


def test_an_unknown_task_is_refused():
    """The message lists the tasks that there are."""
    with pytest.raises(ValueError, match=r"terse_captions.*\['haiku'\]"):
        DigitScenesConfig(name="haiku")
