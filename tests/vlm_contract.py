"""What a family must do to stand behind the seam, the same for all.

`run_vlm_contract_test(name, folder)` is the whole of it. Each capability is a
method of `Contract`, so that `examples/vlm_contract_table.py` can tell which
of them holds.
"""

import tempfile

import keras
import numpy as np
import tiny_families

from keras_byorn.detection.reference import FrozenReference
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.regeneration import Regenerator
from keras_byorn.vlm.adapters import lora_layers
from keras_byorn.vlm.task import VisionLanguageTask, logits_of

CAPABILITIES = ("score", "train", "regenerate", "lora", "save")
NUM_EXAMPLES = 4
NUM_STEPS = 30  # in an epoch, to learn the examples by heart
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


def numpy_log_likelihoods(logits, y, response_mask):
    """The oracle: log-likelihoods of next tokens, in NumPy, float64."""
    logits = np.asarray(logits, "float64")
    peak = logits.max(axis=-1, keepdims=True)
    norm = np.log(np.exp(logits - peak).sum(axis=-1)) + peak[..., 0]
    chosen = np.take_along_axis(logits, np.asarray(y)[..., None], axis=-1)
    return np.where(response_mask, chosen[..., 0] - norm, 0.0)


class Logits(keras.Model):
    """A task's logits by `predict`, which is compiled, in float32."""

    def __init__(self, task):
        super().__init__()
        self.task = task
        self.built = True

    def call(self, x):
        return keras.ops.cast(logits_of(self.task, x), "float32")


class Contract:
    """The capabilities of one family, each a method that fails or not.

    Compiling takes nearly all of the time: what is compiled is used again.

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
        self.tuned = None

    def load(self):
        return tiny_families.load(self.task_class, self.folder)

    def batches(self, task, examples=None):
        return TargetBatches(
            examples or self.examples,
            task,
            batch_size=NUM_EXAMPLES,
            shuffle=False,
        )

    def scored(self, reference, task):
        """Log-likelihoods of the examples under a reference, `(N, T)`."""
        originals = self.batches(task).originals()
        return reference.log_likelihoods(originals, verbose=0)

    def score(self):
        """As the logits say, whatever the neighbours, and with open eyes."""
        backwards, inverted = self.examples[::-1], _inverted(self.examples)
        examples = _numbered(self.examples + backwards + inverted)
        batches = self.batches(self.task, examples)
        reference = FrozenReference(self.task)
        scored = reference.log_likelihoods(batches.originals(), verbose=0)
        forwards, backwards, inverted = np.split(scored, 3)
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        logits = Logits(self.task).predict(x, verbose=0)
        expected = numpy_log_likelihoods(logits, y, mask)
        np.testing.assert_allclose(forwards, expected, atol=1e-4)
        assert np.all(forwards[mask] < 0)
        np.testing.assert_allclose(backwards[::-1], forwards, atol=1e-4)
        if batches.task.num_images[1]:
            seen = np.abs(inverted - forwards).max(axis=-1) > 1e-4
            assert seen.all(), f"whose images are seen: {seen}"

    def train(self):
        """Full fine-tuning learns by heart; the reference stays behind."""
        task = self.load()
        batches = self.batches(task, _numbered(self.examples * NUM_STEPS))
        model = BYORnModel(task)
        model.compile(optimizer=keras.optimizers.Adam(0.01))
        history = model.fit(batches, epochs=2, verbose=0).history["loss"]
        self.tuned = task
        assert history[1] < 0.5 * history[0], history
        untouched = self.scored(FrozenReference(self.load()), task)
        reference = self.scored(model.reference, task)
        np.testing.assert_allclose(reference, untouched, atol=1e-5)

    def regenerate(self):
        """Greedy is what the forward pass finds likeliest, to the end."""
        task = self.tuned or self.load()
        batches = self.batches(task)
        regenerate = Regenerator(batches, "greedy", NUM_EXAMPLES, seed=0)
        written = regenerate(np.arange(NUM_EXAMPLES), verbose=0)
        assert len(written) == NUM_EXAMPLES, written
        assert len({text for text, _ in written.values()}) > 1, written
        for index, (text, ids) in written.items():
            batches.store.replace(f"scene-{index}", text, ids)
        # Something has to stay: the first example does, and comes first.
        batches.store.set_scores(-np.ones(NUM_EXAMPLES), [0, 1, 1, 1])
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        mask[0] = False
        likeliest = Logits(task).predict(x, verbose=0).argmax(-1)
        np.testing.assert_array_equal(likeliest[mask], y[mask])

    def lora(self):
        """Adapters learn, and switched off they leave what was before."""
        task = self.load()
        names = tiny_families.LORA_NAMES.get(self.name)
        task.backbone.enable_lora(4, target_layer_names=names)
        model = BYORnModel(task)
        assert model.reference.adapters_off and lora_layers(task)
        model.compile(optimizer=keras.optimizers.Adam(0.02))
        batches = self.batches(task)
        history = model.fit(batches, epochs=3, verbose=0).history["loss"]
        assert history[-1] < history[0], history
        off = self.scored(model.reference, task)
        before = self.scored(FrozenReference(self.load()), task)
        np.testing.assert_allclose(off, before, atol=1e-5)

    def save(self):
        """What was tuned is what a user loads again, adapters merged."""
        task = self.tuned or self.load()
        names = tiny_families.LORA_NAMES.get(self.name)
        task.backbone.enable_lora(4, target_layer_names=names)
        rng = np.random.default_rng(0)
        for layer in lora_layers(task):
            factor = layer.lora_kernel_b
            factor.assign(rng.normal(0, 0.1, factor.shape))
        with tempfile.TemporaryDirectory() as folder:
            task.save_to_preset(folder)
            loaded = tiny_families.load(self.task_class, folder)
        texts = [example["prompts"] for example in self.examples]
        one, other = VisionLanguageTask(task), VisionLanguageTask(loaded)
        assert one.sequence_length == other.sequence_length
        for ids, again in zip(
            one.tokenize_prompts(texts), other.tokenize_prompts(texts)
        ):
            np.testing.assert_array_equal(ids, again)
        expected, found = _effective_weights(task), _effective_weights(loaded)
        assert len(expected) == len(found)
        for one, other in zip(expected, found):
            np.testing.assert_allclose(one, other, atol=1e-6)


def _effective_weights(task):
    """Weights of a backbone as its layers use them, adapters merged."""
    weights = []
    for layer in task.backbone._flatten_layers():
        names = ("kernel", "embeddings", "bias", "scale", "gamma")
        found = [getattr(layer, name, None) for name in names]
        weights += [
            keras.ops.convert_to_numpy(value)
            for value in found
            if value is not None and layer.weights
        ]
    return weights


def _numbered(examples):
    """The examples, some of them several times, with ids of their own."""
    return [
        dict(example, example_id=f"{index}")
        for index, example in enumerate(examples)
    ]


def _inverted(examples):
    """The examples with every pixel the other way round."""

    def invert(images):
        if isinstance(images, list):
            return [255 - image for image in images]
        return None if images is None else 255 - images

    return [dict(e, images=invert(e["images"])) for e in examples]
