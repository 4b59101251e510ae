"""The commands `check`, `sites` and `explain`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Run, caller

# A comment marks the line of the fault, so that an edit of this text cannot break the test.
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, ends_in_softmax):
        super().__init__()
        self.first, self.last = nn.Linear(4, 16), nn.Linear(16, 3)
        self.ends_in_softmax = ends_in_softmax

    def forward(self, x):
        x = self.last(torch.relu(self.first(x)))
        if self.ends_in_softmax:
            return torch.softmax(x, dim=-1)  # the fault
        return x


torch.manual_seed(0)
batch = (torch.randn(64, 4), torch.arange(64) % 3)
wrong = (Net(True), batch, nn.CrossEntropyLoss())
right = {"model": Net(False), "batch": batch, "loss": nn.CrossEntropyLoss()}
"""
FAULT_LINE = 1 + NET.splitlines().index("            return torch.softmax(x, dim=-1)  # the fault")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "net.py").write_text(NET)

    return caller(capsys, monkeypatch)


def test_a_fault_is_reported_with_its_line_and_status_1(run: Run, tmp_path: Path) -> None:
    said = run("check", "net.py:wrong", "--json")
    (found,) = [one for one in said.json["findings"] if one["id"] == "AL201"]
    assert said.status == 1
    assert (found["severity"], found["site"]["file"], found["site"]["line"]) == (
        "error",
        str(tmp_path / "net.py"),
        FAULT_LINE,
    )
    assert set(found) == {"id", "title", "severity", "message", "site", "evidence", "remedies"}
    assert set(found["site"]) == {"path", "spelling", "file", "line", "index"}
    assert {"findings", "unseen"} <= set(said.json)


def test_the_table_can_be_read_at_80_columns(run: Run) -> None:
    said = run("check", "net.py:wrong")
    assert said.status == 1
    assert max(map(len, said.out.splitlines())) <= 80
    assert all(word in said.out for word in ("error", "AL201", f"net.py:{FAULT_LINE}", "fix:", "1 error"))


def test_a_right_model_exits_with_status_0(run: Run) -> None:
    said = run("check", "net.py:right")
    assert (said.status, said.err) == (0, "")
    assert "error" not in said.out


def test_sarif_goes_to_standard_output_or_to_a_file(run: Run, tmp_path: Path) -> None:
    said = run("check", "net.py:wrong", "--sarif", "-")
    place = said.json["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert said.status == 1
    assert place["artifactLocation"]["uri"] == "net.py"
    assert place["region"]["startLine"] == FAULT_LINE
    written = run("check", "net.py:wrong", "--sarif", "found.sarif", "--json")
    assert json.loads((tmp_path / "found.sarif").read_text()) == said.json
    assert written.json["findings"]


def test_an_accepted_finding_stays_accepted_on_another_line(run: Run, tmp_path: Path) -> None:
    accepted = run("check", "net.py:wrong", "--write-baseline", "accepted.json")
    assert accepted.status == 0
    (tmp_path / "net.py").write_text("# one line more\n" + NET)
    later = run("check", "net.py:wrong", "--baseline", "accepted.json")
    assert later.status == 0
    assert "accepted by the baseline" in later.out
    assert "AL201" not in later.out


@pytest.mark.parametrize(("fail_on", "status"), [("error", 1), ("warning", 1), ("information", 1), ("never", 0)])
def test_fail_on_sets_the_exit_status(run: Run, fail_on: str, status: int) -> None:
    assert run("check", "net.py:wrong", "--fail-on", fail_on).status == status


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent.py:make",), "BadTask: there is no file 'absent.py'"),
        (("net.py:wring",), "has no 'wring'. Did you mean 'wrong'?"),
        (("absent_module:make",), "there is no module 'absent_module'"),
        (("data.csv",), "name the column to predict with --target"),
        (("--task", "digit"), "Did you mean 'digits'?"),
        (("net.py:wrong", "--baseline", "absent.json"), "there is no baseline 'absent.json'"),
        (("net.py:wrong", "--select", "AX1"), "--select: no finding has an id that begins with 'AX1'"),
        (("net.py:wrong", "--ignore", "AL101,dead"), "--ignore: no finding has an id that begins with 'dead'"),
        (("net.py:wrong", "--report", "no/folder/page.html"), "there is no folder"),
        (("net.py:wrong", "--fail-on", "eror"), "--fail-on must be error, warning, information or never; got 'eror'"),
        (("net.py:wrong", "--train-steps", "-1"), "--train-steps must be 0 or a positive integer; got -1"),
        (("net.py:wrong", "--json", "--sarif", "-"), "both go to standard output"),
        (("net.py:wrong", "--sarif", "no/folder/found.sarif"), "there is no folder"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(run: Run, words: tuple[str, ...], message: str) -> None:
    said = run("check", *words)
    assert (said.status, said.out) == (2, "")
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "is_found"),
    [
        (("--select", "AL201"), True),
        (("--select", "al2,AL101"), True),
        (("--select", "AL1"), False),
        (("--ignore", "AL1"), True),
        (("--ignore", "AL2"), False),
        (("--select", "AL2", "--ignore", "AL201"), False),
    ],
)
def test_findings_are_selected_by_id(run: Run, words: tuple[str, ...], is_found: bool) -> None:
    said = run("check", "net.py:wrong", *words, "--json")
    assert said.status == is_found
    assert ("AL201" in {one["id"] for one in said.json["findings"]}) is is_found
    assert (said.json["ignored"] == 0) is is_found


