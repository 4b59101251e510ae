"""Whatever the loop does, it goes on as without `watch`, and what cannot be measured is named once."""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from actlab.diagnosis.check import check
from actlab.diagnosis.watch import Watch, watch
from actlab.diagnosis.watched_calls import Calls
from actlab.sites.trace import call_places
from actlab.telemetry.recording import Recording
from actlab.telemetry.updates import Updates

X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
STEPS = 4


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


# what is watched, and a step's loss
Case = tuple[nn.Module, Callable[[], Tensor]]


class Around(nn.Module):
    """A network with a part, and a function after its first layer."""

    def __init__(self, function: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.first, self.net, self.function = nn.Linear(4, 4), network(), function

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.function(self.first(x)))


class Graph(nn.Module):
    def __init__(self, layout: torch.layout, *, as_buffer: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
        neighbors = torch.eye(32).to_sparse(layout=layout)
        self.register_buffer("neighbors", neighbors if as_buffer else None)
        self.given = None if as_buffer else neighbors

    def forward(self, x: Tensor, neighbors: Tensor | None = None) -> Tensor:
        neighbors = self.neighbors if neighbors is None else neighbors
        return self.last(torch.relu(torch.sparse.mm(neighbors, self.first(x))))


def of_graph(layout: torch.layout, *, as_buffer: bool, is_compiled: bool = False) -> Case:
    model = Graph(layout, as_buffer=as_buffer)
    called = torch.compile(model, backend="eager") if is_compiled else model
    return called, lambda: called(X, model.given).square().mean()


def of_compiled(model: nn.Module, **options: object) -> Case:
    compiled = torch.compile(model, **options)
    return model, lambda: compiled(X).square().mean()


class Ragged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x))).to_padded_tensor(0.0)


def of_nested(layout: torch.layout) -> Case:
    model = Ragged()
    return model, lambda: model(torch.nested.nested_tensor([X[:3], X[3:8]], layout=layout)).square().mean()


class OwnTrain(Around):
    def train(self, positive: Tensor, negative: Tensor) -> None:
        raise TypeError("another meaning")


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.last = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, rows: nn.utils.rnn.PackedSequence) -> Tensor:
        return F.gelu(self.last(self.lstm(rows)[1][0][-1]))


def of_packed() -> Case:
    model = Packed()
    rows = pack_padded_sequence(X.view(4, 8, 4), torch.tensor([8, 6, 3, 2]), batch_first=True)
    return model, lambda: model(rows).square().mean()


@dataclass
class Batch:
    rows: Tensor


class OfObjects(Around):
    def forward(self, batch: Batch) -> Batch:
        return Batch(super().forward(batch.rows))


def of_objects() -> Case:
    model = OfObjects()
    return model, lambda: model(Batch(X)).rows.square().mean()


