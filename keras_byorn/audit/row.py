"""One row of an audit: an example, the verdict on it, and its target."""

import dataclasses

# So much of its weight in training must an original response lose.
SUSPECT_FROM = 0.5


def is_suspect(probability):
    """Returns whether a suspect probability means that one is held out.

    Suspects are held out, and so are those that are only on probation.

    Args:
        probability: float, or float array.

    Returns:
        bool, or bool array of its shape.
    """
    return probability >= SUSPECT_FROM


@dataclasses.dataclass(frozen=True)
class AuditRow:
    """One example, as an audit shows it.

    Attributes:
        example_id: string.
        prompt: string.
        original_response: string. As it came; never overwritten.
        current_response: string, or `None` where the example is left out.
            Of a mixed target, the response of the greater weight; of a masked
            one, the rest of the original without its span.
        origin: `"original"`, `"regenerated"`, `"excluded"`, `"mixed"` where
            the original and a replacement are both trained on, or `"masked"`
            where the original is trained on but for a span.
        plausibility: float, in the unit of the scorer, such as nats per
            token; NaN before scoring.
        suspect_probability: float in [0, 1]: the weight that the original
            response does not have in training; 1 on probation.
        verdict: string. `"kept"`, `"on_probation"`, `"suspect"` or
            `"trusted"` by a detection; or a later change by a review:
            `"restored"` (a suspect put back), `"flagged late"` (a kept one
            that is suspect now) or `"alarm"` (a suspect that the student has
            begun to learn as a group).
        student_plausibility: float, nats per token, as the student found it
            in a review; NaN without one.
        revision: int. Counts the changes of this target.
        replacement: string that the model wrote for it, or `None`.
        replacement_ids: tuple of its token ids as they were generated, or
            `None`.
        written_by: string. The writer of the replacement, or `None`.
        masked_tokens: tuple of ints, the tokens of the original response,
            counted from 0, that are the implausible span of a masked target;
            otherwise `None`. They are no targets, and neither is the token
            after each run of them, for it is predicted from the span.
        digest: string, of the prompt, the response and the images as they
            were judged, see `example_digest`; `None` where it is not known.
    """

    example_id: str
    prompt: str
    original_response: str
    current_response: str | None
    origin: str
    plausibility: float
    suspect_probability: float
    verdict: str
    student_plausibility: float = float("nan")
    revision: int = 0
    replacement: str | None = None
    replacement_ids: tuple[int, ...] | None = None
    written_by: str | None = None
    masked_tokens: tuple[int, ...] | None = None
    digest: str | None = None
