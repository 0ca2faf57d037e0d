"""`POST /v1/image-requests`: images of many items with one template, rendered later."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Self

from pydantic import Field, model_validator
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.api.image_requests import (
    FILE_NAME,
    Data,
    DesignRequest,
    as_texts,
    enqueue_images,
    find_plan,
    list_errors,
    plan_outputs,
)
from cwz_web.api.request_body import MAX_ERRORS, Body, read_body
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.resources.api import ApiImageRequestCollection
from cwz_web.resources.permissions import Permission
from cwz_web.runs.planning import RequestedItem
from cwz_web.values.formats import LocaleCode, ValueFormat
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

MAX_ITEMS = 1000
# All items with their values; these are stored once for each output.
MAX_BATCH_BODY = 2 * 1024 * 1024
# Writing the items of more images takes long enough to leave threads to other requests.
MAX_QUICK_IMAGES = 1000


class BatchItem(Body):
    """The values of an item, and a `key` that names it in results, webhooks and files; by default its index."""

    data: Data = Field({})
    key: Annotated[str, Field(min_length=1, max_length=100, pattern=FILE_NAME)] | None = None


class ImageBatchRequest(DesignRequest):
    """The body of `POST /v1/image-requests`: up to 1,000 `items`, each rendered once for each of the `outputs`.

    All but `items` is as in `POST /v1/images`, and the same for all items. Nothing is rendered or counted if one of
    them is not valid; `errors` names it by its index (`items.3.data.price`). Rendering is different: an image that
    cannot be rendered is `failed`, has an `error` and does not count, and the others are done.
    """

    items: Annotated[list[BatchItem], Field(min_length=1, max_length=MAX_ITEMS)]
    locale: Annotated[LocaleCode, Field(max_length=40)] | None = None

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if any(output.file_name for output in self.all_outputs):
            raise ValueError("Give each item a key in place of file_name")
        keys = self.keys()
        if len(set(keys)) < len(keys):
            double = next(key for number, key in enumerate(keys) if key in keys[:number])
            raise ValueError(
                f"Two items have the key “{double}”. A key, or the index of an item without one, is unique"
            )
        return self

    def keys(self) -> list[str]:
        """Return the keys of the items."""
        return [str(number) if item.key is None else item.key for number, item in enumerate(self.items)]


@view_config(
    context=ApiImageRequestCollection, request_method="POST", permission=Permission.GENERATE, require_csrf=False
)
def create_image_batch(context: ApiImageRequestCollection, request: Request) -> Response:
    """Enqueue the images of many items."""
    body = read_body(request, ImageBatchRequest, MAX_BATCH_BODY)
    state, plan = find_plan(request, body)
    plan, outputs = plan_outputs(request, body, plan)
    if errors := dict(islice(_errors(body, plan.design.document), MAX_ERRORS)):
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    format = ValueFormat(locale=body.locale).with_defaults(state.value_format)
    items = [
        RequestedItem(as_texts(item.data, format), [key] * len(outputs))
        for item, key in zip(body.items, body.keys(), strict=True)
    ]
    is_large = len(items) * len(outputs) > MAX_QUICK_IMAGES
    with request.services.slow_requests.slot(request.api_key.workspace_id, when=is_large):
        return enqueue_images(request, body, plan, outputs, items)


def _errors(body: ImageBatchRequest, document: ImageTemplate) -> Iterator[tuple[str, str]]:
    """Yield an error for each value that the template does not take."""
    known = {field.name for field in document.fields}
    for number, item in enumerate(body.items):
        for name in item.data.keys() - known:
            yield f"items.{number}.data.{name}", "The template does not have this field"
        yield from list_errors(item.data, document, f"items.{number}.")
