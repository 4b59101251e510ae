"""Follow the signal of a batch through a recorded pass: measure it, predict it, and find why the two part."""

from __future__ import annotations

import math
from dataclasses import replace
from math import hypot
from typing import final

import numpy as np
import torch
from torch import Tensor

from actlab.errors import NoMoment
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr
from actlab.sites.recognize.routes import groups
from actlab.sites.site import Site
from actlab.sites.trace.recorder import Repeated
from actlab.sites.trace.trace import Step, Trace
from actlab.telemetry.signal.answer import WORTH_A_WORD, Compared, SiteSignal
from actlab.telemetry.signal.layer import Layer, layer_of, shuffled
from actlab.telemetry.signal.moments import Moments, is_measurable, moments
from actlab.telemetry.signal.state import Parting, Scale, State, begun
from actlab.telemetry.signal.steps import Afresh, Applied, followed
from actlab.theory.evaluate import Floats, evaluator, of_x, slope_of
from actlab.theory.gaussian import differentiable
from actlab.theory.propagation import Passed, passed

_NOT_NORMAL = "its input is not a sum of many independent terms, so it is not normal"
# Derivatives are averaged over so many positions of each unit at most.
_MOST_POSITIONS = 256
_NODES = 80


@final
class Following:
    """Observes each step of a pass whose trace with its sites is known.

    Args:
        trace: of an equal pass before.
        examples: the number of examples along the first axis.

    Attributes:
        sites: what was found, by the index of the site; of its first application.
        partings: where measurement and theory part.
    """

    def __init__(self, trace: Trace, *, examples: int) -> None:
        self.sites: dict[int, SiteSignal] = {}
        self.partings: list[Parting] = []
        self._trace, self._examples = trace, examples
        self._states: dict[int, State] = {}
        self._lost: dict[int, str] = {}  # by a value that has no state, why
        self._reported: set[Parting] = set()
        self._inside = {place for places, _ in groups(trace) for place in places}
        self._last = {places[-1]: (trace.steps[places[0]], at) for places, at in groups(trace)}
        self._first = {places[0] for places, _ in groups(trace)}
        self._inputs: dict[int, Tensor] = {}  # by the place of the first step of an application, the pre-activation

    def __call__(
        self,
        step: Step,
        inputs: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
        repeated: Repeated | None = None,
    ) -> None:
        if step.part != "model":
            return
        with torch.no_grad():
            self._note(step, inputs, outputs)

    def _note(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        for number, tensor in zip(step.inputs, inputs, strict=True):
            self._begin(number, tensor)
        if step.place in self._first:
            source = self._trace.source(step)
            found = dict(zip(step.inputs, inputs, strict=True)).get(source)
            if found is not None:
                self._inputs[step.place] = found.detach()
        if step.place in self._last:
            first, at = self._last[step.place]
            z = self._inputs.pop(first.place, None)
            if z is not None and outputs:
                self._site(at, first, z, self._trace.steps[step.place], outputs[0].detach())
                return
        if step.place not in self._inside:
            self._step(step, inputs, outputs)

    def _begin(self, number: int, tensor: Tensor) -> None:
        """Start at a value that comes from outside, or that was overwritten through another view."""
        if number in self._states or number in self._trace.of_weights:
            return
        maker = self._trace.maker(number)
        if maker is not None and maker.function == "alias" and maker.inputs[0] in self._states:
            self._states[number] = self._states[maker.inputs[0]]
            return
        origin = self._trace.values[number].origin
        if origin.startswith(("parameter", "buffer", "constant")) or not self._is_measurable(tensor):
            return
        since = "" if origin else "its examples could not be followed before"
        self._states[number] = begun(moments(tensor), roots=frozenset({f"value {number}"}), since=since)

    def _is_measurable(self, tensor: Tensor) -> bool:
        return is_measurable(tensor, examples=self._examples)

    def _step(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        measurable = [self._is_measurable(each) for each in outputs]
        layer = layer_of(self._trace, step, inputs)
        before = None if layer is None else self._states.get(layer.number)
        if layer is not None and before is not None and measurable[0] and self._is_measurable(layer.inputs):
            self._states[step.outputs[0]] = self._behind_layer(layer, before, outputs[0])
            return
        states = tuple(self._states.get(number) for number in step.inputs)
        weights = tuple(number in self._trace.of_weights for number in step.inputs)
        applied = Applied(self._trace, step, inputs, outputs, states, weights)
        found = followed(applied, lost=tuple(self._lost[each] for each in step.inputs if each in self._lost))
        for number, tensor, is_one in zip(step.outputs, outputs, measurable, strict=True):
            if not isinstance(found, Afresh):
                self._states[number] = found
            elif is_one:
                self._states[number] = _afresh(found, states, tensor)
            else:
                self._lost[number] = found.why

    def _behind_layer(self, layer: Layer, before: State, output: Tensor) -> State:
        """Return what is known behind a layer, and note whether it parts from the theory by itself."""
        here = moments(output, axis=layer.axis)
        after = layer.sigma_w2 * before.covariance + layer.sigma_b2
        square = float(np.diagonal(after).mean())
        inherited = (
            layer.sigma_w2 * before.errors[0],
            (layer.sigma_w2 * before.errors[1] * before.square / square if square else 0.0),
        )
        parting = self._layer_parting(layer, here)
        if parting is not None:
            self.partings.append(parting)
        return State(
            after,
            np.zeros_like(before.mean),
            is_normal=True,
            roots=frozenset({layer.name}),
            inherited=inherited,
            own=(here.error_if_normal(after), here.correlation_error),
            layer=Scale(layer.sigma_w2, layer.sigma_b2, layer.norms),
            partings=before.partings if parting is None else (*before.partings, parting),
            since=before.since,
        )

    def _layer_parting(self, layer: Layer, here: Moments) -> Parting | None:
        """Return why the layer, of the inputs that it really has, does not give what the theory predicts."""
        given = moments(layer.inputs)
        expected = layer.sigma_w2 * given.covariance + layer.sigma_b2
        predicted = layer.sigma_w2 * given.square + layer.sigma_b2

        def is_off(measured: Moments) -> bool:
            return Compared(measured.square, predicted, measured.error_if_normal(expected)).parts

        if not is_off(here):
            return None
        factor = f"{here.square / predicted:.3g} times the predicted mean square" if predicted else "not 0"
        if not is_off(moments(layer.with_weight(shuffled(layer.weight)), axis=layer.axis)):
            sentence = (
                f"{layer.name} gives {factor}, and as predicted with the same weights in random order: they depend on"
                " each other or on their inputs, as after training"
            )
            return Parting(layer.name, "dependent weights", sentence)
        weight = shuffled(layer.weight)
        if not is_off(moments(layer.with_weight(weight - weight.mean()), axis=layer.axis)):
            level = float(weight.double().mean())
            sentence = (
                f"{layer.name} gives {factor}, and as predicted with the mean {level:.3g} of its weights taken off"
            )
            return Parting(layer.name, "mean of the weights", sentence)
        sentence = (
            f"{layer.name} gives {factor}, also with its weights in random order and without their mean: its inputs are"
            " not alike at all positions"
        )
        return Parting(layer.name, "inputs differ", sentence)

    def _site(self, at: int, first: Step, z: Tensor, last: Step, y: Tensor) -> None:
        """Measure and predict one application of a site."""
        source, result = self._trace.source(first), last.outputs[0]
        is_one_call = first is last and first.function == "activation"
        site, before = self._trace.sites[at], self._states.get(source)
        if not self._is_measurable(z) or not self._is_measurable(y) or before is None:
            self.sites.setdefault(at, _unmeasured(site))
            return
        read, made = moments(z, axis=_axis(site, z)), moments(y, axis=_axis(site, y))
        found = _through(site, before, is_whole=site.gate is not None and (z.shape != y.shape or is_one_call))
        parting = None
        if isinstance(found, Afresh):
            after = _afresh(found, (before,), y)
        else:
            parting = self._site_parting(site, read, made)
            if parting is not None:
                self.partings.append(parting)
            after = State(
                found.covariance,
                found.mean,
                is_normal=False,
                roots=before.roots,
                inherited=(abs(found.of_variance) * before.inherited[0], _correlation_error(found, before)),
                own=(made.error_of(found.square), made.correlation_error),
                partings=before.partings if parting is None else (*before.partings, parting),
                since=before.since,
            )
        self._states[result] = after
        if at not in self.sites:
            signal = _compared(site, z, before, found, read=read, made=made, after=after)
            self.sites[at] = self._explained(signal, before, found, parting, read)

    def _site_parting(self, site: Site, read: Moments, made: Moments) -> Parting | None:
        """Return why the activation, of the pre-activations that it really has, does not give what is predicted."""
        act = site.measured
        assert isinstance(act, Activation)
        try:
            predicted = passed(act, read.covariance).square
        except NoMoment:
            return None
        if not _parts(made, predicted):
            return None
        factor = f"{made.square / predicted:.3g} times that of normal pre-activations" if predicted else "not 0"
        start, mean = f"the mean square behind {site.name} is {factor}", float(read.mean.mean())
        of_mean = _square_around(act, mean, read.square) / max(_square_around(act, 0.0, read.square), 1e-300)
        if not _parts(made, predicted * of_mean):
            return Parting(site.name, "mean", f"{start}, and as predicted with their measured mean {mean:.3g}")
        return Parting(site.name, "not normal", f"{start}; their kurtosis is {read.kurtosis:.3g}, of normal numbers 3")

    def _explained(
        self, signal: SiteSignal, before: State, found: Passed | Afresh, parting: Parting | None, read: Moments
    ) -> SiteSignal:
        """Return the signal with the reason why measurement and theory part."""
        if isinstance(found, Afresh):
            return replace(signal, reason="not predicted", sentence=found.why)
        if not signal.pre_square.parts and not signal.square.parts:
            return _within_chance(signal, before, read)
        new = [each for each in (*before.partings, *([parting] if parting else [])) if each not in self._reported]
        self._reported.update(new)
        if new:
            return replace(signal, reason=new[0].reason, sentence="; ".join(each.sentence for each in new))
        mine = before.partings
        if mine:
            sentence = f"the two part at {mine[0].place}, and nothing more is added here"
            return replace(signal, reason="earlier", sentence=sentence)
        return replace(
            signal, reason="finite width",
            sentence="no layer on the way parts by itself: small differences of finitely many units add up",
        )  # fmt: skip


def _through(site: Site, before: State, *, is_whole: bool) -> Passed | Afresh:
    """Return the signal behind a site, or why it cannot be predicted.

    Args:
        site: the site.
        before: what is known of its pre-activation.
        is_whole: whether one call applies a whole gated unit, of which the gate alone cannot be observed.
    """
    act = site.measured
    if not isinstance(act, Activation):
        return Afresh(f"{act.name} acts along an axis")
    if is_whole or len(act.inputs) != 1:
        return Afresh("a gated unit in one call")
    if not before.is_normal:
        return Afresh(_NOT_NORMAL)
    try:
        return passed(act, before.covariance)
    except NoMoment as error:
        return Afresh(str(error).rstrip("."))


def _parts(measured: Moments, predicted: float) -> bool:
    """Return whether a measured mean square parts from the predicted one beyond chance."""
    return Compared(measured.square, predicted, measured.error_of(predicted)).parts


def _within_chance(signal: SiteSignal, before: State, read: Moments) -> SiteSignal:
    """Name what suffices to explain a visible difference that is within the standard errors."""
    shown = max(abs(signal.pre_square.relative), abs(signal.square.relative))
    if not shown > WORTH_A_WORD:
        return signal
    inherited = before.inherited[0]
    free = read.free_error / read.square * signal.pre_square.predicted if read.square else math.nan
    if not math.isnan(free) and replace(signal.pre_square, error=hypot(inherited, free)).parts:
        sentence = (
            f"beyond chance if all positions were independent, within it as all share the weights of {signal.units}"
            " channels"
        )
        return replace(signal, reason="weight sharing", sentence=sentence)
    return replace(signal, reason="finite width", sentence=f"within chance for layers of {signal.units} units")


def _compared(
    site: Site, z: Tensor, before: State, found: Passed | Afresh, *, read: Moments, made: Moments, after: State
) -> SiteSignal:
    theory = None if isinstance(found, Afresh) else found
    layer = before.layer
    chi = Compared(math.nan)
    act = site.measured
    if layer is not None and isinstance(act, Activation) and len(act.inputs) == 1:
        predicted = layer.sigma_w2 * layer.predicted * float(theory.slopes.mean()) if theory is not None else math.nan
        chi = Compared(_chi(act, z, layer, axis=_axis(site, z)), predicted)
    return SiteSignal(
        site,
        read.units,
        Compared(read.square, before.square, before.errors[0]),
        Compared(made.square, after.square, after.errors[0]) if theory is not None else Compared(made.square),
        Compared(float(made.mean.mean()), float(theory.mean.mean()) if theory is not None else math.nan),
        chi,
        Compared(read.correlation, before.correlation, before.errors[1]),
        math.nan if layer is None else math.sqrt(layer.sigma_w2),
        math.nan if layer is None else math.sqrt(layer.sigma_b2),
        since=before.since,
    )


def _unmeasured(site: Site) -> SiteSignal:
    none = Compared(math.nan)
    sentence = "its values are not finite, or not of one example each along the first axis"
    return SiteSignal(site, 0, none, none, none, none, none, reason="not predicted", sentence=sentence)


def _afresh(found: Afresh, states: tuple[State | None, ...], tensor: Tensor) -> State:
    roots = frozenset().union(*(state.roots for state in states if state is not None))
    return begun(moments(tensor), roots=roots, since=found.why, is_normal=found.is_normal)


def _axis(site: Site, tensor: Tensor) -> int:
    return site.channel_axis if tensor.dim() > site.channel_axis else -1


def _correlation_error(found: Passed, before: State) -> float:
    """Return the standard error of the correlation behind an activation, from that before it."""
    of_correlation = abs(found.of_covariance) * before.square
    return of_correlation * before.inherited[1] / found.square if found.square else 0.0


def _square_around(act: Activation, mean: float, square: float) -> float:
    """Return E f(z)² of normal z with this mean and mean square."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    spread = math.sqrt(max(square - mean**2, 0.0))
    values = evaluator((of_x(act),))(mean + spread * nodes)[0]
    return float(weights @ (values * values) / weights.sum())


def _chi(act: Activation, z: Tensor, layer: Scale, *, axis: int) -> float:
    """Return the mean over the units of f'(z)² times their squared weights; NaN if f jumps or units are regrouped."""
    slope = _slope(act)
    values = z.movedim(axis, 1).flatten(2) if z.dim() > 2 else z[:, :, None]  # examples, units
    if slope is None or values.shape[1] != len(layer.norms):
        return math.nan
    step = max(1, values.shape[2] // _MOST_POSITIONS)
    numbers: Floats = values[:, :, ::step].double().cpu().numpy()
    squares = evaluator((slope,))(numbers.ravel())[0].reshape(numbers.shape) ** 2
    return float((squares.mean(axis=(0, 2)) * layer.norms).mean()) * layer.measured


def _slope(act: Activation) -> Expr | None:
    try:
        return slope_of(differentiable(act))
    except NoMoment:
        return None
