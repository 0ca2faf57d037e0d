import gzip
import io
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds import archives
from cwz_web.feeds.file_types import read_sample, read_table, truncate_to_line
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.temporary_files import temporary_file

CSV = b"id,title\n1,Mug\n"


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_members_of_a_gzip_file_are_joined(members: list[bytes]) -> None:
    file = archives.decompress_gzip(temporary_file(b"".join(gzip.compress(member, mtime=0) for member in members)))
    file.seek(0)
    assert file.read() == b"".join(members)


def test_padding_behind_a_gzip_file_is_ignored() -> None:
    for padding in (b"\x00" * 600, b"signature"):
        assert len(read_table(temporary_file(gzip.compress(CSV, mtime=0) + padding)).rows) == 1


def test_start_of_a_gzip_file_with_two_members() -> None:
    data = gzip.compress(b"id\n1\n", mtime=0) + gzip.compress(b"2\n3\n", mtime=0)
    assert len(read_sample(truncate_to_line(temporary_file(data)), 10).rows) == 3


def test_file_in_a_zip_file() -> None:
    for files in (
        {"feed.csv": CSV},
        {"feed.csv": CSV, "__MACOSX/._feed.csv": b"x", ".DS_Store": b"x", "read.me": b"x"},
    ):
        table = read_table(temporary_file(zipped(files)))
        assert table.rows == [{"id": "1", "title": "Mug"}]
        assert table.notes == []
        assert table.reading is not None
        assert table.reading.member == "feed.csv"


def test_choice_of_a_file_in_a_zip_file() -> None:
    data = zipped({"small.csv": CSV, "large.json": b'[{"id": 1}, {"id": 2}, {"id": 3}]'})
    table = read_table(temporary_file(data))
    assert table.rows == [{"id": "1", "title": "Mug"}]
    assert table.notes == ["The zip file has 2 files; “small.csv” was read"]
    chosen = read_table(temporary_file(data), options=ReadOptions(member="large.json"))
    assert (len(chosen.rows), chosen.notes) == (3, [])
    assert chosen.reading is not None
    assert chosen.reading.members == ("small.csv", "large.json")
    with pytest.raises(InvalidFileError, match=r"no file “other.csv”; choose one of: small.csv, large.json"):
        read_table(temporary_file(data), options=ReadOptions(member="other.csv"))


PROSE = b"This feed has mugs, lamps, and bowls, which are updated daily, hourly, or weekly.\n" * 100


@pytest.mark.parametrize(
    ("name", "other", "content"),
    [
        ("feed.csv", "readme.txt", PROSE),
        ("feed.csv", "data/README_first.csv", PROSE),
        ("feed.csv", "LICENSE", PROSE),
        ("feed.csv", "terms.txt", PROSE),
        ("feed.csv", "meta.json", b'{"a": "%s"}' % PROSE[:80] * 3),
        ("feed.csv", "export.json", b'{"a": "%s"}' % PROSE[:80]),
        ("feed.csv", "old.csv", b""),
        ("feed.csv", "__MACOSX/feed.csv", PROSE),
        ("feed.tsv.gz", "notes.md", PROSE),
        ("feed.csv.gz", "terms.txt.gz", PROSE),
        ("feed", "a.png", PROSE),
        ("feed", "index.html", PROSE),
        ("feed.txt", "ReadMe.txt", PROSE),
        ("metals.csv", "small.csv", b"id\n1\n"),
    ],
)
def test_table_in_a_zip_file_is_preferred_to_larger_files(name: str, other: str, content: bytes) -> None:
    feed = gzip.compress(CSV, mtime=0) if name.endswith(".gz") else CSV
    for files in ({name: feed, other: content}, {other: content, name: feed}):
        table = read_table(temporary_file(zipped(files)))
        assert table.rows == [{"id": "1", "title": "Mug"}]
        assert table.reading is not None
        assert table.reading.member == name
        assert len(table.reading.members) == 1 or any(f"“{name}” was read" in note for note in table.notes)


def test_file_with_a_date_in_its_name_next_to_a_document() -> None:
    data = zipped({"feed-2026-02.csv": CSV, "readme.txt": PROSE})
    assert len(read_table(temporary_file(data), options=ReadOptions(member="feed-2026-01.csv")).rows) == 1


def test_compressed_file_in_a_zip_file() -> None:
    assert len(read_table(temporary_file(zipped({"feed.csv.gz": gzip.compress(CSV, mtime=0)}))).rows) == 1


def test_zip_bomb_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1024 * 1024)
    with pytest.raises(InvalidFileError, match="larger than 1 MB when decompressed"):
        read_table(temporary_file(zipped({"feed.csv": bytes(2 * 1024 * 1024)})))


def test_archives_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidFileError, match="damaged"):
        read_table(temporary_file(zipped({"feed.csv": CSV})[:-30]))
    with pytest.raises(InvalidFileError, match="no files"):
        read_table(temporary_file(zipped({})))
    with pytest.raises(InvalidFileError, match="unusual compression"):
        read_table(temporary_file(zipped({"feed.csv": CSV}, zipfile.ZIP_BZIP2)))
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 1000)
    with pytest.raises(InvalidFileError, match="too many files"):
        read_table(temporary_file(zipped({f"{number}.csv": CSV for number in range(50)})))


@given(st.data())
def test_damaged_zip_file_is_read_or_rejected(data: st.DataObject) -> None:
    content = bytearray(zipped({"a.csv": CSV, "b.csv": CSV * 3}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InvalidFileError):
        read_table(temporary_file(bytes(content)))
