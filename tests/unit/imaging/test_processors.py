import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.imaging import processors
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.engine import Engine
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.processor_process import ProcessorProcess
from cwz_web.imaging.processors import (
    PROJECT,
    ImageProcessor,
    ProcessingError,
    find_processor_problem,
    hookimpl,
    installed_processors,
    load_processors,
    processed_reference,
)
from tests.factories import jpeg
from tests.image_processors import (
    FAIL,
    GREEN,
    IGNORE_ALPHA,
    REFUSE,
    SEND_TEXT,
    SEND_TOO_MUCH,
    WAIT,
    WASTE,
    Green,
)

RED = Source.of(jpeg(color=(250, 0, 0)))
LAYER = {"type": "image", "name": "Photo", "source": "{{ photo }}", "width": 60, "height": 40, "process": "green"}


def document(*layers: dict[str, Any], **more: Any) -> ImageTemplate:
    fields = [{"name": "photo", "label": "Photo", "type": "image"}, {"name": "tags", "label": "Tags", "type": "list"}]
    return ImageTemplate.model_validate(
        {"version": 3, "canvas": {"width": 60, "height": 40}, "fields": fields, "layers": layers, **more}
    )


@pytest.fixture
def no_processors() -> Iterator[None]:
    installed_processors.cache_clear()
    yield
    installed_processors.cache_clear()


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessorProcess]:
    process = ProcessorProcess(Green())
    yield process
    process.close()


def test_processor_runs_in_its_process(process: ProcessorProcess) -> None:
    assert [process.process(jpeg()) for _ in range(2)] == [GREEN, GREEN]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (REFUSE, "The photo is not green enough"),
        (FAIL, "The image processor failed. We have recorded it"),
        (WASTE, "The image processor failed. We have recorded it"),
        (IGNORE_ALPHA, "returned an image without transparency"),
        (SEND_TEXT, "returned no image: the file is not a supported image"),
        (SEND_TOO_MUCH, "takes too much memory to process, or its result is too large"),
    ],
)
def test_failure_has_a_reason(process: ProcessorProcess, order: int, reason: str) -> None:
    with pytest.raises(ProcessingError, match=reason):
        process.process(jpeg(order))


def test_processor_that_takes_too_long_is_ended() -> None:
    process = ProcessorProcess(Green(), max_seconds=2)
    with pytest.raises(ProcessingError, match="takes more than"):
        process.process(jpeg(WAIT))
    assert process.process(jpeg()) == GREEN, "another process is started"
    process.close()


def test_photo_that_is_no_image_is_not_processed() -> None:
    with pytest.raises(ProcessingError, match="The file is not a supported image"):
        ProcessorProcess(Green()).process(b"no image")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"api_version": 2}, "it was written for version 2 of the contract, not 1"),
        ({"name": "Cut out"}, "its name must be 2 to 31"),
        ({"version": ""}, "its version must be a text"),
        ({"cost": -1}, "its cost must be a whole number from 0 to 100"),
        ({"cost": 0.5}, "its cost must be a whole number"),
    ],
)
def test_contract(changes: dict[str, Any], problem: str) -> None:
    processor = Green()
    for name, value in changes.items():
        setattr(processor, name, value)
    assert find_processor_problem(processor).startswith(problem)
    assert bool(find_processor_problem(processor)) == bool(problem)
    assert find_processor_problem("green") == "its processor is not derived from ImageProcessor"


@pytest.mark.usefixtures("no_processors")
def test_plugin_that_cannot_be_loaded_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("tests.image_processors", "tests.no_such_module", "tests.image_processors")
    points = [EntryPoint(f"plugin{n}", name, PROJECT) for n, name in enumerate(names)]
    monkeypatch.setattr(processors, "entry_points", lambda group: points if group == PROJECT else [])
    assert list(installed_processors()) == ["green"]


def test_misspelled_hook_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    @hookimpl
    def cwz_image_procesors() -> list[ImageProcessor]:
        return []

    monkeypatch.setitem(sys.modules, "misspelled", SimpleNamespace(cwz_image_procesors=cwz_image_procesors))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="unknown hook 'cwz_image_procesors'"):
        load_processors(EntryPoint("misspelled", "misspelled", PROJECT))


@pytest.mark.parametrize(
    ("processed", "color", "messages"),
    [
        (Source.of(GREEN), (0, 255, 0), []),
        (
            SourceMissingError("Too red"),
            (250, 0, 0),
            ["shows the photo as it is, without green: too red"],
        ),
        (None, (250, 0, 0), ["shows the photo as it is, without green: it was not processed"]),
    ],
    ids=["processed", "failed", "not processed"],
)
def test_layer_shows_the_processed_photo(processed: Any, color: tuple[int, ...], messages: list[str]) -> None:
    plan = Engine().plan(document(LAYER))
    values = plan.fill_values({"photo": "red"})
    assert plan.processed_photos(values) == [("green", "red")]
    sources = {"red": RED, **({processed_reference("green", "red"): processed} if processed else {})}
    image = plan.compose(values, sources)
    assert abs(image.pixels[20, 30, :3].astype(int) - color).max() < 8
    assert [finding.message for finding in image.findings] == messages
    assert [finding.message for finding in plan.lint(values, sources)] == messages


def test_number_of_processed_photos_is_limited() -> None:
    stack = {"type": "stack", "name": "S", "width": 60, "height": 40, "repeat": {"field": "tags", "limit": 10}}
    assert document({**stack, "layers": [LAYER]}).count_processed() == {"green": 10}
    assert document(LAYER | {"hidden": True}).count_processed() == {}
    with pytest.raises(ValidationError, match="process up to 11 photos; the limit is 10"):
        document({**stack, "layers": [LAYER]}, LAYER | {"name": "Other"})


def test_name_of_a_processor_is_checked() -> None:
    with pytest.raises(ValidationError, match="process"):
        document(LAYER | {"process": "../green"})
