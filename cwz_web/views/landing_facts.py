"""What the front page says about speed and other products: figures with their date, facts with their sources."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class SpeedRow:
    """The same image by several renderers: milliseconds of the engine, and the time of each other one beside it.

    An empty text is a combination that was not measured.
    """

    image: str
    engine: str
    takumi: str
    chromium: str
    satori: str
    pillow: str


@dataclass(frozen=True)
class ComparisonRow:
    """A property of several products, in the order of COMPARED."""

    property: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A public page that a fact is from."""

    label: str
    url: str


# The table "Engine and peers" of bench/RESULTS.md; tests/unit/test_landing_facts.py keeps both equal.
SPEED_DATE = date(2026, 11, 30)
SPEED = (
    SpeedRow("photo card, JPEG", "8.9", "4.1", "4.7", "", "1.6"),
    SpeedRow("photo card, PNG", "20.4", "2.6", "16.4", "21.0", "17.8"),
    SpeedRow("text card, JPEG", "9.0", "2.4", "4.3", "", "1.7"),
    SpeedRow("text card, PNG", "10.0", "0.8", "5.1", "13.4", "4.6"),
    SpeedRow("catalog card, JPEG", "17.9", "5.8", "5.1", "", ""),
    SpeedRow("catalog card, PNG", "21.6", "2.5", "10.2", "79.2", ""),
)

# From the pages in SOURCES, as they were on that day.
COMPARED_ON = date(2026, 11, 30)
COMPARED = ("Bannerbear", "Creatomate", "satori")
COMPARISON = (
    ComparisonRow(
        "What it is",
        (
            "An application that you host yourself, or use where it is hosted",
            "A hosted service",
            "A hosted service",
            "An open-source library for JavaScript",
        ),
    ),
    ComparisonRow(
        "Design",
        ("Editor", "Editor", "Editor", "Code: JSX with a subset of HTML and CSS"),
    ),
    ComparisonRow(
        "Where images are stored",
        (
            "In your own bucket, until you delete them",
            "On its CDN; you can transfer them to your server",
            "On its servers for up to 30 days; you can transfer them to your storage",
            "Up to your code: it returns SVG",
        ),
    ),
    ComparisonRow(
        "Rate limit of the API",
        (
            "600 requests per minute and key; the operator can change it",
            "30 requests per 10 seconds",
            "30 requests per 10 seconds",
            "None: it runs in your process",
        ),
    ),
    ComparisonRow("Video", ("No", "Yes", "Yes", "No")),
)
SOURCES = (
    Source("Bannerbear, API reference", "https://developers.bannerbear.com/v5/"),
    Source("Bannerbear, free plan", "https://www.bannerbear.com/the-free-plan/"),
    Source(
        "Bannerbear, editor",
        "https://www.bannerbear.com/help/articles/255-can-i-embed-the-template-editor-into-my-page-or-product",
    ),
    Source("Creatomate, editor", "https://creatomate.com/docs/template-editor/source-editor"),
    Source("Creatomate, file retention", "https://creatomate.com/docs/api/reference/file-retention"),
    Source("Creatomate, limits", "https://creatomate.com/docs/api/reference/limits-and-concurrency"),
    Source("satori", "https://github.com/vercel/satori"),
)
