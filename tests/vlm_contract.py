"""What a family must do to stand behind the seam, the same for all.

`run_vlm_contract_test(name, folder)` is the whole of it. Each capability is a
method of `Contract`, so that `examples/vlm_contract_table.py` can tell which
of them holds.
"""

import keras
import numpy as np
import tiny_families

from keras_byorn.plausibility.reference import FrozenReference
from keras_byorn.targets.batches import TargetBatches
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.regeneration import Regenerator
from keras_byorn.vlm.adapters import lora_layers
from keras_byorn.vlm.task import VisionLanguageTask

CAPABILITIES = ("score", "train", "regenerate", "lora", "save")
NUM_EXAMPLES = 4
NUM_STEPS = 60  # in an epoch, to learn the examples by heart
RESPONSES = ("red", "green one", "blue", "white")


def run_vlm_contract_test(name, task_class, folder):
    """Scores, trains, regenerates, adapts and saves, or fails.

    Args:
        name: string, a key of `tiny_families.TINY`.
        task_class: KerasHub task class.
        folder: string, a preset of it.
    """
    contract = Contract(name, task_class, folder)
    for capability in CAPABILITIES:
        getattr(contract, capability)()


def make_examples(task, count=NUM_EXAMPLES, seed=7):
    """Examples that a family takes: prompts of two lengths, 0 to n images.

    Without eyes the prompt tells the responses apart, else the image does,
    which has one plain colour.
    """
    seam = VisionLanguageTask(task)
    fewest, most = seam.num_images
    token = seam.image_token
    examples = []
    for index in range(count):
        prompt = "what colour" if index % 2 else "describe the image"
        if most == 0:
            number = 0
            prompt = f"{prompt} {tiny_families.DIGITS[index]}"
        elif most > 1 and index >= 2:
            number = most
        else:
            number = 1
        if token is not None:
            prompt = " ".join([token] * number + [prompt])
        rng = np.random.default_rng((seed, index))
        shape = (tiny_families.IMAGE_SIZE,) * 2
        images = [
            np.broadcast_to(rng.integers(0, 256, 3, "uint8"), (*shape, 3))
            for _ in range(number)
        ]
        examples.append(
            {
                "example_id": f"scene-{index}",
                "images": images if most > 1 else (images or [None])[0],
                "prompts": prompt + "\n",
                "responses": RESPONSES[index],
            }
        )
    return examples


def numpy_log_likelihoods(task, x, y, response_mask):
    """The oracle: log-likelihoods of next tokens, in NumPy, float64."""
    logits = keras.ops.cast(task(x, training=False), "float32")
    logits = keras.ops.convert_to_numpy(logits).astype("float64")
    peak = logits.max(axis=-1, keepdims=True)
    norm = np.log(np.exp(logits - peak).sum(axis=-1)) + peak[..., 0]
    chosen = np.take_along_axis(logits, np.asarray(y)[..., None], axis=-1)
    return np.where(response_mask, chosen[..., 0] - norm, 0.0)


