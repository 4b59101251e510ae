"""What remedies read of a training: its findings, where its model applies activations, and its text."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from actlab.catalog.torch_ops import TORCH_OPS
from actlab.diagnosis.report import Report
from actlab.errors import ActlabError, BadInput
from actlab.formula.activation import Activation
from actlab.nn.user_lines import owner_of
from actlab.remedy.edit import ChangeArgument, Edit, ReplaceActivation
from actlab.remedy.training import Training
from actlab.rules.site_groups import site_groups
from actlab.sites.recognize.traced import traced
from actlab.sites.site import Group, Site, Spot
from actlab.sites.trace.trace import Trace
from actlab.train.factory import FEW
from actlab.train.tree import called_with

Line = Callable[[str, int], int]
"""Returns the line of the user's file from which a line of the trained text comes; 0 if there is none."""


def same_line(file: str, line: int) -> int:
    """Return the line itself: the trained text is the user's file."""
    return line


@final
@dataclass(frozen=True)
class Layout:
    """A new model of a training: its trace, and its sites with what the model does with their results."""

    model: nn.Module
    trace: Trace
    sites: tuple[tuple[Site, Group], ...]


@final
@dataclass(frozen=True, eq=False)
class Facts:
    """What remedies read of a training.

    Attributes:
        training: the training as it is now.
        report: its findings.
        line: from a line of the trained text to that of the user's file.
    """

    training: Training
    report: Report
    line: Line = field(default=same_line)

    @cached_property
    def layout(self) -> Layout:
        """Where the model applies activations.

        Raises:
            BadInput: the model cannot be traced.
        """
        model = self.training.build(0)
        positional, named = called_with(self.training.task.train.first(FEW).inputs)
        with torch.random.fork_rng(devices=[]):
            trace = traced(model, positional, named).trace
        return Layout(model, trace, tuple(zip(trace.sites, site_groups(trace), strict=True)))

    @property
    def hidden(self) -> tuple[Site, ...]:
        """The sites of element-wise activations within the model that another function can replace."""
        return tuple(
            site
            for site, group in self.layout.sites
            if group in ("hidden", "block")
            and site.gate is None
            and isinstance(site.formula, Activation)
            and len(site.formula.inputs) == 1
        )

    def like(self, site: Site) -> tuple[Site, ...]:
        """Return the hidden sites of the same activation as this one; itself if it is at another place."""
        same = tuple(each for each in self.hidden if each.activation == site.activation)
        return same if any(each.name == site.name for each in same) else (site,)

    def replacements(self, sites: Iterable[Site], activation: str, arguments: dict[str, float]) -> tuple[Edit, ...]:
        """Return the edits that write another activation at all these sites; none if a line is unknown.

        If the task's factory takes the activation, the task's argument is changed.
        """
        places = {(each.file, self.line(each.file, each.line), each.spelling) for each in sites}
        task = self.training.task
        if task.takes_activation and not arguments:
            own = {task.activation}
            at = None if self.training.origin is None else only_call(self.training.origin.file, "Task")
            if at is not None and self.training.origin is not None and own:
                return (ChangeArgument(self.training.origin.file, at, "Task", "activation", repr(activation)),)
        if not all(file and line for file, line, _ in places):
            return ()
        return tuple(
            ReplaceActivation(file, line, spelling, activation, arguments, everywhere=True)
            for file, line, spelling in sorted(places)
        )

    @cached_property
    def factory(self) -> tuple[str, int, str] | None:
        """File, line and name of the function or class that builds the task's model; None if it is not the user's."""
        if self.training.fixed_start or self.training.origin is None:
            return None
        made = self.training.task.model
        while isinstance(made, partial):
            made = made.func
        code = getattr(inspect.unwrap(made), "__code__", None)
        if code is not None:
            file, line = code.co_filename, self.line(code.co_filename, code.co_firstlineno)
            return (file, line, code.co_name) if line and owner_of(file) == "user" and Path(file).is_file() else None
        file = inspect.getsourcefile(made) if isinstance(made, type) else None
        return (file, 0, made.__name__) if file and owner_of(file) == "user" else None

    def place(self, site: Site | Spot | None) -> tuple[str, int]:
        """Return file and line of a place in the user's file; an empty file and 0 if they are unknown."""
        if site is None or not site.file:
            return "", 0
        line = self.line(site.file, site.line)
        return (site.file, line) if line else ("", 0)


def only_call(file: str, name: str) -> int | None:
    """Return the line of the only call or reference of this name in a file; None if there are several or none.

    Args:
        file: its path.
        name: the last part of the called name.
    """
    lines = references(file, name)
    return lines[0] if len(lines) == 1 else None


def references(file: str, name: str) -> list[int]:
    """Return the lines on which a Python file speaks of a name, but for imports; none if it cannot be read."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)
    ]


def torch_spelling(activation: str, arguments: dict[str, float]) -> Callable[[], nn.Module]:
    """Return what builds an activation as the patch writes it: PyTorch's own module if there is one, else actlab's.

    Raises:
        BadInput: nothing has this name.
    """
    from actlab.nn import module

    row = next((each for each in TORCH_OPS if each.activation == activation and each.module), None)
    if row is not None and set(arguments) <= set(row.arguments):
        kind, fixed = getattr(nn, row.module), dict(row.only_with)
        return lambda: kind(**fixed, **arguments)
    values: dict[str, Any] = dict(arguments)
    try:
        module(activation, **values)
    except ActlabError as error:
        raise BadInput(f"{activation}: {error}") from error
    return lambda: module(activation, **values)
