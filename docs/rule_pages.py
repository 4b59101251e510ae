"""The pages docs/rules/: one for each kind of finding, from its rule's documentation, and an index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from actlab.rules.kind import FindingKind
from actlab.rules.registry import kinds
from actlab.rules.remedies import REMEDIES

GROUPS = {"AL1": "Training", "AL2": "Outputs and losses", "AL3": "Construction"}
NOTICE = "This page is written by `python docs/generate.py` from the rule's source file."
SETTINGS = "To change one, set `name = value` under `[tool.actlab.thresholds]` in `pyproject.toml`."


def rule_pages() -> Mapping[str, str]:
    """Return the text of every page by its path below docs/."""
    every = kinds()
    return {"rules/index.md": index_page(every.values())} | {
        f"rules/{kind.id}.md": rule_page(kind) for kind in every.values()
    }


def rule_page(kind: FindingKind) -> str:
    """Return the page of one kind of finding, in Markdown."""
    sections = [
        f"# {kind.id}: {kind.title}",
        f"`{kind.name}`, usually {_with_article(kind.severity)}. [All findings](index.md)",
        kind.what,
        "## Why it matters",
        kind.why,
        "## How it is detected",
        kind.how,
        *_thresholds(kind),
        "## Example",
        "`actlab.check` reports this program"
        + (" with `train_steps=train_steps`:" if "train_steps" in kind.example else ":"),
        _block(f"{_imports(kind)}\n\n{kind.example}"),
        "Use instead:",
        _block(kind.fix),
        "## What to do",
        "\n".join(f"- {REMEDIES[remedy]}" for remedy in kind.remedies),
        "## References",
        f"{kind.source}.",
        NOTICE,
    ]
    return "\n\n".join(sections) + "\n"


def index_page(every: Iterable[FindingKind]) -> str:
    """Return the table of all kinds of findings, in Markdown."""
    lines = [
        "# All findings",
        "",
        "Every finding of `actlab check` and `actlab.watch`, with its usual severity.",
        NOTICE,
    ]
    group = ""
    for kind in every:
        if GROUPS[kind.id[:3]] != group:
            group = GROUPS[kind.id[:3]]
            lines += ["", f"## {group}", "", "| id | name | finding | severity |", "|---|---|---|---|"]
        lines.append(f"| [{kind.id}]({kind.id}.md) | `{kind.name}` | {_cell(kind.title)} | {kind.severity} |")
    return "\n".join(lines) + "\n"


def _thresholds(kind: FindingKind) -> list[str]:
    if not kind.thresholds:
        return []
    lines = ["| name | default | reason |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind.defaults[name]:g} | {_cell(reason)} |" for name, reason in kind.thresholds.items()]
    return [
        "## Thresholds",
        SETTINGS,
        "\n".join(lines),
    ]


def _imports(kind: FindingKind) -> str:
    """Return the imports that the example and the fix need."""
    code = f"{kind.example}\n{kind.fix}"
    lines = ["import torch", "from torch import nn"]
    lines += ["from torch.nn import functional as F"] if re.search(r"\bF\.", code) else []
    lines += ["", "import actlab"] if "actlab." in code else []
    return "\n".join(lines)


def _block(code: str) -> str:
    """Return the fenced code, with two blank lines around classes and functions as the formatter wants them."""
    code = re.sub(r"\n\n(?=class |def )", "\n\n\n", code)
    code = re.sub(r"(\n    [^\n]*)\n\n(?=\S)", r"\1\n\n\n", code)
    return f"```python\n{code}\n```"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _with_article(noun: str) -> str:
    return noun if noun == "information" else f"{'an' if noun == 'error' else 'a'} {noun}"
