"""`cwz templates` against the running application: in this process, where nothing depends on one of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pyramid.router import Router
from sqlalchemy import select
from structlog.testing import capture_logs

from cwz_web.cli import main
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Upload
from tests.conftest import ROOT
from tests.factories import Factory, jpeg, small_document, small_font
from tests.wsgi_server import serving

KEY = "CWZ_API_KEY"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><rect width='8' height='8' fill='#c03'/></svg>"


class Repository:
    """A folder with a `templates` folder, a workspace, and a key that can do all that the commands need."""

    def __init__(self, folder: Path, make: Factory, port: int) -> None:
        self.folder, self.make = folder, make
        self.space = make.workspace()
        key = make.key(self.space, Scope.READ, Scope.TEMPLATES_WRITE, Scope.UPLOADS_WRITE)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CWZ_")},
            "PYTHONPATH": str(ROOT),
            "CWZ_NODE_MODULES": str(ROOT / "node_modules"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "CWZ_URL": f"http://localhost:{port}",
            KEY: key,
        }

    def run(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """Run a command in this process, and return its output."""
        others = {name: None for name in os.environ if name.startswith("CWZ_")}
        with chdir(self.folder), capture_logs():  # the application logs in this process, too
            done = CliRunner().invoke(
                main, ["templates", *arguments], env=others | self.environment | environment, catch_exceptions=False
            )
        return self.check_output(done.output, done.exit_code, status)

    def run_process(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """Run a command in a process of its own, and return its output."""
        command = [sys.executable, "-c", "from cwz_web.cli import main; main()", "templates", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True
        )
        return self.check_output(done.stdout + done.stderr, done.returncode, status)

    def check_output(self, output: str, found: int, expected: int) -> str:
        assert found == expected, output
        assert "Traceback" not in output
        assert self.environment[KEY] not in output
        return output

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True)

    def path(self, name: str) -> Path:
        return self.folder / "templates" / name

    def read(self, name: str) -> Any:
        return json.loads(self.path(name).read_text())

    def write(self, name: str, value: Any) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(json.dumps(value, indent=2))


@pytest.fixture
def repository(tmp_path: Path, wsgi: Router, make: Factory) -> Iterator[Repository]:
    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        # The settings of the tests have no port, as those behind a proxy.
        return wsgi({**environ, "HTTP_HOST": "localhost"}, start_response)

    with serving(answer) as port:
        yield Repository(tmp_path, make, port)


def test_template_is_pulled_changed_and_pushed(repository: Repository) -> None:
    upload = repository.make.upload(repository.space, jpeg())
    document = small_document()
    document["layers"][0]["source"] = upload.reference
    template = repository.make.template(repository.space, document)
    assert "created     card.json  version 1" in repository.run_process("pull")
    stored = repository.path(f"uploads/{upload.digest}.jpg").read_bytes()
    assert sha256(stored).hexdigest() == upload.digest
    assert "0 done or reported, 1 unchanged" in repository.run("pull")

    changed = repository.read("card.json")
    changed["layers"][1]["size"] = 30
    repository.write("card.json", changed)
    assert "layer “Title” changed: size 24 → 30" in repository.run("push", "--publish", "--dry-run")
    assert repository.make.reload(template).version == 1
    result = json.loads(repository.run("push", "--publish", "--json"))["results"]
    assert [(each["file"], each["action"]) for each in result] == [("card.json", "published")]
    assert repository.make.reload(template).version == 2

    changed["layers"][1]["sise"] = 30
    repository.write("card.json", changed)
    line = repository.path("card.json").read_text().splitlines().index('      "sise": 30') + 1
    message = f"card.json:{line}: layers.1.sise: Unknown key. Did you mean “size”? (layer “Title”)"
    assert message in repository.run("push", "--publish", status=1)


def test_new_template_and_its_uploads_are_created(repository: Repository) -> None:
    """A file that is added here has the digest that the server gives it: a JPEG loses its metadata."""
    document = small_document()
    document["layers"][0]["source"] = f"upload:{'0' * 64}"
    repository.write("sale-card.json", document)
    assert "neither in uploads/ nor on the server" in repository.run("push", status=1)
    references = {}
    for name, data in (("Logo.jpg", jpeg()), ("Icon.svg", SVG), ("Caveat.ttf", small_font())):
        (repository.folder / name).write_bytes(data)
        references[name] = repository.run("add", name).split()[0]
    assert references["Logo.jpg"] != f"upload:{sha256(jpeg()).hexdigest()}"
    document["layers"][0]["source"] = references["Logo.jpg"]
    document["layers"][1]["font"] = references["Caveat.ttf"]
    document["fields"][1]["default"] = references["Icon.svg"]
    repository.write("sale-card.json", document)
    assert "created     sale-card.json  as “Sale card”, version 1" in repository.run("push")
    with repository.make.database.transaction(repository.space.id) as db:
        names = {f"upload:{upload.digest}": upload.name for upload in db.scalars(select(Upload))}
    assert names == {references[name]: name.partition(".")[0] for name in references}
    assert "0 done or reported, 1 unchanged" in repository.run("push", "--publish")
    assert "0 done or reported, 1 unchanged" in repository.run("pull")
    (repository.folder / "page.html").write_text("<html>")
    assert "not supported" in repository.run("add", "page.html", status=2)


@pytest.mark.slow
def test_files_are_checked_and_rendered_without_a_server(repository: Repository) -> None:
    """In processes of their own, which install fonts from another folder."""
    offline = {"CWZ_URL": "", KEY: ""}
    repository.write("card.json", small_document())
    assert "1 checked, 0 findings" in repository.run_process("lint", "--render", **offline)
    assert "out.webp" in repository.run_process("render", "templates/card.json", "-o", "out.webp", **offline)
    assert (repository.folder / "out.webp").read_bytes().startswith(b"RIFF")
    repository.write("card.json", {"canvas": {"width": 300, "height": 200}, "layers": [{"type": "tekst"}]})
    output = repository.run_process("lint", status=1, GITHUB_ACTIONS="true", **offline)
    assert "templates/card.json:8: layers.0.type: " in output or "layers.0: " in output
    assert "::error file=templates/card.json,line=" in output
    findings = json.loads(repository.run_process("lint", "--json", status=1, **offline))["findings"]
    assert [finding["file"] for finding in findings] == ["card.json"]
    assert "npm ci" in repository.run_process("lint", status=2, CWZ_NODE_MODULES="nothing")


def test_changed_layer_of_a_pull_request_is_shown_and_merged(repository: Repository) -> None:
    """The steps of docs/templates-as-code.md: pull, change a layer, compare, merge, push from a fresh clone."""
    template = repository.make.template(repository.space)
    repository.run("pull")
    repository.git("init", "-q", "-b", "main")
    repository.git("add", "templates")
    repository.git("commit", "-qm", "Pull templates")
    repository.git("checkout", "-qb", "larger-title")
    changed = repository.read("card.json")
    changed["layers"][1]["size"] = 30
    repository.write("card.json", changed)
    output = repository.run_process("diff", "--published", status=1)
    assert "layer “Title” changed: size 24 → 30" in output
    assert "1 of 1 images differ" in output
    found = json.loads(repository.run_process("diff", "--base", "main", "--threshold", "50", "--json", CWZ_URL=""))
    assert (found["page"], found["has_differences"]) == ("template-diff/index.html", False)
    assert 0 < found["templates"][0]["images"][0]["share"] < 0.5
    assert "<h1>Template differences</h1>" in (repository.folder / "template-diff" / "index.html").read_text()
    assert "Use one of" in repository.run("diff", "--published", "--base", "main", status=2)
    assert "'nothing' is no commit" in repository.run("diff", "--base", "nothing", status=2)
    assert "No revision has" in repository.run("diff", "--base", "main", "other.json", status=2)
    for color in ("#111111", "#222222"):
        changed["layers"][1]["color"] = color
        repository.write("card.json", changed)
        repository.git("commit", "-qam", "Change the title")
        repository.git("worktree", "add", "-q", "--force", "job", "HEAD")
        job = repository.folder / "job"
        assert "published   card.json" in repository.run("--folder", str(job / "templates"), "push", "--publish")
        repository.git("worktree", "remove", "--force", "job")
    assert repository.make.reload(template).version == 3


@pytest.mark.slow
def test_quick_start_of_the_guide(repository: Repository) -> None:
    """Each line is executed; only the comparison has the status 1, as its comment says."""
    guide = (ROOT / "docs/templates-as-code.md").read_text()
    pull, publish, merge = re.findall(r"```bash\n(.*?)```", guide, re.DOTALL)
    template = repository.make.template(repository.space, name="Product card")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    people = {f"GIT_{who}_{what}": "dev@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = repository.environment | people | {"PATH": path}

    def execute(script: str) -> str:
        command = ["bash", "-e", "-c", script]
        done = subprocess.run(command, cwd=repository.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "created     product-card.json" in execute(pull)
    repository.folder /= "shop-templates"
    changed = repository.read("product-card.json")
    changed["layers"][1]["size"] = 30
    repository.write("product-card.json", changed)
    compare, rest = publish.split("\n", 1)
    assert "its status is 1" in compare
    assert "1 of 1 images differ" in execute(f"! {compare}")
    assert "published   product-card.json  version 2" in execute(rest)
    assert execute("git status --short") == ""
    assert repository.make.reload(template).version == 2

    other = Repository(repository.folder / "other", repository.make, 0)
    other.environment = repository.environment
    other.folder.mkdir()
    other.run("pull")
    document = other.read("product-card.json")
    document["canvas"]["background"] = "#fedcba"
    other.write("product-card.json", document)
    other.run("push", "--publish")
    shutil.rmtree(other.folder)
    changed["layers"][1]["color"] = "#123456"
    repository.write("product-card.json", changed)
    assert "conflict" in execute("! cwz templates push --publish")
    assert "published   product-card.json  version 4" in execute(merge)
    merged = repository.read("product-card.json")
    assert (merged["canvas"]["background"], merged["layers"][1]["color"]) == ("#fedcba", "#123456")
    assert execute("git status --short") == ""


class TestWorkflow:
    """The workflow of docs/examples/templates-as-code: what its jobs run is executed."""

    EXAMPLE = ROOT / "docs/examples/templates-as-code"

    def test_guide_has_the_files(self) -> None:
        shown = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/templates-as-code.md").read_text(), re.DOTALL)
        files = ("workflows/templates.yaml", "actions/cwz/action.yaml")
        assert shown == [(self.EXAMPLE / ".github" / file).read_text() for file in files]

    @pytest.fixture
    def workflow(self) -> Any:
        return yaml.safe_load((self.EXAMPLE / ".github/workflows/templates.yaml").read_text())

    @pytest.fixture
    def pull_request(self, repository: Repository) -> Repository:
        """A checkout of a pull request, as GitHub merges it, that changes the color of a layer."""
        shutil.copytree(self.EXAMPLE, repository.folder, dirs_exist_ok=True)
        repository.git("init", "-q", "-b", "main")
        repository.git("add", "templates", ".github", ".gitignore")
        repository.git("commit", "-qm", "Add the example")
        repository.run("push", "--publish")
        repository.git("checkout", "--quiet", "--", ".")
        repository.path("cwz-templates.json").unlink()
        self.merge(repository, "#0a7d4f")
        return repository

    def merge(self, repository: Repository, color: str) -> None:
        repository.git("checkout", "-qb", f"accent-{color[1:]}", "main")
        document = repository.read("sale-card.json")
        document["layers"][0]["fill"] = color
        repository.write("sale-card.json", document)
        repository.git("commit", "-qam", f"Change the accent to {color}")
        repository.git("checkout", "-q", "main")
        repository.git("merge", "-q", "--no-ff", "-m", "Merge", f"accent-{color[1:]}")

    def run(self, job: dict[str, Any], repository: Repository, known: dict[str, str]) -> str:
        """Run the commands of a job in a shell as GitHub does, and return their output."""
        output = ""
        summary = repository.folder / "summary.md"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        without_key = {name: value for name, value in repository.environment.items() if name not in ("CWZ_URL", KEY)}
        for step in job["steps"]:
            if "run" not in step:
                continue
            options = ["--noprofile", "--norc", "-eo", "pipefail"] if step.get("shell") == "bash" else ["-e"]
            given = {
                name: re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: known[found[1]], value)
                for name, value in step.get("env", {}).items()
            }
            done = subprocess.run(
                ["bash", *options, "-c", step["run"]],
                cwd=repository.folder,
                env=without_key | {"PATH": path, "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)} | given,
                capture_output=True,
                text=True,
            )
            output += done.stdout + done.stderr
            assert done.returncode == 0, output
        return output

    def test_pull_request_is_checked_without_a_key(self, pull_request: Repository, workflow: Any) -> None:
        output = self.run(workflow["jobs"]["check"], pull_request, {})
        assert "1 checked, 0 findings" in output
        assert "layer “Accent” changed: fill #b3391f → #0a7d4f" in output
        assert "0 of 2 images differ" in (pull_request.folder / "summary.md").read_text()
        [keep] = [step for step in workflow["jobs"]["check"]["steps"] if "upload-artifact" in step.get("uses", "")]
        page = (pull_request.folder / keep["with"]["path"] / "index.html").read_text()
        assert "0.03 %" in page

    @pytest.mark.slow
    def test_merges_are_published_from_fresh_checkouts(self, pull_request: Repository, workflow: Any) -> None:
        """No job commits the index: the second merge finds what the server has in the history."""
        known = {
            "vars.CWZ_URL": pull_request.environment["CWZ_URL"],
            "secrets.CWZ_API_KEY": pull_request.environment[KEY],
        }
        for version, next_color in ((2, "#123456"), (3, "#654321")):
            output = self.run(workflow["jobs"]["publish"], pull_request, known)
            assert f"published   sale-card.json  version {version}" in output
            pull_request.path("cwz-templates.json").unlink()
            self.merge(pull_request, next_color)

    def test_jobs_have_the_permissions_and_secrets_that_they_need(self, workflow: Any) -> None:
        triggers = workflow[True]  # YAML 1.1 reads `on` so
        assert {*triggers} == {"pull_request", "push"}
        assert triggers["push"]["branches"] == ["main"]
        assert workflow["permissions"] == {"contents": "read"}
        check, publish = workflow["jobs"]["check"], workflow["jobs"]["publish"]
        assert "secrets." not in str(check)
        assert "secrets.CWZ_API_KEY" in str(publish)
        assert publish["environment"] == "production"
        for job in (check, publish):
            checkout = job["steps"][0]["with"]
            assert (checkout["fetch-depth"], checkout["persist-credentials"]) == (0, False)

    def test_files_that_the_action_installs_exist(self, workflow: Any) -> None:
        action = yaml.safe_load((self.EXAMPLE / ".github/actions/cwz/action.yaml").read_text())
        [install] = [step["run"] for step in action["runs"]["steps"] if "run" in step]
        assert "pip install --require-hashes -r requirements/run.txt" in install
        for name in ("requirements/run.txt", "package-lock.json"):
            assert (ROOT / name).exists()
        for job in workflow["jobs"].values():
            [used] = [step for step in job["steps"] if step.get("uses", "").startswith("./")]
            assert (self.EXAMPLE / used["uses"] / "action.yaml").exists()
            assert {*used["with"]} == {*action["inputs"]}


def test_conflict_names_what_changed_on_the_server(repository: Repository) -> None:
    template = repository.make.template(repository.space)
    repository.run("pull")
    other = Repository(repository.folder / "other", repository.make, 0)
    other.environment = repository.environment
    (repository.folder / "other").mkdir()
    other.run("pull")
    for folder, size in ((other, 30), (repository, 40)):
        changed = folder.read("card.json")
        changed["layers"][1]["size"] = size
        folder.write("card.json", changed)
    other.run("push", "--publish")
    output = repository.run("push", "--publish", status=1)
    assert "version 1 → 2" in output
    assert "layer “Title” changed: size 24 → 30" in output
    assert repository.make.reload(template).version == 2
    assert "conflict" in repository.run("pull", status=1)
    assert repository.read("card.json")["layers"][1]["size"] == 40


def test_errors_of_usage_and_network_have_status_2(repository: Repository, tmp_path: Path) -> None:
    assert "Say which installation" in repository.run("pull", status=2, CWZ_URL="")
    assert "CWZ_API_KEY" in repository.run("pull", status=2, CWZ_API_KEY="")
    assert "43 more characters" in repository.run("pull", status=2, CWZ_API_KEY="cwz_live_wrong")
    assert "without TLS" in repository.run("--url", "http://images.example", "pull", status=2)
    assert "status 401" in repository.run("pull", status=2, CWZ_API_KEY=f"cwz_live_{'x' * 43}")
    assert "no document" in repository.run("push", status=2)
    repository.write("card.json", {})
    assert "is not a document" in repository.run("push", "../card.json", status=2)
    assert "No such option" in repository.run("push", "--api-key", "x", status=2)
    (tmp_path / "key").write_text(repository.environment[KEY] + "\n")
    repository.run("--api-key-file", "key", "pull", CWZ_API_KEY="")
    assert "cannot be read" in repository.run("--api-key-file", "nothing", "pull", status=2, CWZ_API_KEY="")


def test_key_without_the_scope_cannot_push(repository: Repository) -> None:
    repository.write("card.json", small_document())
    reader = repository.make.key(repository.space, Scope.READ)
    assert "status 403" in repository.run_process("push", status=2, CWZ_API_KEY=reader)


def test_help_does_not_import_the_application() -> None:
    check = (
        "import sys; from cwz_web.cli import main; main(['templates', '--help'], standalone_mode=False);"
        "print([name for name in ('pyramid', 'sqlalchemy', 'pydantic', 'pyvips', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
