"""How long is it from a formula that was just typed to results at full speed?

Each process types formulas with new constants; a second process types the same ones again and
finds their kernels on disk. What is timed begins after the imports, and ends with the first result, forward and
backward, of a call that took no longer than half as much again as later ones do.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile

from harness import Options, Row, options, percentiles_of, record, row

SHAPES = (
    "x*sigmoid({a}*x)",
    "x*tanh(softplus({a}*x))",
    "x*normal_cdf({a}*x)",
    "where(x > 0, x, {a}*expm1(x))",
    "x*tanh(exp({a}*x))/(1 + {a}*exp(-x))",
    "x + {a}*sin(x)*exp(-{a}*x*x)",
)

# PyTorch's own first steps (threads, autograd's engine) are taken before the clock starts.
TIMER = """
import json, sys
from time import perf_counter
import torch
from actlab import functional
torch.set_num_threads(1)
x, dy = torch.randn(100_000, requires_grad=True), torch.randn(100_000)
torch.autograd.grad(torch.tanh(x), x, dy)
found = []
for text in json.loads(sys.argv[1]):
    start, ends, lengths = perf_counter(), [], []
    function = functional(text)
    for _ in range(40):
        before = perf_counter()
        torch.autograd.grad(function(x), x, dy)
        ends.append(perf_counter())
        lengths.append(ends[-1] - before)
    steady = sorted(lengths[20:])[10]
    found.append(next(end - start for end, taken in zip(ends, lengths) if taken <= 1.5 * steady or end == ends[-1]))
print(json.dumps(found))
"""


def fresh(noise: random.Random) -> list[str]:
    """Make every formula with a new constant."""
    return [shape.format(a=round(noise.uniform(0.5, 1.5), 12)) for shape in SHAPES]


def seconds(texts: list[str], *, cache: str) -> list[float]:
    """Measure the seconds from typing each formula to full speed, in a new process with its kernels in the folder
    `cache`.
    """
    command = [sys.executable, "-c", TIMER, json.dumps(texts)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "ACTLAB_CACHE": cache}
    )
    if done.returncode:
        raise SystemExit(f"timing {texts} ended with {done.returncode}: {done.stderr}")
    found: list[float] = json.loads(done.stdout)
    return found


def measured(asked: Options) -> list[Row]:
    noise = random.Random(str(os.urandom(8)))
    typed: list[list[float]] = []
    cached: list[list[float]] = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(1 if asked.quick else 5):
            texts = fresh(noise)[: 1 if asked.quick else None]
            typed.append(seconds(texts, cache=cache))
            # a process for each, because the first formula of a process also pays for what is loaded once
            cached.append([seconds([text], cache=cache)[0] for text in texts])
    return [
        row("typed", name, unit="s", measured=percentiles_of([times[at] for times in runs]), shape="100000", note=shape)
        for name, runs in (("just typed", typed), ("cached", cached))
        for at, shape in enumerate(SHAPES[: len(runs[0])])
    ]


def main() -> None:
    asked = options(__doc__ or "")
    rows = measured(asked)
    record("typed", rows, asked=asked)
    for name, most in (("just typed", 2.0), ("cached", 0.05)):
        worst = max(found.median for found in rows if found.contender == name)
        print(f"{'reached' if worst <= most else 'missed '} {name} <= {most:g} s: the worst median is {worst:.3g} s")


if __name__ == "__main__":
    main()
