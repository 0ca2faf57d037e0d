"""Names of files in a bucket."""

from cwz_web.channels.delivery import stable_key
from tests.factories import Factory


def test_key_has_letters_digits_and_hyphens_of_the_name_only(make: Factory) -> None:
    space = make.workspace()
    campaign = make.campaign(make.feed(space), make.template(space))
    slugs = {
        "Meta Schweiz": "meta-schweiz",
        "Été / Soldes": "ete-soldes",
        "../../other\r\nX-Header: 1": "other-x-header-1",
        "=cmd|' /C calc'!A0": "cmd-c-calc-a0",
        "☃": "feed",
        "a" * 100: "a" * 60,
    }
    for name, slug in slugs.items():
        key = stable_key(make.channel(campaign, name=name))
        assert key.startswith(f"{space.id}/feeds/")
        assert key.endswith(f"/{slug}.csv")
