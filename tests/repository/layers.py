"""The layers as a table, and the reader of imports that compares a source tree with it.

Written from DESIGN.md, section 2. A row is one layer; an import may only go to a lower row.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "actlab"

# Each layer: its packages, each with the third-party packages it introduces. Packages above may use them too.
LAYERS: tuple[Mapping[str, frozenset[str]], ...] = (
    {"errors": frozenset(), "jsonable": frozenset(), "deprecation": frozenset()},
    {"extras_import": frozenset(), "user_code": frozenset()},
    {"formula": frozenset()},
    {"catalog": frozenset(), "lower": frozenset(), "display": frozenset({"numpy", "pandas", "matplotlib"})},
    {
        "theory": frozenset({"numpy", "scipy", "mpmath", "sympy"}),
        "kernels": frozenset({"numpy", "llvmlite", "triton", "torch", "lazy_loader"}),
    },
    {"nn": frozenset({"torch"})},
    {"sites": frozenset(), "train": frozenset({"sklearn", "pandas", "PIL", "threadpoolctl"})},
    {"telemetry": frozenset(), "measure": frozenset({"jax", "onnx", "onnxruntime", "onnxscript", "pynvml"})},
    {"rules": frozenset()},
    {"diagnosis": frozenset(), "initialization": frozenset()},
    {"study": frozenset({"sqlalchemy", "alembic", "psycopg"})},
    {"remedy": frozenset({"libcst"}), "discover": frozenset()},
    {"report": frozenset({"matplotlib", "jinja2", "rich"})},
    {"extras": frozenset(), "keras": frozenset({"keras"})},
    {"verbs": frozenset()},
    {"lessons": frozenset()},
    {"web": frozenset({"starlette", "uvicorn", "latex2mathml", "markdown_it", "markupsafe", "typer"})},
    {"cli": frozenset({"typer", "click", "rich"})},
    {"__main__": frozenset()},
)
# Inside a package: its modules and sub-packages in layers, the lowest first. A package without a row is not ordered.
INSIDE: Mapping[str, tuple[frozenset[str], ...]] = {
    "sites": (
        frozenset({"site"}),
        frozenset({"site_text"}),
        frozenset({"trace", "site_display"}),
        frozenset({"recognize"}),
        frozenset({"find", "listening"}),
        frozenset({"swap"}),
    ),
}
# Never when a file is merely imported: each costs a tenth of a second or more.
ONLY_WHEN_ASKED = frozenset({"sympy", "matplotlib"})
# Files of one package that must not know each other, by the start of their path below the package.
STRANGERS = ("lower.to_", "extras.")
# The root resolves public names lazily and holds nothing else.
ROOT_BRINGS = frozenset({"lazy_loader"})


@dataclass(frozen=True)
class Import:
    """One import statement: from which module to which, on which line, and whether it runs at import."""

    source: str
    target: str
    line: int
    at_once: bool


def faults(src: Path) -> list[str]:
    """One line for each import in the tree below `src` that the table does not allow."""
    known = modules(src)
    imports = [found for name, files in known.items() for file in files for found in read(file, name, known)]
    wrong = [f"{found.source}:{found.line}: {fault}" for found in imports if (fault := judged(found))]
    return sorted(set(wrong)) + circles(imports)


def modules(src: Path) -> dict[str, list[Path]]:
    """Every module below `src` by its dotted name, a stub beside its program."""
    known: dict[str, list[Path]] = {}
    for file in sorted((src / PACKAGE).rglob("*.py*")):
        if file.suffix in {".py", ".pyi"} and file != src / PACKAGE / "__init__.pyi":
            parts = file.relative_to(src).with_suffix("").parts
            known.setdefault(".".join(parts[:-1] if parts[-1] == "__init__" else parts), []).append(file)
    return known


def read(file: Path, name: str, known: Mapping[str, object]) -> Iterator[Import]:
    """The imports of one file, also those inside functions, under TYPE_CHECKING, and by name in a call."""
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    later = {id(inner) for outer in ast.walk(tree) if postpones(outer) for inner in ast.walk(outer)}
    for node in ast.walk(tree):
        for target in targets(node, package=package, known=known):
            # A stub is never run: what it lists is imported when asked for.
            at_once = id(node) not in later and file.suffix == ".py"
            yield Import(name, target, getattr(node, "lineno", 0), at_once)


def postpones(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def targets(node: ast.AST, *, package: str, known: Mapping[str, object]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in known else base
    elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in IMPORTERS:
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


IMPORTERS = frozenset({"import_module", "__import__", "need"})


def judged(found: Import) -> str | None:
    """What is wrong with one import; None if nothing is."""
    top = found.target.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    if top == PACKAGE:
        return judged_inside(found)
    source = package_of(found.source)
    if source == "extras":
        return None  # each file there is for one optional package
    allowed = ROOT_BRINGS if source == "" else brought(source)
    if top not in allowed:
        return f"{source or 'the root'} may not import {top}"
    if top in ONLY_WHEN_ASKED and found.at_once:
        return f"{top} is imported at once; import it inside the function that needs it"
    return None


def judged_inside(found: Import) -> str | None:
    source, target = package_of(found.source), package_of(found.target)
    if source == target:
        one, other = found.source.removeprefix(PACKAGE + "."), found.target.removeprefix(PACKAGE + ".")
        strangers = any(one.startswith(start) and other.startswith(start) for start in STRANGERS)
        return f"{one} may not know {other}" if strangers and one != other else judged_in_package(source, one, other)
    if target == "":
        return "the root is for users; import the module that holds the name"
    if layer(target) is None:
        return f"{target} belongs to no layer"
    if source == "":
        return "the root imports lazily, by its stub"
    if (above := layer(source)) is None:
        return f"{source} belongs to no layer"
    if above <= (layer(target) or 0):
        return f"{source} (layer {above}) may not import {target} (layer {layer(target)})"
    return None


def judged_in_package(package: str, one: str, other: str) -> str | None:
    """Return what is wrong with an import inside a package; None if nothing is."""
    rows = INSIDE.get(package)
    if rows is None:
        return None
    parts = [f"{module}.".split(".")[1] for module in (one, other)]
    heights = [next((height for height, row in enumerate(rows) if part in row), None) for part in parts]
    for part, height in zip(parts, heights, strict=True):
        if height is None and part:
            return f"{package}.{part} belongs to no layer of {package}"
    above, below = heights
    if parts[0] == parts[1] or above is None or below is None or above > below:
        return None
    return f"{package}.{parts[0]} (layer {above}) may not import {package}.{parts[1]} (layer {below})"


def package_of(module: str) -> str:
    """The package of a module: `formula` for `actlab.formula.expr`, nothing for the root."""
    return module.removeprefix(PACKAGE).removeprefix(".").partition(".")[0]


def layer(name: str) -> int | None:
    return next((height for height, row in enumerate(LAYERS) if name in row), None)


def brought(name: str) -> frozenset[str]:
    """Return the third-party packages that a package may import: its own and those of every layer below."""
    height = layer(name)
    if height is None:
        return frozenset()
    below = (brings for row in LAYERS[:height] for brings in row.values())
    return LAYERS[height][name].union(*below)


def circles(imports: list[Import]) -> list[str]:
    """The first circle among the modules, as one line; nothing if there is none."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if found.target.partition(".")[0] == PACKAGE and found.source != found.target:
            graph.setdefault(found.source, set()).add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"a circle: {' -> '.join(error.args[1])}"]
    return []
