"""`cwz templates lint` and `render`: files are checked and rendered without a server."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cwz_web.cli.templates import rendering
from cwz_web.cli.templates.folder import FolderError, TemplateFolder
from cwz_web.cli.templates.lint import lint, to_annotation
from cwz_web.cli.templates.rendering import EngineError, find_node_modules, prepare_engine, render_file
from cwz_web.cli.templates.results import Finding
from cwz_web.imaging.decoding import read_image_size
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import jpeg, small_document

FILE = "card.json"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts and icons of the tests, which are prepared once in a process."""
    monkeypatch.setattr(rendering, "prepare_engine", lambda: None)
    monkeypatch.setattr("cwz_web.cli.templates.lint.prepare_engine", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> TemplateFolder:
    return TemplateFolder(tmp_path)


def write(folder: TemplateFolder, document: Any, name: str = FILE) -> None:
    path = folder.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document, indent=2))


def findings(folder: TemplateFolder, **options: Any) -> list[str]:
    return [str(finding) for finding in lint(folder, folder.documents(), **options)]


def line_of(folder: TemplateFolder, text: str, name: str = FILE) -> int:
    return next(n for n, line in enumerate((folder.root / name).read_text().splitlines(), 1) if text in line)


def test_valid_document_has_no_findings(folder: TemplateFolder) -> None:
    write(folder, small_document())
    write(folder, [{"title": "Mug"}], f"samples/{FILE}")
    assert findings(folder) == []


def test_mistakes_have_the_line_and_the_message_of_the_server(folder: TemplateFolder) -> None:
    document = small_document()
    document["layers"][1] |= {"x": "left", "collor": "#000000"}
    del document["canvas"]["width"]
    write(folder, document)
    assert findings(folder) == [
        f"{FILE}:{line_of(folder, 'canvas')}: canvas.width: This key is required",
        f"{FILE}:{line_of(folder, 'left')}: layers.1.x: Enter a whole number (layer “Title”)",
        f"{FILE}:{line_of(folder, 'collor')}: layers.1.collor: Unknown key. Did you mean “color”? (layer “Title”)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"canvas": ,\n}', f"{FILE}:2: This is not valid JSON: Expecting value at column 11"),
        ("[]", f"{FILE}: Write an object, in braces"),
        ("[" * 200 + "]" * 200, f"{FILE}: The JSON is nested too deeply"),
        (json.dumps({"layers": ["x" * 500_001]}), f"{FILE}: A template can have at most 500,000 characters"),
        (" " * 2_000_001, "is larger than 2 MB"),
        ('{"version": 3, "canvas": {"width": 9, "height": 9}, "layers": {}}', "layers: Write a list"),
    ],
)
def test_files_that_are_no_documents_are_findings(folder: TemplateFolder, text: str, message: str) -> None:
    write(folder, text)
    found = findings(folder)
    assert len(found) == 1
    assert message in found[0]


def test_missing_and_damaged_uploads_are_findings(folder: TemplateFolder) -> None:
    document = small_document()
    document["layers"][0]["source"] = f"upload:{'0' * 64}"
    write(folder, document)
    write(folder, [{"image": f"upload:{'1' * 64}"}], f"samples/{FILE}")
    line = line_of(folder, "upload:")
    found = findings(folder)
    assert [each.partition(" does")[0] for each in found] == [f"{FILE}:{line}: uploads/", f"{FILE}: uploads/"]
    write(folder, "x", f"uploads/{'0' * 64}.jpg")
    assert "another SHA-256" in findings(folder)[0]


def test_sample_rows_have_fields_of_their_template(folder: TemplateFolder) -> None:
    write(folder, small_document())
    write(folder, [{}, {"titel": "Mug"}], f"samples/{FILE}")
    write(folder, [], "samples/other.json")
    assert findings(folder) == [
        f"samples/{FILE}: 1.titel: The template has no field with this name",
        "samples/other.json: There is no document with the name of this file",
    ]
    write(folder, '[\n{"title": }]', f"samples/{FILE}")
    assert "samples/card.json: 2: This is not valid JSON" in findings(folder)[0]


def test_rendered_rows_are_checked_as_in_the_designer(folder: TemplateFolder) -> None:
    write(folder, small_document())
    write(folder, [{"title": "Long " * 60}, {"title": "Long " * 60}], f"samples/{FILE}")
    assert findings(folder) == []
    missing, overflow = findings(folder, render=True)
    assert "photo_missing; size default, sample row 1" in missing, "of a row, but not of the default values"
    assert overflow.startswith(f"{FILE}:{line_of(folder, 'text') - 1}: layers.1: “Title” does not fit")


def test_fix_writes_documents_as_pull_does(folder: TemplateFolder) -> None:
    write(folder, json.dumps(small_document(tables={})))
    write(folder, '{"broken": 1}', "other.json")
    list(lint(folder, folder.documents(), fix=True))
    assert (folder.root / FILE).read_text() == ImageTemplate.model_validate(small_document()).to_json() + "\n"
    assert (folder.root / "other.json").read_text() == '{"broken": 1}'


def test_annotation_cannot_be_another_command() -> None:
    finding = Finding("card.json", "100 %\n::set-output name=x::y", "layers.0", 3)
    assert to_annotation(finding, "a,b:c") == (
        "::error file=a%2Cb%3Ac/card.json,line=3::layers.0: 100 %25%0A::set-output name=x::y"
    )


class TestRender:
    def test_document_becomes_an_image(self, folder: TemplateFolder) -> None:
        document = small_document(sizes=[{"name": "square", "width": 100, "height": 100}])
        digest = folder.write_upload(jpeg(), "image/jpeg", "Logo")
        document["fields"][1]["default"] = f"upload:{digest}"
        write(folder, document)
        (folder.root / "row.json").write_text('{"title": "Mug"}')
        images = []
        for fields in (None, folder.root / "row.json"):
            output = folder.root / "out.png"
            image = render_file(folder.root / FILE, fields, output, size="square", scale=2, quality=80)
            assert image.findings == ()
            assert read_image_size(output.read_bytes()) == (200, 200)
            images.append(sha256(output.read_bytes()).hexdigest())
        assert images[0] != images[1]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"output": "out.gif"}, "one of these extensions: jpg, png, webp, avif"),
            ({"output": "nothing/out.jpg"}, "cannot be written"),
            ({"size": "square"}, "Unknown size"),
            ({"document": {"canvas": 1}}, "canvas"),
            ({"document": "{"}, "card.json:1: This is not valid JSON"),
            ({"fields": [{}, {}]}, "write one object"),
            ({"fields": {"titel": "x"}}, "titel"),
        ],
    )
    def test_mistakes_are_one_sentence(self, folder: TemplateFolder, change: dict[str, Any], message: str) -> None:
        write(folder, change.get("document", small_document()))
        (folder.root / "row.json").write_text(json.dumps(change.get("fields", {})))
        output = folder.root / change.get("output", "out.jpg")
        options: Any = {"size": change.get("size", "default"), "scale": 1, "quality": 80}
        with pytest.raises((EngineError, FolderError), match=message):
            render_file(folder.root / FILE, folder.root / "row.json", output, **options)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CWZ_NODE_MODULES", str(tmp_path))
    assert find_node_modules() == tmp_path
    # Earlier tests of the process may have prepared them.
    rendering.prepare_icons.cache_clear()
    prepare_engine.cache_clear()
    with pytest.raises(EngineError, match="npm ci"):
        prepare_engine()
    rendering.prepare_icons.cache_clear()
