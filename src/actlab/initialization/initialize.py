"""Draw a model's weights anew, so that the signal has the size that its activations need at every depth."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from actlab.errors import BadInput, NoMoment, shortened
from actlab.formula.activation import Activation
from actlab.initialization.aims import aims_of, expected, needed
from actlab.initialization.answer import Initialization, Initialized, LeftAlone, SiteSignal
from actlab.initialization.batch import Arguments, arguments_of, random_arguments, refuse_lazy
from actlab.initialization.calibration import Calibration, fitted_calls, mean_square
from actlab.initialization.layers import Draw, Layer, draw, layers_of
from actlab.initialization.passes import NORMS, RECURRENT, Pass, elementwise
from actlab.rules.context import Context
from actlab.rules.dataflow import is_layer, parameter_behind
from actlab.rules.observed import Observed
from actlab.sites.find import recorded as traced_pass
from actlab.sites.recognize.torch_ops import LAYERS
from actlab.sites.trace.calls import tensors_within
from actlab.sites.trace.recorder import Observer, Repeated
from actlab.sites.trace.run import recorded, unwrapped
from actlab.sites.trace.trace import Step
from actlab.theory.gains import moments
from actlab.theory.mean_field import EdgePoint, edge_of_chaos

Method = Literal["gain", "edge", "orthogonal", "lsuv", "mean-variance"]
_METHODS: tuple[Method, ...] = ("gain", "edge", "orthogonal", "lsuv", "mean-variance")
_NEEDS_BATCH = frozenset({"lsuv", "mean-variance"})
# The standard deviations of the biases at which a point on the edge of chaos is searched, in this order.
_SIGMA_B = (0.2, 0.0)
# Where variances next to the aim move away from it, as with the square of ReLU, rounding grows with depth: each further
# pass corrects layers that the one before could not reach.
_MOST_PASSES, _REPEATED = 16, 0.005


def initialize(
    model: nn.Module,
    batch: Any = None,
    method: str = "gain",
    *,
    sigma_b: float | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Initialization:
    """Draw the model's weights anew, in place, so that the signal keeps its size through the depth.

    Each layer's output gets a mean square of 1 (`edge`: the variance that the layers preserve), by the second-moment
    gain of the activation before the layer. At finite width a plain draw misses that by several percent a layer, and
    the errors of a deep network add up; so the drawn weights are then scaled once, layer by layer, by what the batch
    measures. The layers that end the residual branches of a stream together add as much as the stream had at its
    beginning; where an activation reads a sum whose other terms are smaller than the aim, the branch makes up the rest.
    Normalizations become the identity, biases 0.

    Args:
        model: changed in place; if an error is raised, it is as before. It runs in its present mode, and its buffers
            and the random state are restored.
        batch: inputs, a pair of inputs and targets, or a loader, whose first batch is used. Inputs are one tensor, a
            dict of keyword arguments, or, in a pair, a tuple of arguments. Without it, standard normal inputs or random
            tokens of the shape that the first layer takes stand in.
        method: `gain`: normal weights, scaled by the gain. `orthogonal`: the same with orthogonal matrices and
            delta-orthogonal kernels. `edge`: normal weights and biases on the edge of chaos. `lsuv`: orthogonal
            weights, each layer's output scaled to the variance 1. `mean-variance`: each unit scaled and shifted to mean
            0 and variance 1. The last two need the batch.
        sigma_b: for `edge`, the standard deviation of the biases; by default .2, or 0 if the edge has no point at .2.
        seed: of the random numbers; by default PyTorch's own stream is drawn from.
        generator: the source of random numbers, in place of a seed.

    Raises:
        BadInput: the model cannot be run on the batch, its shapes are unknown, it holds no layer with weights, a method
            needs a batch or is unknown, or an output is not finite.
        NoMoment: for `edge`, an activation has no point on the edge of chaos.

    Source:
        He et al. 2015, arXiv:1502.01852; Saxe et al. 2014, arXiv:1312.6120; Mishkin and Matas 2016, arXiv:1511.06422;
        Krähenbühl et al. 2016, arXiv:1511.06856; Schoenholz et al. 2017, arXiv:1611.01232.

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 10))
        >>> done = initialize(model, torch.randn(128, 64), seed=0)
        >>> [(each.path, round(each.gain, 4), each.derived_from) for each in done.initialized][1]
        ('2', 1.5335, 'gelu')
        >>> round(done.sites[0].mean_square, 3)
        1.0
    """
    chosen = _method_named(method)
    inner = unwrapped(model)
    refuse_lazy(inner, owner="initialize")
    numbers = _numbers(seed, generator)
    arguments = _arguments(inner, batch, method=chosen)
    with _kept_if_raised(inner):
        return _initialized(inner, arguments, chosen, sigma_b=sigma_b, numbers=numbers, has_batch=batch is not None)


def _method_named(method: str) -> Method:
    for known in _METHODS:
        if method == known:
            return known
    raise BadInput(f"initialize: the method must be one of {', '.join(_METHODS)}; got '{shortened(str(method))}'.")


def _numbers(seed: int | None, generator: torch.Generator | None) -> torch.Generator | None:
    if seed is not None and generator is not None:
        raise BadInput("initialize: pass a seed or a generator, not both.")
    if seed is None:
        return generator
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise BadInput(f"initialize: the seed must be a whole number from 0; got {shortened(repr(seed))}.")
    # not the seed itself: inputs that the caller drew with the same one would be the weights, number by number
    return torch.Generator().manual_seed(int.from_bytes(sha256(f"initialize {seed}".encode()).digest()[:7], "big"))


def _arguments(model: nn.Module, batch: Any, *, method: Method) -> Arguments:
    if any(value.is_meta for value in model.parameters()):
        raise BadInput("initialize: the parameters are on the meta device and hold no numbers. Use model.to_empty().")
    if batch is not None:
        return arguments_of(batch, owner="initialize")
    if method in _NEEDS_BATCH:
        raise BadInput(f"initialize: the method '{method}' measures a batch; got none. Pass initialize(model, batch).")
    for arguments in random_arguments(model):
        try:
            traced_pass(model, arguments[0], dict(arguments[1]))
        except BadInput:
            continue
        return arguments
    raise BadInput("initialize: the model does not run on random inputs of a likely shape. Pass a batch.")


@contextmanager
def _kept_if_raised(model: nn.Module) -> Iterator[None]:
    """Restore all parameters if the block raises."""
    before = [(value, value.detach().clone()) for value in model.parameters()]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for value, kept in before:
                value.copy_(kept)
        raise


def _initialized(
    model: nn.Module,
    arguments: Arguments,
    method: Method,
    *,
    sigma_b: float | None,
    numbers: torch.Generator | None,
    has_batch: bool,
) -> Initialization:
    of = Pass(Context(traced_pass(model, arguments[0], dict(arguments[1])), Observed(), model))
    known = layers_of(of)
    layers = [layer for layer in known if _is_free(of, layer)]
    if not layers:
        raise BadInput("initialize: the model calls no layer whose weights can be drawn; see `actlab.sites`.")
    outside = _of_inputs(of, arguments)
    edges = _edges(of, layers, sigma_b) if method == "edge" else {}
    aims = aims_of(of, layers, {layer.step.place: _base(of, layer, edges) for layer in layers})
    likely = expected(of, {layer.output: aims[layer.step.place].value(outside) for layer in layers}, outside)
    starts = {layer.step.place: _start(of, layer, likely, edges) for layer in layers}
    how = Draw(method in {"orthogonal", "lsuv"}, numbers)
    with torch.no_grad():
        for layer in layers:
            _write(of, layer, how, starts[layer.step.place], numbers)
    statistic = {"lsuv": "variance", "mean-variance": "unit"}.get(method, "mean square")
    fitted: dict[int, float] = {}
    fits = fitted_calls(of, layers, fitted)
    scales = dict.fromkeys((layer.step.place for layer in layers), 1.0)
    signals: tuple[SiteSignal, ...] = ()
    missed = len(of.application) + 1
    for _ in range(_MOST_PASSES):
        calibration = Calibration(of, layers, aims, wanted=needed(aims), statistic=statistic)
        calibration.measured.update(outside)
        _run(model, arguments, calibration, stand_ins=fits)
        scales = {place: scale * calibration.scales.get(place, 1.0) for place, scale in scales.items()}
        signals = tuple(_signals(of, arguments, layers, calibration))
        before, missed = missed, sum(abs(signal.error or 0.0) > _REPEATED for signal in signals)
        if statistic != "mean square" or missed in (0, before):
            break
    return Initialization(
        method,
        tuple(_described(of, layer, starts[layer.step.place], calibration, scales, fitted) for layer in layers),
        tuple(_left_alone(of, layers, known)),
        signals,
        "batch" if has_batch else "random inputs",
    )


def _run(model: nn.Module, arguments: Arguments, observe: Observer, stand_ins: Mapping[Any, Any] | None = None) -> None:
    """Run the model as it was traced, with autograd, which keeps fused paths off, and without its memory."""
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_drop, _refuse):
        recorded(model, arguments[0], arguments[1], observe=observe, stand_ins=stand_ins)


def _drop(tensor: Tensor) -> None:
    return None


def _refuse(dropped: None) -> Tensor:
    raise RuntimeError("the model runs a backward pass in its forward")


def _is_free(of: Pass, layer: Layer) -> bool:
    """Return whether every weight and bias is trained and is a plain tensor of floating-point numbers."""
    values = [of.context.parameters[name] for name in (*layer.weights, *layer.biases)]
    return all(value.requires_grad and value.is_floating_point() and value.numel() for value in values)


def _of_inputs(of: Pass, arguments: Arguments) -> dict[int, float]:
    """Return the mean squares of the model's inputs, by their numbers."""
    tensors = tensors_within([*arguments[0], dict(arguments[1])])
    numbers = [value.number for value in of.trace.values if value.origin.startswith("input ")]
    return {
        number: mean_square(tensor)
        for number, tensor in zip(numbers, tensors, strict=False)
        if tensor.is_floating_point()
    }


