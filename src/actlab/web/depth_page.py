"""The page Depth: what a deep network does to a signal, and where the network of the command line stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from threading import Lock
from typing import Any, final

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab import verbs
from actlab.catalog.index import CATALOG
from actlab.errors import ActlabError, BadInput
from actlab.formula.activation import Activation
from actlab.formula.text import text
from actlab.telemetry.signal.answer import SiteSignal, note_text
from actlab.theory.depth_plane import Here, Plane, Table, here_of, plane_of, table_of
from actlab.theory.evaluate import of_x
from actlab.theory.infinite_width import of_one_input
from actlab.theory.mean_field import EdgePoint, FixedPoint
from actlab.web.answers import json_answer
from actlab.web.function_page import formula_of, number_of
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

_MOST = 100.0
"""The largest scale that the plane shows."""
_REGIONS = {"ordered": "ordered", "chaotic": "chaotic", "lost": "vanishes or explodes"}
_ON_EDGE = 1e-3
"""So close to 1, χ₁ changes a gradient by less than a tenth over a hundred layers."""


def page(bench: Workbench) -> Page:
    """Return the page."""
    followed = _Followed(bench)

    def depth(request: Request) -> Response:
        names = sorted(name for name, act in CATALOG.items() if isinstance(act, Activation) and len(act.inputs) == 1)
        return html("depth.html.j2", title="Depth", here="/depth", names=names)

    def network(request: Request) -> Response:
        return json_answer(followed.answer())

    return Page(
        [
            Route("/depth", depth),
            Route("/api/depth/network", network),
            Route("/api/depth/plane", _plane),
            Route("/api/depth/here", _here),
        ]
    )


def _plane(request: Request) -> Response:
    """Answer the plane of a formula: variance, χ₁ and edge."""
    _, table = _asked(request)
    found = plane_of(table, most_w=_scale(request, "most_w", 3.0), most_b=_scale(request, "most_b", 1.0))
    return json_answer(
        {
            "sigma_w": found.sigma_w.tolist(),
            "sigma_b": found.sigma_b.tolist(),
            "cells": _cells(found),
            "labels": _labels(found),
            "said": _of_edge(found.edge),
            "edge": [
                {"stable": is_stable, "points": [[each.sigma_b, each.sigma_w] for each in run]}
                for is_stable, run in _runs(found.edge)
            ],
        }
    )


def _here(request: Request) -> Response:
    """Answer the maps V and C of a formula at one pair of scales, their fixed points and depth scales."""
    act, table = _asked(request)
    found = here_of(
        table, act, sigma_w=_scale(request, "sigma_w", 1.0), sigma_b=_scale(request, "sigma_b", 0.0, least=0.0)
    )
    return json_answer(
        {
            "said": _of_here(found),
            "variance": _point(found.variance),
            "chi": found.chi,
            "correlation": _point(found.correlation),
            "q": found.qs.tolist(),
            "next_q": found.variances.tolist(),
            "c": found.correlations.tolist(),
            "next_c": found.next_correlations.tolist(),
        }
    )


def _cells(plane: Plane) -> list[dict[str, Any]]:
    """Return the region of each pair of scales, and how far χ₁ is from 1 there, from .12 to .52."""
    strength = 0.12 + 0.4 * np.minimum(1, np.abs(np.log(np.where(plane.chi > 0, plane.chi, 1.0))))
    return [
        {
            "sigma_w": float(plane.sigma_w[row]),
            "sigma_b": float(plane.sigma_b[column]),
            "region": str(region),
            "strength": round(float(strength[row, column]), 2),
        }
        for (row, column), region in np.ndenumerate(plane.regions)
    ]


def _labels(plane: Plane) -> list[dict[str, Any]]:
    """Return the names of the large regions, each in the middle of its cells."""
    found = []
    for region, words in _REGIONS.items():
        rows, columns = np.nonzero(plane.regions == region)
        if len(rows) > plane.regions.size / 20:
            at = int(np.argsort(rows, kind="stable")[len(rows) // 2])
            middle = float(np.median(plane.sigma_b[columns]))
            found.append({"text": words, "sigma_w": float(plane.sigma_w[rows[at]]), "sigma_b": middle})
    return found


def _runs(edge: Sequence[EdgePoint]) -> list[tuple[bool, list[EdgePoint]]]:
    """Return the stretches of the edge that are stable throughout, or unstable; each begins where the last one ends."""
    runs: list[tuple[bool, list[EdgePoint]]] = []
    for before, each in pairwise([*edge[:1], *edge]):
        if not runs or runs[-1][0] != each.is_stable:
            runs.append((each.is_stable, [before]))
        runs[-1][1].append(each)
    return runs


def _of_edge(edge: Sequence[EdgePoint]) -> str:
    """Return a sentence about the stability of the edge."""
    unstable = sum(not each.is_stable for each in edge)
    if not edge:
        return "No edge of chaos lies here."
    if unstable == 0:
        return "The edge is stable."
    return "No part of the edge is stable." if unstable == len(edge) else "Part of the edge, dashed, is unstable."


def _of_here(here: Here) -> str:
    """Return a sentence about what becomes of a signal."""
    if here.variance is None:
        return "The variance vanishes or explodes with depth."
    if math.isnan(here.chi):
        return "The function jumps, so χ₁ does not exist."
    if abs(here.chi - 1) < _ON_EDGE:
        return "On the edge of chaos: gradients keep their size."
    if here.chi < 1:
        return "Ordered: inputs become alike, and gradients shrink with depth."
    return "Chaotic: inputs part, and gradients grow with depth."


def _point(point: FixedPoint | None) -> dict[str, Any] | None:
    if point is None:
        return None
    return {"at": point.at, "slope": point.slope, "stable": point.is_stable, "layers": point.depth_scale}


def _asked(request: Request) -> tuple[Activation, Table]:
    act = of_one_input(formula_of(request), {})
    return act, _table(act)


@lru_cache(maxsize=64)
def _table(act: Activation) -> Table:
    return table_of(act)


def _scale(request: Request, name: str, default: float, *, least: float = 0.01) -> float:
    value = number_of(request, name, default)
    if not least <= value <= _MOST:
        raise BadInput(f"{name} must be from {least:g} to {_MOST:g}; got {value:g}.")
    return value


@final
class _Followed:
    """The signal in the network of the command line, followed when a page first asks for it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._lock = bench, Lock()
        self._answer: dict[str, Any] | None = None

    def answer(self) -> dict[str, Any]:
        """Return the name of the network and its layers."""
        with self._lock:
            if self._answer is None:
                bench = self._bench
                found = verbs.signal(bench.data, target=bench.target, task=bench.task, input=bench.input)
                self._answer = {
                    "name": found.name,
                    "examples": found.signal.examples,
                    "layers": [_layer(each) for each in found.signal.sites],
                }
            return self._answer


def _layer(each: SiteSignal) -> dict[str, Any]:
    act = each.site.measured
    return {
        "name": each.site.name,
        "activation": each.site.activation,
        "formula": _formula(act) if isinstance(act, Activation) and len(act.inputs) == 1 else None,
        "sigma_w": each.sigma_w,
        "sigma_b": each.sigma_b,
        "q": each.pre_square.measured,
        "predicted_q": each.pre_square.predicted,
        "errors_apart": each.pre_square.errors_apart,
        "c": each.correlation.measured,
        "predicted_c": each.correlation.predicted,
        "note": note_text(each),
    }


def _formula(act: Activation) -> str | None:
    """Return the text from which the page can ask for the activation again; None if there is none."""
    for spelled in (act.label, text(of_x(act))):
        try:
            if of_x(of_one_input(spelled, {})) == of_x(act):
                return spelled
        except ActlabError:
            continue
    return None
