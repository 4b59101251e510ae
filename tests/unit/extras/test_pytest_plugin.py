"""The pytest plugin in a pytest of its own, and the files that other tools read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from actlab.cli.entry import command_files

ROOT = Path(__file__).parents[3]

TESTS = """
import pytest, torch
from torch import nn

def case(last):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), last)
    return model, (torch.randn(16, 4), torch.randint(3, (16,))), nn.CrossEntropyLoss()

def test_right(assert_no_findings):
    assert assert_no_findings(*case(nn.Identity())).ok

def test_faulty(assert_no_findings):
    assert_no_findings(*case(nn.Softmax(dim=1)))

@pytest.mark.actlab("AL1")
def test_faulty_in_another_way(assert_no_findings):
    assert_no_findings(*case(nn.Softmax(dim=1)))
"""


def test_a_faulty_model_fails_its_test_and_the_marker_selects(tmp_path: Path):
    (tmp_path / "test_model.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "actlab.extras.pytest_plugin", "--strict-markers", "-rA"]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    ran = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    outcomes = dict(
        reversed(each) for each in re.findall(r"^(PASSED|FAILED) \S+::(\w+)", ran.stdout, flags=re.MULTILINE)
    )
    assert outcomes == {
        "test_right": "PASSED",
        "test_faulty": "FAILED",
        "test_faulty_in_another_way": "PASSED",
    }, ran.stdout
    assert "AL201" in ran.stdout


def test_the_pre_commit_hook_names_a_command_that_exists():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, command, option = hook["entry"].split()
    assert program == "actlab"
    assert command in dict(command_files())
    assert option == "--quiet"


def test_the_workflow_is_yaml_and_its_options_exist():
    text = (ROOT / "docs/continuous-integration.md").read_text()
    workflow = yaml.safe_load(re.findall(r"```yaml\n(name.*?)```", text, flags=re.DOTALL)[0])
    steps = workflow["jobs"]["check"]["steps"]
    (line,) = (step["run"] for step in steps if "actlab check" in step.get("run", ""))
    ran = subprocess.run(
        [sys.executable, "-m", "actlab", "check", "--help"], capture_output=True, text=True, check=True
    )
    assert all(option in ran.stdout for option in re.findall(r"--\w+", line))
    assert workflow["permissions"]["security-events"] == "write"