def _edges(of: Pass, layers: Sequence[Layer], sigma_b: float | None) -> dict[Activation, EdgePoint]:
    """Return the point on the edge of chaos of each activation beside a layer: a stable one if there is one.

    Raises:
        NoMoment: an activation has none.
    """
    beside = [_after(of, layer) for layer in layers if layer.role == "layer"]
    beside += [_before(of, layer) for layer in layers if layer.role == "layer"]
    found = {}
    for act in dict.fromkeys(each for each in beside if each is not None):
        if len(act.inputs) != 1:
            raise NoMoment(f"initialize: {act.label} is a gated unit, which has no edge of chaos. Use method='gain'.")
        for deviation in _SIGMA_B if sigma_b is None else (sigma_b,):
            points = [point for point in edge_of_chaos(act, deviation) if point.q > 0]
            if points:
                found[act] = next((point for point in points if point.is_stable), points[0])
                break
        else:
            at = "for biases of .2 or 0" if sigma_b is None else f"at sigma_b={sigma_b:g}"
            raise NoMoment(f"initialize: {act.label} has no point on the edge of chaos {at}. Use method='gain'.")
    return found


def _after(of: Pass, layer: Layer) -> Activation | None:
    application = of.activation_after(layer.output)
    return None if application is None else elementwise(application.site)


