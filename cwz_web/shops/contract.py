"""The contract of a shop's API: reading and changing the list of a product's images, and nothing else of a product.

Settings, credentials, hosts and the outbound guard are those of feed sources (`feeds/providers/contract.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from cwz_web.feeds.providers.contract import SourceContext, SourceError
from cwz_web.imaging.encoders import Format
from cwz_web.plugin_fields import Fields

MAX_URL, MAX_ALT = 1000, 512


class ImageState(StrEnum):
    """What a shop has done with an image."""

    READY = "ready"
    PROCESSING = "processing"
    FAILED = "failed"


class ImageRefusedError(SourceError):
    """The shop does not take an image; nothing of the product has changed.

    Args:
        code: the code that the shop sent, which is one (`values.known_code`).
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ListChangedError(SourceError):
    """The list of a product's images was changed between reading and writing it; it has to be read again."""


@dataclass(frozen=True)
class ShopImage:
    """An image of a product.

    Attributes:
        id: its id in the shop.
        url: its URL in the shop; "" before it is processed.
        alt: its alternative text.
        state: what the shop has done with it.
        code: why it failed.
    """

    id: str
    url: str = ""
    alt: str = ""
    state: ImageState = ImageState.READY
    code: str = ""


@dataclass(frozen=True)
class NewImage:
    """An image that the shop fetches from a URL, with its alternative text."""

    url: str
    alt: str


class ShopConnection(ABC):
    """The API of one shop, during one job."""

    @abstractmethod
    def check(self) -> None:
        """Check that images may be written, without changing the shop.

        Raises:
            SourceError: They may not be, or the shop does not respond.
        """

    @abstractmethod
    def read(self, product_id: str) -> list[ShopImage] | None:
        """Return the images of a product in their order; None if the shop has no such product.

        Raises:
            SourceError: The shop does not respond as documented.
        """

    @abstractmethod
    def change(self, product_id: str, current: Sequence[ShopImage], target: Sequence[str | NewImage]) -> None:
        """Bring the images of a product closer to a list. The caller reads them again, and calls this until it matches.

        Args:
            product_id: the product.
            current: its images, as they were just read.
            target: the ids of images in their order, and new ones at their places. What is missing is removed.

        Raises:
            ImageRefusedError: the shop does not take a new image.
            ListChangedError: the images have changed since they were read.
            SourceError: the shop does not respond as documented. It may have done what was asked.
        """


class ShopProvider(ABC):
    """A kind of shop.

    Attributes:
        name: that of its feed source, whose .ini settings and plugin switch apply.
        label: its name in the interface.
        icon: the name of an icon of lucide.dev.
        help: how to create credentials with the least rights, as sentences.
        help_url: a page that explains it at length.
        removal: what becomes of images that are removed from a product, as a sentence.
        formats: the formats of images that it takes.
        settings_model, credentials_model: as for feed sources.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    icon: ClassVar[str]
    help: ClassVar[str]
    help_url: ClassVar[str]
    removal: ClassVar[str]
    formats: ClassVar[frozenset[Format]]
    settings_model: type[Fields]
    credentials_model: type[Fields]

    @abstractmethod
    def hosts(self, settings: Any, operator: Mapping[str, str]) -> Iterable[str]:
        """Return every host that is connected to."""

    @abstractmethod
    def url(self, settings: Any) -> str:
        """Return the URL that people know the shop by."""

    @abstractmethod
    def product_id(self, text: str) -> str:
        """Return the id of a product from a cell; "" if it is none."""

    @abstractmethod
    def connect(self, context: SourceContext[Any, Any]) -> ShopConnection:
        """Return the API of a shop. Nothing is sent yet."""
