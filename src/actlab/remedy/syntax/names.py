"""Write dotted names as a program's imports allow, and add the imports that are missing, in the program's style."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
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
        self._attributes = {each.attr.value for each in program.all(cst.Attribute)}

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

    def attribute(self, wanted: str) -> str:
        """Return a name that no attribute in the program has; it is taken from then on."""
        names = (wanted, *(f"{wanted}_{count}" for count in range(2, 1000)))
        found = next(name for name in names if name not in self._attributes)
        self._attributes.add(found)
        return found

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
        beside: dict[cst.CSTNode, tuple[list[str], list[str]]] = {}
        for text in self._statements:
            anchor, is_before = self._anchor(text)
            beside.setdefault(anchor, ([], []))[0 if is_before else 1].append(text)
        for anchor, (before, behind) in beside.items():
            yield Swap(anchor, "\n".join([*before, "_0_", *behind]), (anchor,))

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

    def _anchor(self, text: str) -> tuple[cst.CSTNode, bool]:
        """Return the statement beside which an import is added, and whether it stands before that.

        Imports of Python's library are added in their order at the head, others behind the last one of PyTorch.
        """
        body = self._program.module.body
        imports = list(_header(body))
        if not imports:
            return body[0], not _is_docstring(body[0])
        if _package(text) in sys.stdlib_module_names:
            library = [line for line in imports if _package(line) in sys.stdlib_module_names]
            before = [line for line in library if _order(line) < _order(text)]
            first = next((line for line in imports if _package(line) != "__future__"), None)
            return (before[-1], False) if before else (imports[-1], False) if first is None else (first, True)
        return ([line for line in imports if _package(line) == "torch"] or imports)[-1], False


def _header(body: Sequence[cst.CSTNode]) -> Iterator[cst.SimpleStatementLine]:
    """Yield the import statements at the head of a file."""
    for at, line in enumerate(body):
        small = line.body if isinstance(line, cst.SimpleStatementLine) else []
        if isinstance(line, cst.SimpleStatementLine) and all(
            isinstance(each, cst.Import | cst.ImportFrom) for each in small
        ):
            yield line
        elif at > 0 or not _is_docstring(line):
            return


def _is_docstring(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Expr)


def _order(line: cst.SimpleStatementLine | str) -> tuple[bool, str]:
    """Return by what imports are sorted: `import` before `from`, then by module."""
    if isinstance(line, str):
        words = line.split()
        return words[0] == "from", words[1]
    small = line.body[0]
    if isinstance(small, cst.ImportFrom):
        return dotted_text(small.module) != "__future__", dotted_text(small.module)
    assert isinstance(small, cst.Import)
    return False, dotted_text(small.names[0].name)


def _package(line: cst.SimpleStatementLine | str) -> str:
    """Return the package that an import statement is of."""
    return _order(line)[1].partition(".")[0]


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
