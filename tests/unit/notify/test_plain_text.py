"""Links in names: no email program finds one, and ordinary text stays as it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.notify.emails import EmailMessage, build_mime_message
from cwz_web.notify.plain_text import without_links

# What email programs link: a scheme, `www.`, or a host name with a top-level domain.
LINK = re.compile(r"\w+://|\bwww\.\w|\b[\w-]+[.\u3002\uff0e\uff61](?:[^\W\d_]{2,}|xn--\w+)\b", re.IGNORECASE)
NAMES = [
    "www.evil.test",
    "Go to www.evil.test now",
    "WWW.EVIL.TEST",
    "https://evil.test/login?x=1",
    "HTTP://1.2.3.4/",
    "evil.test",
    "evil.test/path",
    "(evil.test)",
    "evil.test:8080",
    "evil.test.",
    "sub.evil.co.uk",
    "evil\u3002test",
    "evil\uff0etest",
    "evil.xn--p1ai",
    "пример.рф",
    "https://user@evil.test/",
    "javascript://evil.test",
    "a@evil.test/path",
    "evil.test/products.csv",
    "evil\u200b.test",
    "https:\u2060//evil.test",
    "//evil.test",
]


@pytest.mark.parametrize("name", NAMES)
def test_link_is_neutralized_in_subject_and_both_bodies(name: str) -> None:
    message = EmailMessage(
        f"{name} invited you", (f"Hello {name},",), ("Open", "https://site.example/x"), f"From {name}."
    )
    mail = build_mime_message(message, to="ada@example.org", sender="no-reply@site.example")
    parts = [str(mail["Subject"]), *(part.get_content() for part in mail.iter_parts())]  # type: ignore[union-attr]
    for part in parts:
        texts = re.sub(r"<[^>]*>", " ", part).replace("https://site.example/x", "")
        assert "evil.test" not in texts.lower()
        assert name not in texts
    for text in (message.subject, *message.paragraphs, message.reason):
        assert not LINK.search(text), text


@pytest.mark.parametrize(
    "text",
    [
        "Acme & Co.",
        "Dr. Ada Lovelace",
        "Version 1.2.3 of 12.5.2026, 3.5 MB",
        "The feed products.csv has failed. Try again.",
        "The address is now ada.lovelace+x@mail.example.org.",
        "ada@example.org, (bob@example.org)",
        "Ünïcode 日本語 \U0001f469\u200d\U0001f373",
        "and/or",
        "",
    ],
)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert without_links(text) == text


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\x07", "\u200b", "\ufeff"])
def test_invisible_characters_are_removed(char: str) -> None:
    assert without_links(f"a{char}b") == "ab"


@given(st.text(alphabet="aw.:/@-\u3002 ", max_size=60))
def test_no_text_keeps_a_link(text: str) -> None:
    result = without_links(text)
    assert without_links(result) == result
    words = [word for word in result.split() if "@" not in word]
    assert not any(LINK.search(word) for word in words)


def test_time_is_linear() -> None:
    """Each would take minutes in quadratic time."""
    for text in ("a" * 500_000, "a." * 250_000, "." * 500_000, "a@" * 250_000, "-" * 500_000):
        without_links(text)
