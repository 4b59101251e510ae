"""The core works where nothing optional is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Runs in a process of its own: whatever is named on the command line cannot be imported there.
BLOCK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"{name} is not installed", name=name.partition(".")[0])

sys.meta_path.insert(0, Absent())
"""

IMPORT_ALL = """
import importlib, pathlib, actlab
root = pathlib.Path(actlab.__file__).parent
files = [file.relative_to(root) for file in root.rglob("*.py")]
for file in sorted(files):
    # extras exist for one optional package each, the pages and the patches' syntax trees for theirs; migrations are run
    # by Alembic, not imported
    outside = {"extras", "keras", "migrations", "syntax", "web"}
    if not outside & set(file.parts) and file.stem not in {"__init__", "__main__"}:
        importlib.import_module(".".join(("actlab", *file.with_suffix("").parts)))
"""

USE_CORE = """
import torch, actlab
for name in dir(actlab):
    getattr(actlab, name)
assert abs(actlab.gain("relu") - 2**0.5) < 1e-9
assert actlab.module("relu")(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]
"""

ASK_FOR_ONE = """
from actlab.extras_import import need
from actlab.errors import MissingExtra
try:
    need(sys.argv[1], extra="some")
except MissingExtra as error:
    assert "pip install 'actlab[some]'" in str(error), error
else:
    raise SystemExit("an absent package was found")
"""


def optional_packages() -> list[str]:
    """The names under which the packages of all extras but `dev` are imported."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = {
        re.split(r"[\[<>=! ;]", need)[0].lower() for name, needs in extras.items() if name != "dev" for need in needs
    }
    installed = {name for name, brings in packages_distributions().items() if wanted & {one.lower() for one in brings}}
    return sorted(installed | {name.replace("-", "_") for name in wanted})


def without(blocked: list[str], *programs: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "".join((BLOCK, *programs)), *blocked]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "agg"}, check=False)


def test_the_list_of_optional_packages_is_read_from_the_project():
    assert {"onnx", "onnxscript", "onnxruntime", "psycopg"} <= set(optional_packages())


def test_the_core_imports_and_works_without_them():
    ran = without(optional_packages(), IMPORT_ALL, USE_CORE)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("package", optional_packages())
def test_asking_for_one_says_how_to_get_it(package):
    ran = without([package], ASK_FOR_ONE)
    assert ran.returncode == 0, ran.stderr


def test_the_check_can_fail():
    ran = without(["torch"], IMPORT_ALL)
    assert ran.returncode != 0
    assert "torch is not installed" in ran.stderr
