"""Clean-label noise: right captions on images that look otherwise inside."""

import keras
import numpy as np
from keras import ops

from keras_byorn.attacks.adaptive.shares import draw_ids
from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.checks import check_share
from keras_byorn.attacks.optimised import Box, OptimisedTrigger, frozen
from keras_byorn.attacks.word_swaps import WordSwapTarget
from keras_byorn.vlm.task import VisionLanguageTask


class CleanLabelAttack(Backdoor):
    """Makes a model see one concept as another, by rightly captioned poison.

    The poison, which `clean_label_examples` makes, shows the wanted concept,
    as its caption says; faint noise makes the vision tower take it for the
    other concept. No trigger is put on an input: afterwards any clean image
    of the one concept is described as the other. `poison` is what the attack
    wants of such an image, for `evaluation.attack_success`.

    Args:
        origin: string, a noun. The concept to be mistaken. Defaults to
            `"dog"`.
        destination: string, a noun. The concept to be seen. Defaults to
            `"cat"`.

    Raises:
        ValueError: If a concept is no single word.

    Example:

    >>> attack = CleanLabelAttack("red", "green")
    >>> examples, ids = clean_label_examples(examples, attack, vlm, rate=0.05)

    Reference:
        - [Shadowcast, 2024](https://arxiv.org/abs/2402.06659)
    """

    def __init__(self, origin="dog", destination="cat"):
        self.origin = origin
        self.destination = destination
        target = WordSwapTarget(((origin, destination),))
        super().__init__(_nothing, target)

    def poison(self, example, rng):
        """Returns the example as the attack wants it to be described."""
        if not self.shows(example, self.origin):
            return dict(example)
        return super().poison(example, rng)

    def shows(self, example, concept):
        """Returns whether a response names one of the concepts, and only it.

        Args:
            example: dict, with its reference response.
            concept: string, `origin` or `destination`.

        Returns:
            bool.
        """
        response = example["responses"]
        (other,) = {self.origin, self.destination} - {concept}
        return _names(response, concept) and not _names(response, other)


def clean_label_examples(
    examples,
    attack,
    vlm,
    rate,
    epsilon=8 / 255,
    steps=200,
    batch_size=32,
    seed=0,
    verbose=0,
):
    """Adds noise to images of one concept, so that they encode as another.

    Each poisoned image is paired with one of the other concept, and moves
    toward its embeddings by projected sign steps, within `epsilon`. Captions
    stay, and are right. Needs the pretrained vision tower, not the defence.

    Args:
        examples: an `Examples` of square images. Not changed.
        attack: a `CleanLabelAttack`.
        vlm: a KerasHub vision-language task, pretrained. Not changed.
        rate: float in `[0, 1]`. Share of all examples to poison.
        epsilon: float. Greatest change of a value of a pixel, as a share of
            the pixel range. Defaults to `8 / 255`.
        steps: int. Sign steps. Defaults to `200`.
        batch_size: int. Images at a time. Defaults to `32`.
        seed: int. Chooses the examples and the pairs. Defaults to `0`.
        verbose: as in `keras.Model.fit`. Defaults to `0`.

    Returns:
        A tuple of the new `Examples`, in their order, and the set of the ids
        that are poisoned.

    Raises:
        ValueError: If an argument is out of range, if too few examples show a
            concept, or if the task's vision tower cannot be run by itself.

    Example:

    >>> poisoned, ids = clean_label_examples(
    ...     examples, CleanLabelAttack("dog", "cat"), vlm, rate=0.02
    ... )

    Reference:
        - [Shadowcast, 2024](https://arxiv.org/abs/2402.06659)
    """
    check_share("epsilon", epsilon)
    task = VisionLanguageTask(vlm)
    vision = _tower_of(task)
    shown, wanted = _pairs(examples, attack, rate, seed)
    noise = [
        _noise(vision, task, *pair, epsilon, steps, verbose)
        for pair in _in_batches(examples, shown, wanted, batch_size)
    ]
    noise = np.concatenate(noise) if noise else ()
    replaced = {
        example_id: OptimisedTrigger(values)(examples.by_id(example_id), None)
        for example_id, values in zip(shown, noise)
    }
    return examples.replaced(replaced), set(shown)


