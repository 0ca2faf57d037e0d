"""The changelog as a page: its links and its HTML, and that it renders our file."""

from cwz_web.views.changelog import _render_file, render_changelog

TEXT = """# Changelog

All changes.

## [Unreleased]

About *this* one <script>.

### Added

- **Front page** with `code <b>`
  in [two lines](docs/a.md) & [a link](https://x.example/).
- [Another](javascript:alert(1)) one.
"""


def test_releases_are_html() -> None:
    assert render_changelog(TEXT, "https://code.example/x") == (
        '<h2 id="unreleased">Unreleased</h2>\n<p>About <em>this</em> one &lt;script&gt;.</p>\n'
        '<h3 id="added">Added</h3>\n<ul>\n'
        "<li><strong>Front page</strong> with <code>code &lt;b&gt;</code>\n"
        'in <a href="https://code.example/x/docs/a.md">two lines</a> &amp; '
        '<a href="https://x.example/">a link</a>.</li>\n'
        "<li>[Another](javascript:alert(1)) one.</li>\n</ul>\n"
    )


def test_relative_links_are_texts_without_the_source_code() -> None:
    html = render_changelog(TEXT)
    assert 'in two lines &amp; <a href="https://x.example/">a link</a>.' in html


def test_our_file_is_rendered() -> None:
    html = _render_file("")
    assert html.count("<li>") > 50
    assert "**" not in html
    assert "](" not in html
