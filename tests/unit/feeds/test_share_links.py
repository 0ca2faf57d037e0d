import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.share_links import file_url

ID = "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgVE2upms"
EXPORT = f"https://docs.google.com/spreadsheets/d/{ID}/export?format=csv"
PUBLISHED = "https://docs.google.com/spreadsheets/d/e/2PACX-1vQxR3r-t5n0example_0/pub"
DOWNLOAD = f"https://drive.google.com/uc?export=download&id={ID}"

LINKS = {
    f"https://docs.google.com/spreadsheets/d/{ID}/edit?usp=sharing": EXPORT,
    f"https://docs.google.com/spreadsheets/d/{ID}/edit#gid=0": f"{EXPORT}&gid=0",
    f"https://docs.google.com/spreadsheets/d/{ID}/edit?gid=812#gid=812": f"{EXPORT}&gid=812",
    f"https://docs.google.com/spreadsheets/d/{ID}/edit?gid=812": f"{EXPORT}&gid=812",
    f"http://docs.google.com/spreadsheets/u/1/d/{ID}/view": EXPORT,
    f"https://docs.google.com/spreadsheets/d/{ID}/htmlview?pli=1#gid=7": f"{EXPORT}&gid=7",
    f"https://docs.google.com/spreadsheets/d/{ID}": EXPORT,
    f"https://docs.google.com/spreadsheets/d/{ID}/": EXPORT,
    f"https://docs.google.com/spreadsheets/d/{ID}/edit?resourcekey=0-abc": f"{EXPORT}&resourcekey=0-abc",
    PUBLISHED + "html?gid=5&single=true": PUBLISHED + "?output=csv&gid=5&single=true",
    PUBLISHED + "html": PUBLISHED + "?output=csv",
    f"https://drive.google.com/file/d/{ID}/view?usp=drive_link": DOWNLOAD,
    f"https://drive.google.com/open?id={ID}": DOWNLOAD,
    "https://www.dropbox.com/scl/fi/a1/feed.csv?rlkey=k&dl=0": "https://www.dropbox.com/scl/fi/a1/feed.csv?rlkey=k&dl=1",
    "https://www.dropbox.com/s/a1/feed.csv": "https://www.dropbox.com/s/a1/feed.csv?dl=1",
    "https://github.com/shop/feeds/blob/main/a/feed.csv": "https://raw.githubusercontent.com/shop/feeds/main/a/feed.csv",
}
OTHERS = [
    f"https://docs.google.com/spreadsheets/d/{ID}/export?format=tsv&gid=3",
    f"https://docs.google.com/spreadsheets/d/{ID}/gviz/tq?tqx=out:csv&sheet=Products",
    PUBLISHED + "?output=tsv",
    "https://docs.google.com/document/d/abc/edit",
    "https://shop.example/spreadsheets/d/x/edit#gid=0",
    "https://docs.google.com.evil.example/spreadsheets/d/x/edit",
    "https://github.com/shop/feeds/releases/download/v1/feed.csv",
    "ftp://docs.google.com/spreadsheets/d/x/edit",
    "",
    "not a url",
    "https://[docs.google.com/",
]


@pytest.mark.parametrize(("link", "url"), LINKS.items())
def test_share_links_lead_to_their_file(link: str, url: str) -> None:
    assert file_url(link) == url


@pytest.mark.parametrize("url", OTHERS)
def test_other_urls_stay_as_they_are(url: str) -> None:
    assert file_url(url) == url


@given(st.sampled_from([*LINKS, *OTHERS]), st.text("abc/?#&=gid%", max_size=20))
def test_a_converted_link_is_not_converted_again(link: str, more: str) -> None:
    once = file_url(link + more)
    assert file_url(once) == once
