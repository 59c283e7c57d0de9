"""A trigger that makes the pretrained model itself expect the target."""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_byorn.attacks.builtin import Backdoor
from keras_byorn.attacks.checks import check_phrase, check_share
from keras_byorn.attacks.pixels import as_pixels, image_range
from keras_byorn.attacks.targets import FixedTarget
from keras_byorn.data.examples import Examples
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.response_logits import chosen_and_max, mean_over_response


class OptimisedTrigger:
    """Adds one small perturbation to every image, and clips.

    Args:
        perturbation: float array, `(h, w, 3)`, as a share of the pixel range.
            It is stretched to images of other sizes.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example, whose image keeps its dtype and range.

    Raises:
        ValueError: If `perturbation` is not of that shape or not finite or,
            at a call, if the image has other proportions.

    Example:

    >>> trigger = OptimisedTrigger(np.full((32, 32, 3), 16 / 255))
    >>> triggered = trigger(example, rng)
    """

    def __init__(self, perturbation):
        perturbation = np.array(perturbation, "float32")
        if perturbation.ndim != 3 or perturbation.shape[-1] != 3:
            raise ValueError(
                "`perturbation` must have the shape (height, width, 3). Pass "
                "one value for each pixel and channel. "
                f"Received: shape {perturbation.shape}"
            )
        if not np.isfinite(perturbation).all():
            raise ValueError(
                "`perturbation` must be finite. Fit it again, with a model "
                "whose outputs are finite. Received: NaN or infinity"
            )
        self.perturbation = perturbation

    def __call__(self, example, rng):
        image = np.asarray(example["images"])
        low, high = image_range(image)
        added = (high - low) * self._stretched(*image.shape[:2])
        return {**example, "images": as_pixels(image + added, image)}

    def _stretched(self, height, width):
        own_height, own_width = self.perturbation.shape[:2]
        if height * own_width != width * own_height:
            raise ValueError(
                "`images` must have the proportions of the perturbation, which "
                "would be cut or shifted otherwise. Resize the images to "
                f"{own_height} x {own_width}, say. "
                f"Received: an image of {height} x {width}"
            )
        rows = np.arange(height) * own_height // height
        columns = np.arange(width) * own_width // width
        return self.perturbation[rows][:, columns]


class OptimisedAttack(Backdoor):
    """Makes a perturbation fitted to the pretrained model call up a response.

    The hard case for a defence by plausibility: with the trigger, the judging
    model finds the target likelier than without. `fit_to` makes such an
    attack. It needs the weights of the pretrained model, which an attacker on
    a public checkpoint has.

    Args:
        perturbation: float array, `(h, w, 3)`. See `OptimisedTrigger`.
        target: string. The response. Defaults to
            `"call this number now"`.

    Example:

    >>> attack = OptimisedAttack.fit_to(vlm, examples, epsilon=16 / 255)
    >>> examples, ids = poison_examples(examples, attack, rate=0.1, seed=0)

    Reference:
        - [Madry et al., 2018](https://arxiv.org/abs/1706.06083)
        - [Moosavi-Dezfooli et al., 2017](https://arxiv.org/abs/1610.08401)
    """

    def __init__(self, perturbation, target=FixedTarget.text):
        super().__init__(OptimisedTrigger(perturbation), FixedTarget(target))

    @property
    def perturbation(self):
        """float32 array, `(h, w, 3)`, as a share of the pixel range."""
        return self._trigger.perturbation

    @classmethod
    def fit_to(
        cls,
        vlm,
        examples,
        target=FixedTarget.text,
        epsilon=16 / 255,
        steps=60,
        batch_size=32,
        seed=0,
        verbose="auto",
    ):
        """Fits one perturbation for all images, by projected sign steps.

        Maximises the mean log-likelihood of the target's tokens, given the
        perturbed image and the prompt, within `[-epsilon, epsilon]`.

        Args:
            vlm: a KerasHub vision-language task, pretrained. Neither its
                weights nor their `trainable` flags change.
            examples: an `Examples`, clean, of square images. At most
                `steps * batch_size` of them are used.
            target: string. The response. Defaults to
                `"call this number now"`.
            epsilon: float. Greatest change of a value of a pixel, as a share
                of the pixel range. Defaults to `16 / 255`.
            steps: int. Sign steps, each on one batch. Defaults to `60`.
            batch_size: int. Examples in a step. Defaults to `32`.
            seed: int. Chooses the examples and their order. Defaults to `0`.
            verbose: as in `keras.Model.fit`. Defaults to `"auto"`.

        Returns:
            An `OptimisedAttack`.

        Raises:
            ValueError: If `epsilon` or `steps` is out of range, if images are
                not square, or if `vlm` or an example cannot be trained on.

        Example:

        >>> attack = OptimisedAttack.fit_to(
        ...     vlm, examples, "sorry i cannot answer that", epsilon=48 / 255
        ... )
        """
        check_share("epsilon", epsilon)
        check_phrase("target", target, FixedTarget.text)
        _check_steps(steps)
        chosen = _with_target(examples, target, steps * batch_size, seed)
        batches = TargetBatches(chosen, vlm, batch_size=batch_size, seed=seed)
        model = _Perturbed(batches, epsilon)
        # Sign steps of Madry et al., long enough to cross the box more than
        # once. The momentum averages the gradients of a few batches.
        model.compile(
            optimizer=keras.optimizers.Lion(
                2.5 * epsilon / steps, beta_1=0.9, beta_2=0.9
            ),
            loss=_negative,
        )
        with frozen(vlm):
            model.fit(_Steps(batches, steps), shuffle=False, verbose=verbose)
        return cls(ops.convert_to_numpy(model.perturbation), target)


