"""Image processors: plugins that change a photo before a layer shows it, such as one that cuts the product out.

A processor is registered by the hook `cwz_image_processors`; plugins are entry points of the group
`cwz.image_processors`. docs/image-processors.md is the guide for authors, who use what is defined here and, in tests,
`processor_testing.py`. `processor_process.py` runs processors.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

import pluggy
import structlog

from cwz_web.imaging.errors import ImagingError
from cwz_web.plugin_loading import find_contract_problem, load_plugin

PROJECT = "cwz.image_processors"
API_VERSION = 1
MAX_COST = 100
# The name of a processor, in documents as well.
PROCESSOR_NAME = r"^[a-z][a-z0-9_]{1,30}$"

log = structlog.get_logger()
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ProcessingError(ImagingError):
    """A photo cannot be processed; the message says why, to the owner of the photo.

    Attributes:
        is_temporary: whether a later attempt may succeed.
    """

    def __init__(self, message: str, *, is_temporary: bool = False) -> None:
        self.is_temporary = is_temporary
        super().__init__(message)


class ImageProcessor(ABC):
    """What a plugin registers. It runs in a process of its own, holds no state of a photo and can be pickled.

    Attributes:
        api_version: the version of this contract that the plugin was written for.
        name: the name in documents; 2 to 31 lower-case letters, digits and underscores.
        version: changes whenever the same photo has another result, so that images are rendered again.
        cost: how many images the processing of a photo counts as, 0 to MAX_COST. A photo is counted once.
    """

    api_version: int
    name: str
    version: str
    cost: int = 1

    @abstractmethod
    def process(self, photo: bytes) -> bytes:
        """Return a photo as PNG or WebP with alpha, in the aspect ratio of the photo.

        Args:
            photo: the file of a JPEG, PNG, WebP, GIF or AVIF image of at most 20 MB and 50 million pixels.

        Raises:
            ProcessingError: the photo cannot be processed.
        """


@hookspec
def cwz_image_processors() -> Iterable[ImageProcessor]:  # type: ignore[empty-body]
    """Return the image processors of this plugin."""


@cache
def installed_processors() -> Mapping[str, ImageProcessor]:
    """Return the installed processors by name. A plugin that cannot be loaded is logged and skipped."""
    processors: dict[str, ImageProcessor] = {}
    for point in entry_points(group=PROJECT):
        try:
            processors |= load_processors(point, processors.keys())
        except Exception as error:
            log.error("image processor skipped", plugin=point.name, reason=str(error))
    return MappingProxyType(processors)


def load_processors(point: EntryPoint, taken: Iterable[str] = ()) -> dict[str, ImageProcessor]:
    """Return the processors of a plugin by name.

    Args:
        point: the entry point of the plugin.
        taken: names of other processors.

    Raises:
        ValueError: a processor does not fulfill the contract.
        Exception: whatever the plugin raises.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(_HOOKS)
    processors: dict[str, ImageProcessor] = {}
    for processor in load_plugin(manager, point.name, point.load, "cwz_image_processors"):
        if problem := find_processor_problem(processor):
            raise ValueError(problem)
        assert isinstance(processor, ImageProcessor)
        if processor.name in processors or processor.name in taken:
            raise ValueError(f"another plugin has a processor of the name {processor.name}")
        processors[processor.name] = processor
    return processors


class _HOOKS:
    cwz_image_processors = staticmethod(cwz_image_processors)


def find_processor_problem(processor: object) -> str:
    """Return what is wrong with the attributes of a processor, or an empty text."""
    if problem := find_contract_problem(processor, ImageProcessor, API_VERSION, ["version"], kind="processor"):
        return problem
    assert isinstance(processor, ImageProcessor)
    if not isinstance(processor.version, str) or not processor.version:
        return "its version must be a text"
    if not isinstance(processor.cost, int) or not 0 <= processor.cost <= MAX_COST:
        return f"its cost must be a whole number from 0 to {MAX_COST}"
    return ""


def processing_digest(photo_digest: str, processor: ImageProcessor) -> str:
    """Return the digest that names the result of a processor for a photo."""
    return sha256(f"{photo_digest} {processor.name} {processor.version}".encode()).hexdigest()


def processed_reference(processor: str, reference: str) -> str:
    """Return what refers to the processed photo among the sources of a row. No layer has such a reference."""
    return f"process:{processor} {reference}"
