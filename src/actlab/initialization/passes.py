"""What the steps of a pass are, as far as the size of the signal is concerned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from actlab.formula.activation import Activation
from actlab.rules.construction.layers import DROPOUTS
from actlab.rules.context import Context
from actlab.rules.dataflow import biased, is_layer, parameter_behind
from actlab.sites.recognize.routes import groups
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.site import Site
from actlab.sites.trace.trace import Step, Trace

NORMS = frozenset({"batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"})
EMBEDDINGS = frozenset({"embedding", "embedding_bag"})
RECURRENT: Mapping[str, int] = {
    "lstm": 4,
    "gru": 3,
    "rnn_tanh": 1,
    "rnn_relu": 1,
    "lstm_cell": 4,
    "gru_cell": 3,
    "rnn_tanh_cell": 1,
    "rnn_relu_cell": 1,
}
"""By a recurrent function, the blocks of its weights, one for each gate and state."""
ATTENTION = "multi_head_attention_forward"
KEEPS = MOVES | DROPOUTS
"""Steps that keep the mean square of the signal."""


@final
@dataclass(frozen=True)
class Application:
    """One application of an activation.

    Attributes:
        site: the place.
        source: the number of its input; of a gated unit that of the gate.
        output: the number of its result.
        steps: the places of its steps.
    """

    site: Site
    source: int
    output: int
    steps: frozenset[int]


@final
@dataclass(frozen=True)
class Sum:
    """A sum of values.

    Attributes:
        place: the place of the last addition.
        terms: the numbers of the values.
        output: the number of the sum.
    """

    place: int
    terms: tuple[int, ...]
    output: int


@final
class Pass:
    """A traced pass of a model, indexed by what its steps are.

    Attributes:
        context: the trace, and the model's parameters by name.
        trace: the trace.
        application: by the number of an activation's result, the application.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.trace = context, context.trace
        found = [_application(self.trace, steps, at) for steps, at in groups(self.trace, with_product=True)]
        self.application = {each.output: each for each in found}
        self.application_at = {place: each for each in found for place in each.steps}

    def before(self, value: int) -> tuple[int, Step | None]:
        """Return the value that is moved here, and the last step of what computed it; None if it is from outside."""
        trace = self.trace
        while True:
            step = trace.maker(value)
            if step is None or value in self.application:
                return value, step
            product = biased(trace, step)
            if product is not None and len(step.inputs) == 2:
                return product, trace.maker(product)
            if step.function not in KEEPS or not step.inputs or step.place in self.application_at:
                return value, step
            value = step.inputs[0]

    def activation_after(self, value: int) -> Application | None:
        """Return the first activation that reads the value, through whatever is neither a layer nor an activation."""
        trace, waiting, known = self.trace, [value], {value}
        found: list[Application] = []
        while waiting:
            for reader in trace.readers(waiting.pop()):
                if (application := self.application_at.get(reader.place)) is not None:
                    found.append(application)
                elif reader.part == "model" and not is_layer(trace, reader) and reader.function not in _ENDS:
                    new = [each for each in reader.outputs if each not in known]
                    known.update(new)
                    waiting += new
        return min(found, key=lambda each: min(each.steps), default=None)

    def sums(self) -> list[Sum]:
        """Return the sums of activations, layers and streams, each with all its terms; sums of weights are left out."""
        found: list[Sum] = []
        joined: dict[int, tuple[int, ...]] = {}  # by an inner sum that only the outer one reads, its terms
        for step in self.trace.steps:
            if not self.is_sum(step):
                continue
            terms = tuple(term for value in step.inputs for term in joined.get(self.before(value)[0], (value,)))
            readers = self.trace.readers(step.outputs[0])
            if len(readers) == 1 and self.is_sum(readers[0]) and step.outputs[0] not in self.trace.outputs:
                joined[step.outputs[0]] = terms
            else:
                found.append(Sum(step.place, terms, step.outputs[0]))
        return found

    def is_sum(self, step: Step) -> bool:
        """Return whether the step adds two signals."""
        trace = self.trace
        return (
            step.function == "add"
            and step.part == "model"
            and len(step.inputs) == 2
            and step.place not in self.application_at
            and biased(trace, step) is None
            and all(trace.values[each].dtype.startswith(("float", "bfloat")) for each in step.inputs)
            and not any(parameter_behind(trace, each) or each in trace.of_weights for each in step.inputs)
        )

    def setting(self, step: Step, name: str, at: int, default: Any) -> Any:
        """Return an argument of the call, by its name or its index."""
        value = step.arguments.get(name, step.arguments.get(str(at), default))
        return default if value is None else value


_ENDS = frozenset({*EMBEDDINGS, *RECURRENT, ATTENTION, "scaled_dot_product_attention", "matmul", "bmm", "softmax"})


def _application(trace: Trace, places: list[int], at: int) -> Application:
    steps = [trace.steps[place] for place in places]
    last = next((step for step in reversed(steps) if step.outputs), steps[-1])
    return Application(trace.sites[at], trace.source(steps[0]), last.outputs[0], frozenset(places))


def elementwise(site: Site) -> Activation | None:
    """Return the activation, also that of a gated unit; None if it acts along an axis."""
    return site.formula if isinstance(site.formula, Activation) else None
