"""URLs that API keys are sent to."""

import pytest

from cwz_web.net.installation_urls import InsecureUrlError, check_installation_url


@pytest.mark.parametrize(
    "url",
    ["https://a.example/", "https://a.example/x", "http://127.0.0.1:6543", "http://[::1]:1", "http://localhost:1"],
)
def test_url_may_be_https_or_loopback(url: str) -> None:
    assert check_installation_url(url, allow_http=False) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://a.example", "http://127.0.0.1.evil.example", "http://127.1", "http://2130706433", "http://[::2]"]
)
def test_key_is_not_sent_unencrypted_unless_the_user_says_so(url: str) -> None:
    with pytest.raises(InsecureUrlError, match="without TLS"):
        check_installation_url(url, allow_http=False)
    assert check_installation_url(url, allow_http=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "//a.example",
        "file:///etc",
        "ftp://a.example",
        "https://",
        "https://u@a.example",
        "https://@a.example",
        "https://u:secret@a.example",
        "https://a.example\\@b",
        "https://a.example/?b=1",
        "https://a.example/?",
        "https://a.example/#b",
        "https://a.example/#",
        "https://a b.example",
        "https://a.example ",
        "https://a.example\n",
        "https://a.example\u202e",
        "https://a.example\u00a0",
        "https://a.example:port",
        "https://[::1",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^The URL of the installation") as error:
        check_installation_url(url, allow_http=True)
    assert "secret" not in str(error.value)
