"""The properties of an activation for reading in a terminal, one on each line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN_LINES = (
    ("formula", "formula"),
    ("derivative", "derivative"),
    ("parameters", "parameters"),
    ("range", "range"),
    ("limits", "limits"),
    ("value at 0", "value_at_zero"),
    ("derivative at 0", "derivative_at_zero"),
    ("minimum", "minimum"),
    ("maximum", "maximum"),
    ("roots", "roots"),
    ("kinks", "kinks"),
    ("smoothness", "smoothness"),
    ("monotone", "monotone"),
    ("convex", "convex"),
    ("odd", "odd"),
    ("even", "even"),
    ("Lipschitz", "lipschitz"),
    ("steepest", "steepest"),
    ("saturates", "saturates"),
    ("gains", "gains"),
    ("aliases", "aliases"),
    ("note", "note"),
    ("source", "source"),
)


WIDTH = max(len(label) for label, _ in _SHOWN_LINES)

# Bits of a number's significand, the hidden one included.
BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


def _smooth(derivatives: float | str) -> str:
    """Return the number of continuous derivatives in words."""
    if derivatives == "inf":
        return "infinitely differentiable"
    words = {-1: "discontinuous", 0: "continuous, with kinks", 1: "once continuously differentiable"}
    return words.get(int(derivatives), f"{derivatives} times continuously differentiable")


def shown_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the known properties, then the unknown ones with the reason."""
    lines = [facts["name"], f"  {facts['summary']}", ""]
    for label, key in _SHOWN_LINES:
        value = facts.get(key)
        if value not in (None, "", [], ()) and not _is_unknown(value):
            lines.append(f"  {label:<{WIDTH}} {_smooth(value) if key == 'smoothness' else _in_words(value)}")
    lines += _exactness(facts["exactness"], facts["inputs"])
    reasons: dict[str, list[str]] = {}
    for name, reason in facts.get("unknown", {}).items():
        reasons.setdefault(reason, []).append(name.replace("_", " "))
    lines += [f"  {'not known':<{WIDTH}} {_listed(names)}: {reason}" for reason, names in reasons.items()]
    return lines


def _is_unknown(value: Any) -> bool:
    """Return whether none of several facts is known."""
    return isinstance(value, dict) and bool(value) and all(each is None for each in value.values())


def _listed(names: list[str]) -> str:
    """Return the names of properties, of many the first and their number."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    first = list(dict.fromkeys(name.partition(".")[0] for name in names))[:_MOST_NAMES]
    return f"{len(names)} properties, among them {', '.join(first)}"


_MOST_NAMES = 3


def _exactness(certificates: Mapping[str, Mapping[str, Any]], inputs: list[str]) -> list[str]:
    """Return the worst errors, one line for each mode, and in words where a mode has no correct digit."""
    lines: list[str] = []
    for mode, by_dtype in certificates.items():
        errors = [f"{dtype} {_errors(entry, dtype=dtype)}" for dtype, entry in by_dtype.items()]
        label = "exactness" if not lines else ""
        lines.append(f"  {label:<{WIDTH}} {mode}, maximum ULP error forward/backward: {', '.join(errors)}")
        lost = [
            f"{dtype} {direction} at {_place(entry[direction], inputs)}"
            for dtype, entry in by_dtype.items()
            for direction in ("forward", "backward")
            if _has_no_digit(entry[direction]["max_ulp"], dtype=dtype)
        ]
        if lost:
            why = f"{mode} mode loses the tail where an intermediate result overflows or underflows"
            lines.append(f"  {'':<{WIDTH}} {why}: {'; '.join(lost)}")
    return lines


def _place(error: Mapping[str, Any], inputs: list[str]) -> str:
    """Return the inputs at which an error is the largest."""
    at = error["at"] if isinstance(error["at"], list) else [error["at"]]
    return ", ".join(f"{name} = {each:.2g}" for name, each in zip(inputs, at, strict=True))


def _has_no_digit(error: float | str, *, dtype: str) -> bool:
    """Return whether an error in ULP is as large as the number itself."""
    return not isinstance(error, str) and error >= 2.0 ** (BITS[dtype] - 1)


def _errors(entry: Mapping[str, Any], *, dtype: str) -> str:
    worst = [entry[direction]["max_ulp"] for direction in ("forward", "backward")]
    return "/".join(_ulp(each, dtype=dtype) for each in worst)


def _ulp(error: float | str, *, dtype: str) -> str:
    """Return an error in ULP as text."""
    if isinstance(error, str):
        return error
    return "no correct digit" if _has_no_digit(error, dtype=dtype) else f"{error:.2g}"


def _in_words(value: Any) -> str:
    match value:
        case {"lower": lower, "upper": upper} if lower == upper:
            return _in_words(lower)
        case {"lower": lower, "upper": upper, **rest}:
            left = "[" if rest.get("lower_attained") else "("
            right = "]" if rest.get("upper_attained") else ")"
            return f"{left}{_in_words(lower)}, {_in_words(upper)}{right}"
        case {"at": at, "value": number, **rest}:
            slope = f", derivative {_in_words(rest['derivative'])}" if "derivative" in rest else ""
            return f"{_in_words(number)} at {_in_words(at)}{slope}"
        case {"name": name, "value": number, "trainable": trainable, "bounds": bounds}:
            inside = f", {bounds}" if bounds else ""
            return f"{name} = {_in_words(number)}{' (trainable' + inside + ')' if trainable else inside}"
        case dict():
            return ", ".join(f"{key.replace('_', ' ')} {_in_words(item)}" for key, item in value.items())
        case list():
            return "; ".join(_in_words(item) for item in value)
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.10g}"
        case None:
            return "unknown"
    return str(value)