def _before(of: Pass, layer: Layer) -> Activation | None:
    application = of.application.get(of.before(layer.data)[0])
    return None if application is None else elementwise(application.site)


def _base(of: Pass, layer: Layer, edges: Mapping[Activation, EdgePoint]) -> float:
    """Return the mean square aimed at, at the activation after the layer or else the one before it."""
    act = _after(of, layer) or _before(of, layer)
    return edges[act].q if act is not None and act in edges else 1.0


@final
@dataclass(frozen=True)
class _Start:
    """How the weights of a layer are drawn.

    Attributes:
        factor: on weights of mean square 1/fan_in, for an output with the mean square `aim`.
        aim: as expected before the batch is measured.
        derived_from: what the factor follows from.
        bias: the standard deviation of the biases.
        note: a further remark.
    """

    factor: float
    aim: float
    derived_from: str
    bias: float = 0.0
    note: str = ""


def _start(of: Pass, layer: Layer, likely: Mapping[int, float], edges: Mapping[Activation, EdgePoint]) -> _Start:
    aim = likely.get(layer.output, 1.0)
    if layer.role == "norm":
        return _Start(1.0, aim, "")
    if layer.role == "embedding":
        return _Start(1.0, aim, "tokens")
    if layer.role != "layer":
        return _Start(1.0, 1.0, "measured", note=_NOTES.get(layer.role, ""))
    act, value = _after(of, layer) or _before(of, layer), of.before(layer.data)[0]
    point = edges.get(act) if act is not None else None
    has_bias = point is not None and bool(layer.biases) and aim > point.sigma_b**2
    bias = point.sigma_b if point is not None and has_bias else 0.0
    notes = (
        []
        if point is None or point.is_stable
        else [f"the edge of chaos of {act} is not stable, V'(q) = {point.slope:.4g}"]
    )
    notes += ["tied to an embedding"] if layer.embeds else []
    derived, square = _source(of, layer, likely.get(value))
    factor = math.sqrt((aim - bias**2) / square)
    return _Start(factor, aim, derived, bias, "; ".join(notes))


