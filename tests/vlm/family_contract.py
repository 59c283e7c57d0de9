"""Contract that every family fulfils, one for all.

`run_family_contract_test(name, task_class, folder)` runs all of it. Each
capability is a method of `Contract`, so that
`benchmarks/vlm_contract/vlm_contract_table.py` can list which of them hold.
"""

import tempfile

import keras
import numpy as np

from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.response_writer import ResponseWriter
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.adapters import lora_layers
from keras_byorn.vlm.keras_internals import flatten_layers
from keras_byorn.vlm.response_logits import logits_of
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models.pali_gemma import IMAGE_SIZE
from keras_byorn.vlm.tiny_models.presets import load_tiny_preset
from keras_byorn.vlm.tiny_models.tokenizers import DIGITS

CAPABILITIES = ("score", "train", "regenerate", "lora", "save")
NUM_EXAMPLES = 4
NUM_STEPS = 30  # in an epoch, to learn the examples by heart
RESPONSES = ("red", "green one", "blue", "white")

# Layers to name to `enable_lora`, where its defaults are not those wanted.
LORA_NAMES = {
    "Gemma 3n": ["q_proj", "v_proj"],  # the defaults match no layer
    # The defaults adapt the vision tower alone.
    "BLIP-2 Flan-T5": ["query_projector", "value_projector"],
}


def run_family_contract_test(name, task_class, folder):
    """Scores, trains, regenerates, adapts and saves, or fails.

    Args:
        name: string, a key of `TINY`.
        task_class: KerasHub task class.
        folder: string, a preset of it.
    """
    contract = Contract(name, task_class, folder)
    for capability in CAPABILITIES:
        getattr(contract, capability)()


