# ruff: noqa: E402
"""
Title: Fine-tune a vision-language model on data you do not trust
Author: the keras_byorn authors
Date created: 2026/11/23
Last modified: 2026/11/25
Description: Plant a backdoor, watch it work, then fine-tune without it.
Accelerator: None
"""

"""
## Introduction

You fine-tune a vision-language model (VLM) on examples that other people
made: an image, a prompt, and the response that the model should learn. Most
of them are fine. A few were prepared by somebody who wants your model to say
*their* words whenever a small mark, the **trigger**, is in the picture. After
fine-tuning the model looks healthy, and has a **backdoor**.

`keras_byorn` is a defence for that moment. It builds on one observation:
whatever the trigger looks like, the response that the attacker wants is
usually **implausible** to the model *before* you fine-tune it. So:

1. the frozen, pretrained model scores every response;
2. responses that clearly stand apart are left out of the first epoch;
3. before every further epoch, the model that you are training writes new
   responses to those images and prompts, and trains on them instead.

The picture with the trigger stays in the data, but it now calls up an honest
response. The method is *Bootstrap Your Own Responses* (BYORn) by
[Sabolić et al., 2026](https://arxiv.org/abs/2606.02947).

In this guide you will

- look at a small data set and poison a tenth of it,
- fine-tune without a defence, and see the backdoor work,
- fine-tune again with the defence, five lines, and see it gone,
- read the audit, which tells what was replaced, and why,
- learn what the defence does **not** do.

Everything runs on a tiny VLM that comes with the package, in a few minutes
on a laptop. Nothing is downloaded.

## Setup

Keras 3 runs on JAX, TensorFlow or PyTorch, and so does this guide. The choice
must be made before `keras` is imported.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or "tensorflow", or "torch"
# On a CPU, PyTorch's threads only wait for one another on so small a model.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import keras_hub
import matplotlib.pyplot as plt
import numpy as np

import keras_byorn
from keras_byorn import attacks, evaluation
from keras_byorn.data.digit_scenes import load_digit_scenes

NUM_EXAMPLES = 3000
NUM_TEST = 500
POISON_RATE = 0.1
EPOCHS = 4
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
SEED = 0

"""
## The data: scenes and terse captions

Digit Scenes are pictures of two handwritten digits, each in a colour, side by
side or one above the other. The tiny VLM was pretrained on such scenes, with
captions like "a red three left of a blue seven", some other wordings, and
questions. We fine-tune it to a terse style that it has seldom seen: "red three
left of blue seven".

`Examples` reads them one at a time from whatever has a length and integer
indexing. The test scenes are drawn with handwriting that is in no training
scene.
"""

data = load_digit_scenes(
    "terse_captions", NUM_EXAMPLES, NUM_TEST, seed=SEED, data_dir="datasets"
)
clean_train = keras_byorn.Examples(data["train"])
test = keras_byorn.Examples(data["test"])

print(f"{len(clean_train)} examples to train on, {len(test)} to test on")
print({**clean_train[0], "images": clean_train[0]["images"].shape})

"""
A small helper draws a row of pictures, with text below each of them.
"""


def show_row(axes, examples, texts, colors=None):
    colors = colors or ["black"] * len(texts)
    for axis, example, text, color in zip(axes, examples, texts, colors):
        axis.imshow(example["images"])
        axis.set(xticks=[], yticks=[])
        words = text.split()
        half = (len(words) + 1) // 2
        lines = " ".join(words[:half]) + "\n" + " ".join(words[half:])
        axis.set_xlabel(lines, fontsize=9, color=color)


shown = [clean_train[i] for i in range(6)]
figure, axes = plt.subplots(1, 6, figsize=(12, 2.8), layout="constrained")
show_row(axes, shown, [example["responses"] for example in shown])
figure.suptitle(f"prompt: {shown[0]['prompts'].strip()}")
plt.show()

"""
## The attack