_NOTES = {"recurrent": "recurrent weights orthogonal, the forget gate's bias 1"}


_STACKED = re.compile(r"weight_ih_l[1-9]\d*(_reverse)?$")


@cache
def state_square(function: str) -> float:
    """Return the mean square of the state of a recurrent layer after many steps, roughly.

    The inputs of its gates count as independent standard normal numbers.

    Example:
        >>> state_square("rnn_relu")
        0.5
    """
    if function.startswith("rnn"):
        return moments("relu" if "relu" in function else "tanh").second
    kept, new = moments("sigmoid").second, moments("tanh").second
    if function.startswith("gru"):  # h' = (1 - u) n + u h, with E (1 - u)² = E u²
        return kept * new / (1 - kept)
    cell = kept * new / (1 - moments("sigmoid(x + 1)").second)
    return kept * moments("tanh", cell).second


def _source(of: Pass, layer: Layer, square: float | None) -> tuple[str, float]:
    """Return what the layer reads, in a word, and its mean square; 1 if only a measurement shows it."""
    value, step = of.before(layer.data)
    application = of.application.get(value)
    act = None if application is None else elementwise(application.site)
    if application is not None and act is not None and square:
        return act.label, square
    if not square:
        return "measured", 1.0
    if step is None:
        return "inputs", square
    if step.function in NORMS:
        return "normalization", square
    return ("a layer" if is_layer(of.trace, step) else "measured"), square


def _write(of: Pass, layer: Layer, how: Draw, start: _Start, numbers: torch.Generator | None) -> None:
    named = of.context.parameters
    for weight, drawn in draw(of, layer, how):
        weight.copy_(drawn * start.factor)
    if layer.role == "recurrent":
        for name in layer.weights:
            if _STACKED.search(name):
                named[name].mul_(state_square(layer.step.function) ** -0.5)
    for name in layer.biases:
        bias = named[name]
        bias.zero_()
        if start.bias:
            device = torch.device("cpu") if numbers is None else numbers.device
            bias.copy_(torch.randn(bias.shape, generator=numbers, device=device) * start.bias)
        if layer.role == "recurrent" and RECURRENT[layer.step.function] == 4 and "bias_ih" in name:
            quarter = len(bias) // 4
            bias[quarter : 2 * quarter] = 1.0
    padding = layer.step.arguments.get("padding_idx")
    if layer.role == "embedding" and isinstance(padding, int) and padding >= 0:
        named[layer.weights[0]][padding] = 0.0


