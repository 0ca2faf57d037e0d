"""The engine's family of errors. Each message is for the person whose row or template it is."""


class ImagingError(Exception):
    """A picture can not be made of this."""


class UnknownColumns(ImagingError):
    """The data names columns that the template does not have."""

    def __init__(self, unknown: list[str], known: list[str]) -> None:
        self.unknown = unknown
        super().__init__(f"The template has no column {', '.join(unknown)}; it has {', '.join(known) or 'none'}")


class UnknownFormat(ImagingError):
    """The template has no such format."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"The template has no format {name}; it has {', '.join(known)}")


class TooLarge(ImagingError):
    """The picture would have too many pixels."""


class TookTooLong(ImagingError):
    """The picture took longer than any is given."""


class SourceMissing(ImagingError):
    """A picture or a font that a layer shows can not be had."""


class BadPicture(ImagingError):
    """The bytes of a picture can not be used: another format, damaged, or too large."""


class BadFont(ImagingError):
    """The bytes of a font can not be used."""


class BadCode(ImagingError):
    """What a QR code or a barcode shall say does not fit into one. `reason` says why, without the layer's name."""

    def __init__(self, message: str, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message)
