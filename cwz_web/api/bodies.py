"""What programs send: JSON bodies through a pydantic model, with a problem that names each field that is wrong."""

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pyramid.request import Request

from cwz_web.web.forms import messages
from cwz_web.web.problems import Problem

MAX_BODY = 256 * 1024
JSON = "application/json"

M = TypeVar("M", bound=BaseModel)


def read_body(request: Request, model: type[M], max_bytes: int = MAX_BODY) -> M:
    """The request's body. Raises Problem."""
    if request.content_type != JSON:
        raise Problem(415, "not_json", "Send the body as application/json")
    if (request.content_length or 0) > max_bytes:
        raise Problem(413, "body_too_large", f"The body may have {max_bytes // 1024} KB at the most")
    try:
        # json first: pydantic's own parser would let a NUL and lone surrogates through.
        body = json.loads(request.body.decode())
    except (ValueError, RecursionError):
        raise Problem(400, "bad_json", "The body is not valid JSON in UTF-8") from None
    if "\\u0000" in json.dumps(body):
        raise Problem(422, "bad_characters", "The data holds a NUL character, which no text may have")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Problem(422, "invalid", "The request is not valid", messages(error)) from None