def of_threads() -> Case:
    model, meeting = Around(), threading.Barrier(3)

    def together(x: Tensor) -> Tensor:
        meeting.wait(10)  # so that the passes overlap
        return torch.relu(x)

    model.function = together

    def loss() -> Tensor:
        found: dict[int, Tensor] = {}

        def run(at: int) -> None:
            found[at] = model(X[8 * at : 8 * at + 8]).square().mean()

        threads = [threading.Thread(target=run, args=(at,)) for at in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return found[0] + found[1] + found[2]

    return model, loss


def of_model(model: nn.Module, first: Callable[[nn.Module], object]) -> Case:
    """Do something with the model before each step."""

    def loss() -> Tensor:
        first(model)
        return model(X).square().mean()

    return model, loss


def changed(model: nn.Module) -> None:
    assert isinstance(model, nn.Sequential)
    model[1] = nn.GELU() if isinstance(model[1], nn.ReLU) else nn.ReLU()


def pickled(model: nn.Module) -> None:
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    torch.load(stream, weights_only=False)(X)


def of_parts() -> Case:
    model = nn.ModuleDict({"encoder": network(), "decoder": nn.Sequential(nn.Linear(3, 8), nn.SiLU())})
    return model, lambda: model["decoder"](model["encoder"](X)).square().mean()


def of_part(*, is_compiled: bool = False) -> Case:
    model = Around()
    if is_compiled:
        model.net = torch.compile(model.net, backend="eager")
    return model, lambda: model.net(X).square().mean()


class Chosen(Around):
    @torch.compile(backend="eager")
    def gate(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.gate(self.first(x)))


def of_fake() -> Case:
    from torch._subclasses.fake_tensor import FakeTensorMode

    model, shadow = network(), FakeTensorMode(allow_non_fake_inputs=True)

    def loss() -> Tensor:
        with shadow:
            model(torch.empty(4, 4))
        return model(X).square().mean()

    return model, loss


def of_samples() -> Case:
    """Gradients of single examples, as `torch.func` computes them."""
    model = network()

    def loss() -> Tensor:
        weights = {name: value.detach() for name, value in model.named_parameters()}

        def of_one(weights: dict[str, Tensor], x: Tensor) -> Tensor:
            return torch.func.functional_call(model, weights, (x[None],)).square().sum()

        slopes = torch.vmap(torch.func.grad(of_one), in_dims=(None, 0))(weights, X)
        return sum(((slopes[name].mean(0) * value).sum() for name, value in model.named_parameters()), X.new_zeros(()))

    return model, loss


def of_mapped() -> Case:
    model = network()
    return model, lambda: torch.vmap(model)(X).square().mean()


def of_tangents() -> Case:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    return model, lambda: torch.func.jvp(model, (X,), (torch.ones_like(X),))[1].square().mean()


def of_functional_call() -> Case:
    model = network()
    weights = dict(model.named_parameters())
    return model, lambda: torch.func.functional_call(model, weights, (X,)).square().mean()


def of_jit_trace() -> Case:
    model = network()
    return of_model(model, lambda model: torch.jit.trace(model, X))


class Generating(Around):
    def forward(self, x: Tensor):  # a generator
        yield super().forward(x)


def of_generator() -> Case:
    model = Generating()
    return model, lambda: next(model(X)).square().mean()


def of_quantized() -> Case:
    def through(x: Tensor) -> Tensor:
        return x + torch.relu(torch.quantize_per_tensor(x.detach(), 0.1, 0, torch.qint8)).dequantize()

    model = Around(through)
    return model, lambda: model(X).square().mean()


# what is measured of each, by path
MEASURED: dict[str, tuple[Callable[[], Case], set[str]]] = {
    "compiled, the original is watched": (lambda: of_compiled(network(), backend="eager"), {"1"}),
    "compiled as one graph": (lambda: of_compiled(network(), backend="aot_eager", fullgraph=True), {"1"}),
    "sparse": (lambda: of_graph(torch.sparse_coo, as_buffer=False), {""}),
    "sparse in rows": (lambda: of_graph(torch.sparse_csr, as_buffer=False), {""}),
    "a sparse buffer": (lambda: of_graph(torch.sparse_coo, as_buffer=True), {""}),
    "a sparse buffer, compiled": (lambda: of_graph(torch.sparse_csr, as_buffer=True, is_compiled=True), {""}),
    "nested": (lambda: of_nested(torch.strided), {""}),
    "jagged": (lambda: of_nested(torch.jagged), {""}),
    "its own train": (lambda: of_model(OwnTrain(), lambda model: None), {"", "net.1"}),
    "packed": (of_packed, {""}),
    "objects": (of_objects, {"", "net.1"}),
    "threads": (of_threads, {"", "net.1"}),
    "copied": (lambda: of_model(network(), lambda model: copy.deepcopy(model)(X)), {"1"}),
    "pickled": (lambda: of_model(network(), pickled), {"1"}),
    "modules exchanged": (lambda: of_model(network(), changed), {"1"}),
    "data parallel": (lambda: of_model(nn.DataParallel(network()), lambda model: None), {"1"}),
    "parts": (of_parts, {"encoder.1", "decoder.1"}),
    "a part": (of_part, {"net.1"}),
    "a compiled part": (lambda: of_part(is_compiled=True), {"net.1"}),
    "a compiled method": (lambda: of_model(Chosen(), lambda model: None), {"", "net.1"}),
    "functional call": (of_functional_call, {"1"}),
    "traced by torch.fx": (lambda: of_model(torch.fx.symbolic_trace(network()), lambda model: None), {"1"}),
    "exported": (lambda: of_model(network(), lambda model: torch.export.export(model, (X,))), {"1"}),
    "a conditional": (
        lambda: of_model(Around(lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))), lambda model: None),
        {"net.1"},
    ),
}  # fmt: skip

