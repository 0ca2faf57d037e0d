"""Processes that render beside this one: they render the same, fail the same, and nobody notices when one dies."""

import fcntl
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import PIPE
from textwrap import dedent
from typing import Any, ClassVar

import pytest

from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine, LoadedSources, Plan, nothing
from cwz_web.imaging.errors import InvalidBarcodeError, SourceMissingError
from cwz_web.imaging.render_pool import ON_THE_WAY, REST_SECONDS, RenderPool
from tests.factories import FONT, jpeg, small_document
from tests.installation import ROOT, wait_for

FONT_SOURCE = Source.of(FONT.read_bytes())
OWN = f"upload:{FONT_SOURCE.digest}"
BOX = {"x": 0, "y": 0, "width": 90, "height": 90}
TEXT = {"type": "text", "name": "text", "text": "{{ title }} é 👍", "font": OWN, "size": 20, **BOX}
PHOTO = {"type": "image", "name": "photo", "source": "{{ image }}", **BOX}
CODE = {"type": "code", "name": "code", "code": "ean13", "content": "{{ title }}", **BOX}
SQUARE = {"name": "square", "width": 120, "height": 120}
FOUND = {OWN: FONT_SOURCE, "red": Source.of(jpeg())}


@pytest.fixture
def render_pool(tmp_path: Path) -> Iterator[RenderPool]:
    made = RenderPool(1, ROOT / "node_modules", tmp_path / "fonts")
    yield made
    made.close()


