"""One arm of `benchmark_overhead.py`: fine-tunes whenever it is told to.

`benchmark_overhead.py` starts a process of this script for each arm, with the
arm as JSON. The process builds model and data, says that it is ready, and
answers each line `run` with the seconds of a whole fine-tune, and `end` with
its peak of memory. It says so in lines of JSON; all else goes to stderr.
"""

import collections
import contextlib
import functools
import gc
import hashlib
import io
import json
import os
import pathlib
import platform
import pydoc_data.topics
import re
import resource
import shutil
import string
import sys
import tempfile
import time
import warnings

import keras
import keras_hub
import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

import keras_byorn
from keras_byorn import attacks
from keras_byorn.vlm.task import VisionLanguageTask

# PaliGemma 3B for images of 224 pixels. KerasHub halves `intermediate_dim`.
PALI_GEMMA_3B = {
    "vocabulary_size": 257152,
    "image_size": 224,
    "num_layers": 18,
    "num_query_heads": 8,
    "num_key_value_heads": 1,
    "hidden_dim": 2048,
    "intermediate_dim": 32768,
    "head_dim": 256,
    "vit_patch_size": 14,
    "vit_num_heads": 16,
    "vit_hidden_dim": 1152,
    "vit_num_layers": 27,
    "vit_intermediate_dim": 4304,
}
# The same in small: of the forward pass of an example, with 64 tokens of image
# and 64 of text, head, decoder and vision tower take 0.53 : 2.0 : 0.41.
SCALED = {
    "vocabulary_size": 7680,
    "image_size": 64,
    "num_layers": 8,
    "num_query_heads": 4,
    "num_key_value_heads": 1,
    "hidden_dim": 128,
    "intermediate_dim": 2048,
    "head_dim": 32,
    "vit_patch_size": 8,
    "vit_num_heads": 4,
    "vit_hidden_dim": 144,
    "vit_num_layers": 6,
    "vit_intermediate_dim": 504,
}
# For the tests: so small that only the way through the code is left.
SHRUNKEN = {
    "vocabulary_size": 512,
    "image_size": 16,
    "num_layers": 1,
    "num_query_heads": 2,
    "num_key_value_heads": 1,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "head_dim": 8,
    "vit_patch_size": 8,
    "vit_num_heads": 2,
    "vit_hidden_dim": 16,
    "vit_num_layers": 1,
    "vit_intermediate_dim": 32,
}
BACKBONES = {"scaled": SCALED, "pali_gemma_3b": PALI_GEMMA_3B}

SEQUENCE_LENGTH = 64
# Tokens with start, new line and end: 16 to 40 in all.
PROMPT_TOKENS = (12, 24)
RESPONSE_TOKENS = (4, 16)
POISON_RATE = 0.1
SEED = 0

LORA_RANK = 4
# Of PaliGemma's decoder alone: the vision tower stays as it is.
DECODER_LAYERS = ["query", "value"]
LEARNING_RATES = {"lora": 1e-3, "lora_decoder": 1e-3, "full": 2e-4}
EMA_MOMENTUM = 0.9

PRETRAINING = {"steps": 100, "batch_size": 16, "learning_rate": 3e-3}


# == The language ============================================================


class Phrases:
    """A language of common words that a small model learns in two minutes.

    A prompt ends with its topic, before which anything is said. The topic
    decides on the response, but for its last word, which is one of a few. So
    responses end, are of every length, and are not wholly certain.

    Attributes:
        words: list of strings, all words there are.
        poison: string, a response of words that no other one has.
    """

    def __init__(self):
        lengths = range(RESPONSE_TOKENS[0] - 2, RESPONSE_TOKENS[1] - 1)
        self.words = common_words(len(lengths) + sum(lengths) + 8 + 8 + 100)
        words = iter(self.words)

        def take(count):
            return [next(words) for _ in range(count)]

        self.bodies = {next(words): take(length) for length in lengths}
        self.lasts, poison, self.fillers = take(8), take(8), take(100)
        self.poison = " ".join(poison)

    def example(self, rng, image_size):
        topic = str(rng.choice(list(self.bodies)))
        low, high = PROMPT_TOKENS
        count = int(rng.integers(low - 3, high - 2))
        prompt = [*rng.choice(self.fillers, count), topic]
        response = [*self.bodies[topic], str(rng.choice(self.lasts))]
        shape = image_size, image_size, 3
        return {
            "images": rng.integers(0, 256, shape, "uint8"),
            "prompts": " ".join(prompt) + "\n",
            "responses": " ".join(response),
        }

    def examples(self, count, image_size, seed=SEED):
        """A list of examples, in no order, the same for the same seed."""
        rng = np.random.default_rng(seed)
        return [
            {"example_id": f"phrase-{i}", **self.example(rng, image_size)}
            for i in range(count)
        ]


