import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.net.sites import is_same_site


@pytest.mark.parametrize(
    ("host", "others", "strangers"),
    [
        (
            "shop.example",
            ["www.shop.example", "a.b.SHOP.example.", "shop.example."],
            ["evil-shop.example", "example", "shop.example.evil.example", "localhost", "10.0.0.1"],
        ),
        ("feeds.shop.co.uk", ["shop.co.uk", "cdn.shop.co.uk"], ["other.co.uk", "co.uk"]),
        ("shop.github.io", ["a.shop.github.io"], ["other.github.io", "github.io"]),
        ("a.xn--mnchen-3ya.de", ["xn--mnchen-3ya.de"], ["a.de"]),
        ("localhost", ["LOCALHOST"], ["127.0.0.1", "::1", "a.localhost"]),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2", "9.0.0.1", "0.1", "localhost"]),
        ("10.0x1", ["10.0x1"], ["11.0x1"]),
        ("2001:db8::1", ["2001:db8::1"], ["2001:db8::2"]),
        ("com", ["com"], ["a.com"]),
    ],
)
def test_site_is_the_registrable_domain(host: str, others: list[str], strangers: list[str]) -> None:
    assert [other for other in [*others, *strangers] if is_same_site(host, other)] == others


labels = st.sampled_from(["a", "shop", "co", "uk", "com", "io", "github", "1", "", "-"])
hosts = st.lists(labels, max_size=5).map(".".join)


@given(hosts, hosts)
def test_sites_are_symmetric_and_share_two_labels(host: str, other: str) -> None:
    same = is_same_site(host, other)
    assert same == is_same_site(other, host)
    if same and host.removesuffix(".") != other.removesuffix("."):
        assert host.removesuffix(".").split(".")[-2:] == other.removesuffix(".").split(".")[-2:]
