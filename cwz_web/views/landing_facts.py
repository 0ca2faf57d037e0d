"""What the front page says about speed and other products: figures with their date, facts with their sources."""

from dataclasses import dataclass, replace
from datetime import date

from cwz_web.i18n import gettext, gettext_noop, number


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


# The other renderers, in the order of the columns.
RENDERERS = ("takumi", "Chromium", "satori + resvg", "Pillow")
# The table "Engine and peers" of bench/RESULTS.md; tests/unit/test_landing_facts.py keeps both equal.
SPEED_DATE = date(2026, 11, 30)
SPEED = (
    SpeedRow(gettext_noop("photo card, JPEG"), "8.9", "4.1", "4.7", "", "1.6"),
    SpeedRow(gettext_noop("photo card, PNG"), "20.4", "2.6", "16.4", "21.0", "17.8"),
    SpeedRow(gettext_noop("text card, JPEG"), "9.0", "2.4", "4.3", "", "1.7"),
    SpeedRow(gettext_noop("text card, PNG"), "10.0", "0.8", "5.1", "13.4", "4.6"),
    SpeedRow(gettext_noop("catalog card, JPEG"), "17.9", "5.8", "5.1", "", ""),
    SpeedRow(gettext_noop("catalog card, PNG"), "21.6", "2.5", "10.2", "79.2", ""),
)

# From the pages in SOURCES, as they were on that day.
COMPARED_ON = date(2026, 11, 30)
COMPARED = ("Bannerbear", "Creatomate", "satori")
COMPARISON = (
    ComparisonRow(
        gettext_noop("What it is"),
        (
            gettext_noop("An application that you host yourself or use hosted"),
            gettext_noop("A hosted service"),
            gettext_noop("A hosted service"),
            gettext_noop("An open-source library for JavaScript"),
        ),
    ),
    ComparisonRow(
        gettext_noop("Design"),
        (
            gettext_noop("Editor"),
            gettext_noop("Editor"),
            gettext_noop("Editor"),
            gettext_noop("Code: JSX with a subset of HTML and CSS"),
        ),
    ),
    ComparisonRow(
        gettext_noop("Where images are stored"),
        (
            gettext_noop("In your own bucket, until you delete them"),
            gettext_noop("On its CDN; you can transfer them to your server"),
            gettext_noop("On its servers for up to 30 days; you can transfer them to your storage"),
            gettext_noop("Up to your code: it returns SVG"),
        ),
    ),
    ComparisonRow(
        gettext_noop("Rate limit of the API"),
        (
            gettext_noop("600 requests per minute and key; the operator can change it"),
            gettext_noop("30 requests per 10 seconds"),
            gettext_noop("30 requests per 10 seconds"),
            gettext_noop("None: it runs in your process"),
        ),
    ),
    ComparisonRow(
        gettext_noop("Video"), (gettext_noop("No"), gettext_noop("Yes"), gettext_noop("Yes"), gettext_noop("No"))
    ),
)
SOURCES = (
    Source(gettext_noop("Bannerbear, API reference"), "https://developers.bannerbear.com/v5/"),
    Source(gettext_noop("Bannerbear, free plan"), "https://www.bannerbear.com/the-free-plan/"),
    Source(
        gettext_noop("Bannerbear, editor"),
        "https://www.bannerbear.com/help/articles/255-can-i-embed-the-template-editor-into-my-page-or-product",
    ),
    Source(gettext_noop("Creatomate, editor"), "https://creatomate.com/docs/template-editor/source-editor"),
    Source(gettext_noop("Creatomate, file retention"), "https://creatomate.com/docs/api/reference/file-retention"),
    Source(gettext_noop("Creatomate, limits"), "https://creatomate.com/docs/api/reference/limits-and-concurrency"),
    Source("satori", "https://github.com/vercel/satori"),
)


def speed_rows() -> list[SpeedRow]:
    """Return the rows of SPEED in the current locale."""
    return [
        SpeedRow(
            gettext(row.image),
            *(_figure(text) for text in (row.engine, row.takumi, row.chromium, row.satori, row.pillow)),
        )
        for row in SPEED
    ]


def comparison_rows() -> list[ComparisonRow]:
    """Return the rows of COMPARISON in the current locale."""
    return [ComparisonRow(gettext(row.property), tuple(map(gettext, row.values))) for row in COMPARISON]


def list_sources() -> list[Source]:
    """Return SOURCES in the current locale."""
    return [replace(source, label=gettext(source.label)) for source in SOURCES]


def _figure(text: str) -> str:
    return number(float(text), digits=1) if text else ""
