"""What is pinned must install on the oldest Python we promise: Debian 12's 3.11.2, where pip would search for ever."""

from importlib.metadata import distributions

from packaging.specifiers import SpecifierSet

OLDEST_PYTHON = "3.11.2"


def test_every_pinned_package_takes_the_oldest_python() -> None:
    refusing = [
        f"{distribution.name} {distribution.version} wants Python {wanted}"
        for distribution in distributions()
        if (wanted := distribution.metadata.get("Requires-Python")) and not SpecifierSet(wanted).contains(OLDEST_PYTHON)
    ]
    assert refusing == []