def test_pyproject_sets_what_the_command_line_does_not(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.actlab]\nignore = ["AL201"]\nfail-on = "information"\n')
    said = run("check", "net.py:wrong")
    assert said.status == 0
    assert "1 finding left out by select or ignore" in " ".join(said.out.split())
    assert run("check", "net.py:wrong", "--ignore", "AL1").status == 1
    (tmp_path / "pyproject.toml").write_text("[tool.actlab]\nfail-om = 1\n")
    assert "Did you mean 'fail-on'?" in run("check", "net.py:wrong").err


def test_the_pyproject_beside_the_checked_file_counts(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "net.py").rename(folder / "net.py")
    (folder / "pyproject.toml").write_text('[tool.actlab]\nfail-on = "never"\n')
    assert run("check", "project/net.py:wrong").status == 0


def test_a_comment_suppresses_a_finding_on_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.replace("# the fault", "# actlab: ignore[AL201]"))
    said = run("check", "net.py:wrong")
    assert said.status == 0
    assert "1 finding suppressed by a comment" in " ".join(said.out.split())
    answer = run("check", "net.py:wrong", "--json").json
    assert (answer["findings"], answer["suppressed"]) == ([], 1)
    (result,) = run("check", "net.py:wrong", "--sarif", "-").json["runs"][0]["results"]
    assert result["suppressions"] == [{"kind": "inSource"}]


def test_a_report_is_written(run: Run, tmp_path: Path) -> None:
    said = run("check", "net.py:wrong", "--select", "AL201", "--report", "page.html")
    assert "Report written to page.html." in said.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "AL201" in page
    assert "net.py:wrong" in page


def test_without_an_argument_the_built_in_example_is_named(run: Run) -> None:
    said = run("sites")
    assert said.status == 0
    assert "Using the built-in example network. For your own: actlab sites file.py:name" in said.err
    assert run("sites", "--task", "digits").err == ""


def test_sites_are_listed_with_their_lines(run: Run, tmp_path: Path) -> None:
    said = run("sites", "net.py:wrong", "--json")
    found = {site["activation"]: site for site in said.json["sites"]}
    assert set(found) == {"relu", "softmax"}
    assert (found["softmax"]["line"], found["softmax"]["file"]) == (FAULT_LINE, str(tmp_path / "net.py"))
    assert {"activation", "parameters", "path", "spelling", "file", "line", "index"} <= set(found["relu"])
    table = run("sites", "net.py:wrong")
    assert max(map(len, table.out.splitlines())) <= 80
    assert f"net.py:{FAULT_LINE}" in table.out
    assert table.out.rstrip().endswith("2 sites.")


def test_a_built_in_task_is_trained_and_watched_on_request(run: Run) -> None:
    said = run("check", "--task", "digits", "--train-steps", "30", "--json", "--fail-on", "never")
    assert said.status == 0
    assert "watched steps" in said.err
    assert any(one["id"].startswith("AL1") for one in said.json["findings"])


