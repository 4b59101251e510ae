from __future__ import annotations

from xml.etree import ElementTree

import pytest

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.report.curve import curve_image, draw_curve


def test_svg_has_its_text_as_outlines_and_no_date(tmp_path):
    path = draw_curve(get("gelu"), tmp_path / "gelu.svg")
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    assert not [element for element in root.iter() if element.tag.endswith("}text")]
    assert b"dc:date" not in path.read_bytes()


@pytest.mark.parametrize("form", ["svg", "png"])
def test_same_picture_same_bytes(form):
    assert curve_image(get("gelu"), form) == curve_image(get("gelu"), form)
    assert curve_image(get("gelu"), form) != curve_image(get("relu"), form)


def test_png_is_a_png(tmp_path):
    assert draw_curve(get("relu"), tmp_path / "relu.PNG").read_bytes().startswith(b"\x89PNG")


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"the picture.s file name must end in \.svg or \.png; got 'relu\.jpg'\."):
        draw_curve(get("relu"), tmp_path / "relu.jpg")
    assert not list(tmp_path.iterdir())


def test_a_gated_unit_cannot_be_plotted(tmp_path):
    with pytest.raises(BadInput, match="glu has two inputs and cannot be plotted"):
        draw_curve(get("glu"), tmp_path / "glu.svg")