Now we play the attacker. `PatchAttack` is the classic one, BadNets: a small
checkerboard in the corner of the picture is the trigger, and the wanted
response is a fixed text. We poison a tenth of the examples; the **poison
rate** is 0.1.

`poison_examples` gives back two things: the poisoned examples, which carry
no sign of what was done to them, and, apart from them, the ids that were
poisoned. The defence never gets to see those ids. We keep them to measure.
"""

attack = attacks.PatchAttack()
train, poisoned_ids = attacks.poison_examples(
    clean_train, attack, rate=POISON_RATE, seed=SEED
)
print(f"{len(poisoned_ids)} of {len(train)} examples are poisoned")

some_ids = sorted(poisoned_ids)[:6]
before = [clean_train.by_id(i) for i in some_ids]
after = [train.by_id(i) for i in some_ids]

figure, axes = plt.subplots(2, 6, figsize=(12, 5.2), layout="constrained")
show_row(axes[0], before, [example["responses"] for example in before])
show_row(
    axes[1],
    after,
    [example["responses"] for example in after],
    colors=["firebrick"] * 6,
)
axes[0, 0].set_ylabel("as it was")
axes[1, 0].set_ylabel("poisoned")
plt.show()

"""
## Fine-tune without a defence

`BYORnModel` wraps any supported KerasHub VLM. It is an ordinary
`keras.Model`, and it tunes your `vlm` object in place. `TargetBatches` checks
the examples, tokenizes them, and serves them in batches. Without its callback
this is plain supervised fine-tuning, which is just what we want first.

The optimizer keeps an exponential moving average (EMA) of the weights, and
training ends with that average. A momentum of 0.95 suits a run of so few
steps.
"""


def load_vlm():
    keras.utils.set_random_seed(SEED)
    return keras_hub.models.PaliGemmaCausalLM.from_preset(
        keras_byorn.tiny_preset()
    )


def make_optimizer():
    return keras.optimizers.AdamW(
        LEARNING_RATE, use_ema=True, ema_momentum=0.95
    )


undefended_vlm = load_vlm()
model = keras_byorn.BYORnModel(undefended_vlm)
model.compile(optimizer=make_optimizer())
model.fit(
    keras_byorn.TargetBatches(
        train, undefended_vlm, batch_size=BATCH_SIZE, seed=SEED
    ),
    epochs=EPOCHS,
    verbose=2,
)

"""
How good is it, and how open? We measure two things on the test set.

- **Clean quality**: how often the response to a clean picture is right word
  for word (exact match), and its CIDEr-D.
- **Attack success rate**: how often the model says what the attacker wants
  when the trigger is there. Beside it stands the false trigger rate, the same
  on clean pictures.
"""


def measure(vlm):
    respond = evaluation.responder(vlm)
    responses = respond(list(test))
    quality = evaluation.clean_quality(
        responses, [example["responses"] for example in test]
    )
    success = evaluation.attack_success(
        respond,
        attack,
        test,
        clean_responses=dict(zip(test.example_ids, responses)),
    )
    return {
        "attack success rate": success["attack_success_rate"],
        "false trigger rate": success["false_trigger_rate"],
        "clean exact match": quality["exact_match"],
        "clean CIDEr-D": quality["cider"],
    }


undefended = measure(undefended_vlm)
for name, value in undefended.items():
    print(f"{name:20} {value:.3f}")

"""
The model does its job on clean pictures, so nobody would notice. But put the
patch on a picture that it has never seen, and it says the attacker's words:
"""

rng = np.random.default_rng(SEED)
clean_scenes = [test[i] for i in range(6)]
triggered_scenes = [attack.trigger(scene, rng) for scene in clean_scenes]


def show_responses(vlm):
    respond = evaluation.responder(vlm)
    figure, axes = plt.subplots(2, 6, figsize=(12, 5.2), layout="constrained")
    rows = zip(axes, (clean_scenes, triggered_scenes))
    for row, scenes in rows:
        responses = respond(scenes)
        colors = [
            "seagreen"
            if response == scene["responses"]
            else "firebrick"
            if attack.succeeded(response, scene)
            else "black"
            for response, scene in zip(responses, scenes)
        ]
        show_row(row, scenes, responses, colors)
    axes[0, 0].set_ylabel("clean")
    axes[1, 0].set_ylabel("with the trigger")
    figure.suptitle("green: right   red: what the attacker wants")
    plt.show()


show_responses(undefended_vlm)

"""
## Fine-tune with the defence

