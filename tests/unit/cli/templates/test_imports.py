"""`cwz templates import`: JSON of other services becomes a document in the folder."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cwz_web.cli import main
from cwz_web.imaging.documents import ImageTemplate
from tests.installation import ROOT

DATA = ROOT / "tests" / "data" / "importers"


def run(folder: Path, file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["templates", "--folder", str(folder), "import", str(file), *arguments])


def test_document_and_report(tmp_path: Path) -> None:
    done = run(tmp_path, DATA / "bannerbear-v5-template.json")
    assert done.exit_code == 0, done.output
    assert ImageTemplate.model_validate(json.loads((tmp_path / "autumn-sale.json").read_text())).canvas.width == 1200
    assert "left out    Title.skewX: There is no equivalent" in done.output.splitlines()
    again = run(tmp_path, DATA / "bannerbear-v5-template.json")
    assert (again.exit_code, "autumn-sale.json exists already" in again.output) == (2, True)


def test_size_of_the_canvas(tmp_path: Path) -> None:
    refused = run(tmp_path, DATA / "placid-template.json")
    assert (refused.exit_code, "has no size" in refused.output) == (2, True)
    assert run(tmp_path, DATA / "placid-template.json", "--width", "900", "--height", "600").exit_code == 0
    assert json.loads((tmp_path / "podcast-episode.json").read_text())["canvas"]["height"] == 600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[" * 5000, "nested too deeply"),
        ('{"width": NaN}', "not valid JSON"),
        ("{}", "is not a template of Bannerbear or Placid: it has neither “config” with “objects”"),
        ('{"title": "x", "layers": [1]}', "cannot be read"),
        ("x" * 2_000_001, "larger than 2 MB"),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    done = run(tmp_path / "templates", file)
    assert (done.exit_code, message in done.output) == (2, True)
    assert not (tmp_path / "templates").exists()


def test_name_of_the_template_is_not_a_path(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    layer = {"type": "text", "name": "a\x1b[31m", "width": 9, "height": 9, "text": "x"}
    file.write_text(json.dumps({"name": "../../etc/x", "width": 9, "height": 9, "config": {"objects": [layer]}}))
    done = run(tmp_path / "templates", file)
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert [path.name for path in (tmp_path / "templates").iterdir()] == ["etc-x.json"]


def test_sample_of_the_guide_is_imported(tmp_path: Path) -> None:
    guide = (ROOT / "docs/importers.md").read_text()
    file = tmp_path / "sample.json"
    file.write_text(guide.split("```json\n")[1].split("```")[0])
    assert run(tmp_path / "templates", file).exit_code == 0
    document = json.loads((tmp_path / "templates" / "autumn-sale.json").read_text())
    assert [field["name"] for field in document["fields"]] == ["title", "link"]
