"""Measure the numerical accuracy of activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from actlab.measure.accuracy.certificate import certificate
from actlab.measure.accuracy.generate import certified_all
from actlab.measure.accuracy.summary import Certified, CertifiedAll
from actlab.verbs.activation_lookup import activation_named


def certify(
    formula: str, *, dtype: str = "float32", mode: str = "accurate", against: Sequence[str] = (), **params: float
) -> Certified:
    """Measure how accurate an activation's kernels are on this machine.

    Args:
        formula: a name, a formula, or `file.py:name`.
        dtype: float32, float64, bfloat16 or float16.
        mode: accurate or fast.
        against: other implementations to measure at the same points: torch, composite, compiled, onnx.
        params: values of the activation's parameters.

    Raises:
        UnknownActivation, BadFormula, BadParam, BadInput, MissingExtra: the message says what to change.
    """
    act = activation_named(formula, **params)
    return Certified(certificate(act, dtype=dtype, mode=mode, against=against))


def certify_all(output: Path | None = None, *, progress: Callable[[int, int, float | None, str], None]) -> CertifiedAll:
    """Measure the whole catalog in every dtype and mode, and write the results to the package's data file or `output`.

    Raises:
        BadInput: the file cannot be written.
    """
    return certified_all(output, progress=progress)