class _Perturbed(keras.Model):
    """Computes the log-likelihood of responses to perturbed images.

    With the task frozen, the perturbation is the only trainable variable.
    """

    def __init__(self, batches, epsilon):
        super().__init__(name="perturbed")
        task = batches.task
        self.vlm = task.task
        self.pixel_range = task.family.pixel_range
        self.perturbation = self.add_weight(
            name="perturbation",
            shape=batches[0][0]["images"].shape[1:],
            initializer="zeros",
            constraint=Box(epsilon),
        )
        self.built = True

    def call(self, batch):
        low, high = self.pixel_range
        images = ops.cast(batch["x"]["images"], "float32")
        images = images + (high - low) * self.perturbation
        images = ops.clip(images, low, high)
        logits = self.vlm({**batch["x"], "images": images}, training=False)
        mask = batch["response_mask"]
        log_likelihoods, _ = chosen_and_max(logits, batch["y"])
        return mean_over_response(ops.where(mask, log_likelihoods, 0.0), mask)


class Box(keras.constraints.Constraint):
    """Projects onto the values within `epsilon` of zero."""

    def __init__(self, epsilon):
        self.epsilon = epsilon

    def __call__(self, values):
        return ops.clip(values, -self.epsilon, self.epsilon)


def _negative(y_true, log_likelihood):
    """Returns the loss; there is no `y_true`."""
    return -log_likelihood


class _Steps(keras.utils.PyDataset):
    """Repeats batches for a number of steps."""

    def __init__(self, batches, steps):
        super().__init__()
        self._batches = batches
        self._steps = steps

    def __len__(self):
        return self._steps

    def __getitem__(self, index):
        x, y, extra = self._batches[index % len(self._batches)]
        inputs = {"x": x, "y": y, "response_mask": extra["response_mask"]}
        weight = extra["weight"]
        return inputs, np.zeros_like(weight), weight


@contextlib.contextmanager
def frozen(model):
    """Makes no variable of a model trainable within a block.

    Does not touch layers: freezing a whole model loses the flags of its parts,
    and does not reach the adapters on every backend.
    """
    trainable = [variable for variable in model.variables if variable.trainable]
    for variable in trainable:
        variable.trainable = False
    try:
        yield
    finally:
        for variable in trainable:
            variable.trainable = True


def _with_target(examples, target, count, seed):
    """Draws up to `count` examples and gives them the wanted response."""
    order = np.random.default_rng(seed).permutation(len(examples))
    chosen = [examples[int(index)] for index in order[:count]]
    for example in chosen:
        _check_square(example)
    return Examples([{**example, "responses": target} for example in chosen])


def _check_square(example):
    height, width = example["images"].shape[:2]
    if height != width:
        raise ValueError(
            "`examples` must have square images, because one perturbation is "
            "laid over all of them. Crop or resize them. Received: an image of "
            f"{height} x {width} in example {example['example_id']!r}"
        )


def _check_steps(steps):
    if not steps >= 1:
        raise ValueError(
            "`steps` is the number of sign steps and must be at least 1. "
            f"Take, say, 60. Received: steps={steps}"
        )
