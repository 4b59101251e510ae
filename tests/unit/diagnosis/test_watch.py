"""A watched loop: what is measured is right, and what is watched does not notice."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.optim import optimizer as optimizers
from torch.utils.checkpoint import checkpoint

from actlab.diagnosis.watch import Watch, watch
from actlab.errors import BadInput
from actlab.telemetry import recording, table


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3)
    )


def batches(count: int, *, size: int = 16) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(size, 4, generator=generator), torch.randint(3, (size,), generator=generator))
        for _ in range(count)
    ]


def trained(model: nn.Module, called: nn.Module | None = None, *, steps: int = 6, every: int | None = 1, **options):
    """The losses, the optimizer and the watch of a plain loop; without `every` it is not watched."""
    called = called or model
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    loss, losses = nn.CrossEntropyLoss(), []
    torch.manual_seed(2)
    with nullcontext() if every is None else watch(called, loss, every, **options) as watched:
        for x, target in batches(steps):
            optimizer.zero_grad()
            value = loss(called(x), target)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return losses, optimizer, watched


def traces(module: nn.Module) -> list[object]:
    return [(name, sorted(each.__dict__), each._forward_hooks, each._forward_pre_hooks, each._backward_hooks,
             each._forward_hooks_always_called, each._forward_pre_hooks_with_kwargs)
            for name, each in module.named_modules()]  # fmt: skip


@pytest.mark.parametrize("is_compiled", [False, True])
def test_watched_training_is_bit_identical(is_compiled):
    def called(model):
        return torch.compile(model, backend="eager") if is_compiled else model

    plain, watched = network(), network()
    before = str(traces(watched))
    losses, optimizer, _ = trained(plain, called(plain), steps=50, every=None)
    state = torch.get_rng_state()
    others, other, result = trained(watched, called(watched), steps=50)
    assert result.quantities().measured == 50
    assert losses == others
    assert torch.equal(state, torch.get_rng_state())
    for one, two in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    for one, two in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert str(traces(watched)) == str(traces(plain))
    assert is_compiled or str(traces(watched)) == before  # compiling leaves its own
    assert not optimizers._global_optimizer_pre_hooks
    assert not optimizers._global_optimizer_post_hooks


def is_kept() -> bool:
    model = network()
    trained(model)
    reference = weakref.ref(model)
    del model
    for _ in range(3):  # what has a finaliser goes in rounds
        gc.collect()
    return reference() is not None


def test_the_model_is_freed_after_the_block():
    assert not is_kept()


def test_the_statistics_are_those_of_the_inputs():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    seen: list[Tensor] = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.detach()))
    _, _, watched = trained(model)
    (site,) = watched.quantities().sites
    z = torch.cat(seen).double()
    slope = 1 - torch.tanh(z) ** 2
    assert site.total.examples == z.shape[0] == 96
    assert torch.equal(site.total.positions, torch.full((8,), 96.0, dtype=torch.float64))
    assert torch.allclose(site.total.mean, z.mean(0), rtol=1e-5, atol=1e-6)
    assert torch.allclose(site.total.variance, z.var(0, correction=0), rtol=1e-5)
    within = torch.stack([each.double().var(0, correction=0) for each in seen]).mean(0)
    assert torch.allclose(site.total.within, within, rtol=1e-5)
    assert torch.allclose(site.total.slope_mean, slope.mean(0), rtol=1e-5)
    assert torch.allclose(site.total.slope_max, slope.amax(0), rtol=1e-5)
    assert site.total.histogram.sum() == z.numel()


def test_the_gradient_is_that_of_a_mean_over_the_batch():
    model, (x, target) = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), batches(1)[0]
    optimizer, loss = torch.optim.SGD(model.parameters(), 0.0), nn.CrossEntropyLoss()
    with watch(model, loss, 1) as watched:
        for parts in (1, 1, 4):  # the last in four accumulated parts
            for each, wanted in zip(x.chunk(parts), target.chunk(parts), strict=True):
                (loss(model(each), wanted) / parts).backward()
            optimizer.step()
    y = torch.tanh(model[0](x))
    (dy,) = torch.autograd.grad(loss(model[2](y), target), y)
    points = watched.quantities().sites[0].points
    assert [point.gradient_rms for point in points] == pytest.approx([float(dy.square().mean().sqrt()) * 16] * 3)
    total = watched.quantities().sites[0].total
    assert (total.examples, total.shown) == (16, 48)
    assert watched.quantities().steps == 3


def test_a_scaled_loss_gives_the_gradient_unscaled():
    found = []
    for scale in (None, 1024.0):
        model, loss = network(), nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        with watch(model, loss, 1) as watched:
            torch.manual_seed(0)
            for x, target in batches(4):
                optimizer.zero_grad()
                scaler.scale(loss(model(x), target)).backward()
                scaler.step(optimizer)
                scaler.update()
        found.append([point.gradient_rms for point in watched.quantities().sites[0].points])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_autocast_is_measured_in_its_own_dtype():
    model, loss = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    with watch(model, loss, 1) as watched:
        for x, target in batches(3):
            with torch.autocast("cpu", torch.bfloat16):
                value = loss(model(x), target)
            value.backward()
            optimizer.step()
    assert watched.quantities().sites[1].site.dtype == "bfloat16"
    assert watched.quantities().sites[1].points[-1].gradient_rms > 0


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.last = nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 3)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.last(checkpoint(self.inner, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # PyTorch's word about reentrant ones
def test_what_a_checkpoint_computes_again_is_counted_once(reentrant):
    _, _, watched = trained(Checkpointed(reentrant=reentrant))
    assert watched.quantities().sites[0].total.examples == 96


def test_a_checkpoint_around_the_whole_model_is_counted_once():
    model, loss = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    with watch(model, loss, 1) as watched:
        for x, target in batches(6):
            loss(checkpoint(model, x, use_reentrant=False), target).backward()
            optimizer.step()
    assert watched.quantities().sites[0].total.examples == 96


def test_several_passes_are_one_step():
    model, loss = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    with watch(model, loss, 1) as watched:
        for x, target in batches(6):
            (loss(model(x), target) + loss(model(x + 1), target)).backward()
            optimizer.step()
            watched.step()
    found = watched.quantities()
    assert found.steps == 6
    assert found.sites[0].total.examples >= 160


def test_passes_without_autograd_or_in_eval_mode_count_only_when_asked():
    for asked in (False, True):
        model = network().eval()
        with watch(model, every=1, evaluation=asked) as watched, torch.no_grad():
            for x, _ in batches(3):
                model(x)
                watched.step()
        assert bool(watched.quantities().sites) is asked


def test_a_compiled_model_is_measured_by_a_side_pass_with_its_gradients():
    plain, compiled = network(), network()
    _, _, one = trained(plain)
    _, _, two = trained(compiled, torch.compile(compiled, backend="aot_eager"))
    first, second = (each.quantities().sites[1].points for each in (one, two))
    assert len(second) >= len(first)
    assert second[-1].gradient_rms == pytest.approx(first[-1].gradient_rms, rel=0.5)  # dropout differs
    assert second[-1].gradient_rms > 0


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.calls = nn.Linear(4, 8), nn.Linear(8, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.first(x)
        return self.last(torch.relu(y) if self.calls % 2 else torch.tanh(y))


def test_a_branch_that_is_taken_later_is_another_site():
    _, _, watched = trained(Branching())
    assert {each.site.activation for each in watched.quantities().sites} == {"relu", "tanh"}
    assert len(watched.quantities().sites) == 2


@pytest.mark.parametrize("steps", [1, 6])
def test_activations_in_place_are_measured_before_they_overwrite(steps):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
    _, _, watched = trained(model, steps=steps)
    site = watched.quantities().sites[0]
    assert (site.total.fired < site.total.positions).any()
    assert site.total.histogram[:31].sum() > 0
    assert site.points[-1].gradient_rms > 0


def interrupted(model: nn.Module, error: type[BaseException]) -> None:
    with watch(model, every=1):
        for x, _ in batches(3):
            model(x)
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_all_hooks_are_removed_on_every_exit(error):
    model = network()
    before = str(traces(model))
    with pytest.raises(error):
        interrupted(model, error)
    assert str(traces(model)) == before
    assert not optimizers._global_optimizer_post_hooks


def test_a_pass_that_raises_leaves_the_watch_usable():
    model = network()
    with watch(model, every=1) as watched:
        with pytest.raises(RuntimeError):
            model(torch.randn(3, 5))
        for x, _ in batches(3):
            model(x).sum().backward()
            watched.step()
    assert watched.quantities().sites


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_must_be_a_positive_integer(every):
    with pytest.raises(BadInput, match="every must be a positive integer"):
        watch(network(), every=every)


def test_a_model_is_watched_once():
    model = network()
    with watch(model), pytest.raises(BadInput, match="already being watched"), watch(model):
        pass


def test_models_that_cannot_be_watched_are_refused_by_name():
    class FullyShardedDataParallel(nn.Module):
        pass

    with pytest.raises(BadInput, match="FullyShardedDataParallel"):
        watch(FullyShardedDataParallel())
    with pytest.raises(BadInput, match=r"torch\.nn\.Module"):
        watch("model")  # type: ignore[arg-type]  # what is refused
    model = network()
    model.compile(backend="eager")
    with pytest.raises(BadInput, match="compiled in place"):
        watch(model)


def detached_loop() -> None:
    model, loss = network(), nn.CrossEntropyLoss()
    other = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([*model.parameters(), other], 1e-2)
    with watch(model, every=1) as watched:
        for x, target in batches(3):
            value = loss(model(x).detach() + other, target)
            value.backward()
            optimizer.step()
            watched.step(value)


def test_a_loss_without_gradient_is_refused():
    with pytest.raises(BadInput, match="no gradient reached any activation"):
        detached_loop()


def test_updates_are_relative_to_the_weights():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer, loss = torch.optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss()
    expected = []
    with watch(model, loss, 1) as watched:
        for x, target in batches(3):
            optimizer.zero_grad()
            loss(model(x), target).backward()
            weight = model[0].weight.detach().clone()
            optimizer.step()
            expected.append(float((model[0].weight.detach() - weight).norm() / weight.norm()))
    assert [each for _, each in watched.quantities().parameters[0].updates] == pytest.approx(expected)


class Overwriting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        y = torch.nn.functional.gelu(z.detach())
        z.detach().fill_(7.0)
        return self.last(y)


def test_an_input_that_is_overwritten_by_the_end_of_the_first_pass_is_not_measured():
    _, _, watched = trained(Overwriting(), steps=3)
    (site,) = watched.quantities().sites
    assert site.total.examples == 32  # of three passes of 16
    assert (site.total.mean.abs() < 3).all()


@pytest.mark.parametrize("bad", [0, 4])
def test_a_number_that_is_not_finite_is_found_at_its_first_step(bad):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with watch(model, every=1) as watched:
        for number, (x, _) in enumerate(batches(6)):
            model(x * (float("inf") if number == bad else 1)).sum().backward()
            watched.step()
    first = watched.quantities().first_non_finite
    assert first is not None
    assert (first.step, first.site.path) == (bad, "1")


def test_sinks_get_numbers_and_histograms():
    told = []
    trained(network(), sinks=(lambda numbers, step: told.append((numbers, step)),))
    numbers, step = told[-1]
    assert step == 5
    assert numbers["actlab/gradient_rms/2.0"] > 0
    assert len(numbers["actlab/histogram/2.0"]["counts"]) == 64
    assert len(numbers["actlab/histogram/2.0"]["borders"]) == 63
    assert "actlab/update/0.weight" in numbers


def test_memory_is_bounded():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with watch(model, every=1) as watched:
        for x, _ in batches(1300, size=2):
            model(x)
            watched.step(1.0)
    assert isinstance(watched, Watch)
    found = watched.quantities()
    assert 200 < len(found.sites[0].points) <= 513
    assert 512 <= found.sites[0].recent.examples <= 1024
    assert found.sites[0].total.examples == 2600


def test_the_memory_of_updates_is_bounded_with_two_optimizers():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizers = [torch.optim.SGD(each.parameters(), 1e-3) for each in (model[0], model[2])]
    with watch(model, every=1) as watched:
        for x, _ in batches(1300, size=2):
            model(x).square().mean().backward()
            for each in optimizers:
                each.step()
            watched.step()
    for parameter in watched.quantities().parameters:
        steps = [step for step, _ in parameter.updates]
        assert 300 <= len(steps) <= 513
        assert set(steps) <= set(range(0, 1300, 4))


def test_a_report_without_a_step_says_that_nothing_was_measured():
    with watch(nn.Sequential(nn.Linear(4, 8), nn.ReLU())) as watched:
        pass
    (line,) = watched.report().lines()
    assert line.startswith("nothing was measured: no training step of this module was recorded. Watch the module that")


def test_a_loss_that_is_not_a_number_is_refused():
    with watch(nn.Sequential(nn.Linear(4, 8), nn.ReLU())) as watched, pytest.raises(BadInput, match="got 'low'"):
        watched.step("low")


def told_of(*, asked_between: bool) -> list:
    """What is measured of a loop with a step of one example, a site left out, and a number that is not finite."""
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Sequential(nn.Linear(4, 8), nn.GELU()), nn.Sequential(nn.Linear(8, 3), nn.Sigmoid())])
    model.forward = lambda x, deep: model[1](model[0](x)) if deep else model[0](x)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    generator, found = torch.Generator().manual_seed(1), []
    with watch(model, every=1) as watched:
        for step in range(70):
            x = torch.randn(1 if step % 5 == 3 else 16, 4, generator=generator)
            x[0, 0] = float("inf") if step == 45 else x[0, 0]
            model(x, deep=step % 4 < 3).nan_to_num().square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            if asked_between and step % 7 == 0:
                watched.quantities()
    quantities = watched.quantities()
    for site in quantities.sites:
        for units in (site.total, site.recent):
            found += [
                torch.tensor(units.examples),
                *(each for each in vars(units).values() if isinstance(each, Tensor)),
            ]
        found.append(torch.tensor([[each.step, each.mean, each.variance, each.gradient_rms] for each in site.points]))
    assert quantities.first_non_finite is not None
    assert quantities.first_non_finite.step == 45
    return [*found, *(torch.tensor(each.updates) for each in quantities.parameters)]


def test_the_results_do_not_depend_on_when_steps_are_summed(monkeypatch):
    together, asked = told_of(asked_between=False), told_of(asked_between=True)
    monkeypatch.setattr(table, "MOST_STEPS", 2)
    monkeypatch.setattr(recording, "MOST_STEPS", 1)
    alone = told_of(asked_between=False)
    assert len(together) > 20
    for one, *others in zip(together, asked, alone, strict=True):
        for other in others:
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True)
