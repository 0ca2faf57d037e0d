"""`cwz templates diff`: a page with what differs between two revisions, in the documents and pixel by pixel."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cwz_web.cli.templates.documents import describe_changes, says_the_same
from cwz_web.cli.templates.folder import FolderError, TemplateFolder, write_file
from cwz_web.cli.templates.rendering import EngineError, LocalRenderer
from cwz_web.cli.templates.revisions import Revision

if TYPE_CHECKING:
    from cwz_web.imaging.composition import Composition
    from cwz_web.imaging.documents import ImageTemplate

PAGE, IMAGES = "index.html", "images"
# Of a page; each has three files.
MAX_IMAGES = 500
MAX_ROWS = 20
# Of the files that pages have, so that no other image beside them is deleted.
_image_name = re.compile(r"[0-9a-f]{24}\.(webp|png)")


@dataclass(frozen=True)
class ComparedImage:
    """An image in both revisions.

    Attributes:
        sample: the label of its row.
        share: the share of pixels that differ, 0 to 1; 1 if only one of the revisions has the image.
        differs: whether the share is above the threshold, or the image cannot be compared.
        before: the path of its file below the page; None if the revision does not have it.
        after: likewise.
        heat: the path of the image of the difference.
        error: why it cannot be compared.
        findings: what is wrong with the new image and was not with the old one.
    """

    size: str
    sample: str
    width: int
    height: int
    share: float = 1.0
    differs: bool = True
    before: str | None = None
    after: str | None = None
    heat: str | None = None
    error: str = ""
    findings: tuple[str, ...] = ()

    @property
    def percent(self) -> str:
        """The share of pixels that differ, for people."""
        return f"{self.share * 100:.3f} %" if 0 < self.share < 0.001 else f"{self.share * 100:.2f} %"


@dataclass
class ComparedTemplate:
    """A template in both revisions.

    Attributes:
        state: `changed`, `added`, `removed`, `unchanged` or `invalid`.
        changes: what differs between the documents, as sentences.
    """

    file: str
    state: str
    changes: list[str] = field(default_factory=list)
    images: list[ComparedImage] = field(default_factory=list)

    @property
    def different_images(self) -> int:
        """How many images differ by more than the threshold, or cannot be compared."""
        return sum(image.differs for image in self.images)

    @property
    def is_shown(self) -> bool:
        """Whether the page has a section about it."""
        return bool(self.images or self.changes)

    @property
    def largest_share(self) -> float:
        """The largest share of pixels that differ in an image."""
        return max((image.share for image in self.images), default=0.0)


@dataclass
class Comparison:
    """A comparison of two revisions.

    Attributes:
        threshold: the share of pixels that may differ, 0 to 1.
        left_out: how many images are not compared, since there are too many.
    """

    before: str
    after: str
    threshold: float
    templates: list[ComparedTemplate] = field(default_factory=list)
    left_out: int = 0

    @property
    def images(self) -> list[ComparedImage]:
        """All images."""
        return [image for template in self.templates for image in template.images]

    @property
    def different_images(self) -> int:
        """How many images differ by more than the threshold, or cannot be compared."""
        return sum(image.differs for image in self.images)

    @property
    def has_differences(self) -> bool:
        """Whether an image differs by more than the threshold, or cannot be compared."""
        invalid = any(template.state == "invalid" for template in self.templates)
        return invalid or self.left_out > 0 or self.different_images > 0

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "threshold": self.threshold,
            "has_differences": self.has_differences,
            "left_out": self.left_out,
            "templates": [
                {
                    "file": template.file,
                    "state": template.state,
                    "changes": template.changes,
                    "images": [vars(image) for image in template.images],
                }
                for template in self.templates
            ],
        }


class Comparer:
    """Compares the templates of two revisions, and writes the images of their page.

    Args:
        before: the older revision.
        after: the newer one.
        folder: the folder with the sample rows.
        output: the folder of the page.
        threshold: the share of pixels of an image that may differ, 0 to 1.
        tolerance: by how much a channel of a pixel may differ, of 255.
    """

    def __init__(
        self,
        before: Revision,
        after: Revision,
        folder: TemplateFolder,
        output: Path,
        *,
        threshold: float,
        tolerance: int,
    ) -> None:
        self._revisions, self._folder, self._output = (before, after), folder, output
        self._threshold, self._tolerance = threshold, tolerance
        self._renderers = LocalRenderer(before.read_upload), LocalRenderer(after.read_upload)
        self._left = MAX_IMAGES

    def compare(
        self,
        files: Sequence[str] = (),
        *,
        include_unchanged: bool = False,
        report: Callable[[str], None] = lambda file: None,
    ) -> Comparison:
        """Compare templates.

        Args:
            files: the files to compare; none for all.
            include_unchanged: render templates whose documents say the same as well.
            report: called with each file before it is compared.

        Raises:
            FolderError: a file cannot be read or written.
        """
        before, after = self._revisions
        found = Comparison(before.label, after.label, self._threshold)
        names = sorted({*before.documents, *after.documents})
        for file in names:
            if files and file not in files:
                continue
            report(file)
            found.templates.append(self._compare_template(file, found, include_unchanged=include_unchanged))
        return found

    def close(self) -> None:
        """End the processes of image processors."""
        for renderer in self._renderers:
            renderer.close()

    def _compare_template(self, file: str, found: Comparison, *, include_unchanged: bool) -> ComparedTemplate:
        before, after = (revision.documents.get(file) for revision in self._revisions)
        if before is not None and after is not None and says_the_same(before, after):
            if not include_unchanged or isinstance(after, str):
                return ComparedTemplate(file, "unchanged" if not isinstance(after, str) else "invalid")
            compared = ComparedTemplate(file, "unchanged")
        elif before is None or after is None:
            compared = ComparedTemplate(file, "added" if before is None else "removed")
        else:
            compared = ComparedTemplate(file, "changed", describe_changes(before, after))
        templates = []
        for renderer, document in zip(self._renderers, (before, after), strict=True):
            try:
                templates.append(None if document is None else _validate(renderer, document))
            except EngineError as error:
                compared.state, compared.changes = "invalid", [str(error)]
                return compared
        old, new = templates
        for size, label, row in self._samples(file, old, new):
            if not self._left:
                found.left_out += 1
                continue
            self._left -= 1
            compared.images.append(self._compare_image(size, label, row, old, new))
        return compared

    def _samples(
        self, file: str, old: "ImageTemplate | None", new: "ImageTemplate | None"
    ) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        """Yield the sizes of both, each with the default values and the sample rows."""
        rows = self._folder.read_samples(file)[:MAX_ROWS]
        sizes = dict.fromkeys(name for template in (new, old) if template for name in template.size_names)
        for size in sizes:
            for number, row in enumerate([{}, *rows]):
                yield size, f"sample row {number}" if number else "default values", row

    def _compare_image(
        self,
        size: str,
        label: str,
        row: Mapping[str, str],
        old: "ImageTemplate | None",
        new: "ImageTemplate | None",
    ) -> ComparedImage:
        from cwz_web.imaging.encoders import Format, Output, encode
        from cwz_web.imaging.pixel_difference import compare_images

        try:
            before, after = (
                self._compose(renderer, template, row, size)
                for renderer, template in zip(self._renderers, (old, new), strict=True)
            )
        except EngineError as error:
            return ComparedImage(size, label, 0, 0, error=str(error))
        shown = after or before
        assert shown is not None  # one of the templates has the size
        height, width = shown.pixels.shape[:2]
        lossless, png = Output(format=Format.WEBP, lossless=True), Output(format=Format.PNG)
        image = ComparedImage(
            size,
            label,
            width,
            height,
            before=self._write(before.encode(lossless), "webp") if before else None,
            after=self._write(after.encode(lossless), "webp") if after else None,
            findings=_new_findings(before, after),
        )
        if before is None or after is None:
            return image
        difference = compare_images(before, after, self._tolerance)
        heat = self._write(encode(difference.heat, png), "png") if difference.changed else None
        share = difference.share
        return replace(image, share=share, differs=share > self._threshold, heat=heat)

    def _compose(
        self, renderer: LocalRenderer, template: "ImageTemplate | None", row: Mapping[str, str], size: str
    ) -> "Composition | None":
        from cwz_web.imaging.encoders import Output

        if template is None or size not in template.size_names:
            return None
        known = {each.name for each in template.fields}
        values = {name: value for name, value in row.items() if name in known}
        return renderer.compose(renderer.prepare(template, values, Output(size=size)))

    def _write(self, data: bytes, extension: str) -> str:
        """Write an image, which is named by its content, and return its path below the page."""
        path = f"{IMAGES}/{sha256(data).hexdigest()[:24]}.{extension}"
        write_file(self._output / path, data)
        return path


def write_page(comparison: Comparison, output: Path) -> Path:
    """Write the page of a comparison, and return its path. Raises FolderError."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cwz_web.cli", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("difference.jinja2").render(comparison=comparison)
    write_file(output / PAGE, page.encode())
    return output / PAGE


def clear_output(output: Path) -> None:
    """Delete the images of an earlier page in its folder, and nothing else. Raises FolderError."""
    for folder in (output, output / IMAGES):
        if folder.is_symlink():
            raise FolderError(f"{folder} is a symbolic link, which is not followed")
    for path in (output / IMAGES).glob("*"):
        if _image_name.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def _validate(renderer: LocalRenderer, document: Any) -> "ImageTemplate":
    if isinstance(document, str):
        raise EngineError(document)
    return renderer.validate(document)


def _new_findings(before: "Composition | None", after: "Composition | None") -> tuple[str, ...]:
    from cwz_web.imaging.findings import faults

    if after is None:
        return ()
    old = {*faults(before.findings)} if before else set()
    new = (finding for finding in faults(after.findings) if finding not in old)
    return tuple(f"“{finding.layer}” {finding.message} ({finding.code})" for finding in new)
