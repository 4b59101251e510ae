"""Sites in a terminal: the line is never left out, and what is left out is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from actlab.report.site_table import site_lines
from actlab.sites.site import Unseen
from unit.report.findings import site

SITES = (
    replace(
        site("encoder.layers.0.mlp.act", file="/data/net.py"),
        activation="leaky_relu",
        parameters={"negative_slope": 0.2},
    ),
    replace(site(file="/data/net.py"), activation="prelu", parameters={"weight": (0.1, 0.2)}, calls=3),
)


def test_all_columns_stand_where_there_is_room() -> None:
    lines = site_lines(SITES, (), root=Path("/data"), width=200)
    assert lines[0].split() == ["place", "activation", "spelling", "file:line", "input", "dtype", "calls"]
    assert lines[1].split() == [
        "encoder.layers.0.mlp.act[0]",
        "leaky_relu(negative_slope=0.2)",
        "nn.Softmax",
        "net.py:12",
        "8x3",
        "float32",
        "1",
    ]
    assert "prelu(weight=…)" in lines[2]
    assert lines[-1] == "2 sites."


def test_in_a_narrow_terminal_the_line_stays_and_what_goes_is_named() -> None:
    lines = site_lines(SITES, (), root=Path("/data"), width=60)
    assert all("net.py:12" in line for line in lines[1:3])
    assert "Not shown for want of room: input, dtype, calls." in lines


def test_what_was_not_seen_is_named_also_where_nothing_was() -> None:
    unseen = (Unseen("rnn", "nn.LSTM", "it is fused"),)
    assert "  rnn (nn.LSTM): it is fused" in site_lines(SITES, unseen, root=Path("/data"), width=80)
    assert site_lines((), unseen, root=Path("/data"), width=80)[0] == "No activation was seen."


def test_of_a_long_place_the_end_stays() -> None:
    deep = replace(site("encoder." * 9 + "act", file="/usr/lib/site-packages/net/" + "deep/" * 9 + "net.py"))
    (_, row, *_) = site_lines([deep], (), root=Path("/data"), width=200)
    assert "encoder.act[0]" in row
    assert "deep/net.py:12" in row
    assert "…" in row
