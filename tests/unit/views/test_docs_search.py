"""The search of the documentation."""

from cwz_web.guides import Guide
from cwz_web.views.docs_search import EXCERPT, MAX_RESULTS, IndexedSection, _normalize, find_sections
from cwz_web.web.markdown import render_markdown

FEEDS = Guide("feeds", "Feeds", "About feeds")


def index(text: str, guide: Guide = FEEDS) -> list[IndexedSection]:
    sections = render_markdown(text, lambda url: url).sections
    return [
        IndexedSection(guide, each, _normalize(each.title), _normalize(guide.label), _normalize(each.text))
        for each in sections
    ]


def titles(text: str, query: str) -> list[str]:
    return [result.title for result in find_sections(index(text), query)]


def test_all_words_are_found_as_beginnings_of_words_in_any_case() -> None:
    text = "# One\nImport a file.\n\n## Two\nExport `render_image` of a FEED.\n\n## Three\nÜberblick"
    assert titles(text, "fil") == ["One"]
    assert titles(text, "port") == []
    assert titles(text, "RENDER_IMAGE feed") == ["Two"]
    assert titles(text, "unknown word") == []
    assert titles(text, "überBLICK") == ["Three"]
    assert titles(text, " …/-_ ") == []


def test_most_words_are_found_if_no_section_has_all() -> None:
    text = "# One\nImport a file.\n\n## Two\nImport of feeds.\n\n## Three\nA file"
    assert titles(text, "import file unknown") == ["One"]
    assert titles(text, "unknown feed") == ["Two"]


def test_plural_finds_the_singular() -> None:
    assert titles("# One\nA size\n\n## Two\nSizes", "sizes") == ["One", "Two"]


def test_title_counts_more_than_text() -> None:
    text = "# A\nkeys keys keys keys keys keys\n\n## Keys\nOf rows.\n\n## B\nkeys"
    assert titles(text, "keys") == ["Keys", "A", "B"]


def test_label_of_a_guide_decides_between_sections_and_finds_nothing_alone() -> None:
    both = [*index("# A\nimport"), *index("# B\nimport of feeds")]
    assert [result.title for result in find_sections(both, "feeds")] == ["B"]


def test_excerpt_is_around_the_first_word_and_marks_all() -> None:
    words = " ".join(f"word{number}" for number in range(100))
    [result] = find_sections(index(f"# A\n{words} needle <b>Needles</b> {words}"), "needle")
    text = "".join(part.text for part in result.excerpt)
    assert [part.text for part in result.excerpt if part.is_match] == ["needle", "Needle"]
    assert text.startswith("…word")
    assert text.endswith("…")
    assert len(text) <= EXCERPT + 2
    [result] = find_sections(index("# Needle\nShort."), "needle")
    assert [part.text for part in result.excerpt] == ["Short."]


def test_url_leads_to_the_section() -> None:
    found = find_sections(index("# A\nx\n\n## B `c`\nx\n\n## B c\nx"), "x")
    assert [result.url for result in found] == [
        "/docs/guides/feeds",
        "/docs/guides/feeds#b-c",
        "/docs/guides/feeds#b-c-1",
    ]


def test_number_of_results_and_of_words_is_bounded() -> None:
    text = "".join(f"## S{number}\nword\n\n" for number in range(50))
    assert len(titles(text, "word")) == MAX_RESULTS
    assert len(titles(text, "word " * 8 + "none")) == MAX_RESULTS
