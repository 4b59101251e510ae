"""Read the settings of `check` from `[tool.actlab]` in pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, final

from actlab.errors import BadInput
from actlab.rules.finding import SEVERITIES
from actlab.rules.registry import kinds, threshold_names
from actlab.telemetry.settings import Settings

FILE = "pyproject.toml"
NEVER = "never"
FAIL_ON = (*SEVERITIES, NEVER)


@final
@dataclass(frozen=True)
class Configuration:
    """What a project sets for `check`.

    Attributes:
        select: prefixes of the ids to report; empty for all.
        ignore: prefixes of the ids not to report.
        fail_on: the minimum severity that counts as a fault.
        thresholds: values of thresholds, by name.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str = "warning"
    thresholds: Mapping[str, Any] = field(default_factory=dict)

    def selects(self, id: str) -> bool:
        """Return whether findings of this id are reported."""
        return id.startswith(self.select or ("",)) and not (self.ignore and id.startswith(self.ignore))

    def settings(self) -> Settings:
        """Return the thresholds."""
        return Settings(**self.thresholds)


def configuration(folder: Path) -> Configuration:
    """Return what the nearest pyproject.toml with a section `[tool.actlab]` sets, from `folder` upwards.

    Raises:
        BadInput: the file cannot be read, or holds an unknown name or a value of the wrong type.
    """
    for parent in (folder.resolve(), *folder.resolve().parents):
        file = parent / FILE
        section = _section(file) if file.is_file() else None
        if section is not None:
            return _configured(section, file)
    return Configuration()


def prefixes(names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Return ids of findings, or their beginnings, in capital letters.

    Raises:
        BadInput: no finding has an id that begins so.
    """
    for name in names:
        if not name.strip() or not any(id.startswith(name.strip().upper()) for id in kinds()):
            raise BadInput(f"{where}: no finding has an id that begins with '{name}'. `actlab explain` lists them all.")
    return tuple(name.strip().upper() for name in names)


def severity(name: str, *, where: str) -> str:
    """Return the name, if it is a severity or "never".

    Raises:
        BadInput: it is neither.
    """
    if name not in FAIL_ON:
        raise BadInput(f"{where} must be {', '.join(SEVERITIES)} or {NEVER}; got '{name}'.")
    return name


def _section(file: Path) -> Mapping[str, Any] | None:
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {file}: {error}.") from error
    section = tool.get("actlab") if isinstance(tool, Mapping) else None
    if section is not None and not isinstance(section, Mapping):
        raise BadInput(f"{file}: tool.actlab must be a table; got {section!r}.")
    return section


def _configured(section: Mapping[str, Any], file: Path) -> Configuration:
    where = f"{file}, [tool.actlab]"
    _refuse_unknown(section, ("select", "ignore", "fail-on", "thresholds"), where=where)
    thresholds = section.get("thresholds", {})
    if not isinstance(thresholds, Mapping):
        raise BadInput(f"{where}: thresholds must be a table of numbers; got {thresholds!r}.")
    _refuse_unknown(thresholds, threshold_names(), where=f"{file}, [tool.actlab.thresholds]")
    for name, value in thresholds.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInput(f"{file}, [tool.actlab.thresholds]: {name} must be a number; got {value!r}.")
    return Configuration(
        select=prefixes(_texts(section, "select", where=where), where=f"{where} select"),
        ignore=prefixes(_texts(section, "ignore", where=where), where=f"{where} ignore"),
        fail_on=severity(section.get("fail-on", Configuration.fail_on), where=f"{where}: fail-on"),
        thresholds=dict(thresholds),
    )


def _texts(section: Mapping[str, Any], name: str, *, where: str) -> list[str]:
    value = section.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadInput(f'{where}: {name} must be a list of ids, such as ["AL101", "AL2"]; got {value!r}.')
    return value


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], *, where: str) -> None:
    names = list(known)
    for name in table:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names)}."
            raise BadInput(f"{where} has the unknown name '{name}'. {hint}")
