"""Parts of pages that look again until something is done."""

import re

from tests.installation import ROOT

TEMPLATES = ROOT / "cwz_web" / "templates"


def test_morphed_parts_look_again_each_time() -> None:
    """A morph keeps the element, so that `load` is triggered once only, and the page never shows the end."""
    elements = [
        (path.name, element)
        for path in TEMPLATES.rglob("*.jinja2")
        for element in re.findall(r"<\w+[^<]*hx-swap=\"\w*Morph\"[^<]*", path.read_text())
    ]
    assert len(elements) > 10
    assert [name for name, element in elements if 'hx-trigger="load' in element] == []
