"""What the outside sees: few names, documented, and nothing heavy until one is asked for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import actlab

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "sympy", "matplotlib", "pandas", "sklearn", "sqlalchemy")

REPORT_HEAVY = f"""
import sys
print("loaded:", *(name for name in {HEAVY!r} if name in sys.modules))
"""


def listed() -> list[str]:
    """The names in the stub, in its order."""
    tree = ast.parse((ROOT / "src/actlab/__init__.pyi").read_text(encoding="utf-8"))
    return [alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_forty_names_at_most():
    assert 0 < len(listed()) <= 40
    assert len(set(listed())) == len(listed())


def test_the_stub_is_what_the_package_offers():
    assert sorted(listed()) == sorted(actlab.__all__)


@pytest.mark.parametrize("name", listed())
def test_each_name_can_be_had(name):
    found = getattr(actlab, name)
    assert found is not None
    assert getattr(found, "__name__", name).rpartition(".")[2] == name


@pytest.mark.parametrize("name", ["functional", "sites", "watch"])
def test_a_module_never_takes_the_place_of_a_name_it_holds(name):
    code = f"""
import actlab, actlab.nn.functions, actlab.study.advise, actlab.sites.site, actlab.rules.finding
print(callable(actlab.{name}), callable(actlab.{name}))
"""
    assert ran(code).splitlines()[0] == "True True"


def test_the_documentation_lists_the_same_names():
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `actlab\.(\w+)", text, flags=re.MULTILINE)
    assert sorted(documented) == sorted(listed())


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        actlab.no_such_name  # noqa: B018  the access is what is tested


def test_the_version_is_the_installed_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", actlab.__version__)


QUICK = {
    "import": "import actlab; actlab.__version__",
    "gain": "import actlab; actlab.gain('gelu')",
    **{
        words: f"""
import sys
sys.argv = {["actlab", *words.split()]!r}
from actlab.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
        for words in ("--help", "list", "show gelu", "gain gelu", "explain", "explain AL101")
    },
}


@pytest.mark.parametrize("code", QUICK.values(), ids=QUICK)
def test_nothing_heavy_is_loaded_for(code):
    assert ran(code).splitlines()[-1].strip() == "loaded:"


def test_the_check_for_heavy_modules_can_fail():
    assert ran("import pandas").splitlines()[-1] == "loaded: pandas"


def ran(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code + REPORT_HEAVY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
