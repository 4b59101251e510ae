"""A check before training for AL111: the optimizer holds none of the model's parameters."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.rule import Found, found


def optimizer_holds_nothing(context: Context) -> Iterator[Found]:
    """Report an optimizer that holds none of the model's trainable parameters."""
    if context.optimizer is None:
        return
    held = {id(value) for group in context.optimizer.param_groups for value in group["params"]}
    trainable = [value for value in context.model.parameters() if value.requires_grad]
    if trainable and not any(id(value) in held for value in trainable):
        yield found(
            f"the optimizer holds {len(held)} parameters but none of the model's {len(trainable)} trainable ones, so no"
            " step changes the model. It was created for another model, or before this one was replaced.",
            severity="error",
            held=len(held),
            parameters=len(trainable),
        )
