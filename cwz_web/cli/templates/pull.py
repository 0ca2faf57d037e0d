"""`cwz templates pull`: templates of an installation become files.

What was changed here is never overwritten, unless `force` says so, and nothing is deleted. Published versions do not
change, so that a template with the version in the index is not requested again.
"""

from collections.abc import Collection, Iterator
from typing import Any

from cwz_web.cli.templates.client import Client, RemoteTemplate, TemplateInfo
from cwz_web.cli.templates.documents import describe_changes, digest_json, find_references, says_the_same
from cwz_web.cli.templates.folder import Entry, TemplateFolder
from cwz_web.cli.templates.json_files import JsonError, parse_json
from cwz_web.cli.templates.results import Result


def pull(
    folder: TemplateFolder, client: Client, selected: Collection[str] = (), *, force: bool = False, draft: bool = False
) -> Iterator[Result]:
    """Write the templates of an installation to a folder, and yield what was done with each.

    Args:
        folder: the folder; its index is saved by the caller.
        client: the installation.
        selected: ids, slugs or file names of the templates; none for all.
        force: overwrite what was changed here.
        draft: take unpublished changes as well.

    Raises:
        ApiError: a request failed.
        FolderError: a file cannot be read or written.
    """
    found: set[str] = set()
    wanted = {name.removesuffix(".json") for name in selected}
    seen = set()
    for info in client.list_templates():
        if info.id in seen:  # it moved between two pages
            continue
        seen.add(info.id)
        file = folder.find_file(info.id)
        names = {str(info.id), info.slug, (file or "").removesuffix(".json")} & wanted
        if wanted and not names:
            continue
        found |= names
        result = _pull_one(folder, client, info, file, force=force, draft=draft)
        yield from (result, *_pull_uploads(folder, client, result.file))
    for name in sorted(wanted - found):
        yield Result(name, "missing", "the installation has no such template, or the key may not read it")
    if not wanted:
        for file, entry in sorted(folder.index.templates.items()):
            if entry.id is not None and entry.id not in seen:
                yield Result(file, "kept", "the template is not on the server any more, or the key may not read it")


def _pull_one(
    folder: TemplateFolder, client: Client, info: TemplateInfo, file: str | None, *, force: bool, draft: bool
) -> Result:
    entry = folder.index.templates.get(file) if file else None
    current = _read(folder, file) if file else None
    if file and entry is not None and current is None and not force:
        return Result(file, "missing", "the file was deleted here; --force writes it again")
    if file and entry is not None and entry.version == info.version and not draft and not force:
        entry.name = info.name
        return Result(file, "unchanged")
    remote = client.find_draft(info.id) if draft else client.find_template(info.id)
    if remote is None or remote.id != info.id:
        return Result(file or info.slug[:80], "missing", "the template was deleted on the server a moment ago")
    if file is None or entry is None:
        file = folder.choose_name(remote.slug)
        current = _read(folder, file)
    return _take(folder, file, entry, current, remote, force=force, draft=draft)


def _take(
    folder: TemplateFolder,
    file: str,
    entry: Entry | None,
    current: Any,
    remote: RemoteTemplate,
    *,
    force: bool,
    draft: bool,
) -> Result:
    """Write a template to its file, if that loses nothing."""
    digest = digest_json(current) if current is not None else ""
    is_same = current is not None and says_the_same(current, remote.document)
    is_changed_here = current is not None and (entry is None or digest != entry.digest)
    if is_changed_here and not is_same and not force:
        if entry is None:
            detail = f"the file exists and is not the template “{remote.name}”; rename it, or use --force"
        else:
            detail = f"changed here and, since version {entry.version}, on the server; --force takes the server's"
        return Result(file, "conflict", detail, describe_changes(current, remote.document))
    if not is_same or force:
        folder.write_document(file, remote.document)
        digest = digest_json(remote.document)
    # A draft that the file does not have: push compares it before it is replaced.
    etag = "" if remote.has_draft and not draft else remote.etag
    folder.index.templates[file] = Entry(
        id=remote.id, name=remote.name[:200], version=remote.version, etag=etag, digest=digest
    )
    if is_same:
        return Result(file, "unchanged")
    note = " and its unpublished changes" if draft and remote.has_draft else ""
    return Result(file, "updated" if current is not None else "created", f"version {remote.version}{note}")


def _pull_uploads(folder: TemplateFolder, client: Client, file: str) -> Iterator[Result]:
    """Download the uploads that a document and its sample rows refer to, as far as the folder does not have them."""
    if file not in folder.index.templates:
        return
    document = _read(folder, file)
    missing = [each for each in find_references([document, folder.read_samples(file)]) if each not in folder.uploads()]
    for digest in missing:
        upload = client.find_upload(digest)
        data = client.download_upload(digest) if upload else None
        if upload is None or data is None:
            yield Result(file, "incomplete", f"the server does not have the upload {digest[:12]}… of this template")
            continue
        folder.write_upload(data, upload.content_type, upload.name)
        yield Result(file, "uploads", f"“{upload.name}” ({len(data):,} bytes)")


def _read(folder: TemplateFolder, file: str) -> Any:
    """Return the document of a file: its text if it is not valid JSON, and None if there is no file."""
    data = folder.read_document(file)
    if data is None:
        return None
    try:
        return parse_json(data)
    except JsonError:
        return data.decode(errors="replace")
