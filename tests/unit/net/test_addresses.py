from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.net.addresses import is_public, split_port


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "100::1",
        "3fff::1",
        "5f00::1",
        "",
        "localhost",
        "1",
        "0x7f.1",
        "127.1",
        "2130706433",
        "8.8.8.8 ",
        "[::1]",
    ],
)
def test_internal_and_invalid_addresses(address: str) -> None:
    assert not is_public(address)


@given(st.integers(0, 2**32 - 1))
def test_embedded_ipv4_address_is_classified_like_itself(number: int) -> None:
    plain = IPv4Address(number)
    assert is_public(str(IPv6Address(f"::ffff:{plain}"))) == is_public(str(plain))
    assert is_public(str(IPv6Address(f"64:ff9b::{plain}"))) == is_public(str(plain))


@given(st.text(max_size=40))
def test_any_text_is_classified(text: str) -> None:
    assert is_public(text) in (True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_port_is_split_from_an_address(text: str, expected: tuple[str, int]) -> None:
    assert split_port(text, 53) == expected


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1:abc", "127.0.0.1:0", "127.0.0.1:65536", "dns.example.com:53", "[192.0.2.1]:53", "[::1]x"]
)
def test_other_text_has_no_address(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the message
        split_port(text, 53)
