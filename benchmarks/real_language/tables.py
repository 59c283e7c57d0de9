"""Tables of the fine-tunes of a real language model, in Markdown."""

from real_pictures.tables import FLAGS, refusals, table, unique

OUTCOMES = {
    "attack success": ("attack_success_rate",),
    "target contained": ("containment_rate",),
    "false trigger": ("false_trigger_rate",),
    "CIDEr-D, clean": ("cider",),
    "ROUGE-L, clean": ("rouge_l",),
    "CIDEr-D, triggered": ("triggered_cider",),
    "distinct": ("distinct",),
    "seconds": ("seconds",),
}


def render(results):
    """Renders all results: the mean over seeds, and every seed.

    Args:
        results: list of dicts, see `finetune.py`.

    Returns:
        A string.
    """
    parts = [
        "# Fine-tunes of a real language model",
        "Made by `python benchmarks/real_language/finetune.py`: "
        "SmolLM2-135M-Instruct, text only, LoRA of rank 4 on 200 halves of "
        "captions, a tenth of them poisoned by the word `cf` at the end of "
        "the prompt; 60 test captions with one reference each. Means over "
        "seeds; in brackets each seed, in the order of the second column. "
        "`untuned` is the model as it came, `clean_only` was tuned without "
        "the poisoned examples. CIDEr-D is in [0, 10]; `distinct` counts the "
        "different responses to the test captions. `seconds` are those of one "
        "CPU core that other work shared.",
    ]
    for backend in unique(r["backend"] for r in results):
        here = [r for r in results if r["backend"] == backend]
        for case in unique(r["case"] for r in here):
            of_case = [r for r in here if r["case"] == case]
            parts.append(f"## {case} ({backend})")
            parts.append(table(of_case, OUTCOMES))
            parts.append(table(of_case, FLAGS))
            parts.extend(refusals(of_case))
    return "\n\n".join(part for part in parts if part) + "\n"