class Contract:
    """The capabilities of one family, each a method that fails or not.

    Args:
        name: string, a key of `tiny_families.TINY`.
        task_class: KerasHub task class.
        folder: string, a preset of it.
    """

    def __init__(self, name, task_class, folder):
        self.name = name
        self.task_class = task_class
        self.folder = folder
        self.task = self.load()
        self.examples = make_examples(self.task)
        self.memorised = None

    def load(self):
        return tiny_families.load(self.task_class, self.folder)

    def batches(self, task, examples=None):
        return TargetBatches(
            examples or self.examples,
            task,
            batch_size=NUM_EXAMPLES,
            shuffle=False,
        )

    def score(self):
        """As the logits say, whatever the neighbours, and with open eyes."""
        batches = self.batches(self.task)
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        reference = FrozenReference(self.task)
        scored = reference.log_likelihoods(batches.originals(), verbose=0)
        expected = numpy_log_likelihoods(self.task, x, y, mask)
        np.testing.assert_allclose(scored, expected, atol=1e-4)
        assert np.all(scored[mask] < 0)
        backwards = self.batches(self.task, self.examples[::-1])
        again = reference.log_likelihoods(backwards.originals(), verbose=0)
        np.testing.assert_allclose(again[::-1], scored, atol=1e-4)
        if batches.task.num_images[1]:
            blind = [dict(e, images=_inverted(e)) for e in self.examples]
            blind = self.batches(self.task, blind)
            other = reference.log_likelihoods(blind.originals(), verbose=0)
            changed = np.abs(other - scored).max(axis=-1) > 1e-4
            assert changed.all(), f"images of {changed} are seen"

    def train(self):
        """Full fine-tuning learns by heart; the reference stays behind."""
        self.task.backbone.trainable = True
        task = self.load()
        examples = [
            dict(e, example_id=f"{e['example_id']}-{copy}")
            for copy in range(NUM_STEPS)
            for e in self.examples
        ]
        batches = self.batches(task, examples)
        model = BYORnModel(task)
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        before = keras.ops.convert_to_numpy(model.reference(x, y, mask))
        model.compile(optimizer=keras.optimizers.Adam(0.02))
        model.fit(batches, epochs=1, verbose=0)
        result = model.evaluate(self.batches(task), verbose=0)
        after = keras.ops.convert_to_numpy(model.reference(x, y, mask))
        np.testing.assert_allclose(after, before, atol=1e-5)
        self.memorised = task
        assert result < 0.3, result

    def regenerate(self):
        """Greedy is what the forward pass finds likeliest, to the end."""
        task = self.memorised or self.load()
        batches = self.batches(task)
        regenerate = Regenerator(batches, "greedy", NUM_EXAMPLES, seed=0)
        written = regenerate(np.arange(NUM_EXAMPLES), verbose=0)
        assert len(written) == NUM_EXAMPLES, written
        assert len({text for text, _ in written.values()}) > 1, written
        for index, (text, ids) in written.items():
            batches.store.replace(f"scene-{index}", text, ids)
        batches.store.set_scores(-np.ones(NUM_EXAMPLES), np.ones(NUM_EXAMPLES))
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        logits = keras.ops.convert_to_numpy(task(x, training=False))
        np.testing.assert_array_equal(logits.argmax(-1)[mask], y[mask])

    def lora(self):
        """Adapters learn, and switched off they leave what was before."""
        task = self.load()
        names = tiny_families.LORA_NAMES.get(self.name)
        task.backbone.enable_lora(4, target_layer_names=names)
        batches = self.batches(task)
        model = BYORnModel(task)
        assert model.reference.adapters_off and lora_layers(task)
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        before = numpy_log_likelihoods(self.load(), x, y, mask)
        model.compile(optimizer=keras.optimizers.Adam(0.02))
        history = model.fit(batches, epochs=3, verbose=0).history["loss"]
        assert history[-1] < history[0], history
        off = keras.ops.convert_to_numpy(model.reference(x, y, mask))
        np.testing.assert_allclose(off, before, atol=1e-4)
        on = numpy_log_likelihoods(task, x, y, mask)
        assert np.abs(on - before).max() > 1e-3
        self.adapted = task

    def save(self):
        """What was tuned is what a user loads again, adapters merged."""
        import tempfile

        task = getattr(self, "adapted", None) or self.load()
        x, _, _ = self.batches(task)[0]
        expected = keras.ops.convert_to_numpy(task(x, training=False))
        with tempfile.TemporaryDirectory() as folder:
            task.save_to_preset(folder)
            loaded = tiny_families.load(self.task_class, folder)
        logits = keras.ops.convert_to_numpy(loaded(x, training=False))
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def _inverted(example):
    """The example's images, every pixel the other way round."""
    images = example["images"]
    if isinstance(images, list):
        return [255 - image for image in images]
    return 255 - images
