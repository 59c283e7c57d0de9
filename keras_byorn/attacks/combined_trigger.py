"""A trigger made of several."""


class CombinedTrigger:
    """Puts on several triggers, one after the other.

    Args:
        *triggers: callables, such as a `PatchTrigger` and a `WordTrigger`.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator, passed to each trigger in turn.

    Returns:
        A new example.

    Example:

    >>> trigger = CombinedTrigger(PatchTrigger(), WordTrigger())
    >>> triggered = trigger(example, rng)
    """

    def __init__(self, *triggers):
        self.triggers = triggers

    def __call__(self, example, rng):
        for trigger in self.triggers:
            example = trigger(example, rng)
        return example
