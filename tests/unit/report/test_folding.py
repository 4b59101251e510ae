"""Alike findings at many places are one block, on three shapes of model; what differs stays apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actlab.report.folding import fixes, folded, folded_unseen, paths_text, pattern, where_lines
from actlab.rules.finding import Finding
from actlab.sites.site import Spot, Unseen
from unit.report.findings import finding, site

TRANSFORMER = tuple(f"model.layers.{number}.mlp.act_fn" for number in range(12))
RESNET = ("relu", *(f"layer{stage}.{block}.relu" for stage in (1, 2, 3, 4) for block in (0, 1)))
FLAT = ("1", "3", "5", "7", "9")


def dead(path: str, units: int, *, line: int = 12, **changes: object) -> Finding:
    message = f"{units} of 64 unit{'' if units == 1 else 's'} {'is' if units == 1 else 'are'} dead"
    return replace(
        finding("AL101", "warning", message=message, where=site(path, line=line, spelling="nn.ReLU")), **changes
    )


@pytest.mark.parametrize(
    ("paths", "where"),
    [
        (TRANSFORMER, ["net.py:12, modules model.layers.*.mlp.act_fn, 12 places (nn.ReLU)"]),
        (RESNET, ["net.py:12, module relu (nn.ReLU)", "net.py:12, modules layer*.*.relu, 8 places (nn.ReLU)"]),
        (FLAT, ["net.py:12, modules 1, 3 … 9, 5 places (nn.ReLU)"]),
    ],
    ids=["transformer", "resnet", "sequential"],
)
def test_one_block_names_the_places_by_their_pattern(paths: tuple[str, ...], where: list[str]) -> None:
    (block,) = folded([dead(path, 1 + number) for number, path in enumerate(paths)])
    assert where_lines(block, root=Path("/")) == where
    assert block.message == f"1–{len(paths)} of 64 units are dead"
    assert (block.id, block.severity, block.count) == ("AL101", "warning", len(paths))


def test_a_single_finding_is_a_block_of_one_as_it_is() -> None:
    one = finding(where=site("head"), evidence={"rate": 0.5, "units": (1, 2)}, remedies=("a",))
    (block,) = folded([one])
    assert (block.message, block.evidence, block.remedies) == (one.message, "rate: 0.5; units: 1, 2", ("a",))
    assert where_lines(block, root=Path("/")) == ["net.py:12, module head (nn.Softmax)"]


@pytest.mark.parametrize(
    "other",
    [
        dead("layers.1.act", 3, severity="error"),
        dead("layers.1.act", 3, id="AL102"),
        dead("layers.1.act", 3, remedies=("another",)),
        dead("layers.1.act", 3, message="3 of 64 units are saturated"),
        dead("layers.1.act", 3, site=None),
    ],
    ids=["severity", "kind", "fixes", "message", "whole"],
)
def test_findings_that_differ_stay_apart(other: Finding) -> None:
    assert len(folded([dead("layers.0.act", 2), other])) == 2


def test_the_lines_of_code_are_listed_a_few_of_many() -> None:
    (block,) = folded([dead(path, 2, line=4 + 2 * number) for number, path in enumerate(FLAT)])
    (where,) = where_lines(block, root=Path("/"))
    assert where.startswith("net.py:4, net.py:6, net.py:8 and 2 more, modules 1, 3 … 9")


def test_evidence_is_a_range_or_what_is_the_same_everywhere() -> None:
    rows = ({"examples": 512, "share": 0.25, "units": (1,)}, {"examples": 512, "share": 0.75, "units": (2, 3)})
    (block,) = folded([dead(f"a.{number}", 2, evidence=row) for number, row in enumerate(rows)])
    assert block.evidence == "examples: 512; share: 0.25–0.75"


def test_the_name_of_the_site_in_a_message_becomes_the_pattern() -> None:
    found = [
        finding(message=f"relu at layers.{place}.act[0]: the rate is {place - 1}e-3", where=site(f"layers.{place}.act"))
        for place in range(3)
    ]
    (block,) = folded(found)
    assert block.message == "relu at layers.*.act[0]: the rate is -1e-3 to 1e-3"


def test_other_places_in_a_message_become_patterns_too() -> None:
    found = [
        replace(
            finding("AL301", message=f"no non-linearity between block.{place}.one and block.{place}.two"),
            site=Spot(f"block.{place}.one", "nn.Linear", "net.py", 7),
        )
        for place in range(4)
    ]
    (block,) = folded(found)
    assert block.message == "no non-linearity between block.*.one and block.*.two"
    assert where_lines(block, root=Path("/")) == ["net.py:7, modules block.*.one, 4 places (nn.Linear)"]


def test_without_a_site_the_lines_of_the_evidence_are_the_place() -> None:
    found = [finding("AL301", evidence={"weights": 3, "lines": [f"net.py:{line}"]}) for line in (4, 9)]
    (block,) = folded(found)
    assert where_lines(block, root=Path("/")) == ["net.py:4, net.py:9"]
    assert where_lines(folded([finding("AL301")])[0], root=Path("/")) == ["the model as a whole"]


def test_numbers_in_names_of_code_are_not_ranges() -> None:
    found = [finding(message=f"conv2d before AL{kind} at 1e-{kind}") for kind in (3, 4)]
    assert len(folded(found)) == 2


def test_parts_that_could_not_be_inspected_fold_by_what_and_why() -> None:
    unseen = [Unseen(f"layers.{number}.attn", "nn.MultiheadAttention", "it is fused") for number in range(32)]
    found = folded_unseen([*unseen, Unseen("", "nn.LSTM", "it is fused")])
    assert [one.places for one in found] == ["layers.*.attn, 32 places", "model"]


def test_only_numbers_that_differ_become_stars() -> None:
    assert pattern(["layer1.0.act2", "layer1.1.act2"]) == "layer1.*.act2"
    assert paths_text(["a.0", "b", "a.1", "a.12"]) == "a.*, 3 places; b"


def test_each_fix_is_listed_once():
    first = finding("AL103", "warning", where=site("1"), remedies=("residual", "init-with-gain"))
    second = finding("AL303", "warning", where=site("1"), remedies=("init-with-gain", "add-activation"))
    third = finding("AL111", "warning", where=site("1"), remedies=("residual", "init-with-gain"))
    blocks = folded([first, second, third])
    assert [block.remedies for block in blocks] == [("residual", "init-with-gain"), ("add-activation",), ()]
    assert fixes(blocks[1], {"add-activation": "Add one."}) == ["Add one.", "See the fixes of AL103."]
    assert fixes(blocks[2], {}) == ["See the fixes of AL103."]
