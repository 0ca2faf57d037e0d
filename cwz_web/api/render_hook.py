"""`POST /hooks/render`: workers ask what to render, and tell what they rendered. Each message is signed and taken once."""

from pydantic import BaseModel, ValidationError
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.resources.application import HooksRoot
from cwz_web.runs.presigned_storage import delegated_connection, lend
from cwz_web.runs.protocol import (
    MessageRejectedError,
    PresignedUrlsRequest,
    Report,
    RunNotFoundError,
    SpecificationRequest,
    verify,
)
from cwz_web.runs.reports import apply_report, build_specification, record_message_id
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

MAX_BODY = 2 * 1024 * 1024


@view_config(
    context=HooksRoot, name="render", request_method="POST", permission=NO_PERMISSION_REQUIRED, require_csrf=False
)
def render_hook(context: HooksRoot, request: Request) -> Response:
    """Take one message, in one transaction."""
    if (request.content_length or 0) > MAX_BODY:
        raise ProblemError(413, "body_too_large", "The message is too large")
    services = request.services
    try:
        identity, message = verify(services.settings.secrets.render.get_secret_value(), request.headers, request.body)
        with services.database.transaction(message.workspace_id) as db:
            record_message_id(db, identity)
            match message:
                case Report():
                    apply_report(db, message, services.signed_urls)
                    return Response(status=204)
                case SpecificationRequest():
                    return _answer(build_specification(db, message, services.providers))
                case PresignedUrlsRequest():
                    place = delegated_connection(db, message)
        return _answer(lend(services.providers, place, message.key))
    except MessageRejectedError:
        raise ProblemError(
            401, "bad_signature", "The message is not signed by this installation, is old, or came before"
        ) from None
    except ValidationError:
        raise ProblemError(
            422, "invalid", "The message is signed but not understood; is the worker of another version?"
        ) from None
    except RunNotFoundError:
        raise ProblemError(404, "not_found", "There is no such run") from None


def _answer(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), content_type="application/json", charset="utf-8")
