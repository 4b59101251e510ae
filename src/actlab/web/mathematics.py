"""Formulas as mathematics on a page."""

from __future__ import annotations

from latex2mathml.converter import convert


def mathml(latex: str, *, display: str = "inline") -> str:
    """Return a formula of LaTeX's mathematics mode as MathML, which browsers draw by themselves.

    Example:
        >>> mathml("x^{2}").startswith("<math")
        True
    """
    return str(convert(latex, display=display))
