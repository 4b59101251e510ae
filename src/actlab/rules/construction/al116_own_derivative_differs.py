"""AL116: an own backward function that is not the derivative of its forward function."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import place_of
from actlab.rules.rule import Found, found, rule


@rule("AL116", title="wrong derivative", severity="warning", remedies=("fix-backward",))
def own_derivative_differs(context: Context) -> Iterator[Found]:
    """The `backward` of a `torch.autograd.Function` is not the derivative of its `forward`.

    Why it matters:
        The parameters before it follow a gradient that is not the loss's, so that training is slow or ends elsewhere.

    How it is detected:
        An element-wise function of the user is run in float64 on the inputs of the batch, and what its backward returns
        is compared with the difference quotient. Only inputs at which both are clearly not 0 count. Not reported:
        steps and roundings with a straight-through gradient, gradients that are scaled, reversed or clipped behind an
        identity or a straight line, and differences at a few inputs.

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
        yield found(
            f"the backward of {each.name} is not the derivative of its forward at {each.differing} of {each.compared}"
            f" inputs: at {each.at:.3g} it returns {each.returned:.3g}, and the derivative is {each.derivative:.3g}",
            site=place_of(context.trace, step),
            function=each.name,
            differing=each.differing,
            inputs=each.compared,
        )
