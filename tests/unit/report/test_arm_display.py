"""A comparison as plain numbers and as a picture."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from actlab.verbs.advise import Advice
from unit.report.comparisons import TESTS, made


def test_the_frame_has_the_numbers_and_the_picture_their_intervals():
    comparison = made()
    answer = Advice(comparison)
    frame = answer.to_frame().set_index("activation")
    assert frame.index[:2].tolist() == ["sigmoid", "relu"]
    assert frame.loc["relu", "test"] == pytest.approx(sum(TESTS["relu"]) / 8)
    assert frame.loc["relu", "verdict"] == "better"
    axes = answer.plot(ax=Figure().add_subplot())
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[0] == "relu (better)"
    ends = axes.collections[0].get_segments()[0][:, 0]
    assert ends.tolist() == pytest.approx([frame.loc["relu", "low"], frame.loc["relu", "high"]])
    assert comparison.verdict in answer.table().html().replace("&#x27;", "'")
