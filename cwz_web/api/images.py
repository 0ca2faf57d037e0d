"""`POST /v1/images`: data in, picture out."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.api.bodies import JSON, read_body
from cwz_web.generation.assets import record_asset
from cwz_web.generation.keys import KeyOwner
from cwz_web.generation.templates import find_template, open_design
from cwz_web.imaging.documents import OWN_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.engine import Rendered
from cwz_web.resources import Api, Permission
from cwz_web.storage.connections import connections_from
from cwz_web.storage.originals import Originals
from cwz_web.web.problems import Problem

PICTURES = {format.content_type: format for format in (Format.JPEG, Format.PNG, Format.WEBP, Format.AVIF)}

Value = Annotated[str, Field(max_length=10_000)] | int | float | bool | None


class ImageRequest(BaseModel):
    """The body of `POST /v1/images`. Columns that `data` does not name show the template's defaults.

    `size` names one of the template's formats; `scale` multiplies its pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: Annotated[str, Field(min_length=1, max_length=100)]
    data: Annotated[dict[str, Value], Field(max_length=200)] = {}
    format: Format | None = None
    size: Annotated[str, Field(max_length=40)] = OWN_SIZE
    scale: Annotated[int, Field(ge=1, le=3)] = 1
    quality: Annotated[int, Field(ge=1, le=100)] = 84

    def texts(self) -> dict[str, str]:
        """The data as the engine takes it."""
        return {name: "" if value is None else str(value) for name, value in self.data.items()}


@view_config(context=Api, name="images", request_method="POST", permission=Permission.GENERATE, require_csrf=False)
def create_image(context: Api, request: Request) -> Response:
    """The picture itself, or, for `Accept: application/json`, a kept picture's description."""
    owner: KeyOwner = request.identity
    wanted = read_body(request, ImageRequest)
    accepted = _negotiate(request, wanted.format)
    format = PICTURES.get(accepted, wanted.format or Format.JPEG)
    output = Output(format=format, quality=wanted.quality, scale=wanted.scale)
    services = request.services
    with services.database.transaction(owner.workspace_id) as db:
        template = find_template(db, owner.workspace_id, wanted.template)
        if template is None:
            raise Problem(422, "unknown_template", "There is no such template", {"template": "Use its id or its slug"})
        design = open_design(db, template)
        connections = connections_from(db, owner.workspace_id, template.connection_id)
    connection = connections[0]
    originals = Originals(owner.workspace_id, [each.place for each in connections], services.providers.open)
    if accepted != JSON:
        return _picture(services.maker.make(originals, design.document, wanted.texts(), output, wanted.size))
    order = services.maker.order(originals, design.document, wanted.texts(), output, wanted.size)
    kept = services.maker.keep(owner.workspace_id, services.providers.open(connection.place), order)
    with services.database.transaction(owner.workspace_id) as db:
        asset = record_asset(
            db,
            owner.workspace_id,
            kept,
            name=template.name,
            connection_id=connection.id,
            template_id=template.id,
            version=template.version,
        )
    url = services.settings.url + services.addresses.asset(asset)
    described = kept.model_dump(include={"digest", "width", "height", "content_type"})
    return Response(json_body={"id": str(asset.id), "url": url, "bytes": kept.size, **described}, status=201)


def _picture(picture: Rendered) -> Response:
    """The bytes of a picture, named by what it was made of."""
    response = Response(picture.data, content_type=picture.output.format.content_type)
    response.etag = picture.digest
    return response


def _negotiate(request: Request, format: Format | None) -> str:
    """The content type to answer with: what Accept likes best, or the format that the body names."""
    offers = [format.content_type, JSON] if format else [*PICTURES, JSON]
    acceptable = request.accept.acceptable_offers(offers)
    if not acceptable:
        raise Problem(406, "not_acceptable", f"Accept one of {', '.join(offers)}")
    return str(acceptable[0][0])
