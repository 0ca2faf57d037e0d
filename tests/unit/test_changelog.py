"""The changelog as a page: what it reads of Markdown, and that it reads our file."""

from cwz_web.views.changelog import _read_file, read_changelog

TEXT = """# Changelog

All changes.

## [Unreleased]

About *this* one.

### Added

- **Front page** with `code <b>`
  in [two lines](docs/a.md) & [a link](https://x.example/).
- Another one.
"""


def test_releases_have_entries_by_heading() -> None:
    [release] = read_changelog(TEXT, "https://code.example/x")
    assert release.title == "Unreleased"
    about, added = release.changes
    assert about.paragraphs == ["About <em>this</em> one."]
    assert (added.heading, len(added.entries)) == ("Added", 2)
    assert added.entries[0] == (
        '<strong>Front page</strong> with <code>code &lt;b&gt;</code> in <a href="https://code.example/x/docs/a.md">'
        'two lines</a> &amp; <a href="https://x.example/">a link</a>.'
    )


def test_relative_links_are_texts_without_the_source_code() -> None:
    assert "in two lines &amp;" in read_changelog(TEXT)[0].changes[1].entries[0]


def test_our_file_is_read() -> None:
    entries = [entry for release in _read_file("") for changes in release.changes for entry in changes.entries]
    assert len(entries) > 50
    assert not any("**" in entry or "](" in entry for entry in entries)
