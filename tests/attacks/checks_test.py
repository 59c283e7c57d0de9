"""Bad parameters of triggers and targets are refused."""

import pytest

from keras_byorn.attacks import (
    BlendTrigger,
    ConceptTarget,
    FixedTarget,
    InsertionTarget,
    PatchTrigger,
    SinusoidTrigger,
    SloganTarget,
    TintTrigger,
    WarpTrigger,
    WordTrigger,
)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: PatchTrigger(size=4), "size"),
        (lambda: PatchTrigger(corner="middle"), "corner"),
        (lambda: PatchTrigger(pattern="stripes"), "pattern"),
        (lambda: BlendTrigger(alpha=0), "alpha"),
        (lambda: WordTrigger(""), "text"),
        (lambda: WordTrigger(position="middle"), "position"),
        (lambda: FixedTarget(" "), "text"),
        (lambda: ConceptTarget("mauve"), "colour"),
        (lambda: InsertionTarget(""), "text"),
        (lambda: SloganTarget("\n"), "text"),
        (lambda: TintTrigger(alpha=2), "alpha"),
        (lambda: TintTrigger(colour=(0, 128, 0)), "colour"),
        (lambda: SinusoidTrigger(amplitude=40), "amplitude"),
        (lambda: SinusoidTrigger(frequency=0), "frequency"),
        (lambda: WarpTrigger(strength=0), "strength"),
        (lambda: WarpTrigger(num_cells=1), "num_cells"),
    ],
)
def test_bad_parameters_are_refused_by_name(make, name):
    """An error names the argument and what was received."""
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        make()
