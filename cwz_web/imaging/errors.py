"""The engine's family of errors. Each message is for the person whose row or template it is."""


class ImagingError(Exception):
    """An image cannot be made of this."""


class UnknownFieldsError(ImagingError):
    """The data names columns that the template does not have."""

    def __init__(self, unknown: list[str], known: list[str]) -> None:
        self.unknown = unknown
        super().__init__(f"The template has no column {', '.join(unknown)}; it has {', '.join(known) or 'none'}")


class UnknownSizeError(ImagingError):
    """The template has no such format."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"The template has no format {name}; it has {', '.join(known)}")


class ImageTooLargeError(ImagingError):
    """The image would have too many pixels."""


class RenderTimeoutError(ImagingError):
    """The image took longer than any is given."""


class SourceMissingError(ImagingError):
    """An image or a font that a layer shows cannot be had."""


class InvalidImageError(ImagingError):
    """The bytes of an image cannot be used: another format, damaged, or too large."""


class InvalidFontError(ImagingError):
    """The bytes of a font cannot be used."""


class InvalidBarcodeError(ImagingError):
    """What a QR code or a barcode shall say does not fit into one. `reason` says why, without the layer's name."""

    def __init__(self, message: str, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message)
