"""The subnetworks of a model, as far as correlations are concerned: nonlinear layers, sums and concatenations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Literal, NamedTuple, final

from actlab.errors import BadInput
from actlab.formula.along_axis import AxisActivation
from actlab.initialization.passes import ATTENTION, EMBEDDINGS, RECURRENT, Application, Pass
from actlab.rules.construction.layers import DROPOUTS
from actlab.rules.dataflow import biased, data_of, downstream, is_layer, parameter_behind
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.site import Site
from actlab.sites.trace.trace import Step

Map = Callable[[float], float]
"""What one nonlinear layer does to the number that is followed, such as a correlation."""

_NORMS = frozenset({"layer_norm", "rms_norm"})
_STATISTICS = frozenset({"batch_norm", "instance_norm", "group_norm"})
_ROUNDING = 1e-9
_PRODUCTS = frozenset({"matmul", "bmm"})
_OF_SCORES = MOVES | {"mul", "div", "add", "sub", "masked_fill", "where"}


@final
@dataclass(frozen=True)
class Node:
    """A value of the network.

    Attributes:
        kind: where it begins, the result of a nonlinear layer, or a weighted mean of nodes that are added or joined.
        inputs: the places of the nodes that it is computed from.
        shares: for each of them its part of the variance; they sum to 1.
    """

    kind: Literal["start", "nonlinear", "mean"]
    inputs: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()


@final
@dataclass(frozen=True)
class Network:
    """The graph of a model, reduced to what changes correlations.

    Layers with weights, normalizations and attention leave the correlation as it is; a normalized sum and a
    concatenation average it.

    Attributes:
        nodes: in the order of the pass.
        sites: the activations of the nonlinear layers.
    """

    nodes: tuple[Node, ...]
    sites: tuple[Site, ...] = field(repr=False)

    @property
    def nonlinear_layers(self) -> int:
        """The number of nonlinear layers."""
        return sum(node.kind == "nonlinear" for node in self.nodes)

    def largest(self, step: Map, start: float) -> float:
        """Return the largest value that a subnetwork computes: the subnetwork maximizing function.

        A subnetwork begins at one node, with the value `start`, and ends at one node; what is between them depends on
        nothing else, and nothing else depends on it. So a residual branch is one, and so is a run of whole blocks.

        Args:
            step: what a nonlinear layer does; it must not decrease.
            start: the value at the beginning.

        Source:
            Martens et al. 2021, arXiv:2110.01765; Zhang et al. 2022, arXiv:2203.08120.
        """
        best = start
        for begin, ends in self._ends.items():
            values: dict[int, float] = {begin: start}
            for at in range(begin + 1, max(ends) + 1):
                node = self.nodes[at]
                if not node.inputs or any(each not in values for each in node.inputs):
                    continue
                if node.kind == "nonlinear":
                    values[at] = step(values[node.inputs[0]])
                else:
                    parts = zip(node.inputs, node.shares, strict=True)
                    values[at] = sum(share * values[each] for each, share in parts)
                if at in ends:
                    best = max(best, values[at])
        return best

    @cached_property
    def _ends(self) -> dict[int, frozenset[int]]:
        """By the node where subnetworks begin, the nodes where they end."""
        readers = [0] * len(self.nodes)  # sets of nodes, as the bits of a number
        for at, node in enumerate(self.nodes):
            for each in node.inputs:
                readers[each] |= 1 << at
        found = {}
        for begin in range(len(self.nodes)):
            inside, read = {begin: 0}, {begin: 0}
            ends = set[int]()
            for at in range(begin + 1, len(self.nodes)):
                inputs = self.nodes[at].inputs
                if not inputs or any(each not in inside for each in inputs):
                    continue
                inside[at] = read[at] = 0
                for each in inputs:
                    if each != begin:
                        inside[at] |= inside[each] | 1 << each
                        read[at] |= read[each] | readers[each]
                if not read[at] & ~(inside[at] | 1 << at):
                    ends.add(at)
            if ends:
                found[begin] = frozenset(ends)
        return found


class _Signal(NamedTuple):
    """What is known of a value.

    Attributes:
        node: the place of its node.
        q: its variance, with that of the input and of every layer's weights as 1.
        is_normal: whether it is normally distributed over the weights: a layer with random weights computed it.
    """

    node: int
    q: float
    is_normal: bool


def network_of(of: Pass) -> Network:
    """Return the graph of the model.

    Raises:
        BadInput: the conditions under which correlations are known do not hold; the message says where.
    """
    return _Reduction(of).network()


@final
class _Reduction:
    def __init__(self, of: Pass) -> None:
        self._of, self._trace = of, of.trace
        self._hidden = [each for each in of.application.values() if self._is_hidden(each)]
        self._outputs = {each.output: each for each in self._hidden}
        self._inside = {place for each in self._hidden for place in each.steps}
        self._nodes: list[Node] = []
        self._sites: dict[str, Site] = {}
        self._signals: dict[int, _Signal] = {}
        self._scores: set[int] = set()  # products of signals, before the softmax of an attention
        self._patterns: set[int] = set()  # and behind it

    def network(self) -> Network:
        if not self._hidden:
            raise BadInput("tailor: the model applies no element-wise activation between two layers.")
        for value in self._trace.values:
            if value.origin.startswith("input ") and value.dtype.startswith(("float", "bfloat")):
                self._signals[value.number] = _Signal(self._add(Node("start")), 1.0, False)
        for step in self._trace.steps:
            if step.part == "model":
                self._follow(step)
        return Network(tuple(self._nodes), tuple(self._sites.values()))

    def _is_hidden(self, each: Application) -> bool:
        """Return whether a layer reads what becomes of the activation, and it is element-wise."""
        if isinstance(each.site.formula, AxisActivation):
            return False
        after = downstream(self._trace, [each.output])
        return any(is_layer(self._trace, self._trace.steps[place]) for place in after)

    def _add(self, node: Node) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _follow(self, step: Step) -> None:
        application = next((self._outputs[value] for value in step.outputs if value in self._outputs), None)
        if application is not None:
            self._signals[application.output] = self._nonlinear(application, step)
            return
        if step.place in self._inside:
            return
        found = self._attended(step) or self._linear(step)
        if found is not None:
            self._signals.update(dict.fromkeys(step.outputs, found))
        elif not self._is_of_attention(step) and self._reads_signal(step) and self._matters(step):
            self._refuse(step, f"{step.function} cannot be followed: what it does to correlations is unknown")

    def _nonlinear(self, application: Application, step: Step) -> _Signal:
        site, signal = application.site, self._signals.get(application.source)
        if site.gate is not None:
            self._refuse(step, f"the gated unit {site.activation} multiplies two signals")
        if signal is None or not signal.is_normal:
            self._refuse(step, f"no layer with random weights is between {site.name} and what is computed before it")
        assert signal is not None
        if abs(signal.q - 1) > _ROUNDING:
            self._refuse(
                step,
                f"the sum before {site.name} is not normalized: it has {signal.q:.4g} times the variance of its terms."
                " Weight the terms so that the squares of the weights sum to 1, or normalize the sum by layer"
                " normalization",
            )
        self._sites.setdefault(site.name, site)
        return _Signal(self._add(Node("nonlinear", (signal.node,), (1.0,))), 1.0, False)

    def _linear(self, step: Step) -> _Signal | None:
        """Return what the step computes, if that is known."""
        trace, known = self._trace, [self._signals.get(value) for value in step.inputs]
        first = known[0] if known else None
        product = biased(trace, step)
        if product is not None and len(step.inputs) == 2:
            return self._signals.get(product)
        if step.function in EMBEDDINGS:
            return _Signal(self._add(Node("start")), 1.0, True)
        if is_layer(trace, step):
            data = data_of(trace, step)
            signal = self._signals.get(-1 if data is None else data)
            if step.function == "bilinear":
                return None
            if signal is None:
                return _Signal(self._add(Node("start")), 1.0, True)
            return signal._replace(is_normal=True)
        if step.function == ATTENTION:
            signal = self._signals.get(step.inputs[2])
            return None if signal is None else signal._replace(is_normal=True)
        if step.function == "scaled_dot_product_attention":
            return self._signals.get(step.inputs[2])
        if step.function in DROPOUTS:
            if step.arguments.get("training") is True and step.arguments.get("p", 0.5) and first is not None:
                self._refuse(step, "dropout changes the variance. Call model.eval(), or set its p to 0")
            return first
        if first is None and self._of_parameters(step):
            return None
        if step.function in _NORMS:
            return None if first is None else first._replace(q=1.0)
        if step.function in MOVES:
            return first
        if step.function == "add":
            return self._sum(step)
        if step.function in {"mul", "div"} and len(step.inputs) == 1 and first is not None:
            numbers = [each for each in step.arguments.values() if isinstance(each, int | float)]
            if len(numbers) == 1 and numbers[0]:
                return first._replace(q=first.q * numbers[0] ** (2 if step.function == "mul" else -2))
        return self._joined(step) if step.function == "cat" else None

    def _of_parameters(self, step: Step) -> bool:
        return all(value in self._trace.of_weights or self._trace.values[value].origin for value in step.inputs)

    def _attended(self, step: Step) -> _Signal | None:
        """Return the mean of values that an attention written out takes."""
        if step.function in _PRODUCTS and len(step.inputs) == 2 and step.inputs[0] in self._patterns:
            return self._signals.get(step.inputs[1])
        return None

    def _is_of_attention(self, step: Step) -> bool:
        """Return whether the step leads from a product of two signals to a softmax over places; note its result."""
        if step.function in _PRODUCTS and len(step.inputs) == 2 and all(each in self._signals for each in step.inputs):
            self._scores.update(step.outputs)
            return True
        site = self._trace.site_at(step)
        is_softmax = step.function == "softmax" or (site is not None and isinstance(site.formula, AxisActivation))
        if not self._scores.isdisjoint(step.inputs) and (is_softmax or step.function in _OF_SCORES):
            (self._patterns if is_softmax else self._scores).update(step.outputs)
            return True
        if not self._patterns.isdisjoint(step.inputs) and (is_softmax or step.function in MOVES | DROPOUTS):
            self._patterns.update(step.outputs)
            return step.function not in DROPOUTS or not step.arguments.get("training")
        return False

    def _reads_signal(self, step: Step) -> bool:
        return any(each in self._signals or each in self._scores or each in self._patterns for each in step.inputs)

    def _sum(self, step: Step) -> _Signal | None:
        signals = [self._signals.get(value) for value in step.inputs]
        known = [signal for signal in signals if signal is not None]
        if len(step.inputs) == 1 or len(known) < len(signals):
            fixed = [value for value in step.inputs if value not in self._signals]
            is_position = len(known) == 1 and all(self._is_fixed(value) for value in fixed) and len(step.inputs) == 2
            return known[0] if is_position else None
        if step.arguments.get("alpha", 1) != 1:
            alpha = float(step.arguments["alpha"])
            known[1] = known[1]._replace(q=known[1].q * alpha**2)
        if known[0].node == known[1].node and step.inputs[0] == step.inputs[1]:
            self._refuse(step, "a value is added to itself")
        return self._mean(known, [signal.q for signal in known], q=sum(signal.q for signal in known))

    def _is_fixed(self, value: int) -> bool:
        """Return whether the value is computed from parameters or buffers alone, as a position is."""
        return value in self._trace.of_weights or bool(parameter_behind(self._trace, value))

    def _joined(self, step: Step) -> _Signal | None:
        pairs = [(self._signals[value], value) for value in step.inputs if value in self._signals]
        if not pairs:
            return None
        sizes = [prod(self._trace.values[value].shape) for _, value in pairs]
        signals = [signal for signal, _ in pairs]
        parts = [signal.q * size for signal, size in zip(signals, sizes, strict=True)]
        return self._mean(signals, parts, q=sum(parts) / sum(sizes))

    def _mean(self, signals: list[_Signal], parts: list[float], *, q: float) -> _Signal:
        """Return a mean of signals, or the signal if all are of one node."""
        is_normal = all(signal.is_normal for signal in signals)
        if len({signal.node for signal in signals}) == 1:
            return _Signal(signals[0].node, q, is_normal)
        shares = tuple(part / sum(parts) for part in parts)
        node = self._add(Node("mean", tuple(signal.node for signal in signals), shares))
        return _Signal(node, q, is_normal)

    def _matters(self, step: Step) -> bool:
        """Return whether a hidden activation depends on the step."""
        after = downstream(self._trace, step.outputs)
        reached = after & self._inside
        return bool(reached) and step.place not in self._inside

    def _refuse(self, step: Step, why: str) -> None:
        if step.function in _STATISTICS:
            why = f"{step.function} makes each example depend on the others, or each place. Use layer normalization"
        elif step.function in RECURRENT:
            why = f"{step.function} applies the same weights at every step"
        elif "pool" in step.function or step.function in {"mean", "amax", "max"}:
            why = f"{step.function} pools values before an activation, which changes their variance"
        place = f" at {step.file}:{step.line}" if step.file and step.line else f" in {step.path}" if step.path else ""
        raise BadInput(f"tailor: {why}{place}.")
