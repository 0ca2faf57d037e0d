"""`/v1/schemas`: JSON Schemas (2020-12) of documents that clients send and receive."""

from typing import Any

from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.imaging.documents import ImageTemplate
from cwz_web.resources.api import SchemaCollection
from cwz_web.web.request import Request

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_AGE_SECONDS = 3600


@view_config(context=SchemaCollection, name="template", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def template_schema(context: SchemaCollection, request: Request) -> Response:
    """Return the schema of a template document, as the engine validates it."""
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "$id": f"{request.services.settings.url}/v1/schemas/template",
        **ImageTemplate.model_json_schema(),
    }
    response = Response(json_body=schema, content_type="application/schema+json", charset="utf-8")
    response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
    return response
