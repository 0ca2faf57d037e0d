"""Child processes render the same images and raise the same errors as this process, and are replaced if they die."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from textwrap import dedent
from typing import Any, ClassVar

import pytest

from cwz_web.imaging.composition import RenderedImage
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import InvalidBarcodeError, RenderProcessError, SourceMissingError
from cwz_web.imaging.placement import LoadedSources
from cwz_web.imaging.render_pool import RenderPool
from tests.factories import FONT, jpeg, small_document
from tests.installation import ROOT

FONT_SOURCE = Source.of(FONT.read_bytes())
FONT_REFERENCE = f"upload:{FONT_SOURCE.digest}"
BOX = {"x": 0, "y": 0, "width": 90, "height": 90}
TEXT = {"type": "text", "name": "text", "text": "{{ title }} é 👍", "font": FONT_REFERENCE, "size": 20, **BOX}
PHOTO = {"type": "image", "name": "photo", "source": "{{ image }}", **BOX}
CODE = {"type": "code", "name": "code", "code": "ean13", "content": "{{ title }}", **BOX}
SQUARE = {"name": "square", "width": 120, "height": 120}
SOURCES = {FONT_REFERENCE: FONT_SOURCE, "red": Source.of(jpeg())}


class LocalPlan(Plan):
    """A plan that records the processes that render it; in a child process it is rendered as a plain plan."""

    rendered: ClassVar[list[Plan]] = []

    def render(self, values: Mapping[str, str], sources: LoadedSources, output: Output) -> RenderedImage:
        self.rendered.append(self)
        return super().render(values, sources, output)


class BlockedPlan(Plan):
    """A plan that is being rendered until a test releases it."""

    def __init__(self) -> None:
        self.started, self.released = threading.Event(), threading.Event()

    def render(self, values: Mapping[str, str], sources: LoadedSources, output: Output) -> RenderedImage:
        self.started.set()
        assert self.released.wait(60)
        return RenderedImage(b"")


class FatalSource(Source):
    """A source that ends the child process that receives it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[RenderPool]:
    pool = RenderPool(1, ROOT / "node_modules", tmp_path / "fonts")
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RenderPool]:
    """A pool for tests that leave it working, since a child process takes a second to start."""
    pool = RenderPool(1, ROOT / "node_modules", tmp_path_factory.mktemp("pool") / "fonts")
    yield pool
    pool.close()


@contextmanager
def busy(pool: RenderPool) -> Iterator[None]:
    """Keep this process busy with an image, so that others are rendered in child processes."""
    plan = BlockedPlan()
    thread = threading.Thread(target=pool.render, args=(plan, {}, {}, Output()), daemon=True)
    thread.start()
    assert plan.started.wait(60)
    yield
    plan.released.set()
    thread.join()


def create_plan(*layers: dict[str, Any], output: Output | None = None) -> Plan:
    document = small_document(layers=list(layers), sizes=[SQUARE])
    output = output or Output()
    return Engine().plan(ImageTemplate.model_validate(document), output.size, output.scale)


def is_rendered_here(pool: RenderPool) -> bool:
    plan = create_plan()
    plan.__class__ = LocalPlan
    LocalPlan.rendered.clear()
    pool.render(plan, plan.fill_values({}), {}, Output())
    return bool(LocalPlan.rendered)


def test_child_process_renders_the_same_image(shared_pool: RenderPool) -> None:
    sources: LoadedSources = {**SOURCES, "gone": SourceMissingError("the image is missing")}
    outputs = [Output(), Output(size="square", scale=2, format=Format.PNG), Output(quality=20)]
    with busy(shared_pool):
        for output in outputs:
            plan = create_plan(PHOTO, TEXT, output=output)
            for image in ("red", "gone"):
                values = plan.fill_values({"title": "Ünï \udc80", "image": image})
                assert shared_pool.render(plan, values, sources, output) == plan.render(values, sources, output)
        assert not is_rendered_here(shared_pool)


def test_child_process_raises_the_same_error(shared_pool: RenderPool) -> None:
    plan = create_plan(CODE)
    values = plan.fill_values({"title": "no number"})
    with busy(shared_pool):
        with pytest.raises(InvalidBarcodeError) as there:
            shared_pool.render(plan, values, {}, Output())
        with pytest.raises(InvalidBarcodeError) as here:
            plan.render(values, {}, Output())
        assert (str(there.value), there.value.reason) == (str(here.value), here.value.reason)
        assert not is_rendered_here(shared_pool)


def test_one_image_at_a_time_starts_no_process(pool: RenderPool) -> None:
    before = set(multiprocessing.active_children())
    assert all(is_rendered_here(pool) for _ in range(3))
    assert set(multiprocessing.active_children()) == before


def test_without_processes_everything_is_rendered_here(tmp_path: Path) -> None:
    pool = RenderPool(0, ROOT / "node_modules", tmp_path / "fonts")
    with busy(pool):
        assert is_rendered_here(pool)


def test_killed_process_is_replaced(shared_pool: RenderPool) -> None:
    plan = create_plan(TEXT)
    values = plan.fill_values({})
    with busy(shared_pool):
        assert not is_rendered_here(shared_pool)
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        assert shared_pool.render(plan, values, SOURCES, Output()) == plan.render(values, SOURCES, Output())
        assert not is_rendered_here(shared_pool)


def test_image_that_ends_its_process_twice_fails_alone(shared_pool: RenderPool) -> None:
    plan = create_plan(PHOTO)
    with busy(shared_pool):
        with pytest.raises(RenderProcessError):
            shared_pool.render(plan, plan.fill_values({"image": "red"}), {"red": FatalSource(b"", "")}, Output())
        assert not is_rendered_here(shared_pool)


@pytest.mark.slow
def test_child_processes_end_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    document = json.dumps(small_document(layers=[], sizes=[SQUARE]))
    script.write_text(
        dedent(f"""
        import time
        from multiprocessing import active_children
        from pathlib import Path
        from threading import Event, Thread
        from cwz_web.imaging.documents import ImageTemplate
        from cwz_web.imaging.encoders import Output
        from cwz_web.imaging.engine import Engine, Plan
        from cwz_web.imaging.fonts import install_fonts
        from cwz_web.imaging.render_pool import RenderPool

        started = Event()

        class EndlessPlan(Plan):
            def __init__(self):
                pass

            def render(self, *_):
                started.set()
                time.sleep(600)

        if __name__ == "__main__":
            folders = Path({str(ROOT / "node_modules")!r}), Path({str(tmp_path / "fonts")!r})
            install_fonts(*folders)
            pool, output = RenderPool(1, *folders), Output()
            Thread(target=pool.render, args=(EndlessPlan(), {{}}, {{}}, output)).start()
            started.wait()
            plan = Engine().plan(ImageTemplate.model_validate_json({document!r}), output.size, output.scale)
            pool.render(plan, plan.fill_values({{}}), {{}}, output)
            print(len(active_children()), flush=True)
            time.sleep(600)
        """)
    )
    with subprocess.Popen(
        [sys.executable, script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"1\n"
        parent.kill()
        # The child has the same standard output, which ends when both processes have ended.
        assert parent.communicate(timeout=60) == (b"", None)


def test_closed_pool_renders_here(shared_pool: RenderPool) -> None:
    with busy(shared_pool):
        assert not is_rendered_here(shared_pool)
        children = len(multiprocessing.active_children())
        shared_pool.close()
        assert is_rendered_here(shared_pool)
    assert len(multiprocessing.active_children()) == children - 1
