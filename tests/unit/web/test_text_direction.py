"""Styles follow the direction of the text: no left and right but for what is an image."""

import re
from pathlib import Path

import pytest

import cwz_web

STATIC = Path(cwz_web.__file__).parent / "static"
_physical = re.compile(r"(?:margin|padding|border)-(?:left|right)\b|text-align: (?:left|right)|[ {;](?:left|right): ")
# Positions on an image, or in a field of colors.
IMAGES = ("left: var(--swipe)", "left: var(--x)")


@pytest.mark.parametrize("name", ["tokens.css", "components.css", "editor.css"])
def test_styles_have_no_left_and_right(name: str) -> None:
    lines = (STATIC / name).read_text().splitlines()
    assert [line for line in lines if _physical.search(line) and not any(image in line for image in IMAGES)] == []
