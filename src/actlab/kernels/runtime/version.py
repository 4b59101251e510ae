"""The version of the kernels' results: a digest of the code that determines their bits."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

# The code that determines a kernel's text and the choice of its recipe; a test compares this list with the imports.
MAKERS = (
    "formula/atoms", "formula/constant", "formula/derivative", "formula/expr", "formula/polynomial",
    "kernels/elementwise/infinite_inputs", "kernels/elementwise/limits", "kernels/elementwise/loop_ir",
    "kernels/elementwise/plan", "kernels/elementwise/strategies", "kernels/runtime/frame", "kernels/runtime/loop",
    "lower/arithmetic", "lower/circular", "lower/elementary", "lower/error_functions", "lower/exponential",
    "lower/fit_ranges", "lower/numerals", "lower/polynomials", "lower/straight_line", "lower/to_llvm", "lower/to_torch",
    "lower/vector",
)  # fmt: skip

# The data that they read.
DATA = ("lower/polynomials.json",)


def digest_of(package: Path) -> str:
    """Return a digest of `DATA` and the code in `MAKERS`, without docstrings, full-line comments and empty lines."""
    digest = hashlib.sha256()
    for name in MAKERS:
        counted = code_of((package / f"{name}.py").read_text(encoding="utf-8"))
        digest.update("\n".join([name, *counted, ""]).encode())
    for name in DATA:
        digest.update((package / name).read_text(encoding="utf-8").encode())
    return digest.hexdigest()[:12]


def code_of(text: str) -> list[str]:
    """Return the lines of a module that count."""
    code = _STRING.sub(lambda found: found[0] if found[1] is None else "", text)
    return [line for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#")]


# Every string in triple quotes; one that begins its line is a docstring. A parser would take 0.2 s at every start.
_STRING = re.compile(r'(^[ \t]*)?"""(?:.*?)"""', re.MULTILINE | re.DOTALL)

# Caches and certificates bear it: neither outlives a change of the kernels' results.
VERSION = digest_of(Path(__file__).parents[2])