class StoredImage(Plan):
    """A plan whose image takes as long as a test wants, and that is rendered in this process for sure."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def render(
        self,
        values: Mapping[str, str],
        sources: LoadedSources,
        output: Output,
        rendered: Callable[[], object] = nothing,
    ) -> bytes:
        self.begun.set()
        assert self.may_end.wait(60)
        return b""


@pytest.fixture
def busy(render_pool: RenderPool) -> Iterator[None]:
    """While this process is rendering something else, and a helper has begun."""
    kept = keep_busy(render_pool)
    yield
    kept.may_end.set()


def keep_busy(render_pool: RenderPool) -> StoredImage:
    """Let this process render something, and a helper begin."""
    kept = StoredImage()
    threading.Thread(target=render_pool.render, args=(kept, {}, {}, Output()), daemon=True).start()
    assert kept.begun.wait(60)
    begin(render_pool)
    return kept


def begin(render_pool: RenderPool) -> None:
    """Render until a helper does."""
    wait_for(lambda: rendered_there(render_pool))


def rendered_there(render_pool: RenderPool) -> bool:
    here = []

    class Watched(Plan):
        def render(self, *given: Any) -> bytes:
            here.append(self)
            return super().render(*given)

    plan = plan_of()
    plan.__class__ = Watched
    render_pool.render(plan, plan.values({}), {}, Output())
    return not here


def plan_of(*layers: dict[str, Any], output: Output | None = None) -> Plan:
    document = small_document(layers=list(layers), formats=[SQUARE])
    output = output or Output()
    return Engine().plan(ImageTemplate.model_validate(document), output.size, output.scale)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("output", [Output(), Output(size="square", scale=2, format=Format.PNG), Output(quality=20)])
def test_a_helper_renders_the_same_image_under_the_same_name(render_pool: RenderPool, output: Output) -> None:
    plan = plan_of(PHOTO, TEXT, output=output)
    found: LoadedSources = {**FOUND, "gone": SourceMissingError("it is not there")}
    for image in ("red", "gone"):
        values = plan.values({"title": "Ünï \udc80", "image": image})
        assert render_pool.render(plan, values, found, output) == plan.render(values, found, output)


class Counted(Source):
    """A source that tells when it is handed over."""

    handed_over: ClassVar[list[str]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        self.handed_over.append(self.digest)
        return Source, (self.data, self.digest)


@pytest.mark.usefixtures("busy")
def test_a_photo_is_handed_over_once_and_again_to_a_helper_that_does_not_know_it(
    render_pool: RenderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counted, "handed_over", [])
    photo = Counted.of(jpeg())
    plan = plan_of(PHOTO)

    def render_there(title: str) -> None:
        values = plan.values({"title": title, "image": "red"})
        assert render_pool.render(plan, values, {"red": photo}, Output()) == plan.render(
            values, {"red": photo}, Output()
        )

    render_there("one")
    render_there("two")
    assert Counted.handed_over == [photo.digest]
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    assert not rendered_there(render_pool)
    monkeypatch.setattr("cwz_web.imaging.render_pool.time.monotonic", lambda: time.time() + REST_SECONDS)
    begin(render_pool)
    render_there("three")
    render_there("four")
    assert Counted.handed_over == [photo.digest] * 2


@pytest.mark.usefixtures("busy")
def test_finished_images_have_room_on_their_way(render_pool: RenderPool) -> None:
    queue: Any = render_pool._pool._result_queue  # type: ignore[union-attr]
    assert fcntl.fcntl(queue._reader.fileno(), fcntl.F_GETPIPE_SZ) == ON_THE_WAY


@pytest.mark.usefixtures("busy")
def test_what_can_not_be_rendered_is_said_as_it_is_here(render_pool: RenderPool) -> None:
    plan = plan_of(CODE)
    with pytest.raises(InvalidBarcodeError) as there:
        render_pool.render(plan, plan.values({"title": "no number"}), {}, Output())
    with pytest.raises(InvalidBarcodeError) as here:
        plan.render(plan.values({"title": "no number"}), {}, Output())
    assert (str(there.value), there.value.reason) == (str(here.value), here.value.reason)
    assert rendered_there(render_pool)


@pytest.mark.parametrize("where", ["here", "there"])
def test_whoever_asks_is_told_once_that_it_is_rendered(
    render_pool: RenderPool, where: str, request: pytest.FixtureRequest
) -> None:
    if where == "there":
        request.getfixturevalue("busy")
    told: list[str] = []
    plan, fails = plan_of(TEXT), plan_of(CODE)
    render_pool.render(plan, plan.values({}), FOUND, Output(), lambda: told.append("rendered"))
    with pytest.raises(InvalidBarcodeError):
        render_pool.render(fails, fails.values({"title": "no number"}), {}, Output(), lambda: told.append("failed"))
    assert told == ["rendered"]


def test_one_image_at_a_time_needs_no_helper(render_pool: RenderPool) -> None:
    assert not any(rendered_there(render_pool) for _ in range(3))
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("busy")
def test_a_helper_that_dies_is_not_missed(render_pool: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    plan = plan_of(TEXT)
    values = plan.values({})
    assert render_pool.render(plan, values, FOUND, Output()) == plan.render(values, FOUND, Output())
    assert not rendered_there(render_pool)
    assert not multiprocessing.active_children(), "others are started at once"
    monkeypatch.setattr("cwz_web.imaging.render_pool.time.monotonic", lambda: time.time() + REST_SECONDS)
    begin(render_pool)


def test_once_they_are_closed_everything_is_rendered_here(render_pool: RenderPool) -> None:
    kept = keep_busy(render_pool)
    render_pool.close()
    assert not rendered_there(render_pool)
    assert not multiprocessing.active_children()
    kept.may_end.set()


def test_helpers_end_with_their_parent_however_it_ends(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        dedent(f"""
        import time
        from pathlib import Path
        from cwz_web.imaging.fonts import install_fonts
        from cwz_web.imaging.render_pool import Helpers
        from tests.unit.imaging.test_helpers import keep_busy

        if __name__ == "__main__":
            fonts = Path({str(ROOT / "node_modules")!r}), Path({str(tmp_path / "fonts")!r})
            install_fonts(*fonts)
            helpers = Helpers(1, *fonts)
            keep_busy(helpers)
            print("rendered", flush=True)
            time.sleep(600)
        """)
    )
    with subprocess.Popen(
        [sys.executable, script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"rendered\n"
        parent.kill()
        # A helper has the same standard output: it is at its end when both are.
        assert parent.communicate(timeout=60) == (b"", None)
