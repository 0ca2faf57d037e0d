from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.allowed_hosts import check_hosts, is_allowed, split_hosts


@pytest.mark.parametrize(
    ("source", "host", "allowed"),
    [
        ("shop.example", "cdn.shop.example", True),
        ("shop.example", "cdn.example.net", True),
        ("shop.example", "CDN.example.net.", True),
        ("shop.example", "a.cdn.example.net", False),
        ("shop.example", "example.net", False),
        ("shop.example", "doc-0-sheets.googleusercontent.com", False),
        ("docs.google.com", "doc-0-sheets.googleusercontent.com", True),
        ("drive.google.com", "drive.usercontent.google.com", True),
        ("www.dropbox.com", "uc1.dl.dropboxusercontent.com", True),
        ("www.dropbox.com", "evildropboxusercontent.com", False),
        ("github.com", "objects.githubusercontent.com", True),
        ("github.com", "githubusercontent.com.evil.example", False),
    ],
)
def test_feed_is_fetched_from_its_site_and_allowed_hosts(source: str, host: str, allowed: bool) -> None:
    assert is_allowed(host, source, ("cdn.example.net",)) is allowed


def test_download_hosts_are_allowed_with_their_service() -> None:
    assert is_allowed("doc-0-sheets.googleusercontent.com", "shop.example", ("docs.google.com",))


def test_host_names_are_normalized() -> None:
    typed = "CDN.example.net, münchen.example\ncdn.example.net. my_bucket.example 2001:db8::1"
    assert check_hosts(split_hosts(typed)) == (
        "cdn.example.net",
        "xn--mnchen-3ya.example",
        "my_bucket.example",
        "2001:db8::1",
    )


@pytest.mark.parametrize("text", ["https://a.example", "a.example/x", "a.example:443", "*.example", "a..b", "☃☃.", "@"])
def test_other_texts_are_no_hosts(text: str) -> None:
    with pytest.raises(ValueError, match="Enter host names"):
        check_hosts((text,))


def test_hosts_are_at_most_ten() -> None:
    with pytest.raises(ValueError, match="at most 10 hosts"):
        check_hosts(tuple(f"{number}.example" for number in range(11)))


@given(st.text(max_size=300))
def test_checked_hosts_stay_as_they_are(text: str) -> None:
    hosts: tuple[str, ...] = ()
    with suppress(ValueError):
        hosts = check_hosts(split_hosts(text))
    assert check_hosts(hosts) == hosts
