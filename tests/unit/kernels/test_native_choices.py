"""Where PyTorch's own operator runs though its numbers are others: only of the catalog, and within the bound."""

from __future__ import annotations

import pytest
import torch

from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation
from actlab.kernels.elementwise import native_choices
from actlab.kernels.elementwise.native_choices import chosen, chosen_anywhere, key_of, kind, stored
from actlab.kernels.elementwise.native_operator import own_operator
from actlab.kernels.runtime.cpu import Machine
from actlab.measure.accuracy.certificate import certificate
from actlab.measure.implementations import by_operator
from actlab.nn import functional, module

CHOICES = [(*key.split(), part) for found in stored().values() for key, part in found.items()]


@pytest.mark.parametrize(("name", "mode", "dtype", "part"), sorted(set(CHOICES)), ids=str)
def test_every_choice_is_of_the_catalog_and_keeps_the_bound(name: str, mode: str, dtype: str, part: str) -> None:
    act = CATALOG[name]
    assert part in ("forward", "both")
    if isinstance(act, Activation):
        told = certificate(act, dtype=dtype, mode=mode, function=by_operator(act, part, mode=mode), count=5000)
        assert told.faults == ()
        assert chosen_anywhere(act, mode, getattr(torch, dtype)) == part
    else:
        assert mode == "fast"


@pytest.mark.parametrize(
    ("processor", "mkl", "expected"),
    [("sapphirerapids", True, "intel"), ("haswell", False, "other"), ("znver4", True, "other")],
)
def test_a_processor_is_of_a_kind(processor: str, mkl: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_choices, "machine", lambda: Machine(processor, "", "", scalef=False))
    monkeypatch.setattr(native_choices.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch._C, "has_mkl", mkl)
    assert kind.__wrapped__() == expected


def test_another_function_of_the_same_name_has_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    sine = get("sine")
    table = {kind(): {key_of(sine, "fast", torch.float32): "forward"}}
    monkeypatch.setattr(native_choices, "stored", lambda: table)
    assert chosen(sine, "fast", torch.float32) == "forward"
    assert chosen(get("sine", omega=2), "fast", torch.float32) is None
    own_operator.cache_clear()
    assert own_operator(get("sine", omega=2), "fast") is None
    own = own_operator(sine, "fast")
    assert (own.forward, own.whole) == (frozenset({torch.float32}), frozenset())
    own_operator.cache_clear()


def test_along_an_axis_fast_mode_is_pytorch_s_where_it_is_chosen() -> None:
    x = torch.randn(5, 40, requires_grad=True)
    for make in (functional, module):
        fast, accurate = make("log_softmax", mode="fast"), make("log_softmax")
        assert torch.equal(fast(x), torch.log_softmax(x, -1))
        assert fast.explained(x).implementation == "operator"
        assert fast.explained(x.double()).implementation == "kernel"
        assert accurate.explained(x).implementation == "kernel"
    assert torch.equal(functional("log_softmax", mode="fast")(x, dim=0), torch.log_softmax(x, 0))
    assert functional("log_softmax", mode="fast") != functional("log_softmax")
    assert repr(functional("log_softmax", mode="fast")) == "functional('log_softmax', mode='fast')"