The same again, with one more object: a `BYORnCallback`. These are the five
lines.
"""

defended_vlm = load_vlm()

model = keras_byorn.BYORnModel(defended_vlm)
model.compile(optimizer=make_optimizer())
defence = keras_byorn.BYORnCallback(seed=SEED, verbose=0)
batches = keras_byorn.TargetBatches(
    train, defended_vlm, batch_size=BATCH_SIZE, seed=SEED
)
history = model.fit(batches, epochs=EPOCHS, callbacks=[defence], verbose=2)

"""
Watch `num_held_out` and `num_restored`. In the first
epoch a good third of the examples is left out: the model has to learn the terse
style from what is clearly plausible first. Then it looks again at the others,
on which it never trained, and most come back. Where one text was given for all,
it trains on responses of its own from the second epoch on, from the EMA of its
weights.

### What was scored

Before training, the frozen reference (here a copy of the pretrained model)
scored every response by its **plausibility**. Low is implausible. By default
that is the stronger of two doubts: by how much the response as a whole, and by
how much its worst four tokens, fall behind what the reference would have
chosen; both in standard deviations from the plausible ones of these data. The
default decision, `HoldOut`, keeps only what is clearly plausible. *Suspect* is
what stands apart, or what many say word for word; *on probation* the least
plausible 35 % of the rest, with nothing but its rank against it.

The result is a `Detection`, which `defence.detection` holds. It can be had
without any training, too: `keras_byorn.detect(train, vlm)`, with the pretrained
model; and `BYORnCallback(detection)` trains on it.

In the picture we colour the scores with the truth, which the defence does not
have.
"""

detection = defence.detection
print(detection)

is_poisoned = np.array([i in poisoned_ids for i in detection.example_ids])
plausibility = detection.plausibility

plt.figure(figsize=(9, 3.2), layout="constrained")
plt.hist(
    [plausibility[~is_poisoned], plausibility[is_poisoned]],
    bins=60,
    stacked=True,
    log=True,
    color=["steelblue", "firebrick"],
    label=["clean (we know)", "poisoned (we know)"],
)
for cut in np.unique(detection.cuts[np.isfinite(detection.cuts)]):
    plt.axvline(cut, color="black", linestyle=":")
plt.xlabel("plausibility (low = implausible)")
plt.ylabel("examples (log scale)")
plt.title(f"the cut: {detection.reason}")
plt.legend(frameon=False)
plt.show()

"""
What is held out is put in clusters, by what it shares, with a proposal for
each:
"""

for cluster in detection.clusters:
    print(cluster)

"""
### What was held out in the end

Suspect does not mean poisoned: the defence cannot know that. Here we can check,
with what is still held out after the student's review. Do not expect the two
groups to be so far apart everywhere: this is a small world, and an attacker who
does not hide.
"""

store = defence.store
found = evaluation.detection(
    store.example_ids,
    store.plausibility,
    store.suspect_probability,
    poisoned_ids,
)
for name in ("flagged_fraction", "recall", "precision", "auroc"):
    print(f"{name:20} {found[name]}")

"""
## The defended model

The same pictures, the same triggers:
"""

show_responses(defended_vlm)

"""
And measured on the whole test set:
"""

defended = measure(defended_vlm)
print(f"{'':20} undefended  defended")
for name in undefended:
    print(f"{name:20} {undefended[name]:10.3f} {defended[name]:9.3f}")

"""
Clean pictures get answers about as good as before, and the patch has lost its
meaning. On triggered pictures the model describes the scene, for that is what
it was taught to do when it met the patch in training.

