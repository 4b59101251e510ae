"""What kernels are made for, and what is said where they cannot be made."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace

import pytest
from llvmlite import binding

from actlab.errors import NoKernels
from actlab.kernels.runtime.cpu import machine


@pytest.fixture(autouse=True)
def known_afresh() -> Iterator[None]:
    machine.cache_clear()
    yield
    machine.cache_clear()


def test_whatever_may_change_machine_code_changes_the_key() -> None:
    here = machine()
    assert here.key == machine().key
    others = [replace(here, **{name: "other"}) for name in ("processor", "features", "llvm")]
    assert len({here.key, *(each.key for each in others)}) == 4


class Features(dict[str, bool]):
    """What a processor can do, as LLVM tells it."""

    def flatten(self) -> str:
        return ",".join(f"{'+' if able else '-'}{name}" for name, able in self.items())


def test_a_cpu_without_fused_multiply_add_gets_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: Features(sse2=True, fma=False))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(NoKernels, match="has no fused multiply-add"):
        machine()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not machine().scalef


@pytest.mark.parametrize(("features", "scalef"), [({}, False), ({"avx512f": True}, False),
                                                  ({"avx512f": True, "avx512dq": True}, True)])  # fmt: skip
def test_scaling_in_one_instruction_is_avx_512s(
    features: dict[str, bool], scalef: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: Features(fma=True, **features))
    assert machine().scalef == scalef


def test_an_unsupported_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> None:
        raise RuntimeError("no such processor")

    monkeypatch.setattr(binding, "get_host_cpu_features", unknown)
    with pytest.raises(NoKernels, match="does not support this CPU"):
        machine()


def test_without_llvmlite_composites_run_with_one_warning() -> None:
    program = textwrap.dedent("""
        import json, sys, warnings
        sys.modules["llvmlite"] = None
        import torch
        import actlab
        from actlab.kernels import explain
        x = torch.linspace(-6, 6, 1001, requires_grad=True)
        out = torch.empty(1001)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for name in ("mish", "gelu", "softmax"):
                y = actlab.functional(name)(x)
            y = actlab.functional("mish")(x)
            y.sum().backward()
            with torch.no_grad():
                actlab.functional("mish")(x, out=out)
            half = actlab.functional("mish")(x.detach().bfloat16())
        wanted = x.detach().double().requires_grad_()
        torch.nn.functional.mish(wanted).sum().backward()
        exact = torch.nn.functional.mish(wanted.detach())
        print(json.dumps({
            "said": [str(each.message) for each in said if issubclass(each.category, RuntimeWarning)],
            "off": (y - exact).abs().max().item(), "out": torch.equal(out, y.detach()),
            "slope": (x.grad - wanted.grad).abs().max().item(),
            "half": torch.equal(half, torch.nn.functional.mish(x.detach().bfloat16().float()).bfloat16()),
            "explained": str(explain("mish", x)),
        }))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (said,) = told["said"]
    assert said.startswith("actlab runs without its kernels: llvmlite cannot be loaded")
    assert told["off"] < 1e-6
    assert told["slope"] < 1e-6
    assert told["out"]
    assert told["half"]
    assert told["explained"].startswith("composite")
    assert "llvmlite cannot be loaded" in told["explained"]
