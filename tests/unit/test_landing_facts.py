"""What the front page claims: its figures are those of bench/RESULTS.md, and every compared product has a source."""

import re
from pathlib import Path

from cwz_web.views.landing_facts import COMPARED, COMPARISON, SOURCES, SPEED, SPEED_DATE, SpeedRow

RESULTS = Path(__file__).parent.parent.parent / "bench" / "RESULTS.md"


def test_figures_are_those_of_the_benchmark() -> None:
    section = RESULTS.read_text().split("## Engine and peers")[1].split("\n## ")[0]
    assert f"{SPEED_DATE:%Y-%m-%d})" in section.splitlines()[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:2] == "| "]
    # The columns are: image, engine, floor, takumi, Chromium, satori, Pillow.
    measured = {row[0]: SpeedRow(row[0], row[1], *row[3:]) for row in rows if len(row) == 7 and row[3:] != [""] * 4}
    assert [measured.get(row.image) for row in SPEED] == list(SPEED)
    assert len(SPEED) == len(measured) - 1, "all but the header: none is left out because it is slower"


def test_every_compared_product_has_a_source() -> None:
    assert all(len(row.values) == 1 + len(COMPARED) for row in COMPARISON)
    named = " ".join(source.label for source in SOURCES)
    assert all(re.search(rf"\b{name}\b", named) for name in COMPARED)