STOPPED = """

class Pressed(nn.Module):
    \"\"\"Presses Ctrl-C at its twentieth call.\"\"\"

    calls = 0

    def forward(self, output, targets):
        Pressed.calls += 1
        if Pressed.calls == 20:
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(output, targets)


def net():
    model = Net(True)
    nn.init.constant_(model.first.bias[:3], -100)  # three dead units
    return model


stopped = (net(), batch, Pressed())


def task():
    return actlab.Task("stopped", net, train=batch, kind="classification", loss=Pressed(), batch_size=32)
"""


@pytest.mark.parametrize("name", ["stopped", "task"])
def test_ctrl_c_shows_the_findings_so_far(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "net.py").write_text(f"import actlab\n{NET}{STOPPED}")
    said = run("check", f"net.py:{name}", "--train-steps", "500", "--json", "--write-baseline", "accepted.json")
    ids = {one["id"] for one in said.json["findings"]}
    assert said.status == 130
    assert "AL201" in ids  # of one batch
    assert "AL101" in ids  # of the steps that were done
    # The check of one batch takes one call, and a task tries its loss once more.
    done = {"stopped": 18, "task": 17}[name]
    assert f"Interrupted after {done} of 500 steps; showing the findings so far." in said.err
    assert "accepted.json was not written" in said.err
    assert not (tmp_path / "accepted.json").exists()


def test_a_trial_run_shows_its_progress(run: Run) -> None:
    assert "watched steps" in run("check", "net.py:right", "--train-steps", "5").err
    assert run("check", "net.py:right", "--train-steps", "5", "--quiet").err == ""


def test_explain_shows_one_finding_or_lists_all(run: Run) -> None:
    every = run("explain", "--json").json
    assert {"AL101", "AL201"} <= {kind["id"] for kind in every}
    one = run("explain", "al201").out
    assert one.startswith("AL201")
    assert max(len(line) for line in one.splitlines() if not line.startswith("    ")) <= 88  # but for programs
    assert run("explain", every[0]["name"], "--json").json == every[0]
    assert all(run("explain", kind["id"]).status == 0 for kind in every)


def test_an_unknown_finding_suggests_the_nearest(run: Run) -> None:
    said = run("explain", "dead-unit")
    assert said.status == 2
    assert "no finding is called 'dead-unit'. Did you mean 'dead-units'?" in said.err


LONE = """
import torch
from torch import nn

model = nn.Sequential(nn.LazyLinear(16), nn.Sigmoid(), nn.Linear(16, 16), nn.Linear(16, 3))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.of_words, self.of_numbers, self.last = nn.Embedding(7, 8), nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x, words):
        return self.last(torch.relu(self.of_numbers(x) + self.of_words(words).mean(1)))
"""


def test_a_model_alone_is_run_on_inputs_of_a_shape(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "lone.py"
    path.write_text(LONE)
    found = run("check", f"{path}:model", "--input", "32,4", "--json")
    (finding,) = found.json["findings"]
    assert (found.status, finding["id"], finding["site"]["line"]) == (1, "AL301", 5)
    assert run("check", f"{path}:Two", "--input", "32,4", "--input", "32,5:int64").status == 0
    found = run("sites", f"{path}:Two", "--input", "8,4", "--input", "8,5:int64", "--json")
    assert [site["activation"] for site in found.json["sites"]] == ["relu"]
    found = run("memory", f"{path}:model", "--input", "32,4", "--no-compiled")
    assert (found.status, "few-bit, 1 bit" in found.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "FILE:model"), "must have inputs; got a model alone. Add --input with the shape"),
        (("sites", "FILE:model"), "must have inputs; got a model alone. Add --input with the shape"),
        (("check", "FILE:model", "--input", "4,,x"), "--input must be a shape, with a type if needed"),
        (("check", "FILE:model", "--input", "4:int7"), "--input must be a shape, with a type if needed"),
        (("check", "--input", "4,4"), "--input requires a model of yours"),
        (("check", "FILE:model", "--input", "4,4", "--input", "4,4"), "the model raised TypeError"),
    ],
)
def test_what_a_lone_model_needs_is_said(run: Run, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    path = tmp_path / "lone.py"
    path.write_text(LONE)
    found = run(*(word.replace("FILE", str(path)) for word in words))
    assert found.status == 2
    assert message in found.err
