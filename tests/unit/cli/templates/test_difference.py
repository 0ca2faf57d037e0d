"""`cwz templates diff`: the page with the difference between two revisions, and what it is compared with."""

import json
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from cwz_web.cli.templates import difference, rendering, revisions
from cwz_web.cli.templates.difference import ComparedImage, Comparer, Comparison, clear_output, write_page
from cwz_web.cli.templates.folder import Entry, FolderError, TemplateFolder
from cwz_web.cli.templates.git_history import GitError, GitHistory
from cwz_web.cli.templates.revisions import Revision
from cwz_web.imaging.decoding import read_image_size
from tests.factories import jpeg, small_document
from tests.template_server import TemplateServer

FILE = "card.json"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts and icons of the tests, which are prepared once in a process."""
    monkeypatch.setattr(rendering, "prepare_engine", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> TemplateFolder:
    return TemplateFolder(tmp_path / "templates")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "page"


def with_color(color: str, **more: Any) -> dict[str, Any]:
    return small_document(canvas={"width": 300, "height": 200, "background": color}, **more)


def revision(**documents: Any) -> Revision:
    return Revision("revision", {f"{name}.json": document for name, document in documents.items()}, lambda digest: None)


def compare(
    before: Revision,
    after: Revision,
    folder: TemplateFolder,
    output: Path,
    threshold: float = 0.0,
    tolerance: int = 0,
    **options: Any,
) -> Comparison:
    comparer = Comparer(before, after, folder, output, threshold=threshold, tolerance=tolerance)
    with closing(comparer):
        return comparer.compare(**options)


def images(comparison: Comparison) -> dict[tuple[str, str], ComparedImage]:
    return {(image.size, image.sample): image for image in comparison.images}


def test_images_of_default_values_and_rows_are_compared_in_all_sizes(folder: TemplateFolder, output: Path) -> None:
    sizes = [{"name": "square", "width": 100, "height": 100}]
    changed = small_document(sizes=sizes)
    changed["layers"][1]["color"] = "#cc0000"
    (folder.root / "samples").mkdir(parents=True)
    (folder.root / "samples" / FILE).write_text(json.dumps([{"title": "", "gone": "x"}]))
    found = compare(revision(card=small_document(sizes=sizes)), revision(card=changed), folder, output)
    compared = images(found)
    assert [*compared] == [
        ("default", "default values"),
        ("default", "sample row 1"),
        ("square", "default values"),
        ("square", "sample row 1"),
    ]
    shown, empty = compared["default", "default values"], compared["default", "sample row 1"]
    assert 0 < shown.share < 0.1
    assert (empty.share, empty.differs, empty.heat) == (0, False, None)
    assert found.has_differences
    for path in (shown.before, shown.after, shown.heat):
        assert path is not None
        assert read_image_size((output / path).read_bytes()) == (300, 200)
    page = BeautifulSoup(write_page(found, output).read_text(), "html.parser")
    assert [image["src"] for image in page.select("img")][:3] == [shown.before, shown.after, shown.heat]
    assert all((output / str(image["src"])).is_file() for image in page.select("img"))
    assert "layer “Title” changed: color" in page.text
    assert f"{shown.percent} of the pixels differ" in page.text
    assert json.loads(json.dumps(found.to_json()))["templates"][0]["images"][0]["share"] == shown.share


def test_threshold_and_tolerance_decide_what_differs(folder: TemplateFolder, output: Path) -> None:
    before, after = revision(card=with_color("#ffffff")), revision(card=with_color("#fefefe"))
    all_differ = compare(before, after, folder, output)
    share = all_differ.images[0].share
    assert share > 0.4
    assert all_differ.has_differences
    assert not compare(before, after, folder, output, threshold=share).has_differences
    assert compare(before, after, folder, output, threshold=share - 0.01).has_differences
    assert compare(before, after, folder, output, tolerance=1).images[0].share == 0


def test_unchanged_templates_are_rendered_only_on_request(folder: TemplateFolder, output: Path) -> None:
    both = revision(card=small_document()), revision(card=small_document(tables={}))
    found = compare(*both, folder, output)
    assert [template.state for template in found.templates] == ["unchanged"]
    assert found.images == []
    assert not output.exists()
    found = compare(*both, folder, output, include_unchanged=True)
    assert [image.share for image in found.images] == [0]
    assert not found.has_differences


def test_added_removed_and_invalid_templates_are_differences(folder: TemplateFolder, output: Path) -> None:
    square = {"name": "square", "width": 100, "height": 100}
    before = revision(old=small_document(), sized=small_document(), broken=small_document())
    after = revision(new=small_document(), sized=small_document(sizes=[square]), broken={"canvas": 1})
    found = compare(before, after, folder, output)
    states = {template.file: template.state for template in found.templates}
    assert states == {"broken.json": "invalid", "new.json": "added", "old.json": "removed", "sized.json": "changed"}
    added, removed, same, sized = found.images
    assert (added.before, added.share, removed.after, same.share) == (None, 1, None, 0)
    assert (sized.size, sized.before, sized.differs) == ("square", None, True)
    text = write_page(found, output).read_text()
    assert "No image" in text
    assert "canvas: Write an object" in text
    only = compare(before, after, folder, output, files=["broken.json"])
    assert (len(only.templates), only.has_differences) == (1, True)


def test_new_findings_are_shown(folder: TemplateFolder, output: Path) -> None:
    changed = small_document()
    changed["layers"][1] |= {"text": "Far too long " * 9}
    found = compare(revision(card=small_document()), revision(card=changed), folder, output)
    assert [finding.partition(" and ")[0] for finding in found.images[0].findings] == [
        "“Title” does not fit into its box"
    ]


def test_texts_of_documents_are_no_markup(folder: TemplateFolder, output: Path) -> None:
    evil = small_document()
    evil["layers"][1]["name"] = "<script>alert(1)</script>"
    evil["fields"][0]["default"] = '"><img src=x onerror=alert(1)>'
    found = compare(revision(card=small_document()), revision(card=evil, other="<b>no JSON</b>"), folder, output)
    page = BeautifulSoup(write_page(found, output).read_text(), "html.parser")
    assert page.select("script, b, img[onerror]") == []
    policy = page.select_one('meta[http-equiv="Content-Security-Policy"]')
    assert policy is not None
    assert "default-src 'none'" in str(policy["content"])


def test_images_of_a_page_are_limited(folder: TemplateFolder, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "MAX_IMAGES", 1)
    pair = revision(a=small_document(), b=small_document()), revision(a=with_color("#ffffff"), b=with_color("#eeeeee"))
    found = compare(*pair, folder, output)
    assert found.left_out == 0, "the first one is unchanged"
    found = compare(*pair, folder, output, include_unchanged=True)
    assert (len(found.images), found.left_out, found.has_differences) == (1, 1, True)
    assert "1 images are not compared" in write_page(found, output).read_text()


def test_earlier_images_are_deleted_and_nothing_else(output: Path, tmp_path: Path) -> None:
    (output / "images").mkdir(parents=True)
    name = "0a1b2c3d4e5f" * 2
    kept = [output / "notes.txt", output / "images" / "logo.png", output / "images" / f"{name}.svg"]
    for path in [*kept, output / "images" / f"{name}.webp", output / "images" / f"{name}.png"]:
        path.write_text("x")
    clear_output(output)
    assert sorted(path for path in output.rglob("*.*")) == sorted(kept)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{name}.png").write_text("x")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="symbolic link"):
        clear_output(tmp_path / "linked")
    assert (tmp_path / "elsewhere" / f"{name}.png").exists()


class TestRevisions:
    def git(self, folder: TemplateFolder, *arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        root = folder.root.parent
        subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)

    def test_commit_has_documents_and_uploads_of_its_time(self, folder: TemplateFolder, output: Path) -> None:
        digest = folder.write_upload(jpeg(), "image/jpeg", "Logo")
        document = small_document()
        document["layers"][0]["source"] = f"upload:{digest}"
        folder.write_document(FILE, document)
        folder.save_index()
        (folder.root / "broken.json").write_text("{")
        (folder.root / "link.json").symlink_to(FILE)
        self.git(folder, "init", "-q")
        self.git(folder, "add", ".")
        self.git(folder, "commit", "-qm", "First")
        folder.uploads()[digest].unlink()
        folder.write_document(FILE, small_document())
        before = revisions.commit(folder, "HEAD")
        assert before.label.startswith("HEAD (")
        assert before.documents == {FILE: document, "broken.json": before.documents["broken.json"]}
        assert "not valid JSON" in before.documents["broken.json"]
        assert before.read_upload(digest) == jpeg()
        assert before.read_upload("0" * 64) is None
        (folder.root / "broken.json").unlink()
        (folder.root / "link.json").unlink()
        found = compare(before, revisions.working_files(folder), folder, output)
        assert {template.file: template.state for template in found.templates} == {
            "broken.json": "invalid",
            FILE: "changed",
        }
        assert found.images[0].share > 0.1

    @pytest.mark.parametrize("name", ["--help", "--output=x", "nothing", "HEAD:x", "", "\n"])
    def test_revision_is_no_option_of_git(self, folder: TemplateFolder, name: str) -> None:
        folder.write_document(FILE, small_document())
        self.git(folder, "init", "-q")
        self.git(folder, "add", ".")
        self.git(folder, "commit", "-qm", "First")
        with pytest.raises(GitError):
            revisions.commit(folder, name)

    def test_folder_without_a_repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
        (tmp_path / "a").mkdir()
        with pytest.raises(GitError, match="not a git repository"):
            GitHistory(tmp_path / "a")
        with pytest.raises(GitError):
            GitHistory(tmp_path / "missing")
        monkeypatch.setenv("PATH", "")
        with pytest.raises(GitError, match="cannot be run"):
            GitHistory(tmp_path / "a")

    def test_pulled_and_published_versions_of_an_installation(self, folder: TemplateFolder) -> None:
        server = TemplateServer()
        template = server.add("Card", with_color("#111111"))
        server.publish(template, with_color("#222222"))
        digest = server.add_upload(jpeg())
        folder.write_document(FILE, with_color("#333333"))
        folder.write_document("new.json", small_document())
        folder.index.templates[FILE] = Entry(id=template.id, version=1)
        with server.client() as client:
            pulled = revisions.installation(folder, client, published=False)
            published = revisions.installation(folder, client, published=True)
            assert pulled.read_upload(digest) == jpeg()
            assert pulled.read_upload("0" * 64) is None
        colors = [each.documents[FILE]["canvas"]["background"] for each in (pulled, published)]
        assert colors == ["#111111", "#222222"]
        assert [*pulled.documents] == [FILE]

    def test_other_folder(self, folder: TemplateFolder, tmp_path: Path) -> None:
        other = TemplateFolder(tmp_path / "other")
        other.write_document(FILE, small_document())
        found = revisions.other_folder(other.root)
        assert found.label == f"folder {other.root}"
        assert [*found.documents] == [FILE]
