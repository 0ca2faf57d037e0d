"""`POST /hooks/render`: render workers request specifications and objects, and report results.

Each message is signed with the render secret, and accepted once.
"""

from pydantic import BaseModel, ValidationError
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.resources.application import HooksRoot
from cwz_web.runs.object_access import access_object, find_connection_spec, find_object
from cwz_web.runs.protocol import (
    MAX_IMAGE_MESSAGE_BYTES,
    MAX_MESSAGE_BYTES,
    MessageRejectedError,
    Report,
    RequeueRequest,
    RunNotFoundError,
    SpecificationRequest,
    StoreImageRequest,
    WorkerMessage,
    verify,
)
from cwz_web.runs.reports import apply_report, build_specification, record_message_id
from cwz_web.runs.scheduling import requeue_chunk
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request


@view_config(
    context=HooksRoot, name="render", request_method="POST", permission=NO_PERMISSION_REQUIRED, require_csrf=False
)
def receive_render_message(context: HooksRoot, request: Request) -> Response:
    """Process one message of a render worker."""
    _check_size(request, MAX_IMAGE_MESSAGE_BYTES)
    try:
        message_id, message = verify(
            request.services.settings.secrets.render.get_secret_value(), request.headers, request.body
        )
        if not isinstance(message, StoreImageRequest):
            _check_size(request, MAX_MESSAGE_BYTES)
        return _process(request, message_id, message)
    except MessageRejectedError:
        detail = "The message is not signed with this installation's render secret, is too old, or was received before"
        raise ProblemError(401, "invalid_signature", detail) from None
    except ValidationError:
        detail = "The content of the message is not known. Does the render worker have the same version?"
        raise ProblemError(422, "invalid", detail) from None
    except RunNotFoundError:
        raise ProblemError(404, "not_found", "The run does not exist") from None


def _process(request: Request, message_id: str, message: WorkerMessage) -> Response:
    services = request.services
    with services.database.transaction(message.workspace_id) as db:
        record_message_id(db, message_id)
        match message:
            case Report():
                apply_report(db, message, services.signed_urls)
                return Response(status=204)
            case RequeueRequest():
                requeue_chunk(db, message.workspace_id, message.run_id, message.chunk)
                return Response(status=204)
            case SpecificationRequest():
                return _json_response(build_specification(db, message, services.providers))
            case _:
                spec = find_connection_spec(db, message)
                message = find_object(db, message)
    # After the transaction: the storage may be slow.
    return _json_response(access_object(services.providers, spec, message))


def _check_size(request: Request, max_bytes: int) -> None:
    if (request.content_length or 0) > max_bytes:
        raise ProblemError(413, "body_too_large", f"The message is larger than {max_bytes // 1024**2} MB")


def _json_response(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), content_type="application/json", charset="utf-8")
