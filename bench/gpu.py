"""Does a formula's GPU kernel reach the speed of the GPU's memory?

Each contender computes the forward or the backward pass of one activation of a contiguous tensor; a plain copy of the
same tensor is timed in the same run. Rows hold seconds, and the share of the copy's bytes a second that a contender
reaches, each counting the bytes that it cannot avoid moving. Without an NVIDIA GPU this says so and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from harness import Options, Percentiles, Row, options, record, row, seconds_of
from torch import Tensor

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.kernels.gpu import kernels as gpu
from actlab.nn.operator import Pointwise, pointwise_of

NAMES = ("relu", "gelu", "silu", "mish", "elu", "softplus", "gelu_tanh", "tanh")
EAGER: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "mish": torch.nn.functional.mish,
    "elu": torch.nn.functional.elu,
    "softplus": torch.nn.functional.softplus,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "tanh": torch.tanh,
}
DTYPES = (torch.float32, torch.bfloat16)
SIZES = (10**5, 10**6, 16 * 2**20, 2**28)
QUICK_SIZES = (2**16,)


@dataclass(frozen=True)
class Case:
    """One activation of one tensor, in both directions."""

    act: Activation
    x: Tensor
    dy: Tensor


@dataclass(frozen=True)
class Contender:
    """One implementation of a case.

    Attributes:
        name: ours with its mode, PyTorch's, or the compiler's.
        direction: forward or backward.
        call: one pass.
        moved: how many times the tensor's bytes it reads and writes at least.
    """

    name: str
    direction: str
    call: Callable[[], object]
    moved: int


def contenders(case: Case) -> list[Contender]:
    """List actlab in both modes, eager PyTorch and torch.compile."""
    found = []
    for mode in ("accurate", "fast"):
        found += ours(case, f"actlab {mode}", pointwise_of(case.act, mode=mode))
    eager = EAGER[case.act.name]
    return [*found, *theirs(case, "eager", eager), *theirs(case, "torch.compile", torch.compile(eager))]


def ours(case: Case, name: str, made: Pointwise) -> list[Contender]:
    def forward() -> object:
        return gpu.value(made, [case.x])

    def backward() -> object:
        return gpu.pull_back(made, case.dy, [case.x], [True])

    return [Contender(name, "forward", forward, 2), Contender(name, "backward", backward, 3)]


def theirs(case: Case, name: str, function: Callable[[Tensor], Tensor]) -> list[Contender]:
    x = case.x.clone().requires_grad_()
    y = function(x)

    def backward() -> object:
        return torch.autograd.grad(y, x, case.dy, retain_graph=True)

    def forward() -> object:
        with torch.no_grad():
            return function(case.x)

    return [Contender(name, "forward", forward, 2), Contender(name, "backward", backward, 3)]


def rows_of(case: Case, *, asked: Options) -> list[Row]:
    """Time every contender beside a copy of the same tensor."""
    target = torch.empty_like(case.x)
    copied = timed(lambda: target.copy_(case.x), asked=asked)
    dtype, shape = str(case.x.dtype).removeprefix("torch."), str(case.x.numel())
    found = [row("gpu", "copy", unit="s", measured=copied, device="cuda", dtype=dtype, shape=shape)]
    for each in contenders(case):
        taken = timed(each.call, asked=asked)
        name = f"{each.name}: {case.act.name} {each.direction}"
        slowest_first = (taken.p80, taken.median, taken.p20)
        share = Percentiles(*(copied.median * each.moved / 2 / seconds for seconds in slowest_first))
        for unit, measured in (("s", taken), ("share", share)):
            found.append(row("gpu", name, unit=unit, measured=measured, device="cuda", dtype=dtype, shape=shape))
    return found


def timed(call: Callable[[], object], *, asked: Options) -> Percentiles:
    return seconds_of(call, repeats=asked.repeats(20), calls=10, warm_up=5, wait=torch.cuda.synchronize)


def cases(sizes: Sequence[int]) -> Iterator[Case]:
    """Iterate over activations, dtypes and sizes, with one case in memory at a time."""
    for name, dtype, size in product(NAMES, DTYPES, sizes):
        act = get(name)
        assert isinstance(act, Activation)
        yield Case(act, *(torch.randn(size, device="cuda").to(dtype) for _ in range(2)))


def main() -> None:
    asked = options(__doc__ or "")
    if not torch.cuda.is_available() or torch.version.hip is not None:
        print("no NVIDIA GPU")
        return
    for case in cases(QUICK_SIZES if asked.quick else SIZES):
        record("gpu", rows_of(case, asked=asked), asked=asked)
        torch.compiler.reset()  # else the compiler, seeing sizes change, would make one kernel for any size


if __name__ == "__main__":
    main()
