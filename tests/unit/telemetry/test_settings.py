"""Every threshold has a reason."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from actlab.telemetry.settings import Settings


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_threshold_states_its_reason(name):
    told = re.split(r"\n        (?=[a-z_, ]+:)", Settings.__doc__.partition("Attributes:")[2])
    reasons = {
        each.strip(): text for names, _, text in (part.partition(":") for part in told) for each in names.split(",")
    }
    assert len(" ".join(reasons[name].split())) > 50
