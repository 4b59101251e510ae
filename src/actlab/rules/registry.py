"""All rules, found by the names of their files: `rules/<group>/al<number>_<name>.py` holds one each."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from actlab.errors import BadInput
from actlab.rules.finding import Finding
from actlab.rules.kind import FindingKind, kind_from
from actlab.telemetry.settings import SHARED, Settings

if TYPE_CHECKING:
    from actlab.rules.context import Context
    from actlab.rules.rule import Rule
    from actlab.telemetry.quantities import Quantities

_FOLDER = Path(__file__).parent


def rule_files() -> list[Path]:
    """Return the files of all rules, by id."""
    return sorted(_FOLDER.glob("*/al[0-9][0-9][0-9]_*.py"), key=lambda file: file.name)


@cache
def kinds() -> Mapping[str, FindingKind]:
    """Return every kind of finding by its id, read from the files' text: PyTorch is not imported."""
    found = [_kind(file) for file in rule_files()]
    return MappingProxyType({kind.id: kind for kind in found})


def _kind(file: Path) -> FindingKind:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    for node in tree.body:
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "rule":
                assert isinstance(node, ast.FunctionDef)
                documented = {
                    each.arg: ast.literal_eval(each.value) for each in mark.keywords if each.arg in _DOCUMENTED
                }
                doc = ast.get_docstring(node) or ""
                pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                defaults = {each.arg: ast.literal_eval(value) for each, value in pairs if value is not None}
                id = ast.literal_eval(mark.args[0])
                return kind_from(id, function=node.name, doc=doc, defaults=defaults, **documented)
    raise ValueError(f"{file.name} declares no rule: decorate its check with @rule.")


_DOCUMENTED = frozenset({"title", "severity", "remedies"})


@cache
def rules() -> tuple[Rule, ...]:
    """Import and return all rules, by id; those that read other findings last."""
    from actlab.rules.rule import Rule

    found = []
    for file in rule_files():
        module = import_module(f"actlab.rules.{file.parent.name}.{file.stem}")
        found += [value for value in vars(module).values() if isinstance(value, Rule)]
    return tuple(sorted(found, key=lambda each: (each.reads_findings, each.kind.id)))


def kind_of(text: str) -> FindingKind:
    """Return the kind with this id or name.

    Raises:
        BadInput: there is none.

    Example:
        >>> kind_of("AL101").name
        'dead-units'
    """
    wanted, known = text.strip(), kinds()
    for kind in known.values():
        if wanted.upper() == kind.id or wanted.lower() == kind.name:
            return kind
    is_id = wanted.upper().startswith("AL") and wanted[2:].isdigit()  # any other id is as near
    near = [] if is_id else get_close_matches(wanted, [kind.name for kind in known.values()], n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise BadInput(f"no finding is called '{wanted[:60]}'.{hint} `actlab explain` lists them all.")


def threshold_names() -> tuple[str, ...]:
    """Return the names of all thresholds: the shared ones, then those of single rules."""
    own = dict.fromkeys(name for each in rules() for name in each.thresholds)
    return (*SHARED, *own)


def validate(settings: Settings) -> Settings:
    """Return the settings.

    Raises:
        BadInput: neither a rule nor the shared settings know one of the names.
    """
    known = threshold_names()
    for name in settings.of_rules:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise BadInput(f"no threshold is called '{name}'.{hint} `actlab explain AL101` lists those of a rule.")
    return settings


def batch_findings(context: Context) -> list[Finding]:
    """Return what the rules report about one forward pass, each finding once."""
    unique: dict[tuple[object, ...], Finding] = {}
    for each in rules():
        for finding in each.findings(each.on_batch, context) if each.on_batch else ():
            site = finding.site
            key = (finding.id, site.path, site.file, site.line, site.index) if site else (finding.id, finding.message)
            unique.setdefault(key, finding)
    return list(unique.values())


def run_findings(quantities: Quantities, settings: Settings) -> tuple[Finding, ...]:
    """Return what the rules report about a training run, by id and then in the order of the sites."""
    from actlab.rules.run import Run

    found: list[tuple[Rule, Finding]] = []
    run = Run(quantities, settings)
    for each in rules():
        if each.in_training is None:
            continue
        subject = Run(quantities, settings, _by_plateau_rank(found)) if each.reads_findings else run
        found += [(each, finding) for finding in each.findings(each.in_training, subject)]
    return tuple(sorted((finding for _, finding in found), key=lambda finding: finding.id))


def _by_plateau_rank(found: Sequence[tuple[Rule, Finding]]) -> tuple[Finding, ...]:
    causes = [(each.plateau_rank, place, finding) for place, (each, finding) in enumerate(found) if each.plateau_rank]
    return tuple(finding for _, _, finding in sorted(causes, key=lambda cause: cause[:2]))
