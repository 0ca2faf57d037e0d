"""Template JSON of other services as documents in a folder."""

from pathlib import Path

from cwz_web.cli.templates.folder import MAX_DOCUMENT_BYTES, FolderError, TemplateFolder, read_file
from cwz_web.cli.templates.json_files import JsonError, parse_json
from cwz_web.importers.builder import ImportedTemplate, ImportOptions
from cwz_web.importers.detection import find_kind
from cwz_web.importers.report import InvalidImportError

EXPECTED = (
    "it has neither “config” with “objects” (Bannerbear V5), nor “available_modifications” (Bannerbear V2), "
    "nor “layers” with “uuid” or “title” (Placid)"
)


def import_file(folder: TemplateFolder, path: Path, options: ImportOptions) -> tuple[str, ImportedTemplate]:
    """Write a template of another service as a document, and return the name of its file.

    Raises:
        FolderError: the file has no such template, or there is a file with the name already.
    """
    try:
        parsed = parse_json(read_file(path.resolve(), MAX_DOCUMENT_BYTES) or b"")
        kind = find_kind(parsed)
        if kind is None:
            raise FolderError(f"{path.name} is not a template of Bannerbear or Placid: {EXPECTED}")
        imported = kind.convert(parsed, options)
    except (JsonError, InvalidImportError) as error:
        raise FolderError(f"{path.name}: {error}") from None
    name = folder.choose_name(imported.name)
    if folder.read_document(name) is not None:
        raise FolderError(f"{name} exists already. Rename it, or delete it, and try again")
    folder.write_document(name, imported.document.canonical())
    return name, imported
