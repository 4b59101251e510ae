"""check of models that are wrapped, of what they are called with and give, and of what cannot be looked at."""

from __future__ import annotations

import copy
import cProfile

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from actlab.diagnosis.check import check
from actlab.diagnosis.watch import watch
from actlab.errors import BadInput

X, Y = torch.randn(16, 4), torch.arange(16) % 3


def network(*end: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3), *end)


def kept(model: nn.Module):
    """What check must leave: values, modes, gradients, hooks, and where the random numbers are."""
    tensors = [value.clone() for value in model.state_dict().values() if not value.is_meta]
    modes = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    methods = ["forward" in vars(module) for module in model.modules()]
    return [*tensors, torch.get_rng_state()], [modes, hooks, methods, [value.grad for value in model.parameters()]]


def assert_as_before(before, model):
    after = kept(model)
    assert all(torch.equal(one, two) for one, two in zip(before[0], after[0], strict=True))
    assert before[1] == after[1]


@pytest.fixture
def one_process(tmp_path):
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("PyTorch without processes")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("steps", [0, 12])
def test_a_ddp_wrapper_is_unwrapped(one_process, steps):
    model = DistributedDataParallel(network(nn.Softmax(1)))
    before = kept(model)
    report = check(model, (X, Y), F.cross_entropy, train_steps=steps)
    (found,) = [each for each in report.findings if each.id == "AL201"]
    assert found.site.path == "5"
    assert_as_before(before, model)


class FullyShardedDataParallel(nn.Module):
    """By its name PyTorch's, which one process on a processor cannot have."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._fsdp_wrapped_module = module

    def forward(self, x):
        return self._fsdp_wrapped_module(x)


def test_a_sharded_model_is_refused_by_name_and_left_as_it_was():
    model = FullyShardedDataParallel(network())
    before = kept(model)
    with pytest.raises(BadInput, match=r"wrapped in FullyShardedDataParallel.*Pass the wrapped module"):
        check(model, (X, Y), F.cross_entropy)
    assert_as_before(before, model)


class Sharded(FullyShardedDataParallel):
    """A class of one's own made from it."""


class FSDPModule:
    """By its name what `fully_shard` puts among the ancestors of a module's class."""


class ShardedInPlace(FSDPModule, nn.Sequential): ...


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Sharded(network()), "the model is wrapped in Sharded"),
        (ShardedInPlace(network()), "the model is wrapped in ShardedInPlace"),
        (nn.Sequential(Sharded(network())), "a part of the model is wrapped in Sharded"),
    ],
)
def test_subclasses_of_sharded_wrappers_are_refused(model, name):
    before = kept(model)
    with pytest.raises(BadInput, match=f"{name}.*Pass the wrapped module"):
        check(model, (X, Y), F.cross_entropy)
    with pytest.raises(BadInput, match=name):
        watch(model)
    assert_as_before(before, model)


class Replicated(nn.DataParallel):
    """A class of one's own made from it."""


def test_subclasses_of_replicated_wrappers_are_unwrapped():
    (found,) = check(Replicated(network(nn.Softmax(1))), (X, Y), F.cross_entropy).findings
    assert (found.id, found.site.path) == ("AL201", "5")


class Named(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.body, self.kind = network(nn.Softmax(1)), kind

    def forward(self, x, scale=None):
        z = self.body(x if scale is None else x * scale)
        return {"mapping": {"logits": z, "more": [x]}, "tuple": (z, {"hidden": x}), "plain": z}[self.kind]


PICKS = {"mapping": lambda z: z["logits"], "tuple": lambda z: z[0], "plain": lambda z: z}


@pytest.mark.parametrize("kind", PICKS)
@pytest.mark.parametrize(
    "inputs", [X, (X,), [X, X], {"x": X}, {"x": X, "scale": X}], ids=["tensor", "tuple", "list", "name", "names"]
)
@pytest.mark.parametrize("steps", [0, 3])
def test_inputs_and_outputs_of_every_shape(kind, inputs, steps):
    model = Named(kind)
    before = kept(model)
    report = check(model, (inputs, Y), lambda z, y: F.cross_entropy(PICKS[kind](z), y), train_steps=steps)
    assert "AL201" in {each.id for each in report.findings}
    assert_as_before(before, model)


class Raises(nn.Module):
    def __init__(self, after=0):
        super().__init__()
        self.calls, self.after = 0, after

    def forward(self, x):
        self.calls += 1
        if self.calls > self.after:
            raise RuntimeError("no such luck")
        return x


REFUSED = {
    "raises": (network(Raises()), (X, Y), F.cross_entropy, "the model raised RuntimeError: no such luck"),
    "the loss raises": (network(), (X, Y), lambda z, y: z.nothing, "AttributeError"),
    "empty loader": (network(), DataLoader(TensorDataset(X[:0], Y[:0])), F.cross_entropy, "the loader is empty"),
    "frozen": (network().requires_grad_(False), (X, Y), F.cross_entropy, "no parameter requires_grad"),
    "batch on meta": (network(), (X.to("meta"), Y.to("meta")), F.cross_entropy, "on cpu and the batch on meta"),
    "targets on meta": (network(), (X, Y.to("meta")), F.cross_entropy, "on cpu and the batch on cpu, meta"),
    "model on meta": (network().to("meta"), (X, Y), F.cross_entropy, "on meta and the batch on cpu"),
    "wrong width": (network(), ({"input": X[:, :1]}, Y), F.cross_entropy, "the model raised RuntimeError"),
    "unknown name": (network(), ({"y": X}, Y), F.cross_entropy, "the model raised TypeError"),
}  # fmt: skip


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_checked_is_refused_by_name_and_left_unchanged(case, steps):
    model, batch, loss, message = REFUSED[case]
    model[1].eval()
    before = kept(model)
    with pytest.raises(BadInput) as caught:
        check(model, batch, loss, train_steps=steps)
    assert message in str(caught.value)
    assert_as_before(before, model)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_that_draws_leaves_the_random_state(shuffle):
    model, loader = network(), DataLoader(TensorDataset(X, Y), 8, shuffle=shuffle)
    before = kept(model)
    check(model, loader, F.cross_entropy, train_steps=3, data=loader)
    assert_as_before(before, model)


def test_a_trial_without_a_batch_is_refused():
    model = network()
    before = kept(model)
    with pytest.raises(BadInput, match="the loader is empty"):
        check(model, (X, Y), F.cross_entropy, train_steps=3, data=iter(()))
    assert_as_before(before, model)


def test_a_model_that_raises_in_training_only_is_left_unchanged():
    model = network(Raises(after=3))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(BadInput, match="no such luck"):
        check(model, (X, Y), F.cross_entropy, train_steps=6)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training


class Recurrent(nn.Module):
    """A recurrent network written by hand, whose state has a long way through sums."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.last = nn.Linear(8, 16), nn.Linear(4, 3)

    def forward(self, x):
        h = c = torch.zeros(len(x), 4)
        for each in x.unbind(1):
            i, f, g, o = self.gates(torch.cat([each, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.last(h)


def calls_of_a_check(steps: int) -> int:
    """Return how many functions a check of so many time steps calls."""
    model, batch = Recurrent(), (torch.randn(4, steps, 4), torch.arange(4) % 3)
    profile = cProfile.Profile()
    profile.runcall(check, model, batch, F.cross_entropy)
    return sum(each.callcount for each in profile.getstats())


def test_the_cost_of_a_check_grows_linearly_with_the_number_of_calls():
    calls_of_a_check(4)  # formulas are recognized once
    few, many = calls_of_a_check(25), calls_of_a_check(100)
    assert many < 4.4 * few
