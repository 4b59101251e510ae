"""The plane of scales, against the fixed points and the edge that searches find one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actlab.catalog.index import get
from actlab.errors import NoMoment
from actlab.theory.depth_plane import here_of, plane_of, table_of
from actlab.theory.mean_field import edge_of_chaos, mean_field


@pytest.mark.parametrize("name", ["tanh", "gelu", "x*sigmoid(2*x)"])
def test_cells_and_edge_are_those_of_single_searches(name: str) -> None:
    act = get(name)
    plane = plane_of(table_of(act), most_w=3.0, most_b=1.0, rows=8, columns=5)
    for row, column in [(1, 0), (3, 2), (6, 4)]:
        scales = {"sigma_w": float(plane.sigma_w[row]), "sigma_b": float(plane.sigma_b[column])}
        field, q = mean_field(name, **scales), float(plane.q[row, column])
        if 0 < q < math.inf:
            assert field.variance(q) == pytest.approx(q, rel=1e-4)
            assert plane.chi[row, column] == pytest.approx(field.chi(q), rel=1e-4)
            assert plane.regions[row, column] == ("ordered" if field.chi(q) < 1 else "chaotic")
        else:
            assert plane.regions[row, column] == "lost"
    some = [each for each in plane.edge if each.sigma_b > 0.01][:: max(1, len(plane.edge) // 4)]
    assert some
    for point in some:
        found = edge_of_chaos(name, point.sigma_b)
        nearest = min(found, key=lambda each: abs(each.q - point.q))
        assert nearest.sigma_w == pytest.approx(point.sigma_w, rel=1e-4)
        assert nearest.slope == pytest.approx(point.slope, abs=1e-3)


def test_published_points_lie_on_the_edge() -> None:
    for name, sigma_w, is_stable in (("tanh", 1.30415, True), ("selu", 0.93748, True), ("gelu", 1.54701, False)):
        edge = plane_of(table_of(get(name)), most_w=3.0, most_b=1.0).edge
        near = min(edge, key=lambda each: abs(each.sigma_b - 0.2) + abs(each.sigma_w - sigma_w))
        assert near.sigma_w == pytest.approx(sigma_w, abs=0.01)
        assert near.is_stable is is_stable


def test_relu_has_one_point_and_softplus_none() -> None:
    relu = plane_of(table_of(get("relu")), most_w=3.0, most_b=1.0)
    assert {(round(each.sigma_w, 9), each.sigma_b) for each in relu.edge} == {(round(math.sqrt(2), 9), 0.0)}
    assert np.isinf(relu.q[relu.sigma_w > 1.5]).all()
    assert plane_of(table_of(get("softplus")), most_w=3.0, most_b=1.0).edge == ()


def test_one_place_has_its_maps_and_depth_scales() -> None:
    act = get("tanh")
    found = here_of(table_of(act), act, sigma_w=1.7, sigma_b=0.3)
    field = mean_field(act, sigma_w=1.7, sigma_b=0.3)
    assert found.variance is not None
    assert found.correlation is not None
    assert field.variance(found.variance.at) == pytest.approx(found.variance.at, rel=1e-10)
    assert found.chi == pytest.approx(field.chi(found.variance.at), rel=1e-9)
    c = found.correlation.at
    assert field.correlation(c, q=found.variance.at) == pytest.approx(c, rel=1e-9)
    assert found.correlation.depth_scale == pytest.approx(-1 / math.log(found.correlation.slope))
    for at in (5, 20, 39):
        assert found.variances[at] == pytest.approx(field.variance(float(found.qs[at])), rel=1e-4)
        exact = field.correlation(float(found.correlations[at]), q=found.variance.at)
        assert found.next_correlations[at] == pytest.approx(exact, rel=1e-5)


def test_what_vanishes_explodes_or_jumps() -> None:
    tanh, relu, sign = (get(name) for name in ("tanh", "relu", "sign(x)"))
    assert here_of(table_of(tanh), tanh, sigma_w=0.5, sigma_b=0.0).variance is None
    assert here_of(table_of(relu), relu, sigma_w=2.0, sigma_b=0.1).variance is None
    jumps = here_of(table_of(sign), sign, sigma_w=1.0, sigma_b=0.1)
    assert jumps.variance is not None
    assert math.isnan(jumps.chi)
    assert jumps.correlation is None
    with pytest.raises(NoMoment):
        table_of(get("1/x"))
