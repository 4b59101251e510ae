"""The style of all pictures, which are the same bytes at every run."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Every color by name, in light mode and in dark mode. Blue, vermilion, green and purple after Okabe and Ito 2008
# (jfly.uni-koeln.de/color), distinguishable with color blindness, and darkened until small text in them is readable.
PALETTE: Mapping[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#161c24"),
    "page": ("#f4f6f8", "#0d1218"),
    "ink": ("#1c2733", "#e4e9ef"),
    "quiet": ("#5b6673", "#a3aebb"),
    "lines": ("#d3d9e0", "#36414d"),
    "better": ("#0067a3", "#5cb8f0"),
    "worse": ("#c4500a", "#f58a4a"),
    "minor": ("#00707d", "#47c3d3"),
    "equivalent": ("#00805c", "#3cc79b"),
    "undecided": ("#66717e", "#98a4b1"),
    "derivative": ("#a3457f", "#e08cbf"),
}
_LIGHT = {name: light for name, (light, _) in PALETTE.items()}
PAPER, INK, QUIET, LINES, DERIVATIVE = (_LIGHT[name] for name in ("paper", "ink", "quiet", "lines", "derivative"))

COLORS = {"control": INK} | {name: _LIGHT[name] for name in ("better", "worse", "minor", "equivalent", "undecided")}
MARKERS = {"control": "o", "better": "^", "worse": "v", "minor": "p", "equivalent": "s", "undecided": "D"}

PANEL = (252.0, 176.0)  # points; one of several pictures side by side
WIDE = 400.0
PANEL_TEXT, WIDE_TEXT = 9.0, 10.5

_LOOK: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINES,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # comes with Matplotlib, so text has the same size everywhere
    "grid.color": LINES,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": "auto",
    "svg.hashsalt": "actlab",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "text.usetex": False,
    "xtick.color": LINES,
    "xtick.labelcolor": QUIET,
    "xtick.major.size": 0,
    "ytick.color": LINES,
    "ytick.labelcolor": QUIET,
    "ytick.major.size": 0,
}


@contextmanager
def look(*, points: float, text_as: str) -> Iterator[None]:
    """Apply the style of all pictures, and restore the user's settings afterwards.

    Args:
        points: the size of the text.
        text_as: "path" for outlines, which look the same anywhere, or "none" for text in the reader's font.
    """
    import matplotlib as mpl

    sizes: dict[str, Any] = {f"{what}.labelsize": points for what in ("axes", "xtick", "ytick")}
    sizes |= {"font.size": points, "axes.titlesize": points * 1.15, "legend.fontsize": points}
    settings: Any = {**_defaults(), **_LOOK, **sizes, "svg.fonttype": text_as}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The reader's font draws characters that this one lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def axes(width: float, height: float, *, margin: float = 2.0) -> tuple[Figure, Axes]:
    """Create a figure with empty axes; size and margin in points."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=margin / 72, h_pad=margin / 72)
    figure = Figure(figsize=(width / 72, height / 72), layout=layout)
    return figure, figure.add_subplot()


_FILE: ContextVar[str] = ContextVar("file", default="")


@contextmanager
def drawn_as(form: str) -> Iterator[None]:
    """Draw all pictures within a block for files of this form, "svg" or "png", instead of for a page."""
    before = _FILE.set(form)
    try:
        yield
    finally:
        _FILE.reset(before)


def image(figure: Figure, form: str) -> bytes:
    """Return the picture as "svg" or "png", or as `drawn_as` says; the same bytes for the same picture."""
    import matplotlib as mpl

    alone: Any = {"svg.fonttype": "path", "savefig.facecolor": PAPER} if _FILE.get() else {}
    form = _FILE.get() or form
    buffer = io.BytesIO()
    unstamped: Any = {"pdf": {"CreationDate": None}, "svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    with mpl.rc_context(alone):
        figure.savefig(buffer, format=form, dpi=200, metadata=unstamped[form])
    return buffer.getvalue()


def _defaults() -> dict[str, Any]:
    import matplotlib as mpl

    # Settings that do not concern the style keep their values.
    unrelated = ("backend", "backend_fallback", "interactive", "toolbar", "webagg.", "keymap.", "macosx.", "tk.")
    return {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith(unrelated)}
