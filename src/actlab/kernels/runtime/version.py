"""The version of the kernels' results: a digest of the code that decides their bits."""

from __future__ import annotations

import hashlib
from pathlib import Path

# What a kernel's text and the choice of its recipe are made by; a test holds this list to the imports.
MAKERS = (
    "formula/atoms", "formula/constant", "formula/derivative", "formula/expr", "formula/polynomial",
    "kernels/elementwise/limits", "kernels/elementwise/infinite_inputs", "kernels/runtime/frame", "kernels/elementwise/loop_ir", "kernels/elementwise/plan", "kernels/elementwise/strategies",
    "lower/arithmetic", "lower/circular", "lower/coefficients", "lower/elementary", "lower/error_functions",
    "lower/exponential", "lower/fit_ranges", "lower/numerals", "lower/segments", "lower/straight_line", "lower/to_llvm",
    "lower/to_torch", "lower/vector",
)  # fmt: skip


def digest_of(package: Path) -> str:
    """A digest of the makers below the package; comments on lines of their own and empty lines do not count."""
    digest = hashlib.sha256()
    for name in MAKERS:
        lines = (package / f"{name}.py").read_text(encoding="utf-8").splitlines()
        counted = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        digest.update("\n".join([name, *counted, ""]).encode())
    return digest.hexdigest()[:12]


# Caches and certificates bear it: neither outlives a change of the kernels' results.
VERSION = digest_of(Path(__file__).parents[2])
