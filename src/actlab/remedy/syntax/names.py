"""Write dotted names as a program's imports allow, and add the imports that are missing, in the program's style."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

from actlab.extras_import import need
from actlab.remedy.syntax.change import Change, Items, Swap
from actlab.remedy.syntax.program import Program, Refused, dotted_text

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")


@final
class Names:
    """The names that a changed program can write.

    Args:
        program: whose imports are used.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._statements: list[str] = []  # the imports to add
        self._added: dict[str, str] = {}  # what they bind: the dotted name by the short one
        self._extended: dict[cst.ImportFrom, list[str]] = {}

    def write(self, dotted: str, at: cst.CSTNode, *, like: str = "") -> str:
        """Return how the program writes a dotted name at a node; an import is added if it cannot.

        Args:
            dotted: such as `torch.nn.functional.gelu`.
            at: where it is to stand.
            like: how the program writes a neighbor there: after `ReLU` alone, `GELU` is imported alone too.
        """
        found = self._added_before(dotted, at) or self._program.spelled(dotted, at)
        front, _, last = dotted.rpartition(".")
        is_bare = bool(like) and "." not in like
        statement = self._from_import(front) if is_bare and (found is None or "." in found) else None
        if statement is not None and not self._program.is_bound(last):
            self._extended.setdefault(statement, []).append(last)
            self._added[last] = dotted
            return last
        return found or self._with_import(dotted)

    def require(self, statement: str) -> None:
        """Add an import statement unless the program has it.

        Raises:
            Refused: it is not an import statement, or its name is taken.
        """
        parsed = cst.parse_module(statement).body
        line = parsed[0] if len(parsed) == 1 else None
        small = line.body[0] if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 else None
        if not isinstance(small, cst.Import | cst.ImportFrom) or isinstance(small.names, cst.ImportStar):
            raise Refused(f"'{statement}' is not an import statement")
        front = f"{dotted_text(small.module)}." if isinstance(small, cst.ImportFrom) else ""
        for alias in small.names:
            dotted = front + dotted_text(alias.name)
            name = alias.evaluated_alias or (dotted.rpartition(".")[2] if front else dotted.partition(".")[0])
            bound = dotted if alias.asname or front else name
            first = self._program.module.body[0]
            if self._program.imported_as(name, first) == bound or self._added.get(name) == bound:
                continue
            if self._program.is_bound(name) or name in self._added:
                raise Refused(f"the name {name}, which is to be imported, is taken")
            self._added[name] = bound
            if statement not in self._statements:
                self._statements.append(statement)

    def changes(self) -> Iterator[Change]:
        """Yield the changes that add the imports."""
        for statement, names in self._extended.items():
            old = [alias.evaluated_name for alias in statement.names]  # type: ignore[union-attr]  # never a star
            yield Items(statement, tuple(_merged(old, names)))
        anchor, is_before = self._anchor()
        first = next((each for each in self._program.module.body if _is_import(each)), None)
        early = [each for each in self._statements if first is not None and _is_of_python(each)]
        late = [each for each in self._statements if each not in early]
        if first is anchor and self._statements:
            yield Swap(anchor, "\n".join([*early, "_0_", *late]), (anchor,))
            return
        if early and first is not None:
            yield Swap(first, "\n".join([*early, "_0_"]), (first,))
        if late:
            yield Swap(anchor, "\n".join([*late, "_0_"] if is_before else ["_0_", *late]), (anchor,))

    def _added_before(self, dotted: str, at: cst.CSTNode) -> str | None:
        for name, bound in self._added.items():
            if (dotted == bound or dotted.startswith(f"{bound}.")) and not self._program.assignments(name, at):
                return name + dotted.removeprefix(bound)
        return None

    def _from_import(self, front: str) -> cst.ImportFrom | None:
        """Return the statement at the head of the file that imports names from a module."""
        for node in self._program.all(cst.ImportFrom):
            is_of = (
                not node.relative and dotted_text(node.module) == front and not isinstance(node.names, cst.ImportStar)
            )
            line = self._program.parent(node)
            if is_of and line is not None and self._program.parent(line) is self._program.module:
                return node
        return None

    def _with_import(self, dotted: str) -> str:
        for statement, name, bound in self._ways(dotted):
            if not self._program.is_bound(name):
                self._added[name] = bound
                self._statements.append(statement)
                return name + dotted.removeprefix(bound)
        raise Refused(f"{dotted} is not imported, and the usual names for it are taken")

    def _ways(self, dotted: str) -> Iterator[tuple[str, str, str]]:
        """Yield import statements that reach a dotted name, with the name that each binds and what that stands for."""
        front, _, last = dotted.rpartition(".")
        if front == "functools":
            yield f"from functools import {last}", last, dotted
        if front == "torch.nn.functional":
            if any(one.dotted == "torch.nn" and one.name == "nn" for one in self._program.imports):
                yield "from torch.nn import functional as F", "F", front
            yield "import torch.nn.functional as F", "F", front
        if front == "torch.nn":
            yield "from torch import nn", "nn", front
        top = front.partition(".")[0]
        yield f"import {top}", top, top
        if front != top:
            yield f"import {front} as {front.replace('.', '_')}", front.replace(".", "_"), front

    def _anchor(self) -> tuple[cst.CSTNode, bool]:
        """Return the statement beside which imports are added, and whether they stand before it."""
        last: cst.CSTNode | None = None
        last_torch: cst.CSTNode | None = None
        body = self._program.module.body
        for at, line in enumerate(body):
            small = line.body if isinstance(line, cst.SimpleStatementLine) else []
            if small and all(isinstance(each, cst.Import | cst.ImportFrom) for each in small):
                last = line
                if any(_is_torch(each) for each in small):
                    last_torch = line
            elif not (at == 0 and small and isinstance(small[0], cst.Expr)):
                break
            else:
                last = line  # the docstring
        found = last_torch or last
        return (found, False) if found is not None else (body[0], True)


def _is_import(line: cst.CSTNode) -> bool:
    """Return whether a line imports, other than from the future."""
    small = line.body if isinstance(line, cst.SimpleStatementLine) else []
    return len(small) > 0 and all(
        isinstance(each, cst.Import) or (isinstance(each, cst.ImportFrom) and dotted_text(each.module) != "__future__")
        for each in small
    )


def _is_of_python(statement: str) -> bool:
    """Return whether a statement imports a module of Python's library, which stands first by custom."""
    return statement.split()[1].partition(".")[0] in sys.stdlib_module_names


def _is_torch(statement: object) -> bool:
    if isinstance(statement, cst.ImportFrom):
        return dotted_text(statement.module).partition(".")[0] == "torch"
    return isinstance(statement, cst.Import) and any(
        dotted_text(alias.name).partition(".")[0] == "torch" for alias in statement.names
    )


def _merged(old: list[str], new: list[str]) -> list[int | str]:
    """Return old names by index with the new ones among them: in order if the old ones are, otherwise at the end."""
    found: list[int | str] = list(range(len(old)))
    for name in new:
        is_sorted = old == sorted(old)
        at = next((at for at, one in enumerate(found) if is_sorted and _text(old, one) > name), len(found))
        found.insert(at, name)
    return found


def _text(old: list[str], item: int | str) -> str:
    return old[item] if isinstance(item, int) else item
