"""Data in, finished picture out: the engine, the sources and a memory of finished pictures, put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from cwz_web.generation.assets import Kept
from cwz_web.generation.sources import Sources
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.effects import shrink
from cwz_web.imaging.encoders import Output, encode
from cwz_web.imaging.engine import Engine, Plan, nothing
from cwz_web.imaging.engine import Sources as FoundSources
from cwz_web.imaging.errors import SourceMissing
from cwz_web.imaging.helpers import Helpers
from cwz_web.imaging.lint import Finding
from cwz_web.imaging.memory import Memory
from cwz_web.metrics import DRAWN, FROM_MEMORY
from cwz_web.storage.connections import asset_key
from cwz_web.storage.contract import NotFound, Shelf
from cwz_web.storage.originals import Originals

FINISHED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Order:
    """A picture that is known by name before it is drawn, so that one that exists need not be."""

    plan: Plan
    values: Mapping[str, str]
    found: FoundSources
    output: Output
    digest: str

    @property
    def note(self) -> str | None:
        """What is missing in the picture, in a sentence: the pictures that could not be had."""
        reasons = {str(found) for found in self.found.values() if isinstance(found, SourceMissing)}
        texts = sorted(reason[:1].lower() + reason[1:] for reason in reasons)
        return f"The photo is missing: {', '.join(texts)}"[:500] if texts else None


class PictureMaker:
    """Makes pictures for workspaces. One a process; safe to use from several threads.

    Arguments:
        helpers: the processes that draw beside this one, if any do.
    """

    def __init__(self, engine: Engine, sources: Sources, helpers: Helpers | None = None) -> None:
        self._engine = engine
        self._helpers = helpers
        self._sources = sources
        self._finished: Memory[bytes] = Memory(FINISHED_BYTES)

    def order(
        self,
        originals: Originals,
        template: ImageTemplate,
        data: Mapping[str, str],
        output: Output,
    ) -> Order:
        """Gather everything that the picture is made of. Raises ImagingError, or the storage's StorageError."""
        plan = self._engine.plan(template, output.size, output.scale)
        values = plan.values(data)
        found = plan.load(values, lambda reference: self._sources.load(originals, reference))
        return Order(plan, values, found, output, plan.picture_digest(values, found, output))

    def finish(self, order: Order, drawn: Callable[[], object] = nothing) -> bytes:
        """Draw the picture. Raises ImagingError.

        Arguments:
            drawn: called when it is drawn, before the rest is done.
        """
        render = Plan.render if self._helpers is None else self._helpers.render
        with DRAWN.time():
            return render(order.plan, order.values, order.found, order.output, drawn)

    def preview(self, order: Order, width: int | None = None) -> bytes:
        """The picture for somebody to look at, at most so many pixels wide. Raises ImagingError."""
        pixels = order.plan.draw(order.values, order.found)
        return encode(shrink(pixels, width) if width else pixels, order.output)

    def lint(self, order: Order) -> list[Finding]:
        """What somebody should look at in the picture."""
        return order.plan.lint(order.values, order.found)

    def keep(self, workspace_id: UUID, bucket: Shelf, order: Order) -> Kept:
        """The picture in the workspace's storage, drawn and put there unless it is there already.

        Raises ImagingError, or the storage's StorageError.
        """
        format = order.output.format
        key = asset_key(workspace_id, order.digest, format)
        try:
            size = bucket.head(key).size
        except NotFound:
            data = self.finish(order)
            bucket.put(key, data, content_type=format.content_type)
            size = len(data)
        canvas = order.plan.template.canvas
        return Kept(
            digest=order.digest,
            key=key,
            content_type=format.content_type,
            width=canvas.width,
            height=canvas.height,
            size=size,
        )

    def known(self, workspace_id: UUID, digest: str) -> bytes | None:
        """The picture of a digest, if it was made not long ago."""
        picture = self._finished.get((workspace_id, digest))
        if picture is not None:
            FROM_MEMORY.inc()
        return picture

    def remember(self, workspace_id: UUID, order: Order, picture: bytes) -> bytes:
        """Remember a picture for a while. Returns it."""
        return self._finished.keep((workspace_id, order.digest), picture)
