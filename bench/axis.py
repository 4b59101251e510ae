"""How fast are softmax and its family along an axis, in units of a plain copy, beside PyTorch's own or the composite?

PyTorch has softmax and log_softmax; beside sparsemax and entmax15 runs the composite that sorts each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from harness import Options, Timing, keep, options, timing
from torch import Tensor

from actlab.catalog.index import get
from actlab.formula.along_axis import AxisActivation
from actlab.measure.speed.timing import is_steady, spread, steadied, steadiest
from actlab.nn.axis_operator import axiswise
from actlab.nn.functions import functional

OWN: dict[str, Callable[..., Tensor]] = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}
NAMES = (*OWN, "sparsemax", "entmax15")

Call = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One activation along one axis of one tensor."""

    name: str
    shape: tuple[int, ...]
    axis: int
    dtype: torch.dtype = torch.float32
    threads: int = 1

    @property
    def along(self) -> str:
        return f"{'x'.join(map(str, self.shape))} along {self.axis}"


def cases() -> Iterator[Case]:
    for name in NAMES:
        for threads in (1, 2):
            yield Case(name, (4096, 1000), 1, threads=threads)
            yield Case(name, (128, 50257), 1, threads=threads)
        yield Case(name, (64, 512, 128), 1)
        yield Case(name, (64, 128), 1)
        yield Case(name, (4096, 1000), 1, dtype=torch.bfloat16)
        yield Case(name, (4096, 1000), 1, dtype=torch.float64)


def quick_cases() -> Iterator[Case]:
    for name in NAMES:
        yield Case(name, (16, 100), 1)


def composite(name: str) -> Callable[[Tensor, int], Tensor]:
    """Return the formula as PyTorch's own operations, differentiated by PyTorch."""
    act = get(name)
    assert isinstance(act, AxisActivation)
    value = axiswise(act).value
    return lambda x, axis: value(x.float() if x.element_size() == 2 else x, axis).to(x.dtype)


def calls_of(function: Callable[[Tensor, int], Tensor], case: Case) -> dict[str, Call]:
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(case.shape, generator=generator).mul(2).to(case.dtype) for _ in range(2))
    leaf = x.clone().requires_grad_()
    y = function(leaf, case.axis)
    return {
        "forward": lambda: function(x, case.axis),
        "backward": lambda: torch.autograd.grad(y, leaf, dy, retain_graph=True),
    }


def measured(case: Case, *, seconds: float, attempts: int) -> list[Timing]:
    theirs = OWN.get(case.name) or composite(case.name)
    with steadied(threads=case.threads):
        contenders = {"actlab": functional(case.name), "eager" if case.name in OWN else "composite": theirs}
        source = torch.randn(case.shape).to(case.dtype)
        target = torch.empty_like(source)
        calls: dict[tuple[str, str], Call] = {("copy", ""): lambda: target.copy_(source)}
        for contender, function in contenders.items():
            calls |= {(contender, way): call for way, call in calls_of(function, case).items()}
        samples = steadiest(calls, seconds=seconds, gauge=("copy", ""), attempts=attempts)
    copy = spread(samples["copy", ""])
    return [
        timing(
            "axis",
            case.name,
            contender,
            measured=spread(samples[contender, way]),
            shape=case.along,
            threads=case.threads,
            copy=copy,
            reported=is_steady(copy),
            direction=way,
            dtype=str(case.dtype).removeprefix("torch."),
        )
        for contender, way in calls
        if way
    ]


def shown(rows: list[Timing]) -> None:
    for found in rows:
        copies = found.median / found.copy_median if found.copy_median else float("nan")
        steady = "" if found.reported else "  (the copy was unsteady)"
        what = f"{found.name:<12} {found.shape:<20} {found.dtype:<8} {found.threads} {found.direction:<8}"
        print(f"{what} {found.contender:<9} {found.median * 1e3:9.4f} ms {copies:8.2f} copies{steady}")


def run(asked: Options) -> None:
    for case in quick_cases() if asked.quick else cases():
        rows = measured(case, seconds=0.01 if asked.quick else 0.7, attempts=1 if asked.quick else 3)
        shown(rows)
        keep("axis", rows, asked=asked)


if __name__ == "__main__":
    run(options(__doc__))
