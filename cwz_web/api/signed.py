"""`/i`: pictures for whoever has their signed address; for e-mails and `<img>`."""

from uuid import UUID

from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.generation.models import Asset, Template
from cwz_web.generation.signing import PARAMETER
from cwz_web.generation.templates import open_design
from cwz_web.imaging.encoders import Format, Output
from cwz_web.resources import SignedAsset, SignedImage
from cwz_web.storage.connections import connections_from
from cwz_web.storage.models import Connection
from cwz_web.storage.originals import Originals
from cwz_web.web.problems import Problem

MAX_QUERY = 8000
# A picture follows its template, so a browser asks again after a while.
FRESH_SECONDS = 300


@view_config(context=SignedImage, request_method="GET", permission=NO_PERMISSION_REQUIRED)
def show_image(context: SignedImage, request: Request) -> Response:
    """The picture of the parameters in the address."""
    data = _checked_parameters(request, context.workspace_id, context.__name__)
    services = request.services
    with services.database.transaction(context.workspace_id) as db:
        design = open_design(db, db.get_one(Template, (context.workspace_id, context.id)))
        connections = connections_from(db, context.workspace_id, design.template.connection_id)
    originals = Originals(context.workspace_id, [each.place for each in connections], services.providers.open)
    picture = services.maker.make(originals, design.document, data, Output(format=context.format))
    return _cacheable(request, picture.data, context.format, picture.digest, f"public, max-age={FRESH_SECONDS}")


@view_config(context=SignedAsset, request_method="GET", permission=NO_PERMISSION_REQUIRED)
def show_asset(context: SignedAsset, request: Request) -> Response:
    """A kept picture."""
    _checked_parameters(request, context.workspace_id, f"assets/{context.workspace_id}/{context.__name__}")
    services = request.services
    with services.database.transaction(context.workspace_id) as db:
        asset = db.get(Asset, (context.workspace_id, context.id))
        if asset is None or asset.content_type != context.format.content_type:
            raise Problem(404, "not_found", "There is no such picture")
        connection = db.get_one(Connection, (context.workspace_id, asset.connection_id))
    data = services.providers.open(connection.place).get(asset.key)
    return _cacheable(request, data, context.format, asset.digest, "public, max-age=31536000, immutable")


def _checked_parameters(request: Request, workspace_id: UUID, path: str) -> dict[str, str]:
    """The parameters, without the signature. Raises a Problem when it is not theirs."""
    if len(request.query_string) > MAX_QUERY:
        raise Problem(414, "address_too_long", f"The address may have {MAX_QUERY} characters of parameters at the most")
    parameters = dict(request.GET)
    if len(parameters) != len(request.GET):
        raise Problem(400, "repeated_parameter", "Each parameter may stand in the address once")
    if not request.services.addresses.is_signed(workspace_id, path, parameters):
        raise Problem(403, "bad_signature", "The signature does not fit this address: sign it again after any change")
    del parameters[PARAMETER]
    return parameters


def _cacheable(request: Request, data: bytes, format: Format, digest: str, cache: str) -> Response:
    response = Response(data, content_type=format.content_type, conditional_response=True)
    response.etag = digest
    response.headers["Cache-Control"] = cache
    return response
