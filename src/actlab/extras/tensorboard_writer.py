"""Write the measurements of `watch` for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from actlab.diagnosis.report import Report
from actlab.diagnosis.tracking import finding_counts
from actlab.extras_import import need

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@final
class TensorBoardWriter:
    """A sink for `actlab.watch` that writes numbers as scalars, and histograms with their own bins.

    Args:
        folder: the folder of the event files, for `tensorboard --logdir`.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        need("tensorboard", extra="tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: SummaryWriter = SummaryWriter(str(folder))

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        """Write the measurements of one step."""
        for name, value in values.items():
            if isinstance(value, Mapping):
                self._write_histogram(name, value["borders"], value["counts"], step=step)
            else:
                self._writer.add_scalar(name, value, step)

    def log_report(self, report: Report) -> None:
        """Write the findings as a text, and their numbers as scalars."""
        self._writer.add_text("actlab/findings/text", "\n\n".join(report.lines()))
        for name, count in finding_counts(report).items():
            self._writer.add_scalar(name, count)

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()

    def __enter__(self) -> TensorBoardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_histogram(self, name: str, borders: Sequence[float], counts: Sequence[float], *, step: int) -> None:
        """Write counts between borders, the first and the last beyond; TensorBoard requires an upper limit for each."""
        middles = [(low + high) / 2 for low, high in pairwise(borders)]
        # The values beyond are one more bin, as wide as its neighbor.
        ends = (2 * borders[0] - middles[0], 2 * borders[-1] - middles[-1])
        places = [ends[0], *middles, ends[1]]
        pairs = list(zip(places, counts, strict=True))
        self._writer.add_histogram_raw(
            name,
            min=2 * ends[0] - borders[0],
            max=2 * ends[1] - borders[-1],
            num=sum(counts),
            sum=sum(place * count for place, count in pairs),
            sum_squares=sum(place * place * count for place, count in pairs),
            bucket_limits=[*borders, 2 * ends[1] - borders[-1]],
            bucket_counts=list(counts),
            global_step=step,
        )