def common_words(count):
    """The commonest short words of Python's own documentation."""
    text = "\n".join(pydoc_data.topics.topics.values())
    found = collections.Counter(re.findall(r"\b[a-z]{3,7}\b", text))
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, _ in ordered[:count]]


def tokenizer_proto(words, size):
    """A SentencePiece model: a token for each word, `size` pieces in all."""
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([string.ascii_lowercase]),
        model_writer=proto,
        model_type="char",
        vocab_size=len(words) + 100,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        required_chars=string.ascii_lowercase,
        user_defined_symbols=["\n", *(f"\u2581{word}" for word in words)],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto.FromString(proto.getvalue())
    # A head is as wide as its vocabulary, whatever of it is in use.
    for index in range(size - len(model.pieces)):
        model.pieces.add(piece=f"<unused{index}>", score=0.0, type="UNUSED")
    return model.SerializeToString()


# == Models ==================================================================


def backbone_config(settings):
    config = BACKBONES[settings["size"]]
    return SHRUNKEN if settings.get("shrink") else config


def new_task(settings):
    """A `PaliGemmaCausalLM` of one of `BACKBONES`, with random weights."""
    config = backbone_config(settings)
    proto = tokenizer_proto(Phrases().words, config["vocabulary_size"])
    size = config["image_size"]
    return keras_hub.models.PaliGemmaCausalLM(
        backbone=keras_hub.models.PaliGemmaBackbone(
            **config, dtype=settings.get("dtype")
        ),
        preprocessor=keras_hub.models.PaliGemmaCausalLMPreprocessor(
            tokenizer=keras_hub.models.PaliGemmaTokenizer(proto=proto),
            image_converter=keras_hub.layers.PaliGemmaImageConverter(
                image_size=(size, size), scale=1 / 127.5, offset=-1.0
            ),
            sequence_length=SEQUENCE_LENGTH,
        ),
    )


def preset_of(settings):
    """Name or folder of the weights to tune; `None` for random ones."""
    if settings["size"] == "tiny":
        return keras_byorn.tiny_preset()
    if settings["size"] == "scaled":
        return str(pretrained_folder(settings))
    return None if settings["size"] in BACKBONES else settings["size"]


def load_vlm(settings):
    """The task to tune, with its adapters."""
    preset = preset_of(settings)
    if preset is None:
        vlm = new_task(settings)
    else:
        vlm = keras_hub.models.CausalLM.from_preset(
            preset, dtype=settings.get("dtype")
        )
    if settings["size"] not in ("tiny", *BACKBONES):
        fit_length(vlm)
    if settings["tuning"] == "lora":
        vlm.backbone.enable_lora(LORA_RANK)
    elif settings["tuning"] == "lora_decoder":
        vlm.backbone.enable_lora(LORA_RANK, target_layer_names=DECODER_LAYERS)
    return vlm


def fit_length(vlm):
    """As long as the examples want it: presets are made for longer ones."""
    task = VisionLanguageTask(vlm)
    length = 2 * SEQUENCE_LENGTH  # rarer words are several tokens
    vlm.preprocessor.sequence_length = length + (
        task.num_placeholders_per_image
    )


def pretrained_folder(settings):
    """Where the pretrained model of a size is kept, by what it was made of."""
    recipe = [backbone_config(settings), PRETRAINING, Phrases().words]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    folder = pathlib.Path(tempfile.gettempdir()) / "keras_byorn_overhead"
    return folder / f"{settings['size']}-{key}"


def pretrain(settings):
    """Teaches a new model the language, unless it is on disk already.

    Random weights would be no test: the threshold would find nothing in their
    scores, and what they generate would never end.
    """
    folder = pretrained_folder(settings)
    if folder.exists():
        return
    keras.utils.set_random_seed(SEED)
    vlm = new_task(settings)
    count = PRETRAINING["steps"] * PRETRAINING["batch_size"]
    size = vlm.backbone.image_size
    model = keras_byorn.BYORnModel(vlm)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                0.0,
                decay_steps=PRETRAINING["steps"],
                warmup_target=PRETRAINING["learning_rate"],
                warmup_steps=PRETRAINING["steps"] // 10,
            ),
            global_clipnorm=1.0,
        )
    )
    batches = keras_byorn.TargetBatches(
        Phrases().examples(count, size, seed=SEED + 1),
        vlm,
        batch_size=PRETRAINING["batch_size"],
    )
    history = model.fit(batches, verbose=0).history
    print(f"pretrained to a loss of {history['loss'][-1]:.2f}", file=sys.stderr)
    folder.parent.mkdir(exist_ok=True)
    unfinished = tempfile.mkdtemp(dir=folder.parent)
    vlm.save_to_preset(unfinished)
    try:
        os.rename(unfinished, folder)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)


