from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.web.urls import safe_next


@pytest.mark.parametrize("path", ["/", "/w/demo", "/w/demo/runs?x=1#y"])
def test_local_paths_are_kept(path: str) -> None:
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//evil.test",
        "https://evil.test/",
        "/\\evil.test",
        "javascript:alert(1)",
        "\t//evil.test",
        "/\t/evil.test",
        "w/demo",
    ],
)
def test_other_targets_lead_to_the_front_page(path: str) -> None:
    assert safe_next(path) == "/"


@given(st.text(max_size=40))
def test_no_text_leads_to_another_site(path: str) -> None:
    target = urlsplit(urljoin("https://here.example/signin", safe_next(path)))
    assert (target.scheme, target.netloc) == ("https", "here.example")
