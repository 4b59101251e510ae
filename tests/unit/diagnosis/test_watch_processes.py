"""Two processes under DDP measure together what one measures of all data."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from actlab.diagnosis.watch import watch
from actlab.telemetry.merge import merged
from actlab.telemetry.quantities import UnitStatistics


def _data() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(16, 4, generator=generator) for _ in range(5)]


def _measured(called: nn.Module, parts: slice, *, across: bool) -> UnitStatistics:
    with watch(called, every=1) as watched:
        for x in _data():
            called(x[parts]).square().mean().backward()
            watched.step()
    return watched.quantities(across=across).sites[0].total


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))


def _process(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = _measured(DistributedDataParallel(_model()), slice(8 * rank, 8 * rank + 8), across=True)
    torch.save(found.__dict__, Path(folder) / f"{rank}.pt")
    gc.collect()  # DDP holds itself in a circle: it has to go before its group, and not when the interpreter ends
    distributed.barrier()  # nobody leaves while the other one is still talking
    distributed.destroy_process_group()


def _assert_same(one: UnitStatistics, other: UnitStatistics) -> None:
    assert one.examples == other.examples
    for name in ("positions", "fired", "non_finite", "histogram"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    for name in ("slope_max", "slope_mean", "mean", "variance"):
        assert torch.allclose(getattr(one, name), getattr(other, name), rtol=1e-5)


@pytest.mark.skipif(not distributed.is_available(), reason="PyTorch without processes")
def test_two_processes_together_measure_the_same_as_one(tmp_path):
    multiprocessing.spawn(_process, args=(str(tmp_path),), nprocs=2)
    alone = _measured(_model(), slice(None), across=False)
    for rank in range(2):
        _assert_same(UnitStatistics(**torch.load(tmp_path / f"{rank}.pt")), alone)


def test_merged_statistics_equal_those_of_all_data():
    model = _model()
    parts = [_measured(model, slice(8 * at, 8 * at + 8), across=False) for at in range(2)]
    _assert_same(merged(*parts), _measured(model, slice(None), across=False))