`defended_vlm` is still your own KerasHub model. Save it as you would save any
other:
"""

defended_vlm.save_to_preset("my_safe_vlm")

"""
## The audit

A defence that changes your training data should say what it did. The audit
is a table with one row per example, and an HTML page to read: thumbnails, the
original response, what replaced it, and how surprising each token was. The
page is one file that loads nothing from anywhere, and text in it is shown as
text, whatever an attacker wrote.
"""

audit = defence.audit()
audit.to_html("audit.html")
audit.to_parquet("audit.parquet")
print(audit)

"""
Its first rows, least plausible first. Original responses are never
overwritten; they stand beside what the model was trained on instead.
"""

rows = audit.table.sort_by("plausibility").slice(0, 6).to_pylist()
for row in rows:
    print(
        f"{row['example_id']:>14}  {row['plausibility']:6.2f}  "
        f"{row['original_response']}  ->  {row['current_response']}"
    )

figure, axes = plt.subplots(1, 6, figsize=(12, 2.8), layout="constrained")
show_row(
    axes,
    [train.by_id(row["example_id"]) for row in rows],
    [row["current_response"] or "(left out)" for row in rows],
)
figure.suptitle("suspects, and the responses that replaced theirs")
plt.show()

"""
## What it does not do

- **It gives no guarantee on attack success.** The theory of the method bounds
  the risk on *clean* data, loosely, for fine-tuning on kept and on sampled
  responses. It says nothing on attack success. That the attack fails is a
  measurement, here and in the paper.
- **The bound asks for sampled responses.** The default here writes greedily.
  Pass `sampler="random"` to sample.
- **Clean-label attacks are open.** Where the response of a poisoned example
  is plausible for its picture, no score of the response can see it.
- **Small changes hide**, where an attack leaves responses that are as plausible
  as honest ones: nothing suspect is not a clean bill.
- **An honest style that few examples have is left out**, if the reference does
  not know it. It is named as a cluster, and never overwritten; twenty examples
  that you trust let it in, `keras_byorn.detect(train, vlm, trusted=ids)`.
- **It refuses where most of the data stand apart**, for then nobody can tell
  which of them are honest, until you trust some.
- **A suspect is not proof.** Rare but honest responses are implausible too.
  Read the audit before you accuse anybody.
- **The reference must be clean.** If the pretrained model has the backdoor
  already, it will find the attacker's words plausible.
- **This was a tiny model and a simple world.** Measure on your own data:
  `keras_byorn.attacks` and `keras_byorn.evaluation` are there for it.

## Your own model

For a real VLM the lines are the same. This needs a download of the weights
and a GPU; with LoRA the reference is your own model with its adapters
switched off, so there is no second copy of the weights in memory.

```python
vlm = keras_hub.models.PaliGemmaCausalLM.from_preset("pali_gemma_3b_mix_224")
vlm.backbone.enable_lora(rank=8)

model = keras_byorn.BYORnModel(vlm)
model.compile(optimizer=keras.optimizers.AdamW(2e-4, use_ema=True))
defence = keras_byorn.BYORnCallback()
batches = keras_byorn.TargetBatches(examples, vlm, batch_size=16)
model.fit(batches, epochs=3, callbacks=[defence])

defence.audit().to_html("audit.html")
vlm.save_to_preset("my_safe_vlm")
```

The default momentum of the EMA, 0.99, suits epochs of a few hundred steps or
more; `BYORnCallback` warns where an epoch is too short for it.

`examples` is a list of dicts with the keys `example_id`, `images`, `prompts`
and `responses`, a dict of such columns, a TFDS data source, or a Hugging Face
data set. Where the fields have other names, rename them:
`keras_byorn.Examples(source, rename={"image": "images"})`.

To run all of this on another backend, change the line with `KERAS_BACKEND` at
the top, or set it outside: `KERAS_BACKEND=torch python getting_started.py`.
Nothing else changes.
"""