NAMED: dict[str, tuple[Callable[[], Case], str]] = {
    "vmap": (of_mapped, "inside torch.func or torch.vmap"),
    "gradients of single examples": (of_samples, "inside torch.func or torch.vmap"),
    "tangents": (of_tangents, "inside torch.func or torch.vmap"),
    "jit.trace": (of_jit_trace, "torch.jit.trace records every call"),
    "fake tensors": (of_fake, "fake tensors hold no numbers"),
    "a generator": (of_generator, "its forward is a generator"),
}


def trained(build: Callable[[], Case], *, is_watched: bool, **options: object) -> tuple[list[Tensor], Watch | None]:
    """Return the losses, the weights and the random state after some steps."""
    torch.manual_seed(0)
    model, loss = build()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    losses = []
    with watch(model, every=1, **options) if is_watched else nullcontext() as watched:
        for _ in range(STEPS):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            losses.append(value.detach())
    return [*losses, *(each.detach().clone() for each in model.parameters()), torch.get_rng_state()], watched


def assert_same(build: Callable[[], Case], **options: object) -> Watch:
    """Assert that the watched training computes the same bits, and return the watch."""
    plain, _ = trained(build, is_watched=False)
    found, watched = trained(build, is_watched=True, **options)
    assert all(torch.equal(one, two) for one, two in zip(plain, found, strict=True))
    assert watched is not None
    return watched


@pytest.mark.parametrize("case", MEASURED)
@pytest.mark.filterwarnings("ignore:.*prototype stage", "ignore:.*beta state", "ignore:The .grad attribute")
def test_the_loop_goes_on_unchanged_and_is_measured(case):
    build, paths = MEASURED[case]
    watched = assert_same(build)
    assert {each.site.path for each in watched.quantities().sites} == paths
    assert all(each.points[-1].gradient_rms > 0 for each in watched.quantities().sites)
    assert watched.report().ok


@pytest.mark.parametrize("case", NAMED)
@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_the_loop_goes_on_unchanged_and_what_cannot_be_measured_is_named_once(case):
    build, why = NAMED[case]
    with pytest.warns(UserWarning, match=why) as caught:
        watched = assert_same(build)
    assert len([each for each in caught if "actlab.watch" in str(each.message)]) == 1
    assert sum(why in each.why for each in watched.report().unseen) == 1


def test_parts_are_named_with_what_lies_between_them():
    report = assert_same(of_parts).report()
    (found,) = [each for each in report.unseen if each.what == "ModuleDict"]
    assert found.why == (
        "the loop calls only its parts (encoder, decoder); activations between these calls are not measured"
    )


def test_a_loss_that_is_a_part_is_not_measured():
    class WithLoss(Around):
        def __init__(self) -> None:
            super().__init__()
            self.loss = nn.Sequential(nn.Sigmoid(), nn.Flatten(0))

    def build() -> Case:
        model = WithLoss()
        return model, lambda: model.loss(model.net(X)).mean()

    assert {each.site.path for each in assert_same(build).quantities().sites} == {"net.1"}


