"""AL116: an own backward function that is not the derivative of its forward function."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import place_of, upstream
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step


@rule("AL116", title="wrong derivative", severity="warning", remedies=("fix-backward", "saved-input"))
def own_derivative_differs(context: Context) -> Iterator[Found]:
    """The `backward` of a `torch.autograd.Function` is not the derivative of its `forward`.

    Why it matters:
        The parameters before it follow a gradient that is not the loss's, so that training is slow or ends elsewhere.

    How it is detected:
        An element-wise function of the user is run in float64 on the inputs of the batch, and what its backward returns
        is compared with the difference quotient, also for an incoming gradient of 2. If the loss differentiates a
        gradient, as a gradient penalty does, the derivative of backward is compared too: it is wrong if backward reads
        a number that forward kept on `ctx` without `save_for_backward`, or leaves autograd. Only inputs at which both
        are clearly not 0 are compared. Not reported: steps and roundings with a straight-through gradient, gradients
        that are scaled, reversed or clipped behind an identity or a straight line, and differences at a few inputs.

    Example:
        class Swish(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * torch.sigmoid(x)

            @staticmethod
            def backward(ctx, gradient):
                (x,) = ctx.saved_tensors
                s = torch.sigmoid(x)
                return gradient * s * (1 - s)  # of the sigmoid alone

        class Applies(nn.Module):
            def forward(self, x):
                return Swish.apply(x)

        model = nn.Sequential(nn.Linear(8, 16), Applies(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Swish(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * torch.sigmoid(x)

            @staticmethod
            def backward(ctx, gradient):
                (x,) = ctx.saved_tensors
                s = torch.sigmoid(x)
                return gradient * (s + x * s * (1 - s))

        class Applies(nn.Module):
            def forward(self, x):
                return Swish.apply(x)

        model = nn.Sequential(nn.Linear(8, 16), Applies(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()

    References:
        torch.autograd.gradcheck
    """
    for each in () if context.backward is None else context.backward.own:
        step = context.trace.steps[each.place]
        if each.fault == "second" and not _is_differentiated_twice(context, step):
            continue
        where = f"at {each.differing} of {each.compared} inputs: at {each.at:.3g}"
        message = {
            "first": f"the backward of {each.name} is not the derivative of its forward {where} it returns"
            f" {each.returned:.3g}, and the derivative is {each.derivative:.3g}",
            "incoming": f"the backward of {each.name} does not multiply by the gradient that comes in: for one twice as"
            f" large it returns the same {each.returned:.3g} at {each.at:.3g}, where {each.derivative:.3g} is right",
            "second": f"the loss differentiates the backward of {each.name}, whose derivative is wrong {where} it is"
            f" {each.returned:.3g}, and the second derivative of its forward is {each.derivative:.3g}",
        }[each.fault]
        yield found(
            message,
            site=place_of(context.trace, step),
            remedies=("saved-input",) if each.fault == "second" else (),
            function=each.name,
            differing=each.differing,
            inputs=each.compared,
        )


def _is_differentiated_twice(context: Context, step: Step) -> bool:
    """Return whether the loss depends on a gradient with respect to what comes before the step."""
    trace = context.trace
    calls = [call for call in trace.steps if call.function == "grad" and call.place in context.to_loss]
    return any(step.place in upstream(trace, value) for call in calls for value in call.inputs)