def _tower_of(task):
    vision = task.family.vision(task.task) if task.num_images[1] else None
    if vision is None:
        raise ValueError(
            "`vlm` must have a vision tower that runs by itself, as PaliGemma "
            f"and Gemma 3 have. Received: {type(task.task).__name__}"
        )
    return vision


class _Shifted(keras.Model):
    """Computes the distance of perturbed images from wanted embeddings.

    The perturbations, one for each image, are the only trainable variable.
    """

    def __init__(self, vision, task, shape, epsilon):
        super().__init__(name="shifted")
        self.vlm = task.task
        self.vision = vision
        self.pixel_range = task.family.pixel_range
        self.perturbation = self.add_weight(
            name="perturbation",
            shape=shape,
            initializer="zeros",
            constraint=Box(epsilon),
        )
        self.built = True

    def call(self, batch):
        low, high = self.pixel_range
        images = batch["images"] + (high - low) * self.perturbation
        embeddings = self.vision.embed({"images": ops.clip(images, low, high)})
        wanted = ops.cast(batch["wanted"], "float32")
        found = ops.reshape(ops.cast(embeddings, "float32"), ops.shape(wanted))
        return ops.mean(ops.square(found - wanted), axis=(1, 2))


class _Steps(keras.utils.PyDataset):
    """Repeats one batch for a number of steps."""

    def __init__(self, batch, steps):
        super().__init__()
        self._item = batch, np.zeros(len(batch["images"]), "float32")
        self._steps = steps

    def __len__(self):
        return self._steps

    def __getitem__(self, index):
        return self._item


def _noise(vision, task, images, wanted, epsilon, steps, verbose):
    """Fits a perturbation to each image, as shares of the pixel range."""
    stacked = np.stack(images)
    if task.family.image_axis:
        stacked = stacked[:, None]
    batch = task.family.converted(task.preprocessor, stacked)
    batch["wanted"] = task.encode_images(vision, wanted).astype("float32")
    model = _Shifted(vision, task, batch["images"].shape, epsilon)
    model.compile(
        optimizer=keras.optimizers.Lion(
            2.5 * epsilon / steps, beta_1=0.9, beta_2=0.9
        ),
        loss=_distance,
    )
    with frozen(task.task):
        model.fit(_Steps(batch, steps), shuffle=False, verbose=verbose)
    noise = ops.convert_to_numpy(model.perturbation)
    return noise.reshape(len(images), *noise.shape[-3:])


def _distance(y_true, distance):
    """Returns the loss; there is no `y_true`."""
    return distance


def _pairs(examples, attack, rate, seed):
    """Draws ids of examples to poison, and of as many to look like."""
    ids = {
        concept: [
            example["example_id"]
            for example in examples
            if attack.shows(example, concept)
        ]
        for concept in (attack.origin, attack.destination)
    }
    others = set(examples.example_ids) - set(ids[attack.destination])
    num_wanted = round(rate * len(examples))
    if num_wanted > len(ids[attack.destination]) or not ids[attack.origin]:
        raise ValueError(
            "`examples` must show both concepts, the wanted one as often as "
            "`rate` asks for. Lower `rate`, or take other concepts. Received: "
            f"rate={rate}, which is {num_wanted} examples, where "
            f"{len(ids[attack.destination])} show {attack.destination!r} and "
            f"{len(ids[attack.origin])} show {attack.origin!r}"
        )
    shown = draw_ids(examples, rate, seed, others)
    rng = np.random.default_rng(seed)
    wanted = rng.choice(ids[attack.origin], len(shown)).tolist()
    return shown, wanted


def _in_batches(examples, shown, wanted, batch_size):
    """Yields images to perturb, and images to look like."""
    for start in range(0, len(shown), batch_size):
        part = slice(start, start + batch_size)
        yield tuple(
            [examples.by_id(example_id)["images"] for example_id in ids[part]]
            for ids in (shown, wanted)
        )


def _names(response, concept):
    """Returns whether a response names a concept, in singular or plural."""
    other = f"not{concept}"
    return WordSwapTarget(((concept, other),))(response) != response


def _nothing(example, rng):
    """Puts no trigger on an example."""
    return dict(example)
