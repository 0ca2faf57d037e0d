"""The engine's family of errors. Each message is for the person whose row or template it is."""


class ImagingError(Exception):
    """A picture can not be made of this."""


class UnknownColumns(ImagingError):
    """The data names columns that the template does not have."""

    def __init__(self, unknown: list[str], known: list[str]) -> None:
        self.unknown = unknown
        super().__init__(f"The template has no column {', '.join(unknown)}; it has {', '.join(known) or 'none'}")


class SourceMissing(ImagingError):
    """A picture that a layer shows can not be had."""


class BadPicture(ImagingError):
    """The bytes of a picture can not be used: another format, damaged, or too large."""
