"""Write the files that follow from the code; `python docs/generate.py --check` only compares."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

import typer
from rule_pages import rule_pages

from actlab import verbs
from actlab.catalog.index import CATALOG
from actlab.cli import app

DOCS = Path(__file__).parent
VERBS = Path(verbs.__path__[0])


def catalog_page() -> str:
    """Return the page of all activations, one table per family."""
    lines = [
        "# The catalog",
        "",
        f"{len(CATALOG)} activations, each declared once in `src/actlab/catalog/`; the rest of this page follows.",
        "`actlab show NAME` shows one in detail. This page is written by `python docs/generate.py`.",
    ]
    family = ""
    for act in CATALOG.values():
        if act.family != family:
            family = act.family
            lines += ["", f"## {family.replace('_', ' ').capitalize()}", ""]
            lines += ["| name | formula | range | monotone | Lipschitz | source |", "|---|---|---|---|---|---|"]
        facts = verbs.show(act.name).to_json()
        name = f"**{act.name}**" + (f" ({', '.join(act.aliases)})" if act.aliases else "")
        cells = (
            name,
            f"`{facts['formula']}`",
            _range(facts["range"]),
            _cell(facts["monotone"]),
            _cell(facts["lipschitz"]),
            act.source,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the page of every command's help, as the terminal shows it at 100 columns."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="actlab", terminal_width=100, max_content_width=100)
    subcommands = getattr(command, "commands", {})
    lines = ["# The command line", "", "This page is written by `python docs/generate.py`."]
    lines += ["", "```text", command.get_help(context).rstrip(), "```"]
    for name in subcommands:
        inner = typer.Context(subcommands[name], info_name=name, parent=context, terminal_width=100)
        lines += ["", f"## actlab {name}", "", "```text", subcommands[name].get_help(inner).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def verbs_stub() -> str:
    """Return the stub of `actlab.verbs`, by which verbs are imported when first used: the public names of its files."""
    rows = []
    for file in sorted(VERBS.glob("[!_]*.py")):
        defined = {each.name for each in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(each, DEFINED)}
        rows += [f"from .{file.stem} import {name} as {name}" for name in sorted(defined) if not name.startswith("_")]
    return "\n".join(rows) + "\n"


DEFINED = (ast.FunctionDef, ast.ClassDef)


def generated() -> Mapping[Path, str]:
    """Return the text of every derived file, by its path."""
    pages = {"catalog.md": catalog_page(), "commands.md": commands_page(), **rule_pages()}
    return {**{DOCS / name: text for name, text in pages.items()}, VERBS / "__init__.pyi": verbs_stub()}


def _range(span: Mapping[str, object] | None) -> str:
    if span is None:
        return "unknown"
    left = "[" if span.get("lower_attained") else "("
    right = "]" if span.get("upper_attained") else ")"
    return f"{left}{_cell(span['lower'])}, {_cell(span['upper'])}{right}"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def main() -> int:
    stale = []
    for path, text in generated().items():
        if "--check" in sys.argv:
            stale += [path.name] * (not path.is_file() or path.read_text(encoding="utf-8") != text)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"out of date: {', '.join(stale)}; run `python docs/generate.py`", file=sys.stderr)
    return len(stale)


if __name__ == "__main__":
    sys.exit(main())
