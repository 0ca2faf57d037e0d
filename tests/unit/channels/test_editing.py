"""Names of files in a bucket."""

import pytest

from cwz_web.channels.editing import slug_of


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Meta Schweiz", "meta-schweiz"),
        ("Été / Soldes", "ete-soldes"),
        ("../../other\r\nX-Header: 1", "other-x-header-1"),
        ("=cmd|' /C calc'!A0", "cmd-c-calc-a0"),
        ("日本", "feed"),
        ("a" * 100, "a" * 60),
    ],
)
def test_slug_has_letters_digits_and_hyphens_only(name: str, slug: str) -> None:
    assert slug_of(name) == slug
