"""Activations of the user's own file: by name, or without one where the file declares one alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.catalog.own_file import from_own_file, names_own_file
from actlab.errors import BadFormula

ONE = """
from actlab import activation
from actlab.catalog.self_gated import gelu
@activation
def mine(x):
    return gelu(x) + x
"""
TWO = (
    ONE
    + """
@activation()
def other(x):
    return 2 * x
"""
)


@pytest.mark.parametrize("text", ["own.py:mine", "own.py", " dir/own.py ", "C:/own.py:x"])
def test_a_text_with_a_python_file_names_a_file(text: str) -> None:
    assert names_own_file(text)


@pytest.mark.parametrize("text", ["gelu", "x*sigmoid(x)", "torch:gelu", "happy", None])
def test_a_name_or_formula_does_not_name_a_file(text: object) -> None:
    assert not names_own_file(text)


def test_a_file_with_one_activation_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(ONE)
    assert from_own_file(f"{tmp_path}/one.py").name == "mine"
    assert from_own_file(f"{tmp_path}/one.py:mine").name == "mine"
    assert from_own_file(f"{tmp_path}/one.py:gelu").name == "gelu"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two.py", "two.py' declares mine, other; name one of them, such as "),
        ("two.py:othr", "two.py' declares no activation 'othr'. Did you mean 'other'?"),
        ("two.py:q", "two.py' declares no activation 'q'. It declares gelu, mine, other."),
        ("none.py", "none.py' declares no activation. Declare one with @actlab.activation."),
        ("absent.py", "there is no file '"),
    ],
)
def test_a_file_that_does_not_say_which_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "two.py").write_text(TWO)
    (tmp_path / "none.py").write_text("x = 1\n")
    with pytest.raises(BadFormula) as raised:
        from_own_file(f"{tmp_path}/{name}")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
