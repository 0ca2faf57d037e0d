"""The folder of `cwz templates`: safe file names, and files of authors that are not trusted."""

import json
import os
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.cli.templates import folder as folder_module
from cwz_web.cli.templates.folder import INDEX, Entry, FolderError, TemplateFolder, parse_rows
from tests.factories import jpeg


@pytest.fixture
def folder(tmp_path: Path) -> TemplateFolder:
    return TemplateFolder(tmp_path / "templates")


@pytest.mark.parametrize(
    ("slug", "name"),
    [
        ("sale-card", "sale-card.json"),
        ("../../etc/passwd", "etc-passwd.json"),
        ("..", "template.json"),
        ("", "template.json"),
        ("\x00\n", "template.json"),
        ("/absolute", "absolute.json"),
        ("C:\\Windows", "c-windows.json"),
        ("CON", "con-template.json"),
        ("lpt1", "lpt1-template.json"),
        ("cwz-templates", "cwz-templates-template.json"),
        (".git", "git.json"),
        ("Größe №1", "grosse-no1.json"),
        ("x" * 5000, f"{'x' * 80}.json"),
    ],
)
def test_slugs_of_any_server_become_safe_names(folder: TemplateFolder, slug: str, name: str) -> None:
    assert folder.choose_name(slug) == name
    folder.write_document(name, {})
    assert [str(path.relative_to(folder.root)) for path in folder.root.rglob("*")] == [name]


@given(st.lists(st.text(max_size=30), max_size=12))
def test_names_are_unique_on_all_systems(tmp_path_factory: pytest.TempPathFactory, slugs: list[str]) -> None:
    folder = TemplateFolder(tmp_path_factory.getbasetemp() / "nothing")
    for slug in slugs:
        folder.index.templates[folder.choose_name(slug)] = Entry(id=uuid4())
    names = list(folder.index.templates)
    assert len({name.casefold() for name in names}) == len(slugs)
    assert all(folder_module._document_name.fullmatch(name) and name != INDEX for name in names)


@pytest.mark.parametrize("name", ["../out.json", "a/b.json", "a.json\n", "/etc/x.json", INDEX, "a.txt", "..json"])
def test_other_names_are_neither_read_nor_written(folder: TemplateFolder, name: str) -> None:
    for use in (lambda: folder.read_document(name), lambda: folder.write_document(name, {})):
        with pytest.raises(FolderError, match="not the name"):
            use()


@pytest.mark.parametrize(
    "content",
    [
        {"templates": {"../../x.json": {}}},
        {"templates": {"a.json": {"id": "no"}}},
        {"templates": {"a.json": {"etag": "a\r\nX-Evil: 1"}}},
        {"templates": {}, "url": "https://evil.example"},
        {"uploads": {"../x": "Logo"}},
        {"format": 2},
        [],
    ],
)
def test_index_of_another_form_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / INDEX).write_text(json.dumps(content))
    with pytest.raises(FolderError, match=INDEX):
        TemplateFolder(tmp_path)


def test_broken_index_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text('{\n"a": 1,\n"a": }')
    with pytest.raises(FolderError, match=f"{INDEX}:3: "):
        TemplateFolder(tmp_path)


class TestSymbolicLinks:
    def test_they_are_not_read(self, folder: TemplateFolder, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("{}")
        folder.root.mkdir()
        (folder.root / "card.json").symlink_to(tmp_path / "secret")
        with pytest.raises(FolderError, match="symbolic link"):
            folder.read_document("card.json")

    def test_they_are_replaced_when_they_are_written(self, folder: TemplateFolder, tmp_path: Path) -> None:
        (tmp_path / "target").write_text("untouched")
        folder.root.mkdir()
        (folder.root / "card.json").symlink_to(tmp_path / "target")
        folder.write_document("card.json", {})
        assert (tmp_path / "target").read_text() == "untouched"
        assert not (folder.root / "card.json").is_symlink()

    def test_folder_of_uploads_cannot_be_elsewhere(self, folder: TemplateFolder, tmp_path: Path) -> None:
        folder.root.mkdir()
        (folder.root / "uploads").symlink_to(tmp_path)
        with pytest.raises(FolderError, match="symbolic link"):
            folder.write_upload(jpeg(), "image/jpeg", "Logo")


def test_large_files_pipes_and_folders_are_not_read(folder: TemplateFolder) -> None:
    folder.root.mkdir()
    (folder.root / "large.json").write_bytes(b" " * (folder_module.MAX_DOCUMENT_BYTES + 1))
    os.mkfifo(folder.root / "pipe.json")
    (folder.root / "folder.json").mkdir()
    for name in ("large.json", "pipe.json", "folder.json"):
        with pytest.raises(FolderError, match=name):
            folder.read_document(name)


def test_documents_are_the_json_files_of_the_folder(folder: TemplateFolder) -> None:
    assert folder.documents() == []
    folder.write_document("b.json", {})
    folder.write_document("a.json", {})
    folder.save_index()
    (folder.root / "README.md").write_text("")
    (folder.root / ".hidden.json").write_text("")
    assert folder.documents() == ["a.json", "b.json"]
    (folder.root / "Sale card.json").write_text("")
    with pytest.raises(FolderError, match="Sale card"):
        folder.documents()


def test_upload_is_verified_when_it_is_read(folder: TemplateFolder) -> None:
    digest = folder.write_upload(jpeg(), "image/jpeg", "Logo")
    assert digest == sha256(jpeg()).hexdigest()
    assert folder.read_upload(digest) == jpeg()
    assert folder.read_upload("1" * 64) is None
    folder.uploads()[digest].write_bytes(b"other")
    with pytest.raises(FolderError, match="another SHA-256"):
        folder.read_upload(digest)
    with pytest.raises(FolderError, match="not supported"):
        folder.write_upload(b"", "text/html", "Page")


def test_index_is_written_only_if_it_changed(folder: TemplateFolder) -> None:
    folder.index.templates["card.json"] = Entry(id=uuid4(), name="Größe", version=2)
    folder.save_index()
    path = folder.root / INDEX
    os.utime(path, (0, 0))
    again = TemplateFolder(folder.root)
    assert again.index == folder.index
    again.save_index()
    assert path.stat().st_mtime == 0


def test_rows_are_texts(folder: TemplateFolder) -> None:
    rows = parse_rows(b'[{"a": "x", "b": 1.5, "c": true, "d": null, "e": ["y", 2]}]', "samples/card.json")
    assert rows == [{"a": "x", "b": "1.5", "c": "true", "e": '["y", 2]'}]
    assert parse_rows(b'{"a": "x"}', "row.json") == [{"a": "x"}]
    for data in (b"[1]", b'"x"', b"{"):
        with pytest.raises(FolderError, match=r"row\.json"):
            parse_rows(data, "row.json")