def broken(*args: object, **options: object) -> None:
    raise LookupError("a fault of the measuring")


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (Recording, "add"),
        (Recording, "hook"),
        (Recording, "close"),
        (Recording, "learned"),
        (Updates, "begin"),
        (Updates, "end"),
        (Calls, "wants"),
    ],
)
def test_a_fault_of_the_measuring_is_named_once_and_the_loop_goes_on(monkeypatch, owner, method):
    def build() -> Case:
        return of_model(network(), lambda model: None)

    monkeypatch.setattr(owner, method, broken)
    with pytest.warns(UserWarning, match="measuring it raised LookupError: a fault of the measuring") as caught:
        watched = assert_same(build)
    assert len(caught) == 1
    assert any("LookupError" in each.why for each in watched.report().unseen)


def test_a_fault_in_the_recorded_pass_is_named_once(monkeypatch):
    monkeypatch.setattr(call_places, "spot", broken)
    with pytest.warns(UserWarning, match=r"does not measure Sequential: measuring it raised LookupError") as caught:
        assert_same(lambda: of_model(network(), lambda model: None))
    assert len(caught) == 1


def test_a_sink_that_raises_is_dropped_and_the_loop_goes_on():
    heard: list[int] = []
    with pytest.warns(UserWarning, match="does not measure a sink: .*LookupError") as caught:
        assert_same(
            lambda: of_model(network(), lambda model: None),
            sinks=(broken, lambda numbers, step: heard.append(step)),
        )
    assert len(caught) == 1
    assert heard == list(range(STEPS))


def test_an_error_of_the_model_is_raised_unchanged():
    def fails(x: Tensor) -> Tensor:
        raise LookupError("of the model")

    model = Around(fails)
    for _ in range(2):
        with pytest.raises(LookupError, match=r"^of the model$"), watch(model, every=1):
            model(X)


def test_a_copy_keeps_no_hook_once_it_is_called():
    model = network()
    with watch(model, every=1):
        model(X)
        copied = copy.deepcopy(model)
    copied(X)
    assert not copied._forward_hooks
    assert not copied._forward_pre_hooks


@pytest.mark.filterwarnings("ignore:.*prototype stage", "ignore:.*beta state")
@pytest.mark.parametrize("case", ["sparse", "sparse in rows", "a sparse buffer", "its own train"])
def test_check_reads_them_too(case):
    model, _ = MEASURED[case][0]()
    inputs = (X, model.given) if isinstance(model, Graph) and model.given is not None else X
    found = check(model, (inputs, torch.arange(32) % 3), F.cross_entropy, train_steps=2)
    assert found.sites
    assert found.ok


@pytest.mark.filterwarnings("ignore:.*prototype stage", "ignore:.*beta state")
def test_check_reads_packed_nested_and_mapped_inputs():
    targets = torch.arange(4) % 3
    rows = pack_padded_sequence(X.view(4, 8, 4), torch.tensor([8, 6, 3, 2]), batch_first=True)
    assert check(Packed(), (rows, targets), F.cross_entropy).sites
    for layout in (torch.strided, torch.jagged):
        nested = torch.nested.nested_tensor([X[:3], X[3:8]], layout=layout)
        assert check(Ragged(), (nested, targets[:2]), lambda y, t: F.cross_entropy(y.mean(1), t)).sites
    mapped = Around(lambda x: torch.vmap(lambda row: torch.tanh(row) * 2)(x))
    assert len(check(mapped, (X, torch.arange(32) % 3), F.cross_entropy).sites) == 2
    assert check(OfObjects(), (Batch(X), X[:, :3]), lambda y, t: F.mse_loss(y.rows, t)).sites


@pytest.mark.parametrize("training", [True, False])
def test_check_changes_the_mode_without_a_train_of_another_meaning(training):
    model = OwnTrain()
    for module in model.modules():
        module.training = training
    model.drop = nn.Dropout(0.5)  # so that the pass in evaluation mode is run too
    found = check(model, (X, torch.randn(len(X), 3)), F.mse_loss)
    assert found.sites
    assert model.training is training
