"""`cwz templates lint`: the files are valid, without a server."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from cwz_web.cli.templates.documents import find_references
from cwz_web.cli.templates.folder import SAMPLES, UPLOADS, FolderError, TemplateFolder
from cwz_web.cli.templates.json_files import JsonError, find_line, format_json, locate_lines, parse_json
from cwz_web.cli.templates.rendering import EngineError, LocalRenderer, prepare_engine
from cwz_web.cli.templates.results import Finding


def lint(folder: TemplateFolder, files: Sequence[str], *, fix: bool = False, render: bool = False) -> Iterator[Finding]:
    """Yield the mistakes in documents, their uploads and their sample rows.

    Args:
        folder: the folder.
        files: the names of the documents.
        fix: write valid documents as `pull` writes them: without default values, with a line for each property.
        render: render the default values and the sample rows in all sizes, and report what the designer reports.

    Raises:
        EngineError: fonts or icons are not installed.
    """
    prepare_engine()  # a document is valid if the icons that it names exist
    for file in files:
        linter = _Linter(folder, file)
        yield from linter.check()
        if linter.template is not None and fix:
            document = json.loads(linter.template.to_json())
            if format_json(document).encode() != linter.data:
                folder.write_document(file, document)
        if linter.template is not None and render:
            yield from linter.render()
    samples = {path.name for path in (folder.root / SAMPLES).glob("*.json")}
    for name in sorted(samples - {*folder.documents()}):
        yield Finding(f"{SAMPLES}/{name}", "There is no document with the name of this file")


class _Linter:
    """The checks of one document."""

    def __init__(self, folder: TemplateFolder, file: str) -> None:
        self._folder, self._file = folder, file
        self.data = b""
        self.template: Any = None
        self._document: Any = None
        self._lines: dict[str, int] = {}
        self._rows: list[dict[str, str]] = []

    def check(self) -> Iterator[Finding]:
        try:
            self.data = self._folder.read_document(self._file) or b""
            self._document = parse_json(self.data)
            self._lines = locate_lines(self.data.decode("utf-8-sig"))
        except JsonError as error:
            yield self._finding(str(error), line=error.line)
            return
        except FolderError as error:
            yield self._finding(str(error))
            return
        yield from self._check_document()
        yield from self._check_rows()
        yield from self._check_uploads()

    def render(self) -> Iterator[Finding]:
        """Yield the findings of the images of the default values and of the sample rows, in all sizes."""
        from cwz_web.imaging.encoders import Output

        renderer = LocalRenderer(self._folder.read_upload)
        known = {field.name for field in self.template.fields}
        seen = set()
        try:
            for size in self.template.size_names:
                for number, row in enumerate([{}, *self._rows]):
                    place = f"size {size}, " + (f"sample row {number}" if number else "default values")
                    values = {name: value for name, value in row.items() if name in known}
                    try:
                        found = renderer.lint(renderer.prepare(self.template, values, Output(size=size)))
                    except EngineError as error:
                        yield self._finding(f"{error} ({place})")
                        continue
                    for finding in found:
                        # Fields of photos have no default as a rule.
                        if finding not in seen and (number or finding.code not in ("photo_missing", "row_empty")):
                            seen.add(finding)
                            message = f"“{finding.layer}” {finding.message} ({finding.code}; {place})"
                            yield self._finding(message, self._path_of(finding.layer))
        finally:
            renderer.close()

    def _check_document(self) -> Iterator[Finding]:
        from cwz_web.imaging.brand import NO_BRAND
        from cwz_web.imaging.document_length import MAX_DOCUMENT_LENGTH, DocumentTooLongError
        from cwz_web.web.document_errors import check_document

        if len(json.dumps(self._document, ensure_ascii=False)) > MAX_DOCUMENT_LENGTH:
            yield self._finding(str(DocumentTooLongError()))
            return
        self.template, errors = check_document(self._document, NO_BRAND)
        for path, message in errors.items():
            yield self._finding(message, path if path in self._lines or path != "document" else "")

    def _check_rows(self) -> Iterator[Finding]:
        name = f"{SAMPLES}/{self._file}"
        try:
            self._rows = self._folder.read_samples(self._file)
        except FolderError as error:
            yield Finding(name, str(error).removeprefix(f"{name}:"))
            return
        if self.template is None:
            return
        known = {field.name for field in self.template.fields}
        for number, row in enumerate(self._rows):
            for unknown in sorted(row.keys() - known):
                yield Finding(name, "The template has no field with this name", f"{number}.{unknown}"[:200])

    def _check_uploads(self) -> Iterator[Finding]:
        for digest in find_references([self._document, self._rows]):
            try:
                if self._folder.read_upload(digest) is not None:
                    continue
                message = f"{UPLOADS}/ does not have the upload {digest[:12]}…: pull the template, or add the file"
            except FolderError as error:
                message = str(error)
            before = self.data.partition(digest.encode())[0]
            is_here = len(before) < len(self.data)
            yield self._finding(message, line=before.count(b"\n") + 1 if is_here else 0)

    def _path_of(self, layer: str) -> str:
        """Return the path of a layer by its name; empty for none."""
        waiting = [("layers", self._document.get("layers"))]
        while waiting:
            path, layers = waiting.pop()
            for number, each in enumerate(layers if isinstance(layers, list) else ()):
                if each.get("name") == layer:
                    return f"{path}.{number}"
                waiting.append((f"{path}.{number}.layers", each.get("layers")))
        return ""

    def _finding(self, message: str, path: str = "", line: int = 0) -> Finding:
        return Finding(self._file, message, path, line or (find_line(self._lines, path) if path else 0))


def to_annotation(finding: Finding, folder: str) -> str:
    """Return a finding as a command of GitHub Actions, which shows it beside the line of the pull request."""

    def escape(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    file = escape(f"{folder}/{finding.file}").replace(":", "%3A").replace(",", "%2C")
    message = f"{finding.path}: {finding.message}" if finding.path else finding.message
    return f"::error file={file},line={max(finding.line, 1)}::{escape(message)}"
