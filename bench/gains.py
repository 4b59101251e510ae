"""How long does the gain of a formula take, once the formula is built? At q = 2, where nothing is stored."""

from __future__ import annotations

from harness import Options, Row, options, record, row, seconds_of

from actlab.catalog.index import get
from actlab.theory.gains import gain, moments

FORMULAS = (
    "relu", "gelu", "mish", "selu", "tanh", "hardswish", "snake", "swiglu", "exp(x)", "x**4", "sin(50*x)",
    "exp(x*x/16)", "where(x<=8, 0, x-8)", "abs(sin(x))", "1/(1+1000*x*x)",
)  # fmt: skip


Q = 2.0


def measured(asked: Options) -> list[Row]:
    rows = []
    for name in FORMULAS:
        act = get(name)
        for question, call in (("gain", gain), ("moments", moments)):
            taken = seconds_of(lambda call=call, act=act: call(act, q=Q), repeats=asked.repeats(50))
            rows.append(row(question, name, unit="s", measured=taken, dtype="float64", note=f"q={Q:g}"))
    return rows


if __name__ == "__main__":
    asked = options(__doc__)
    record("gains", measured(asked), asked=asked)
