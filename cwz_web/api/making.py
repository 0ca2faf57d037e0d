"""Pictures on demand, for a key or a signed address: looked up, drawn, counted, and kept where that is asked for."""

from collections.abc import Mapping
from uuid import UUID

from pyramid.request import Request
from pyramid.response import Response

from cwz_web.api.pages import Answer
from cwz_web.generation.assets import find_asset, read_asset, record_assets
from cwz_web.generation.models import Asset
from cwz_web.generation.recipes import Recipe
from cwz_web.generation.usage import Meter, check_room, count, counting_one
from cwz_web.imaging.encoders import Output
from cwz_web.notify.webhooks import Event, emit
from cwz_web.storage.originals import Originals


class KeptPicture(Answer):
    """A picture that is kept. `url` opens it for whoever has it."""

    id: UUID
    url: str
    digest: str
    width: int
    height: int
    bytes: int
    content_type: str


class Order:
    """A picture that somebody asks for.

    Arguments:
        meter: what it counts against.
    """

    def __init__(
        self,
        request: Request,
        meter: Meter,
        recipe: Recipe,
        data: Mapping[str, str],
        output: Output,
    ) -> None:
        self._services, self._meter = request.services, meter
        self._design, self._connection = recipe.design, recipe.connections[0]
        originals = Originals(meter.workspace_id, recipe.places, self._services.providers.open)
        self._order = self._services.maker.order(originals, self._design.document, data, output)

    @property
    def digest(self) -> str:
        """What the picture is called before it is drawn."""
        return self._order.digest

    @property
    def is_known(self) -> bool:
        """Whether the picture was made not long ago."""
        return self._services.maker.known(self._meter.workspace_id, self.digest) is not None

    @property
    def _is_kept(self) -> bool:
        """Whether the picture is in the workspace's storage."""
        with self._services.database.transaction(self._meter.workspace_id) as db:
            return find_asset(db, self._meter.workspace_id, self.digest) is not None

    def make(self) -> tuple[bytes, bool]:
        """The picture, and whether it was known already. Raises CapReached, ImagingError."""
        maker, workspace_id = self._services.maker, self._meter.workspace_id
        known = maker.known(workspace_id, self.digest)
        if known is not None:
            return known, True
        check_room(self._services.database, self._meter)
        with counting_one(self._services.database, self._meter) as begin:
            picture = maker.finish(self._order, begin)
        return maker.remember(workspace_id, self._order, picture), False

    def keep(self) -> tuple[Asset, bool]:
        """The picture in the workspace's storage, and whether it was there already. Raises StorageError, too."""
        services, workspace_id, template = self._services, self._meter.workspace_id, self._design.template
        if self._meter.is_capped and not self._is_kept:
            check_room(services.database, self._meter)
        kept = services.maker.keep(workspace_id, services.providers.open(self._connection.place), self._order)
        with services.database.transaction(workspace_id) as db:
            recorded = record_assets(
                db,
                workspace_id,
                [(template.name, kept)],
                connection_id=self._connection.id,
                template_id=template.id,
                version=self._design.version,
            )
            asset, is_new = recorded[kept.digest]
            if is_new:
                count(db, self._meter)
                about = {"run": None, "template": str(template.id), "key": asset.name}
                emit(db, workspace_id, Event.IMAGE_CREATED, services.addresses.describe(asset) | about)
        return asset, not is_new

    def fetch(self, asset: Asset) -> bytes:
        """What is kept of the picture. Raises StorageError."""
        return read_asset(self._services.providers.open(self._connection.place), asset)


def cacheable(data: bytes, content_type: str, digest: str, cache: str) -> Response:
    """A picture that browsers and proxies may keep, or 304 for those that have it (RFC 9110, 9111)."""
    response = Response(data, content_type=content_type, conditional_response=True)
    response.etag = digest
    response.headers["Cache-Control"] = cache
    return response
