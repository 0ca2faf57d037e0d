"""`cwz templates pull` and `push`: nothing is lost, here or on the server, and repeating them changes nothing."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cwz_web.cli.templates.folder import INDEX, FolderError, TemplateFolder
from cwz_web.cli.templates.pull import pull
from cwz_web.cli.templates.push import push
from cwz_web.cli.templates.results import Result
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import jpeg, small_document
from tests.template_server import TemplateServer, as_stored

FILE = "card.json"


class Workspace:
    """A folder, and the server that it belongs to. Each command reads the folder again, as a process does."""

    def __init__(self, root: Path) -> None:
        self.root, self.server = root, TemplateServer()

    def pull(self, *selected: str, **options: Any) -> dict[str, Result]:
        folder = TemplateFolder(self.root)
        with self.server.client() as client:
            results = list(pull(folder, client, selected, **options))
        folder.save_index()
        return {result.file: result for result in results if result.action != "uploads"}

    def push(self, **options: Any) -> dict[str, Result]:
        folder = TemplateFolder(self.root)
        with self.server.client() as client:
            results = list(push(folder, client, folder.documents(), **options))
        folder.save_index()
        return {result.file: result for result in results}

    def read(self, file: str = FILE) -> Any:
        return json.loads((self.root / file).read_text())

    def write(self, document: Any, file: str = FILE) -> None:
        self.root.mkdir(exist_ok=True)
        (self.root / file).write_text(json.dumps(document, indent=2))

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        subprocess.run(["git", "-C", self.root, *identity, *arguments], check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "-qm", "Change")

    def files(self) -> dict[str, bytes]:
        return {str(each.relative_to(self.root)): each.read_bytes() for each in self.root.rglob("*.*")}


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "templates")


def with_color(color: str, **more: Any) -> dict[str, Any]:
    return small_document(canvas={"width": 300, "height": 200, "background": color}, **more)


def test_template_becomes_a_file_with_a_line_for_each_property(space: Workspace) -> None:
    template = space.server.add("Card", small_document())
    assert space.pull()[FILE].action == "created"
    text = (space.root / FILE).read_text()
    assert text == ImageTemplate.model_validate(small_document()).to_json() + "\n"
    assert '\n      "size": 24,\n' in text
    entry = json.loads((space.root / INDEX).read_text())["templates"][FILE]
    assert (entry["id"], entry["version"], entry["etag"]) == (str(template.id), 1, template.etag)


def test_second_pull_changes_nothing_and_requests_only_the_list(space: Workspace) -> None:
    space.server.add("Card", small_document())
    space.pull()
    before = space.files()
    space.server.requests.clear()
    assert space.pull()[FILE].action == "unchanged"
    assert space.files() == before
    assert space.server.requests == ["GET /v1/templates"]


colors = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)
layers = st.fixed_dictionaries(
    {"text": texts, "x": st.integers(-99, 999), "size": st.integers(8, 90), "color": colors},
    optional={"opacity": st.floats(0.1, 1), "rotation": st.integers(-180, 180), "hidden": st.booleans()},
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts.filter(str.strip), background=colors, drawn=st.lists(layers, max_size=4))
def test_pull_push_pull_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory, name: str, background: str, drawn: list[dict[str, Any]]
) -> None:
    space = Workspace(tmp_path_factory.mktemp("identity") / "templates")
    place = {"type": "text", "y": 1, "width": 100, "height": 40}
    shown = [{**place, **layer, "name": f"Text {number}"} for number, layer in enumerate(drawn)]
    template = space.server.add(name, with_color(background, layers=shown), slug=name)
    space.pull()
    before, stored = space.files(), copy.deepcopy(template)
    assert [result.action for result in space.push(publish=True).values()] == ["unchanged"]
    space.pull()
    assert space.files() == before
    assert template == stored
    assert space.server.changes == []


def test_changed_file_becomes_a_version_and_a_change_on_the_server_the_file(space: Workspace) -> None:
    template = space.server.add("Card", small_document())
    space.pull()
    space.write(with_color("#112233"))
    result = space.push(publish=True)[FILE]
    assert (result.action, result.detail) == ("published", "version 2")
    assert result.lines == ["canvas changed: background #ffffff → #112233"]
    assert template.versions[-1] == as_stored(with_color("#112233"))
    assert space.push(publish=True)[FILE].action == "unchanged"
    space.server.publish(template, with_color("#445566"))
    assert space.pull()[FILE].action == "updated"
    assert space.read()["canvas"]["background"] == "#445566"


def test_local_changes_are_overwritten_only_by_force(space: Workspace) -> None:
    template = space.server.add("Card", small_document())
    space.pull()
    space.write(with_color("#112233"))
    assert space.pull()[FILE].action == "unchanged"
    space.server.publish(template, with_color("#445566"))
    conflict = space.pull()[FILE]
    assert conflict.is_failure
    assert conflict.lines == ["canvas changed: background #112233 → #445566"]
    assert space.read() == with_color("#112233")
    assert space.pull(force=True)[FILE].action == "updated"
    assert space.read()["canvas"]["background"] == "#445566"


def test_file_of_another_template_is_not_overwritten(space: Workspace) -> None:
    space.server.add("Card", small_document())
    space.write(with_color("#112233"))
    assert space.pull()[FILE].action == "conflict"
    assert space.read() == with_color("#112233")
    space.write(small_document())
    assert space.pull()[FILE].action == "unchanged", "the same document is adopted"
    assert space.push()[FILE].action == "unchanged"


def test_deleted_templates_and_files_are_reported_and_stay(space: Workspace) -> None:
    space.server.add("Card", small_document())
    other = space.server.add("Other", small_document())
    space.pull()
    space.server.templates.remove(other)
    (space.root / FILE).unlink()
    results = space.pull()
    assert {file: result.action for file, result in results.items()} == {FILE: "missing", "other.json": "kept"}
    assert not (space.root / FILE).exists()
    assert space.pull(force=True)[FILE].action == "created"
    assert space.push()["other.json"].action == "conflict"
    assert space.push(force=True)["other.json"].action == "created"


def test_selected_templates_are_pulled(space: Workspace) -> None:
    for name in ("Card", "Other", "Third"):
        template = space.server.add(name, small_document())
    results = space.pull("card", str(template.id), "nothing")
    assert {file: result.action for file, result in results.items()} == {
        FILE: "created",
        "third.json": "created",
        "nothing": "missing",
    }


class TestConflicts:
    """Changes on the server that the repository does not know are not overwritten."""

    def test_published_change_is_named(self, space: Workspace) -> None:
        template = space.server.add("Card", small_document())
        space.pull()
        space.server.publish(template, with_color("#445566"))
        space.write(with_color("#112233"))
        conflict = space.push(publish=True)[FILE]
        assert conflict.action == "conflict"
        assert "version 1 → 2" in conflict.detail
        assert conflict.lines == ["canvas changed: background #ffffff → #445566"]
        assert space.server.changes == []
        assert space.push(publish=True, force=True)[FILE].action == "published"
        assert template.versions[-1] == as_stored(with_color("#112233"))

    def test_draft_of_a_person_is_named(self, space: Workspace) -> None:
        template = space.server.add("Card", small_document())
        space.server.save_draft(template, with_color("#445566"))
        space.pull()
        space.write(with_color("#112233"))
        conflict = space.push(publish=True)[FILE]
        assert "draft" in conflict.detail
        assert conflict.lines == ["canvas changed: background #ffffff → #445566"]
        assert space.server.changes == []

    def test_own_draft_is_replaced_and_published(self, space: Workspace) -> None:
        template = space.server.add("Card", small_document())
        space.pull()
        space.write(with_color("#112233"))
        assert space.push()[FILE].action == "drafted"
        assert space.push()[FILE].action == "unchanged"
        space.write(with_color("#223344"))
        assert space.push()[FILE].action == "drafted"
        assert len(template.versions) == 1
        assert space.pull()[FILE].action == "unchanged", "a pull takes what is published"
        assert space.push(publish=True)[FILE].detail == "version 2"
        assert template.draft is None

    def test_draft_can_be_pulled(self, space: Workspace) -> None:
        template = space.server.add("Card", small_document())
        space.server.save_draft(template, with_color("#445566"))
        assert "unpublished" in space.pull(draft=True)[FILE].detail
        assert space.pull(draft=True)[FILE].action == "unchanged"
        assert space.push(publish=True)[FILE].action == "published"
        assert template.versions[-1] == as_stored(with_color("#445566"))

    def test_earlier_commit_of_the_file_is_no_conflict(self, space: Workspace) -> None:
        """A job pushes after each merge, and does not commit the index."""
        template = space.server.add("Card", small_document())
        space.pull()
        space.git("init", "-q")
        space.commit()
        index = (space.root / INDEX).read_bytes()
        for color in ("#112233", "#223344"):
            space.write(with_color(color))
            space.commit()
            assert space.push(publish=True)[FILE].action == "published"
            (space.root / INDEX).write_bytes(index)
        space.server.publish(template, with_color("#445566"))
        space.write(with_color("#334455"))
        space.commit()
        assert space.push(publish=True)[FILE].action == "conflict"

    def test_template_that_a_job_created_is_found_by_its_name(self, space: Workspace) -> None:
        space.write(small_document(), "sale-card.json")
        space.git("init", "-q")
        space.commit()
        assert space.push()["sale-card.json"].detail == "as “Sale card”, version 1"
        (space.root / INDEX).unlink()
        space.write(with_color("#112233"), "sale-card.json")
        space.commit()
        assert space.push(publish=True)["sale-card.json"].action == "published"
        assert [template.name for template in space.server.templates] == ["Sale card"]
        (space.root / INDEX).unlink()
        space.server.publish(space.server.templates[0], with_color("#445566"))
        assert space.push(publish=True)["sale-card.json"].action == "conflict"

    def test_change_during_the_push_is_a_conflict(self, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        template = space.server.add("Card", small_document())
        space.pull()
        space.write(with_color("#112233"))
        answer = space.server.answer

        def change_first(request: Any) -> Any:
            if request.method == "PUT":
                space.server.save_draft(template, with_color("#445566"))
            return answer(request)

        monkeypatch.setattr(space.server, "answer", change_first)
        assert space.push(publish=True)[FILE].action == "conflict"
        assert len(template.versions) == 1


class TestUploads:
    def with_upload(self, digest: str) -> dict[str, Any]:
        document = small_document()
        document["layers"][0]["source"] = f"upload:{digest}"
        return document

    def test_they_are_stored_once_by_digest_and_sent_where_they_are_missing(self, space: Workspace) -> None:
        digest = space.server.add_upload(jpeg(), "Summer logo")
        space.server.add("Card", self.with_upload(digest))
        space.pull()
        assert (space.root / "uploads" / f"{digest}.jpg").read_bytes() == jpeg()
        assert TemplateFolder(space.root).index.uploads == {digest: "Summer logo"}
        before = space.files()
        space.pull()
        assert space.files() == before
        space.server.templates.clear()
        space.server.uploads.clear()
        assert space.push(force=True, dry_run=True)[FILE].action == "created"
        assert space.server.changes == []
        assert space.push(force=True)[FILE].action == "created"
        assert space.server.uploads[digest][2] == jpeg()
        assert space.server.changes == ["POST /v1/uploads", "POST /v1/templates"]

    def test_missing_and_damaged_files_are_not_sent(self, space: Workspace) -> None:
        digest = "0" * 64
        space.write(self.with_upload(digest))
        assert "neither in uploads/ nor" in str(space.push()[FILE].findings[0])
        (space.root / "uploads").mkdir()
        (space.root / "uploads" / f"{digest}.jpg").write_bytes(jpeg())
        with pytest.raises(FolderError, match="another SHA-256"):
            space.push()
        assert space.server.changes == []

    def test_upload_that_the_server_lost_is_reported(self, space: Workspace) -> None:
        space.server.add("Card", self.with_upload("0" * 64))
        assert space.pull()[FILE].action == "incomplete"


def test_invalid_files_are_named_by_line_and_nothing_is_sent(space: Workspace) -> None:
    space.root.mkdir()
    (space.root / "broken.json").write_text('{\n  "canvas": {,}\n}')
    result = space.push()["broken.json"]
    assert result.is_failure
    assert str(result.findings[0]).startswith("broken.json:2: This is not valid JSON")
    assert space.server.requests == []


def test_dry_run_changes_nothing(space: Workspace) -> None:
    space.server.add("Card", small_document())
    space.pull()
    space.write(with_color("#112233"))
    space.write(small_document(), "new.json")
    before = space.files()
    results = space.push(publish=True, dry_run=True)
    assert {file: result.action for file, result in results.items()} == {FILE: "published", "new.json": "created"}
    assert space.files() == before
    assert space.server.changes == []