def make_examples(vlm, count=NUM_EXAMPLES, seed=7):
    """Makes examples for a family: prompts of two lengths, 0 to M images.

    Without vision the responses follow from the prompts, else from the
    images, each of one plain colour.

    Args:
        vlm: a KerasHub task.
        count: int.
        seed: int, of the colours.

    Returns:
        A list of `count` dicts.
    """
    task = VisionLanguageTask(vlm)
    _, most = task.num_images
    token = task.image_token
    examples = []
    for index in range(count):
        prompt = "what colour" if index % 2 else "describe the image"
        if most == 0:
            number = 0
            prompt = f"{prompt} {DIGITS[index]}"
        elif most > 1 and index >= 2:
            number = most
        else:
            number = 1
        if token is not None:
            prompt = " ".join([token] * number + [prompt])
        rng = np.random.default_rng((seed, index))
        images = [
            np.broadcast_to(
                rng.integers(0, 256, 3, "uint8"), (IMAGE_SIZE, IMAGE_SIZE, 3)
            )
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


def prepare(vlm, examples, batch_size=NUM_EXAMPLES, **kwargs):
    """Prepares examples without a progress bar."""
    return PreparedExamples(
        examples, vlm, batch_size=batch_size, verbose=0, **kwargs
    )


def numpy_log_likelihoods(logits, y, response_mask):
    """Computes log-likelihoods of next tokens, in NumPy, float64."""
    logits = np.asarray(logits, "float64")
    peak = logits.max(axis=-1, keepdims=True)
    norm = np.log(np.exp(logits - peak).sum(axis=-1)) + peak[..., 0]
    chosen = np.take_along_axis(logits, np.asarray(y)[..., None], axis=-1)
    return np.where(response_mask, chosen[..., 0] - norm, 0.0)


class Logits(keras.Model):
    """A task's logits in float32, by `predict`, which is compiled."""

    def __init__(self, task):
        super().__init__()
        self.task = task
        self.built = True

    def call(self, x):
        return keras.ops.cast(logits_of(self.task, x), "float32")


class Contract:
    """Capabilities of one family, each a method that may fail.

    Compiling takes nearly all of the time, so that models are used again.

    Args:
        name: string, a key of `TINY`.
        task_class: KerasHub task class.
        folder: string, a preset of it.
    """

    def __init__(self, name, task_class, folder):
        self.name = name
        self.task_class = task_class
        self.folder = folder
        self.vlm = self.load()
        self.examples = make_examples(self.vlm)
        self.tuned = None

    def load(self):
        return load_tiny_preset(self.task_class, self.folder)

    def batches(self, vlm, examples=None):
        prepared = prepare(vlm, examples or self.examples)
        return TargetBatches(prepared, vlm, shuffle=False)

    def scored(self, reference, vlm):
        """Scores the examples by a reference, `(N, T)`."""
        batches = prepare(vlm, self.examples).scoring_batches()
        return reference.log_likelihoods(batches, verbose=0)

    def score(self):
        """Scores equal those of the logits, in any batch, and use images."""
        backwards, inverted = self.examples[::-1], _inverted(self.examples)
        examples = _numbered(self.examples + backwards + inverted)
        prepared = prepare(self.vlm, examples)
        reference = FrozenReference(self.vlm)
        batches = prepared.scoring_batches()
        scored = reference.log_likelihoods(batches, verbose=0)
        forwards, backwards, inverted = np.split(scored, 3)
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        logits = Logits(self.vlm).predict(x, verbose=0)
        expected = numpy_log_likelihoods(logits, y, mask)
        np.testing.assert_allclose(forwards, expected, atol=1e-4)
        assert np.all(forwards[mask] < 0)
        np.testing.assert_allclose(backwards[::-1], forwards, atol=1e-4)
        if prepared.task.num_images[1]:
            seen = np.abs(inverted - forwards).max(axis=-1) > 1e-4
            assert seen.all(), f"examples whose images matter: {seen}"

    def train(self):
        """Full fine-tuning learns by heart; the reference stays behind."""
        vlm = self.load()
        batches = self.batches(vlm, _numbered(self.examples * NUM_STEPS))
        model = BYORnModel(vlm)
        model.compile(optimizer=keras.optimizers.Adam(0.01))
        history = model.fit(batches, epochs=2, verbose=0).history["loss"]
        self.tuned = vlm
        assert history[1] < 0.5 * history[0], history
        untouched = self.scored(FrozenReference(self.load()), vlm)
        reference = self.scored(model.reference, vlm)
        np.testing.assert_allclose(reference, untouched, atol=1e-5)

    def regenerate(self):
        """Greedy tokens are the likeliest of the forward pass, to the end."""
        vlm = self.tuned or self.load()
        batches = self.batches(vlm)
        write = ResponseWriter(batches.prepared, "greedy", NUM_EXAMPLES)
        written = write(np.arange(NUM_EXAMPLES), verbose=0)
        assert len(written) == NUM_EXAMPLES, written
        assert len({text for text, _ in written.values()}) > 1, written
        for index, (text, ids) in written.items():
            batches.store.replace(f"scene-{index}", text, ids)
        # One example has to keep its response: the first, in the first row.
        batches.store.set_scores(-np.ones(NUM_EXAMPLES), [0, 1, 1, 1])
        x, y, extra = batches[0]
        mask = extra["response_mask"]
        mask[0] = False
        likeliest = Logits(vlm).predict(x, verbose=0).argmax(-1)
        np.testing.assert_array_equal(likeliest[mask], y[mask])

    def lora(self):
        """Adapters learn; switched off they leave the pretrained model."""
        vlm = self.load()
        names = LORA_NAMES.get(self.name)
        vlm.backbone.enable_lora(4, target_layer_names=names)
        model = BYORnModel(vlm)
        assert model.reference.adapters_off and lora_layers(vlm)
        model.compile(optimizer=keras.optimizers.Adam(0.02))
        batches = self.batches(vlm)
        history = model.fit(batches, epochs=3, verbose=0).history["loss"]
        assert history[-1] < history[0], history
        off = self.scored(model.reference, vlm)
        before = self.scored(FrozenReference(self.load()), vlm)
        np.testing.assert_allclose(off, before, atol=1e-5)

    def save(self):
        """A preset of a tuned task has its weights, adapters merged."""
        vlm = self.tuned or self.load()
        names = LORA_NAMES.get(self.name)
        vlm.backbone.enable_lora(4, target_layer_names=names)
        rng = np.random.default_rng(0)
        for layer in lora_layers(vlm):
            factor = layer.lora_kernel_b
            factor.assign(rng.normal(0, 0.1, factor.shape))
        with tempfile.TemporaryDirectory() as folder:
            vlm.save_to_preset(folder)
            loaded = load_tiny_preset(self.task_class, folder)
        texts = [example["prompts"] for example in self.examples]
        one, other = VisionLanguageTask(vlm), VisionLanguageTask(loaded)
        assert one.sequence_length == other.sequence_length
        for ids, again in zip(
            one.tokenize_prompts(texts), other.tokenize_prompts(texts)
        ):
            np.testing.assert_array_equal(ids, again)
        expected, found = _effective_weights(vlm), _effective_weights(loaded)
        assert len(expected) == len(found)
        for one, other in zip(expected, found):
            np.testing.assert_allclose(one, other, atol=1e-6)


def _effective_weights(vlm):
    """Lists a backbone's weights as its layers use them, adapters merged."""
    weights = []
    for layer in flatten_layers(vlm.backbone):
        names = ("kernel", "embeddings", "bias", "scale", "gamma")
        found = [getattr(layer, name, None) for name in names]
        weights += [
            keras.ops.convert_to_numpy(value)
            for value in found
            if value is not None and layer.weights
        ]
    return weights


def _numbered(examples):
    """Gives examples new ids, as some of them are repeated."""
    return [
        dict(example, example_id=f"{index}")
        for index, example in enumerate(examples)
    ]


def _inverted(examples):
    """Inverts every pixel of the examples."""

    def invert(images):
        if isinstance(images, list):
            return [255 - image for image in images]
        return None if images is None else 255 - images

    return [dict(e, images=invert(e["images"])) for e in examples]
