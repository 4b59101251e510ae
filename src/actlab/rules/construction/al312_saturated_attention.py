"""AL312: attention whose softmax is saturated because its scores are not scaled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actlab.rules.axes import CONTRACTIONS
from actlab.rules.context import Context
from actlab.rules.dataflow import is_layer, place_of
from actlab.rules.rule import Found, found, rule
from actlab.sites.recognize.torch_ops import LINEAR, MOVES
from actlab.sites.trace.trace import Step

_SCORES = CONTRACTIONS | {"einsum", "baddbmm"}
_KEEPS_SIZE = MOVES | {
    "dropout",
    "add",
    "sub",
    "masked_fill",
    "where",
    "layer_norm",
    "rms_norm",
    "batch_norm",
    "cat",
    "tril",
}
_ENOUGH = 2.0
"""Scores within this factor of the usual scale count as scaled."""


@rule(
    "AL312",
    title="saturated attention",
    severity="warning",
    remedies=("scale-scores",),
)
def saturated_attention(context: Context, *, largest_share: float = 0.9) -> Iterator[Found]:
    """The scores of dot-product attention are not scaled before the softmax, which is saturated from the start.

    Why it matters:
        The products of queries and keys of width d have a variance proportional to d. Without the factor 1/√d softmax
        gives nearly all weight to one key, its gradient is close to zero, and queries and keys hardly learn. A factor
        after the softmax only shrinks the output.

    How it is detected:
        By value and by data flow: in half of the rows the largest weight exceeds the threshold; the scores are products
        of two projections; and nothing between the projections and the softmax multiplies by about 1/√d. Masked keys do
        not count, nor rows with fewer than 6 others. A temperature that the code names, cosine similarities, learned
        scales and weights that are already trained are not reported.

    Thresholds:
        largest_share: the median over the rows of the largest weight; the gradient of softmax is then less than a
            fifth of its largest value.

    Example:
        class Attention(nn.Module):
            def __init__(self):
                super().__init__()
                self.qkv, self.out = nn.Linear(256, 768), nn.Linear(256, 3)
                nn.init.orthogonal_(self.qkv.weight, gain=1.5)

            def forward(self, x):
                q, k, v = self.qkv(x).chunk(3, -1)
                weights = F.softmax(q @ k.transpose(1, 2), dim=-1)
                return self.out((weights @ v).mean(1))

        model = Attention()
        batch = torch.randn(16, 12, 256), torch.randint(3, (16,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Attention(nn.Module):
            def __init__(self):
                super().__init__()
                self.qkv, self.out = nn.Linear(256, 768), nn.Linear(256, 3)
                nn.init.orthogonal_(self.qkv.weight, gain=1.5)

            def forward(self, x):
                q, k, v = self.qkv(x).chunk(3, -1)
                weights = F.softmax(q @ k.transpose(1, 2) / 256**0.5, dim=-1)
                return self.out((weights @ v).mean(1))

        model = Attention()
        batch = torch.randn(16, 12, 256), torch.randint(3, (16,))
        loss = nn.CrossEntropyLoss()

    References:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1
    """
    trace, reported = context.trace, set[tuple[str, int, str]]()
    for place, shares in context.observed.shares.items() if context.is_fresh else ():
        step = trace.steps[place]
        where = (step.file, step.line, step.path)
        if shares.largest <= largest_share or place not in context.matters or where in reported:
            continue
        scores = _scores(context, step)
        if scores is None or not scores.is_unscaled:
            continue
        reported.add(where)
        late = _factor_after(context, step)
        after = f" The weights are multiplied by {late:.3g} after the softmax, which does not help." if late else ""
        factor = "no scaling" if scores.factor == 1 else f"a factor of {scores.factor:.3g}"
        yield found(
            f"attention is saturated: in half of {shares.rows} rows with {shares.keys} keys the largest weight exceeds"
            f" {shares.largest:.3f}, and little gradient passes. Between the product of queries and keys of width"
            f" {scores.width} and the softmax there is {factor}; 1/√{scores.width} = {scores.width**-0.5:.3g} is"
            f" usual.{after}",
            site=place_of(trace, step),
            rows=shares.rows,
            keys=shares.keys,
            largest=shares.largest,
            gradient=shares.gradient,
            width=scores.width,
            factor=scores.factor,
            factor_after=late,
        )


@final
@dataclass(frozen=True)
class _Scores:
    """Scores of dot-product attention: over how many numbers the products sum, and the factor before the softmax."""

    width: int
    factor: float

    @property
    def is_unscaled(self) -> bool:
        """Whether the factor is too large for the width, or multiplies where it should divide."""
        root = math.sqrt(self.width)
        is_inverse = math.isclose(self.factor, root, rel_tol=0.01)
        return _ENOUGH / root < self.factor <= 1 or (is_inverse and root > _ENOUGH)


def _scores(context: Context, softmax: Step) -> _Scores | None:
    """Return the scores to which a softmax is applied; None if they are others, or their factor is unknown."""
    trace = context.trace
    product: Step | None
    factor: float | None
    if softmax.function == "scaled_dot_product_attention":
        product, factor = softmax, float(softmax.arguments["scale"])
        inputs = softmax.inputs[:2]
    else:
        product, factor = _back(context, softmax.inputs[0], _SCORES)
        inputs = () if product is None else product.inputs[-2:]
    if product is None or factor is None:
        return None
    factor *= float(product.arguments.get("alpha", 1))
    for value in inputs:
        projection, own = _back(context, value, LINEAR)
        if projection is None or own is None or not _is_projection(context, projection):
            return None
        factor *= own
    shape = trace.values[inputs[0]].shape
    width = _summed_width(context, product) if product.function == "einsum" else shape[-1]
    return _Scores(width, factor) if width > 1 else None


def _is_projection(context: Context, step: Step) -> bool:
    return is_layer(context.trace, step) or any(value in context.trace.of_weights for value in step.inputs)


def _summed_width(context: Context, step: Step) -> int:
    equation = next((value for value in step.arguments.values() if isinstance(value, str)), "")
    terms, _, result = equation.replace(" ", "").partition("->")
    sizes = {
        letter: size
        for term, value in zip(terms.split(","), step.inputs, strict=False)
        for letter, size in zip(term, context.trace.values[value].shape, strict=False)
    }
    return math.prod(size for letter, size in sizes.items() if letter not in result)


def _back(context: Context, value: int, wanted: frozenset[str]) -> tuple[Step | None, float | None]:
    """Return the nearest of the wanted steps before the value, and the factor in between; None if unknown."""
    trace, factor = context.trace, 1.0
    step = trace.maker(value)
    while step is not None and step.inputs:
        if step.function in wanted:
            return step, factor
        if step.function in {"mul", "div"}:
            number = _number(context, step)
            if number is None or number == 0:
                return None, None
            factor *= number if step.function == "mul" else 1 / number
        elif step.function not in _KEEPS_SIZE:
            return None, None
        step = trace.maker(_main(context, step))
    return None, None


def _main(context: Context, step: Step) -> int:
    """Return the input that carries the gradient, rather than a mask or a bias."""
    values = context.trace.values
    computed = [
        value for value in step.inputs if values[value].requires_grad and context.trace.maker(value) is not None
    ]
    return computed[0] if computed else step.inputs[0]


def _number(context: Context, step: Step) -> float | None:
    """Return by what the step multiplies or divides; 1 for a table of numbers, None for a learned value."""
    if len(step.inputs) == 1:
        numbers = [
            each for each in step.arguments.values() if isinstance(each, int | float) and not isinstance(each, bool)
        ]
        return float(numbers[0]) if len(numbers) == 1 else None
    main = _main(context, step)
    other = next((value for value in step.inputs if value != main), main)
    held = context.trace.values[other]
    if held.requires_grad or other == main or (step.function == "div" and step.inputs[0] != main):
        return None
    if math.prod(held.shape) > 1:
        return 1.0 if step.function == "mul" else None
    sample = context.observed.samples.get(other)
    return float(sample[0]) if sample is not None and len(sample) == 1 else None


def _factor_after(context: Context, softmax: Step) -> float | None:
    """Return the number by which the weights are multiplied right after the softmax."""
    for reader in context.trace.readers(softmax.outputs[0]):
        if reader.function in {"mul", "div"} and len(reader.inputs) == 1:
            number = _number(context, reader)
            if number:
                return number if reader.function == "mul" else 1 / number
    return None
