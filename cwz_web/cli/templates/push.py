"""`cwz templates push`: files become templates of an installation.

What a person changed on the server is not overwritten: a template is replaced if it is as the index says, or as the
file was in an earlier commit. So a job that pushes after each merge does not have to commit the index.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from cwz_web.cli.templates.client import ChangedError, Client, InvalidDocumentError, RemoteTemplate
from cwz_web.cli.templates.documents import describe_changes, digest_json, find_references, is_any_of, says_the_same
from cwz_web.cli.templates.folder import MAX_DOCUMENT_BYTES, Entry, FolderError, TemplateFolder
from cwz_web.cli.templates.git_history import GitError, GitHistory
from cwz_web.cli.templates.json_files import JsonError, find_line, locate_lines, parse_json
from cwz_web.cli.templates.results import Finding, Result


def push(
    folder: TemplateFolder,
    client: Client,
    files: Sequence[str],
    *,
    publish: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> Iterator[Result]:
    """Send the documents of files to an installation, with the uploads that it lacks, and yield what was done.

    Args:
        folder: the folder; its index is saved by the caller.
        client: the installation.
        files: the names of the files.
        publish: publish the documents; otherwise they become drafts. A new template is published in any case.
        force: overwrite what was changed on the server.
        dry_run: change nothing.

    Raises:
        ApiError: a request failed.
        FolderError: a file cannot be read.
    """
    for file in files:
        yield _Push(folder, client, file, publish=publish, force=force, dry_run=dry_run).run()


class _Push:
    """The push of one file."""

    def __init__(
        self, folder: TemplateFolder, client: Client, file: str, *, publish: bool, force: bool, dry_run: bool
    ) -> None:
        self._folder, self._client, self._file = folder, client, file
        self._publish, self._force, self._dry_run = publish, force, dry_run
        self._entry = folder.index.templates.get(file, Entry())
        self._text = b""
        self._document: Any = None

    def run(self) -> Result:
        try:
            self._text = self._folder.read_document(self._file) or b""
            self._document = parse_json(self._text)
        except JsonError as error:
            return self._result("invalid", findings=[Finding(self._file, str(error), line=error.line)])
        try:
            return self._send()
        except InvalidDocumentError as error:
            return self._result("invalid", str(error), findings=self._locate(error))
        except ChangedError:
            return self._result("conflict", "the template was changed on the server a moment ago; push again")

    def _send(self) -> Result:
        remote = self._client.find_template(self._entry.id or self._file.removesuffix(".json"))
        if remote is None:
            if self._entry.id is not None and not self._force:
                return self._result("conflict", "the template was deleted on the server; --force creates it again")
            return self._create()
        draft = self._client.find_draft(remote.id) if remote.has_draft else None
        if says_the_same(self._document, remote.document) and (self._publish or draft is None):
            return self._agree(remote)
        if draft is not None and says_the_same(self._document, draft.document):
            return self._publish_draft(draft) if self._publish else self._agree(draft)
        if not self._force and (conflict := self._find_conflict(remote, draft)):
            return conflict
        return self._change(remote)

    def _find_conflict(self, remote: RemoteTemplate, draft: RemoteTemplate | None) -> Result | None:
        """Return why the template is not replaced, if it has changes that the repository does not know."""
        if remote.etag and remote.etag == self._entry.etag:
            return None
        if remote.version != self._entry.version and not self._is_known(remote.document):
            if self._entry.id is None:
                detail = f"the installation has a template “{remote.name}” already. Pull it first, or use --force"
                return self._result("conflict", detail, describe_changes(self._document, remote.document))
            base = self._client.get_version(remote.id, self._entry.version) if self._entry.version else None
            versions = f"version {self._entry.version} → {remote.version}"
            detail = f"changed on the server: {versions}. Pull it first, or use --force"
            lines = describe_changes(base if base is not None else self._document, remote.document)
            return self._result("conflict", detail, lines)
        if draft is not None and not self._is_known(draft.document):
            detail = "a draft on the server has changes that are not here. Publish or discard it, or use --force"
            return self._result("conflict", detail, describe_changes(remote.document, draft.document))
        return None

    def _is_known(self, document: Any) -> bool:
        """Return whether the file had this content in the commits that led to this one."""
        return is_any_of(document, self._earlier_documents())

    def _earlier_documents(self) -> Iterator[Any]:
        try:
            history = GitHistory(self._folder.root)
            for data in history.revisions_of(self._file, MAX_DOCUMENT_BYTES):
                try:
                    yield parse_json(data)
                except JsonError:
                    continue
        except GitError:
            return

    def _create(self) -> Result:
        name = self._entry.name or self._file.removesuffix(".json").replace("-", " ").replace("_", " ").capitalize()
        if (missing := self._send_uploads()) is not None:
            return missing
        if self._dry_run:
            return self._result("created", f"as “{name}”")
        created = self._client.create_template(name, self._document)
        return self._note(created, "created", f"as “{created.name}”, version 1")

    def _change(self, remote: RemoteTemplate) -> Result:
        if (missing := self._send_uploads()) is not None:
            return missing
        lines = describe_changes(remote.document, self._document)
        action = "published" if self._publish else "drafted"
        if self._dry_run:
            return self._result(action, f"version {remote.version} is replaced" if self._publish else "", lines)
        changed = self._client.change_template(remote.id, self._document, remote.etag, publish=self._publish)
        return self._note(changed, action, f"version {changed.version}" if self._publish else "", lines)

    def _publish_draft(self, draft: RemoteTemplate) -> Result:
        if self._dry_run:
            return self._result("published", "the draft is published")
        published = self._client.publish_template(draft.id, draft.etag)
        return self._note(published, "published", f"version {published.version}")

    def _agree(self, remote: RemoteTemplate) -> Result:
        """Note that the server has what the file says."""
        return self._note(remote, "unchanged") if not self._dry_run else self._result("unchanged")

    def _note(self, remote: RemoteTemplate, action: str, detail: str = "", lines: Sequence[str] = ()) -> Result:
        """Note in the index what the server has, and compare it: values of the brand can be those of the workspace."""
        etag = "" if remote.has_draft and not says_the_same(self._document, remote.document) else remote.etag
        self._folder.index.templates[self._file] = Entry(
            id=remote.id,
            name=remote.name[:200],
            version=remote.version,
            etag=etag,
            digest=digest_json(self._document),
        )
        if action != "unchanged" and not says_the_same(self._document, remote.document):
            note = "The server took other values, such as those of the workspace's brand. Pull with --force to see them"
            lines = [*lines, note]
        return self._result(action, detail, lines)

    def _send_uploads(self) -> Result | None:
        """Send the uploads that the workspace does not have. Return why one cannot be sent."""
        for digest in find_references(self._document):
            if self._client.find_upload(digest) is not None:
                continue
            data = self._folder.read_upload(digest)
            if data is None:
                message = f"the upload {digest[:12]}… is neither in uploads/ nor on the server"
                return self._result("invalid", findings=[Finding(self._file, message)])
            if self._dry_run:
                continue
            try:
                stored = self._client.add_upload(data, self._folder.index.uploads.get(digest, digest[:12]))
            except InvalidDocumentError as error:
                raise FolderError(f"The upload {digest[:12]}…: {error}") from None
            if stored.digest != digest:
                raise FolderError(
                    f"The server stores the upload {digest[:12]}… as {stored.digest[:64]}: add files to uploads/ with"
                    " `cwz templates add`, which prepares them as the server does"
                )
        return None

    def _locate(self, error: InvalidDocumentError) -> list[Finding]:
        lines = locate_lines(self._text.decode("utf-8-sig"))
        found = []
        for path, message in error.errors.items():
            place = path.removeprefix("document").removeprefix(".")
            found.append(Finding(self._file, message, place, find_line(lines, place)))
        return found

    def _result(
        self, action: str, detail: str = "", lines: Sequence[str] = (), findings: Sequence[Finding] = ()
    ) -> Result:
        return Result(self._file, action, detail, lines, findings)