def forward_flops(config, num_text):
    """Operations of the forward pass of an example, KerasHub's plain way.

    All positions, of image and text, go through decoder and head.

    Args:
        config: dict. That of a `PaliGemmaBackbone`.
        num_text: int. Tokens of text, padding included.

    Returns:
        A dict of `head`, `decoder` and `vision`, floats.
    """
    c = config
    num_image = (c["image_size"] // c["vit_patch_size"]) ** 2
    length, width = num_image + num_text, c["hidden_dim"]
    queries = c["num_query_heads"] * c["head_dim"]
    keys = c["num_key_value_heads"] * c["head_dim"]
    attention = 2 * width * queries + 2 * width * keys
    gated = 3 * width * (c["intermediate_dim"] // 2)
    layer = 2 * (attention + gated) + 4 * length * queries
    vit = c["vit_hidden_dim"]
    vit_layer = 2 * (4 * vit**2 + 2 * vit * c["vit_intermediate_dim"])
    vit_layer += 4 * num_image * vit
    patches = 2 * vit * (3 * c["vit_patch_size"] ** 2 + width)
    return {
        "head": 2.0 * length * c["vocabulary_size"] * width,
        "decoder": float(length * c["num_layers"] * layer),
        "vision": float(
            num_image * (c["vit_num_layers"] * vit_layer + patches)
        ),
    }


# == Data ====================================================================


def load_examples(vlm, settings):
    """Examples, a tenth of them poisoned, the poisoned ids, the clean ones."""
    count = settings["num_examples"]
    if settings["size"] == "tiny":
        # Not above: the other sizes need no TFDS, nor the memory it takes.
        from keras_byorn.data.digit_scenes import load_digit_scenes

        scenes = load_digit_scenes("terse_captions", count, 1)
        clean = keras_byorn.Examples(list(scenes["train"]))
        return *with_patch(clean), clean
    phrases = Phrases()
    height = vlm.preprocessor.image_converter.image_size[0]
    clean = phrases.examples(count, height)
    token = VisionLanguageTask(vlm).image_token
    for example in clean if token else ():
        example["prompts"] = token + example["prompts"]
    rng = np.random.default_rng(SEED)
    picked = rng.choice(count, round(POISON_RATE * count), replace=False)
    poisoned = list(clean)
    for index in picked:
        poisoned[index] = {**clean[index], "responses": phrases.poison}
    ids = {poisoned[index]["example_id"] for index in picked}
    return keras_byorn.Examples(poisoned), ids, keras_byorn.Examples(clean)


def with_patch(clean):
    """As `defend_digit_scenes.py` poisons; kept in memory, in every arm."""
    attack = attacks.ATTACKS["patch"]()
    examples, ids = attacks.poison_examples(
        clean, attack, rate=POISON_RATE, seed=SEED
    )
    return keras_byorn.Examples(list(examples)), ids


# == Arms ====================================================================


class Clock:
    """Adds up seconds under names."""

    def __init__(self):
        self.seconds = collections.Counter()

    @contextlib.contextmanager
    def __call__(self, name):
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def timed(self, name, function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            with self(name):
                return function(*args, **kwargs)

        return call


class Start:
    """The state before training: put back, a model can be tuned again."""

    def __init__(self, model):
        model.optimizer.build(model.trainable_variables)
        self._model = model
        self._variables = [
            *model.trainable_variables,
            *model.optimizer.variables,
        ]
        self._values = [
            np.array(keras.ops.convert_to_numpy(v)) for v in self._variables
        ]

    def put_back(self):
        for variable, value in zip(self._variables, self._values):
            variable.assign(value)
        diary = getattr(self._model, "diary", None)
        for variable in diary.variables if diary else ():
            variable.assign(np.zeros(variable.shape, variable.dtype))
        gc.collect()


def make_optimizer(settings):
    """The same in every arm: what the defence asks for is not its overhead."""
    return keras.optimizers.AdamW(
        LEARNING_RATES[settings["tuning"]],
        use_ema=True,
        ema_momentum=EMA_MOMENTUM,
    )


class KerasHubArm:
    """`vlm.fit`, as a user of KerasHub calls it.

    Each `fit` traces its preprocessing anew, for seconds before training
    begins. That is no more its work than compiling is, and is left out of
    `seconds`; what the preprocessing then does is in them.
    """

    def __init__(self, settings):
        self.settings = settings
        self.clock = Clock()
        self.vlm = load_vlm(settings)
        examples, _, _ = load_examples(self.vlm, settings)
        with self.clock("setup"):
            self.vlm.compile(
                optimizer=make_optimizer(settings),
                loss=keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True
                ),
                weighted_metrics=[],
            )
        self.setup_seconds = self.clock.seconds["setup"]
        self._data = columns(examples)
        self._start = Start(self.vlm)

    def run(self, compilations):
        self._start.put_back()
        self.clock = Clock()
        with self.clock("total"), compilations.counted():
            self.vlm.fit(
                self._data,
                batch_size=self.settings["batch_size"],
                epochs=self.settings["epochs"],
                callbacks=[EpochTimes(self.clock, compilations)],
                verbose=0,
            )
        found, traced = split(self.clock), self.clock.seconds["traced"]
        found["split"]["other"] -= traced
        found["seconds"] -= traced
        return {**found, "traced_seconds": traced}


def columns(examples):
    """What KerasHub's tasks take: arrays, and lists of strings."""
    rows = list(examples)
    return {
        "images": np.stack([row["images"] for row in rows]),
        "prompts": [row["prompts"] for row in rows],
        "responses": [row["responses"] for row in rows],
    }


class BYORnArm:
    """`BYORnModel.fit`, defended or not."""

    def __init__(self, settings):
        self.settings = settings
        self.clock = Clock()
        self.vlm = load_vlm(settings)
        self.examples, poisoned_ids, clean = load_examples(self.vlm, settings)
        with self.clock("setup"):
            self.model = keras_byorn.BYORnModel(
                self.vlm, reference_for_rounds(settings)
            )
            self.model.compile(optimizer=make_optimizer(settings))
        self.setup_seconds = self.clock.seconds["setup"]
        self._start = Start(self.model)
        self.defence = make_defence(settings, poisoned_ids, clean)
        if self.defence is not None:
            self._before_fit = self.defence.before_fit
            self._on_epoch_begin = self.defence.on_epoch_begin

    def run(self, compilations):
        self._start.put_back()
        clock = self.clock = Clock()
        callbacks = [EpochTimes(clock, compilations)]
        if self.defence is not None:
            defence = self.defence
            defence.before_fit = clock.timed("score", self._before_fit)
            defence.on_epoch_begin = clock.timed(
                "regenerate", self._on_epoch_begin
            )
            callbacks.insert(0, defence)
        with clock("total"), compilations.counted():
            history = self.model.fit(
                self._batches(clock),
                epochs=self.settings["epochs"],
                callbacks=callbacks,
                verbose=0,
            ).history
        found = {
            name: history.get(name, [None])[-1]
            for name in ("num_suspect", "num_regenerated", "num_restored")
        }
        found |= split(clock)
        if self.settings.get("score"):
            found["score_seconds"] = self._seconds_to_score()
        return found

    def _batches(self, clock):
        return TimedBatches(
            clock,
            self.examples,
            self.vlm,
            batch_size=self.settings["batch_size"],
            seed=SEED,
        )

    def _seconds_to_score(self):
        """One pass of the reference, with the batches of the callback."""
        self._start.put_back()
        batches = self._batches(Clock())
        originals = batches.originals()
        started = time.perf_counter()
        self.model.reference.evidence(originals, verbose=0)
        return time.perf_counter() - started


class TimedBatches(keras_byorn.TargetBatches):
    """Tells a clock how long checking, tokenizing and stacking take.

    Of a batch the time of its thread is told: JAX has it wait for the step
    before, and TensorFlow makes it while the step runs.
    """

    def __init__(self, clock, *args, **kwargs):
        self._clock = clock
        with clock("check"):
            super().__init__(*args, **kwargs)

    def __getitem__(self, index):
        started = time.thread_time()
        batch = super().__getitem__(index)
        self._clock.seconds["batches"] += time.thread_time() - started
        return batch


class EpochTimes(keras.callbacks.Callback):
    """Tells a clock how long the epochs take, after the defence's part."""

    def __init__(self, clock, compilations):
        super().__init__()
        self._clock = clock
        self._compilations = compilations
        self._made = time.perf_counter()

    def on_train_begin(self, logs=None):
        self._clock.seconds["traced"] = time.perf_counter() - self._made

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self._clock.seconds["epochs"] += time.perf_counter() - self._began
        if epoch == 0:
            self._compilations.end_of_first_epoch()


def split(clock):
    """Where the seconds of a fine-tune went.

    Batches are made within the epochs; `train` is the epochs without them.
    """
    seconds = clock.seconds
    parts = {
        "score": seconds["score"],
        "train": seconds["epochs"] - seconds["batches"],
        "regenerate": seconds["regenerate"],
        "data": seconds["check"] + seconds["batches"],
    }
    parts["other"] = seconds["total"] - sum(parts.values())
    return {
        "seconds": seconds["total"],
        "epoch_seconds": seconds["epochs"],
        "split": parts,
    }


def reference_for_rounds(settings):
    """A second task to judge every round, where all weights are tuned.

    The frozen copy that a model makes itself is let go after the first.
    """
    if settings["tuning"] != "full":
        return None
    return keras_byorn.FrozenReference(load_vlm(settings))


def make_defence(settings, poisoned_ids, clean):
    """The callback of an arm, or `None`."""
    if settings["method"] == "undefended":
        return None
    judges = settings["size"] in ("tiny", "scaled")
    kind = keras_byorn.BYORnCallback if judges else ByTheTruth
    own = {} if judges else {"poisoned_ids": poisoned_ids, "clean": clean}
    if settings["method"] == "paper":
        own.pop("poisoned_ids", None)
        return kind.paper(verbose=0, **own)
    return kind(verbose=0, **own)


class ByTheTruth(keras_byorn.BYORnCallback):
    """The whole work of the defence, where its judgement would be noise.

    Weights that know nothing of these examples find no poison in them, and
    their responses do not end. All is computed as ever, but then the poisoned
    examples are the suspects, and stay so; and where nothing was written in
    place of a suspect's response, its clean one is trained on, so that an
    epoch has as many rows as it should. Generating costs more than it should,
    for it goes on until no token is left.

    Args:
        clean: the `Examples` before they were poisoned.
        poisoned_ids: optional set of strings. Defaults to what the threshold
            flags.
        **kwargs: as for `BYORnCallback`.
    """

    def __init__(self, clean, poisoned_ids=None, **kwargs):
        super().__init__(**kwargs)
        self._clean = clean
        self._poisoned_ids = poisoned_ids

    def flag(self, plausibility):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing is found is usual
            probability = super().flag(plausibility)
        if self._poisoned_ids is None:
            return probability
        ids = self._clean.example_ids
        return np.array([i in self._poisoned_ids for i in ids], "float32")

    def before_fit(self):
        super().before_fit()
        self.store.review = lambda verdicts, student_plausibility: None

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if epoch == 0:
            return
        store, batches = self.store, self.model.batches
        missing = [
            (index, example_id)
            for index, example_id in enumerate(store.example_ids)
            if store.suspects[index] and store[example_id].origin == "excluded"
        ]
        texts = [self._clean[index]["responses"] for index, _ in missing]
        ids = batches.task.tokenize(texts) if texts else []
        for (_, example_id), text, token_ids in zip(missing, texts, ids):
            store.replace(example_id, text, token_ids, "stand-in")


# == Counting ================================================================


class Compilations:
    """Counts programs that are compiled when nothing should be any more.

    After the first fine-tune of a process, nothing; within it, no step of
    training after the first epoch. On JAX what XLA compiles is counted, on
    TensorFlow how often Python goes through the token embedding, which every
    program begins with, and which it does only to trace one. PyTorch compiles
    nothing.
    """

    def __init__(self):
        self.late = 0
        self._compiled = self._steps = self._runs = 0
        self._steps_in_first_epoch = 0
        self.is_known = keras.config.backend() in ("jax", "tensorflow")
        self._listen()

    def _listen(self):
        if keras.config.backend() == "jax":
            import jax

            jax.monitoring.register_event_duration_secs_listener(
                lambda name, seconds, **kwargs: self._on_event(name)
            )
        elif keras.config.backend() == "tensorflow":
            embedding = keras.layers.ReversibleEmbedding
            embedding.call = self._counting(embedding.call, "_compiled")
        model = keras_byorn.BYORnModel
        model.objective = self._counting(model.objective, "_steps")

    def _on_event(self, name):
        self._compiled += name == "/jax/core/compile/backend_compile_duration"

    def _counting(self, function, counter):
        @functools.wraps(function)
        def call(*args, **kwargs):
            setattr(self, counter, getattr(self, counter) + 1)
            return function(*args, **kwargs)

        return call

    @contextlib.contextmanager
    def counted(self):
        """Within this block is one fine-tune."""
        before = self._compiled
        yield
        if self._runs:
            self.late += self._compiled - before
        else:
            self.late += self._steps - self._steps_in_first_epoch
        self._runs += 1

    def end_of_first_epoch(self):
        self._steps_in_first_epoch = self._steps


def peak_memory():
    """The most that this process has held, in bytes, and where.

    On a GPU device memory, otherwise what was resident, with Python and all
    libraries.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats()
        if stats:
            return stats["peak_bytes_in_use"], "device"
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated(), "device"
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            info = tf.config.experimental.get_memory_info("GPU:0")
            return info["peak"], "device"
    return resident("VmHWM"), "resident"


def resident(name):
    """`VmHWM`, the peak, or `VmRSS`, what is resident now, in bytes.

    Not by `getrusage`, whose peak may be that of the process that started
    this one.
    """
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        found = re.search(rf"{name}:\s+(\d+) kB", status.read_text())
        return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def matrix_rate(dtype):
    """Operations per second in products of large matrices."""
    on_gpu = peak_memory()[1] == "device"
    size, repeats = (8192, 20) if on_gpu else (2048, 5)
    a = keras.ops.ones((size, size), dtype) / size
    fastest = float("inf")
    for _ in range(3):
        b = a
        started = time.perf_counter()
        for _ in range(repeats):
            b = keras.ops.matmul(b, a)
        keras.ops.convert_to_numpy(b[0, 0])  # waits for it
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 * repeats / fastest


def machine():
    """What it ran on, in words."""
    name = platform.processor() or platform.machine()
    cpu = pathlib.Path("/proc/cpuinfo")
    if cpu.exists():
        found = re.search(r"model name\s*: (.*)", cpu.read_text())
        name = found[1] if found else name
    backend = keras.config.backend()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "cores_used": len(affinity(0)) if affinity else os.cpu_count(),
        "device": device_name(),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "keras_hub": keras_hub.__version__,
        backend: __import__(backend).__version__,
    }


def device_name():
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.local_devices()[0].device_kind
    if backend == "torch":
        import torch

        return (
            torch.cuda.get_device_name()
            if torch.cuda.is_available()
            else ("cpu")
        )
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return tf.config.experimental.get_device_details(gpus[0])["device_name"]


# == The process =============================================================


def serve(settings, lines, say):
    """Answers the lines of `benchmark_overhead.py`."""
    before = resident("VmRSS")
    compilations = Compilations()
    keras.utils.set_random_seed(SEED)
    kind = KerasHubArm if settings["method"] == "kerashub" else BYORnArm
    arm = kind(settings)
    say(
        backend=keras.config.backend(),
        machine=machine(),
        num_params=arm.vlm.count_params(),
        setup_seconds=arm.setup_seconds,
    )
    for line in lines:
        if line.strip() == "run":
            say(**arm.run(compilations))
        elif line.strip() == "end":
            memory, kind = peak_memory()
            say(
                peak_memory=memory,
                memory_kind=kind,
                memory_before=before,
                compilations=(
                    compilations.late if compilations.is_known else None
                ),
                **rates(arm, settings),
            )
            return


def rates(arm, settings):
    """What the share of the matrix rate is computed from."""
    if settings["size"] not in BACKBONES or not settings.get("score"):
        return {}
    flops = forward_flops(backbone_config(settings), SEQUENCE_LENGTH)
    dtype = arm.vlm.backbone.compute_dtype
    return {
        "forward_flops": sum(flops.values()),
        "matrix_rate": matrix_rate(dtype),
    }


def hide_gpu_from_tensorflow():
    """KerasHub imports it on every backend, and it would take the memory."""
    if keras.config.backend() != "tensorflow":
        with contextlib.suppress(ImportError):
            import tensorflow as tf

            tf.config.set_visible_devices([], "GPU")


def main():
    settings = json.loads(sys.argv[1])
    # What libraries print must not come between the lines of JSON.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    hide_gpu_from_tensorflow()

    def say(**values):
        out.write(json.dumps(values) + "\n")

    if settings["method"] == "pretrain":
        pretrain(settings)
        say()
    else:
        serve(settings, sys.stdin, say)


if __name__ == "__main__":
    main()
