"""`cwz templates`: templates of an installation in files. Modules that import more do the work."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cwz_web.cli.templates.client import Client
    from cwz_web.cli.templates.difference import Comparison
    from cwz_web.cli.templates.folder import TemplateFolder
    from cwz_web.cli.templates.results import Result

KEY, URL = "CWZ_API_KEY", "CWZ_URL"
MAX_KEY_BYTES = 1000


class CommandError(click.ClickException):
    """The command cannot be executed: status 2. Status 1 says that it was, and found something."""

    exit_code = 2


class Options:
    """What all commands share."""

    def __init__(self, folder: Path, url: str | None, key_file: Path | None, *, allow_http: bool) -> None:
        self.folder, self._url, self._key_file, self._allow_http = folder, url, key_file, allow_http

    def open_folder(self) -> "TemplateFolder":
        """Return the folder with the files."""
        from cwz_web.cli.templates.folder import TemplateFolder

        return TemplateFolder(self.folder)

    def connect(self) -> "Client":
        """Return a client of the installation. The key is never an argument, which other users of a machine see."""
        from cwz_web.cli.templates.client import Client

        if not self._url:
            raise CommandError(f"Say which installation: --url https://…, or {URL} in the environment")
        return Client(self._url, self._read_key(), allow_http=self._allow_http, report_wait=_report_wait)

    def _read_key(self) -> str:
        if self._key_file is None:
            key = os.environ.get(KEY, "")
            if not key:
                raise CommandError(f"Put an API key into the environment as {KEY}, or name a file with --api-key-file")
            return key.strip()
        try:
            with open(self._key_file, encoding="ascii") as file:
                return file.read(MAX_KEY_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The file of the API key cannot be read: {error}") from None


@click.group("templates")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("templates"),
    show_default=True,
    help="The folder with the files.",
)
@click.option("--url", envvar=URL, help=f"The URL of the installation; also {URL} in the environment.")
@click.option(
    "--api-key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"A file with the API key; by default, it is {KEY} in the environment.",
)
@click.option("--allow-http", is_flag=True, help="Send the API key without TLS, in a network that you trust.")
@click.pass_context
def templates_group(
    context: click.Context, folder: Path, url: str | None, api_key_file: Path | None, allow_http: bool
) -> None:
    """Keep templates in files: documents, uploads by digest, and an index.

    The exit status is 0 if all is well, 1 if there are findings, conflicts or differences, and 2 if the command cannot
    be executed.
    """
    context.obj = Options(folder, url, api_key_file, allow_http=allow_http)


@templates_group.command("pull")
@click.argument("templates", nargs=-1)
@click.option("--draft", is_flag=True, help="Take unpublished changes as well.")
@click.option("--force", is_flag=True, help="Overwrite what was changed here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def pull_command(options: Options, templates: tuple[str, ...], draft: bool, force: bool, as_json: bool) -> None:
    """Write TEMPLATES (ids, slugs or files) of the installation to files; all by default."""
    from cwz_web.cli.templates.pull import pull

    with _reported_errors(), options.connect() as client:
        folder = options.open_folder()
        with _saving(folder):
            _finish(pull(folder, client, templates, force=force, draft=draft), as_json=as_json)


@templates_group.command("push")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--publish", is_flag=True, help="Publish; otherwise, the documents become drafts.")
@click.option("--force", is_flag=True, help="Overwrite what was changed on the server.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def push_command(
    options: Options, files: tuple[Path, ...], publish: bool, force: bool, dry_run: bool, as_json: bool
) -> None:
    """Send the documents in FILES to the installation; all by default. A new template is published in any case."""
    from cwz_web.cli.templates.push import push

    with _reported_errors(), options.connect() as client:
        folder = options.open_folder()
        names = _select(folder, files)
        with _saving(folder):
            _finish(push(folder, client, names, publish=publish, force=force, dry_run=dry_run), as_json=as_json)


@templates_group.command("add")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def add_command(options: Options, files: tuple[Path, ...]) -> None:
    """Copy images and fonts into uploads/, and print the references for documents. `push` sends them."""
    from cwz_web.cli.templates.folder import MAX_UPLOAD_BYTES, read_file
    from cwz_web.cli.templates.rendering import add_upload

    with _reported_errors():
        folder = options.open_folder()
        with _saving(folder):
            for path in files:
                digest = add_upload(folder, read_file(path.resolve(), MAX_UPLOAD_BYTES) or b"", path.stem)
                click.echo(f"upload:{digest}  {path.name}")


@templates_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--width", type=click.IntRange(1, 4096), help="Of the canvas, if the JSON has none, as that of Placid.")
@click.option("--height", type=click.IntRange(1, 4096), help="Of the canvas.")
@click.pass_obj
def import_command(options: Options, file: Path, width: int | None, height: int | None) -> None:
    """Write the template of Bannerbear or Placid in FILE as a document, and report what differs. `push` sends it."""
    from cwz_web.cli.templates.client import clean_text
    from cwz_web.cli.templates.imports import import_file
    from cwz_web.importers.builder import ImportOptions

    with _reported_errors():
        name, imported = import_file(options.open_folder(), file, ImportOptions(width, height))
    for entry in imported.report.entries:
        place = ".".join(part for part in (entry.layer, entry.property) if part) or "template"
        click.echo(clean_text(f"{entry.outcome.replace('_', ' '):<11} {place}: {entry.message}"))
    click.echo(f"{options.folder / name}")


@templates_group.command("lint")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Write valid documents as `pull` writes them.")
@click.option("--render", is_flag=True, help="Render default values and sample rows, and report what does not fit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def lint_command(options: Options, files: tuple[Path, ...], fix: bool, render: bool, as_json: bool) -> None:
    """Check the documents in FILES without a server; all by default. In GitHub Actions, findings become annotations."""
    from cwz_web.cli.templates.client import clean_text
    from cwz_web.cli.templates.lint import lint, to_annotation

    with _reported_errors():
        folder = options.open_folder()
        names = _select(folder, files)
        found = []
        for finding in lint(folder, names, fix=fix, render=render):
            found.append(finding)
            if not as_json:
                click.echo(clean_text(f"{options.folder}/{finding}"))
                if os.environ.get("GITHUB_ACTIONS") == "true":
                    click.echo(clean_text(to_annotation(finding, str(options.folder))))
    if as_json:
        click.echo(json.dumps({"findings": [vars(finding) for finding in found]}, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{len(names)} checked, {len(found)} findings")
    if found:
        raise click.exceptions.Exit(1)


@templates_group.command("diff")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--base", metavar="REVISION", help="Compare with a commit, such as origin/main.")
@click.option(
    "--base-folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Compare with another folder."
)
@click.option("--published", is_flag=True, help="Compare with what the installation has published now.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("template-diff"),
    show_default=True,
    help="The folder of the page.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 100),
    default=0.0,
    show_default=True,
    help="The share of pixels of an image that may differ, in percent.",
)
@click.option(
    "--tolerance",
    type=click.IntRange(0, 254),
    default=0,
    show_default=True,
    help="By how much a channel of a pixel may differ, of 255.",
)
@click.option("--all", "include_unchanged", is_flag=True, help="Render templates with the same documents as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def diff_command(
    options: Options,
    files: tuple[Path, ...],
    base: str | None,
    base_folder: Path | None,
    published: bool,
    output: Path,
    threshold: float,
    tolerance: int,
    include_unchanged: bool,
    as_json: bool,
) -> None:
    """Render FILES and an earlier revision, and make a page with the differences; all files by default.

    The earlier revision is the version that was pulled, unless an option names another one. The exit status is 1 if
    an image differs by more than the threshold.
    """
    from cwz_web.cli.templates import difference, revisions

    if (base is not None) + (base_folder is not None) + published > 1:
        raise click.UsageError("Use one of --base, --base-folder and --published.")
    with ExitStack() as stack:
        stack.enter_context(_reported_errors())
        folder = options.open_folder()
        after = revisions.working_files(folder)
        if base is not None:
            before = revisions.commit(folder, base)
        elif base_folder is not None:
            before = revisions.other_folder(base_folder)
        else:
            before = revisions.installation(folder, stack.enter_context(options.connect()), published=published)
        names = [file.name for file in files]
        if unknown := {*names} - {*before.documents, *after.documents}:
            raise CommandError(f"No revision has the document {sorted(unknown)[0]}")
        difference.clear_output(output)
        comparer = difference.Comparer(before, after, folder, output, threshold=threshold / 100, tolerance=tolerance)
        stack.callback(comparer.close)
        comparison = comparer.compare(names, include_unchanged=include_unchanged, report=_report_progress)
        page = difference.write_page(comparison, output)
    _print_comparison(comparison, page, as_json=as_json)
    if comparison.has_differences:
        raise click.exceptions.Exit(1)


def _print_comparison(comparison: "Comparison", page: Path, *, as_json: bool) -> None:
    from cwz_web.cli.templates.client import clean_text

    if as_json:
        click.echo(json.dumps(comparison.to_json() | {"page": str(page)}, indent=2, ensure_ascii=False))
        return
    for template in comparison.templates:
        if template.state == "unchanged" and not template.images:
            continue
        click.echo(f"{template.state:<11} {template.file}")
        for change in template.changes:
            click.echo(f"            {clean_text(change)}")
        for image in template.images:
            mark = "!" if image.differs else " "
            text = clean_text(f"{image.size}, {image.sample}: {image.error or image.percent}")
            click.echo(f"          {mark} {text}")
    click.echo(f"{page}: {comparison.different_images} of {len(comparison.images)} images differ")


@templates_group.command("render")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--fields", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JSON file: values.")
@click.option("--size", default="default", show_default=True, help="One of the template's sizes.")
@click.option(
    "--scale", type=click.IntRange(1, 3), default=1, show_default=True, help="Pixels per pixel of the canvas."
)
@click.option("--quality", type=click.IntRange(1, 100), default=84, show_default=True, help="For JPEG, WebP and AVIF.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The image: .jpg, .png, .webp or .avif.",
)
def render_command(file: Path, fields: Path | None, size: str, scale: int, quality: int, output: Path) -> None:
    """Render the document in FILE on this machine, with the uploads beside it."""
    from cwz_web.cli.templates.rendering import render_file

    with _reported_errors():
        rendered = render_file(file, fields, output, size=size, scale=scale, quality=quality)
    for finding in rendered.findings:
        click.echo(f"“{finding.layer}” {finding.message} ({finding.code})", err=True)
    click.echo(f"{output}  {len(rendered.data):,} bytes")


def _select(folder: "TemplateFolder", files: Iterable[Path]) -> list[str]:
    """Return the names of the selected documents; all by default. Raises CommandError for one that does not exist."""
    names = folder.documents()
    selected = [file.name for file in files]
    for file in files:
        is_inside = str(file) == file.name or file.parent.absolute() == folder.root.absolute()
        if not is_inside or file.name not in names:
            raise CommandError(f"{file} is not a document in {folder.root}")
    if not names:
        raise CommandError(f"There is no document in {folder.root}. Begin with `cwz templates pull`")
    return selected or names


def _finish(results: Iterable["Result"], *, as_json: bool) -> None:
    """Print results, and exit with status 1 if one of them is a failure."""
    done = []
    for result in results:
        done.append(result)
        if not as_json:
            _print(result)
    if as_json:
        click.echo(json.dumps({"results": [result.to_json() for result in done]}, indent=2, ensure_ascii=False))
    else:
        unchanged = sum(result.action == "unchanged" for result in done)
        click.echo(f"{len(done) - unchanged} done or reported, {unchanged} unchanged")
    if any(result.is_failure for result in done):
        raise click.exceptions.Exit(1)


def _print(result: "Result") -> None:
    from cwz_web.cli.templates.client import clean_text

    if result.action == "unchanged":
        return
    click.echo(clean_text(f"{result.action:<11} {result.file}  {result.detail}").rstrip())
    for line in result.lines:
        click.echo(f"            {clean_text(line)}")
    for finding in result.findings:
        click.echo(f"  {clean_text(str(finding))}")


@contextmanager
def _saving(folder: "TemplateFolder") -> Iterator[None]:
    """Save the index in any case: what was done before an error was done."""
    try:
        yield
    finally:
        folder.save_index()


@contextmanager
def _reported_errors() -> Iterator[None]:
    """Turn errors of the network and of files into one line, with status 2."""
    from cwz_web.cli.templates.client import ApiError, clean_text
    from cwz_web.cli.templates.folder import FolderError
    from cwz_web.cli.templates.git_history import GitError
    from cwz_web.cli.templates.rendering import EngineError

    try:
        yield
    except (ApiError, FolderError, GitError, EngineError) as error:
        raise CommandError(clean_text(str(error))) from None


def _report_progress(file: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"Rendering {file}", err=True)


def _report_wait(seconds: float, reason: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"The server is busy ({reason}): trying again in {seconds:.0f} s", err=True)
