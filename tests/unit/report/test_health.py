"""What the pictures of a diagnosis show, and that they can be drawn also where little was measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from actlab.diagnosis.report import Report
from actlab.report.diagnosis import diagnosis
from actlab.report.health_facts import health, spread_out
from actlab.report.health_figures import gradient_svg, share_svg
from actlab.sites.site import Unseen
from unit.report.findings import finding, site
from unit.report.quantities import DEPTH, point, quantities


def test_a_moment_holds_every_site_in_depth_order() -> None:
    found = health(quantities())
    assert found is not None
    assert found.sites == tuple(f"layers.{place}.act[0]" for place in range(DEPTH))
    assert [moment.step for moment in found.gradients] == [0, 25, 50, 74, 99]
    assert found.gradients[0].values == tuple(point(0, place).gradient_rms for place in range(DEPTH))
    assert found.dead[-1].values == tuple(point(99, place).dead_share for place in range(DEPTH))
    assert found.saturated[-1].values == tuple(point(99, place).saturated_share for place in range(DEPTH))


def test_what_was_not_measured_is_none_and_plain() -> None:
    whole = quantities(depth=2)
    first, second = whole.sites
    ragged = replace(whole, sites=(first, replace(second, points=(point(0, 1, gradient=math.nan),))))
    found = health(ragged)
    assert found is not None
    assert found.gradients[0].values[1] is None
    assert found.dead[0].values[1] == point(0, 1).dead_share
    assert found.dead[-1].values[1] is None
    json.dumps(found.to_json(), allow_nan=False)


def test_without_a_measured_step_there_is_nothing_to_draw() -> None:
    assert health(None) is None
    assert health(quantities(steps=0)) is None


@pytest.mark.parametrize(("steps", "depth"), [(1, 1), (1, 8), (100, 1), (100, 40)])
def test_pictures_are_drawn_whatever_was_measured(steps: int, depth: int) -> None:
    found = health(quantities(steps=steps, depth=depth))
    assert found is not None
    for svg in (gradient_svg(found.gradients), share_svg(found.dead, of="dead")):
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_gradient_of_nothing_but_zeros_can_be_drawn() -> None:
    whole = quantities(depth=1)
    dead = replace(whole.sites[0], points=(point(0, 0, gradient=0.0),))
    found = health(replace(whole, sites=(dead,)))
    assert found is not None
    assert ElementTree.fromstring(gradient_svg(found.gradients)).tag.endswith("svg")


def test_moments_keep_the_first_and_the_last() -> None:
    assert spread_out([4, 9, 11], count=5) == (4, 9, 11)
    assert spread_out(list(range(7)), count=3) == (0, 3, 6)


def test_the_page_gets_the_gravest_first_with_its_place_and_its_remedies(tmp_path: Path) -> None:
    mild = finding("AL101", "information")
    grave = finding(where=site(file=str(tmp_path / "net.py")), evidence={"examples": 64}, remedies=("no-such-remedy",))
    shown = diagnosis(
        Report((mild, grave), (Unseen("rnn", "nn.LSTM", "it is fused"),), (), quantities()), root=tmp_path
    )
    assert [row.id for row in shown.rows] == ["AL201", "AL101"]
    assert shown.rows[0].place == "net.py:12  head[0]  nn.Softmax"
    assert shown.rows[0].remedies == ("no-such-remedy",)
    assert shown.count == "1 error, 1 for information"
    assert (shown.first, shown.last, shown.steps, len(shown.panels)) == (0, 99, 100, 3)
    assert shown.unseen == ("rnn (nn.LSTM): it is fused",)
    assert "Dead units at every site" in shown.panels[1].svg
