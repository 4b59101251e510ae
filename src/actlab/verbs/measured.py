"""What is computed or measured of activations: gains, exactness, speed, memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlab.errors import BadFormula
from actlab.formula.along_axis import AxisActivation
from actlab.jsonable import plain
from actlab.verbs.meaning import meant
from actlab.verbs.task_choice import named_subject

if TYPE_CHECKING:
    from actlab.measure.accuracy.summary import Certified, CertifiedAll
    from actlab.measure.memory.summary import Memory
    from actlab.measure.speed.summary import Bench
    from actlab.train.subject import Subject
    from actlab.train.task import Task


@dataclass(frozen=True)
class Gain:
    """A gain, and what it is a gain of."""

    formula: str
    kind: str
    q: float
    gain: float

    def to_json(self) -> dict[str, Any]:
        """The four of them."""
        plainly: dict[str, Any] = plain(self)
        return plainly

    def lines(self) -> list[str]:
        """One sentence."""
        return [f"{self.gain:.10g}  ({self.kind} gain of {self.formula} at q = {self.q:g})"]


def gain(formula: str, *, q: float = 1.0, kind: str = "second-moment", **params: float) -> Gain:
    """The factor that keeps a signal's size through an activation.

    Raises:
        NoMoment: the moment does not exist.
        BadInput: q is not positive, or there is no such kind.
    """
    from actlab.theory.gains import gain as gain_of

    act = meant(formula, **params)
    if isinstance(act, AxisActivation):
        raise BadFormula(f"{act.name} acts along an axis: its gain depends on how many values the axis has.")
    return Gain(act.label, kind, float(q), gain_of(act, q=q, kind=kind))


def certify(
    formula: str, *, dtype: str = "float32", mode: str = "accurate", against: Sequence[str] = (), **params: float
) -> Certified:
    """How exact the program of an activation is, measured on this machine.

    Args:
        formula: a name, a formula, or `file.py:name`.
        dtype: float32, float64, bfloat16 or float16.
        mode: accurate or fast.
        against: what else is measured at the same points: torch, composite, compiled, onnx.
        params: values for its parameters.

    Raises:
        UnknownActivation, BadFormula, BadParam, BadInput, MissingExtra: the message says what to mend.
    """
    from actlab.measure.accuracy.certificate import certificate
    from actlab.measure.accuracy.summary import Certified

    act = meant(formula, **params)
    return Certified(certificate(act, dtype=dtype, mode=mode, against=against))


def certify_all(output: Path | None = None, *, progress: Callable[[int, int, float | None, str], None]) -> CertifiedAll:
    """The certificates of the whole catalog, in every dtype and mode, written to the package's data file or `output`.

    Raises:
        BadInput: the file cannot be written.
    """
    from actlab.measure.accuracy.generate import certified_all

    return certified_all(output, progress=progress)


def bench(names: Sequence[str] = (), **options: Any) -> Bench:
    """How fast activations are on this machine, in units of a plain copy, beside PyTorch.

    Args:
        names: names, formulas, or `file.py:name`; a handful of common ones if there are none.
        options: as for `actlab.measure.speed.summary.bench`: sizes, dtypes, threads, modes, against, progress.

    Raises:
        UnknownActivation, BadFormula, BadInput: the message says what to mend.
    """
    named = {name: meant(name) for name in names}
    from actlab.measure.speed.summary import USUAL  # PyTorch is loaded once the names are known to be right
    from actlab.measure.speed.summary import bench as measured

    return measured(named or {name: meant(name) for name in USUAL}, **options)


def memory(
    data: str | Path | Task | Subject | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    compiled: bool = True,
    progress: Callable[[int, int, float | None, str], None] | None = None,
) -> Memory:
    """What one training step of a model keeps for backward, as it is and with few-bit memory.

    Args:
        data: as for `check`: `file.py:name` of a task, or of a model, a batch and a loss; a table's path; a `Task`.
        target: the table's column that is to be predicted.
        task: the name of a built-in task; without it and `data`, the first.
        compiled: measure under torch.compile too.
        progress: is told after every choice: how many are done, of how many, seconds left if known, which.

    Raises:
        BadTask, BadTable, BadInput: the message says what to mend.
    """
    from actlab.measure.memory.summary import memory as measured

    subject = named_subject(data, target=target, task=task, purpose="measure")
    return measured(subject, compiled=compiled, progress=progress)
