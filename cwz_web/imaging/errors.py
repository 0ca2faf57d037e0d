"""Errors of the image engine. Their messages are written for the owner of the row or the template."""

from cwz_web.i18n import as_clause, gettext_lazy


class ImagingError(Exception):
    """The image cannot be rendered."""

    @property
    def clause(self) -> str:
        """The message, to be continued in a sentence: its first letter is lower case."""
        return as_clause(str(self))


class UnknownFieldsError(ImagingError):
    """The data names fields that the template does not have."""

    def __init__(self, unknown: list[str], known: list[str]) -> None:
        self.unknown = unknown
        message = gettext_lazy(
            "Unknown field: %(names)s. The template has: %(known)s",
            names=", ".join(unknown),
            known=", ".join(known) or gettext_lazy("no fields"),
        )
        super().__init__(message)


class UnknownSizeError(ImagingError):
    """The template does not have this size."""

    def __init__(self, name: str, known: list[str]) -> None:
        names = ", ".join(known)
        super().__init__(gettext_lazy("Unknown size: %(name)s. The template has: %(known)s", name=name, known=names))


class ImageTooLargeError(ImagingError):
    """The image would have too many pixels, or its sources have too many bytes."""


class RenderTimeoutError(ImagingError):
    """Rendering took longer than allowed."""


class RenderProcessError(ImagingError):
    """The render process died, and so did the next one with the same image."""


class SourceMissingError(ImagingError):
    """An image or a font that a layer uses is not available.

    Attributes:
        is_temporary: whether a later attempt may find it.
        retry_after: how many seconds its host wants the client to wait.
        is_unnamed: whether the row names no image at all.
    """

    def __init__(
        self, message: str, *, is_temporary: bool = False, retry_after: float = 0.0, is_unnamed: bool = False
    ) -> None:
        self.is_temporary, self.retry_after, self.is_unnamed = is_temporary, retry_after, is_unnamed
        super().__init__(message)


class InvalidImageError(ImagingError):
    """The bytes of an image are in an unsupported format, damaged, or too large."""


class InvalidFontError(ImagingError):
    """The bytes of a font are in an unsupported format or damaged."""


class InvalidBarcodeError(ImagingError):
    """A QR code or barcode cannot encode its content.

    Attributes:
        reason: the cause, without the layer's name.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message)