def _described(
    of: Pass,
    layer: Layer,
    start: _Start,
    calibration: Calibration,
    scales: Mapping[int, float],
    fitted: Mapping[int, float],
) -> Initialized:
    place, aim = layer.step.place, calibration.aim(layer)
    scale, note, derived = scales[place], start.note, start.derived_from
    application = of.activation_after(layer.output)
    gain: float | None = None
    correction = 1.0
    if math.isnan(scale):
        note = "; ".join(filter(None, [note, "its output is 0 on the batch, so it was not scaled"]))
        scale = 1.0
    if layer.role == "embedding":
        gain = scale
    elif layer.role in {"attention", "recurrent"}:
        gain, derived = fitted.get(place, 1.0), "its measured input"
    elif layer.role == "layer":
        size = calibration.measured.get(layer.data)
        is_measured = derived == "measured" and bool(size)
        gain = math.sqrt(aim / (size or 1.0)) if is_measured else start.factor * math.sqrt(aim / start.aim)
        correction = start.factor * scale / gain
    return Initialized(
        layer.path,
        layer.kind,
        tuple(name for name in (*layer.weights, *layer.biases)),
        gain,
        derived,
        "" if application is None else application.site.activation,
        aim,
        correction,
        note,
    )


def _left_alone(of: Pass, layers: Sequence[Layer], known: Sequence[Layer]) -> Iterator[LeftAlone]:
    """Yield what was not changed: parameters, with what reads them, and parts that cannot be inspected."""
    changed = {name for layer in layers for name in (*layer.weights, *layer.biases)}
    readers: dict[str, str] = {}
    for step in of.trace.steps:
        for value in step.inputs:
            if name := parameter_behind(of.trace, value):
                site = of.trace.site_at(step)
                readers.setdefault(name, step.function if site is None else f"the activation {site.activation}")
    held = {name for layer in known for name in (*layer.weights, *layer.biases)}
    for name, parameter in of.context.model.named_parameters():
        if name in changed and parameter.requires_grad:
            continue
        if not parameter.requires_grad:
            yield LeftAlone(name, "it is frozen")
        elif name not in readers:
            yield LeftAlone(name, "the pass does not read it")
        elif name in held:
            yield LeftAlone(name, "its layer holds a frozen weight or one that is not a floating-point tensor")
        elif readers[name] in LAYERS:
            yield LeftAlone(name, "the weight of its layer is computed, or its place among the arguments is unknown")
        else:
            yield LeftAlone(name, f"it is read by {readers[name]}, which is not a layer that initialize knows")
    for part in of.trace.unseen:
        if part.what != "nn.MultiheadAttention" and not part.what.startswith(("nn.LSTM", "nn.GRU", "nn.RNN", "F.")):
            yield LeftAlone(part.path, f"{part.what}: {part.why}")


def _signals(of: Pass, arguments: Arguments, layers: Sequence[Layer], calibration: Calibration) -> Iterator[SiteSignal]:
    """Yield the signal at each site, measured in one more pass."""
    firsts = dict[int, tuple[str, str]]()
    for application in sorted(of.application.values(), key=lambda each: min(each.steps)):
        firsts.setdefault(application.source, (application.site.name, application.site.activation))
    found: dict[int, float] = {}

    def observe(
        step: Step, read: tuple[Tensor, ...], made: tuple[Tensor, ...], repeated: Repeated | None = None
    ) -> None:
        for numbers, tensors in ((step.inputs, read), (step.outputs, made)):
            for number, tensor in zip(numbers, tensors, strict=True):
                if number in firsts and number not in found:
                    found[number] = mean_square(tensor)

    _run(of.context.model, arguments, observe)
    aims = expected(of, {layer.output: calibration.aim(layer) for layer in layers}, calibration.measured)
    named = set[str]()
    for number, (name, activation) in firsts.items():
        if number in found and name not in named:
            named.add(name)
            yield SiteSignal(name, activation, aims.get(number), found[number])
