"""Sites in a terminal: the line of code is never hidden, and hidden columns are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from actlab.report.site_table import site_lines
from actlab.sites.site import Unseen
from actlab.sites.site_text import shown_path
from actlab.train import mlp
from unit.report.findings import site

SITES = (
    replace(
        site("encoder.layers.0.mlp.act", file="/data/net.py"),
        activation="leaky_relu",
        parameters={"negative_slope": 0.2},
    ),
    replace(site(file="/data/net.py"), activation="prelu", parameters={"weight": (0.1, 0.2)}, calls=3),
)


def test_a_wide_terminal_shows_all_columns() -> None:
    lines = site_lines(SITES, (), root=Path("/data"), width=200)
    assert lines[0].split() == ["place", "activation", "spelling", "file:line", "input", "dtype", "calls"]
    assert lines[1].split() == [
        "encoder.layers.0.mlp.act",
        "leaky_relu(negative_slope=0.2)",
        "nn.Softmax",
        "net.py:12",
        "8x3",
        "float32",
        "1",
    ]
    assert "prelu(weight=…)" in lines[2]
    assert lines[-1] == "2 sites."


def test_a_narrow_terminal_hides_the_last_columns_and_names_them() -> None:
    lines = site_lines(SITES, (), root=Path("/data"), width=60)
    assert all("net.py:12" in line for line in lines[1:3])
    assert "Columns hidden in this width: input, dtype, calls." in lines


def test_parts_that_could_not_be_inspected_are_named() -> None:
    unseen = (Unseen("rnn", "nn.LSTM", "it is fused"),)
    assert "  rnn (nn.LSTM): it is fused" in site_lines(SITES, unseen, root=Path("/data"), width=80)
    assert site_lines((), unseen, root=Path("/data"), width=80)[0] == "No activation was found."


def test_a_long_place_is_cut_in_front() -> None:
    deep = replace(site("encoder." * 9 + "act", file="/usr/lib/site-packages/net/" + "deep/" * 9 + "net.py"))
    (_, row, *_) = site_lines([deep], (), root=Path("/data"), width=200)
    assert "encoder.act" in row
    assert "deep/net.py:12" in row
    assert "…" in row


def test_alike_sites_are_one_row_with_their_count() -> None:
    layers = [site(f"model.layers.{number}.mlp.act_fn") for number in range(32)]
    lines = site_lines(
        [*layers, site("head"), site("model.layers.0.mlp.act_fn", line=13)], (), root=Path("/"), width=90
    )
    assert lines[1].startswith("model.layers.*.mlp.act_fn, 32 places  softmax")
    assert lines[2].startswith("head ")
    assert lines[3].startswith("model.layers.0.mlp.act_fn ")  # on another line of code
    assert lines[-1] == "34 sites."


def test_two_alike_sites_stay_two_rows() -> None:
    lines = site_lines([site("a.0"), site("a.1")], (), root=Path("/"), width=90)
    assert [line.split()[0] for line in lines[1:3]] == ["a.0", "a.1"]


def test_a_site_in_actlab_itself_is_shown_below_the_package():
    assert shown_path(mlp.__file__, root=Path("/data")) == "actlab/train/mlp.py"
