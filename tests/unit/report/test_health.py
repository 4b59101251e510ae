"""The charts of a diagnosis: their numbers, and that they can be drawn from little data."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from actlab.diagnosis.report import Report
from actlab.report.charts import dead_units, gradients, saturated_units
from actlab.report.diagnosis import diagnosis, numbered
from actlab.report.health_facts import health
from actlab.report.moments import Moment, spread_out
from actlab.report.sections import charts
from actlab.sites.site import Unseen
from unit.report.findings import finding, site
from unit.report.quantities import DEPTH, point, quantities


def test_facts_hold_every_site_in_depth_order() -> None:
    measured = quantities()
    assert [moment.step for moment in gradients.facts(measured)] == [0, 25, 50, 74, 99]
    assert gradients.facts(measured)[0].values == tuple(point(0, place).gradient_rms for place in range(DEPTH))
    assert dead_units.facts(measured)[-1].values == tuple(point(99, place).dead_share for place in range(DEPTH))
    saturated = tuple(point(99, place).saturated_share for place in range(DEPTH))
    assert saturated_units.facts(measured)[-1].values == saturated


def test_the_numbers_of_all_charts_are_plain_values() -> None:
    found = health(quantities())
    assert found is not None
    held = found.to_json()
    assert set(held) == {"sites", "steps", *(chart.name for chart in charts("diagnosis"))}
    assert {"gradients", "dead", "saturated"} <= set(held)
    assert held["sites"] == [f"layers.{place}.act[0]" for place in range(DEPTH)]
    assert held["dead"][0] == {"step": 0, "values": [point(0, place).dead_share for place in range(DEPTH)]}


def test_values_that_were_not_measured_are_none() -> None:
    whole = quantities(depth=2)
    first, second = whole.sites
    ragged = replace(whole, sites=(first, replace(second, points=(point(0, 1, gradient=math.nan),))))
    assert gradients.facts(ragged)[0].values[1] is None
    assert dead_units.facts(ragged)[0].values[1] == point(0, 1).dead_share
    assert dead_units.facts(ragged)[-1].values[1] is None
    found = health(ragged)
    assert found is not None
    json.dumps(found.to_json(), allow_nan=False)


def test_without_a_measured_step_nothing_is_drawn() -> None:
    assert health(None) is None
    assert health(quantities(steps=0)) is None
    assert not any(chart.draw(chart.facts(quantities(steps=0))) for chart in charts("diagnosis"))


@pytest.mark.parametrize(("steps", "depth"), [(1, 1), (1, 8), (100, 1), (100, 40)])
def test_every_chart_can_be_drawn_whatever_was_measured(steps: int, depth: int) -> None:
    for chart in charts("diagnosis"):
        for picture in chart.draw(chart.facts(quantities(steps=steps, depth=depth))):
            assert ElementTree.fromstring(picture.svg).tag.endswith("svg")


def test_gradients_that_are_all_zero_can_be_drawn() -> None:
    whole = quantities(depth=1)
    dead = replace(whole.sites[0], points=(point(0, 0, gradient=0.0),))
    shown = gradients.facts(replace(whole, sites=(dead,)))
    assert ElementTree.fromstring(gradients.svg(shown)).tag.endswith("svg")


def test_moments_keep_the_first_and_the_last() -> None:
    assert spread_out([4, 9, 11], count=5) == (4, 9, 11)
    assert spread_out(list(range(7)), count=3) == (0, 3, 6)


def test_the_page_lists_errors_first_with_place_and_fixes(tmp_path: Path) -> None:
    mild = finding("AL101", "information")
    grave = finding(where=site(file=str(tmp_path / "net.py")), evidence={"examples": 64}, remedies=("no-such-remedy",))
    shown = diagnosis(
        Report((mild, grave), (Unseen("rnn", "nn.LSTM", "it is fused"),), (), quantities()), root=tmp_path
    )
    assert [row.id for row in shown.rows] == ["AL201", "AL101"]
    assert shown.rows[0].places == ("net.py:12, module head (nn.Softmax)",)
    assert shown.rows[0].fixes == ("no-such-remedy",)
    assert shown.count == "1 error, 1 informational"
    assert (shown.steps, len(shown.charts)) == (100, 3)
    assert [key.text for key in shown.charts[0].legend] == ["step 0", "later", "step 99, the last"]
    assert shown.unseen == ("rnn (nn.LSTM): it is fused",)
    assert "Dead units at every site" in shown.charts[1].panels[0].svg


def test_sites_along_the_axis_are_numbered_and_runs_of_alike_places_are_one_entry() -> None:
    places = ["stem.act", "layer1.0.relu", "layer1.1.relu", "layer2.0.relu", "head"]
    assert numbered([site(place) for place in places]) == ("1 = stem.act", "2–4 = layer*.*.relu", "5 = head")


@pytest.mark.parametrize(("low", "high"), [(2e-3, 2.1e-3), (1e-3, 3e-2), (1e-9, 1.0)])
def test_the_gradient_axis_has_several_ticks_whatever_its_range(low: float, high: float) -> None:
    svg = gradients.svg((Moment(0, (low, high)), Moment(9, (low, low))))
    ticks = [text for text in re.findall(r">([^<]+)</text>", svg.decode()) if re.fullmatch(r"\de?−?\d*", text)]
    values = {text for text in ticks if "e" in text or low <= float(text) <= high}
    assert 3 <= len(values) <= 8, ticks
    assert all("-" not in text for text in ticks)
