"""`/v1/openapi.json`: the OpenAPI 3.1 document, built from the models that the views use."""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.api import (
    brand,
    campaigns,
    channels,
    feeds,
    image_batches,
    image_requests,
    images,
    publications,
    runs,
    template_previews,
    templates,
    uploads,
    usage,
)
from cwz_web.api.idempotency import HEADER, MAX_KEY
from cwz_web.api.images import IMAGE_TYPES
from cwz_web.api.pagination import DEFAULT_LIMIT, MAX_LIMIT, POSITION_PATTERN
from cwz_web.api.problem_codes import (
    ANY_OPERATION,
    PROBLEM_STATUSES,
    WITH_FILE,
    WITH_IDEMPOTENCY_KEY,
    WITH_JSON_BODY,
    codes_by_status,
)
from cwz_web.api.publications import ChangeState
from cwz_web.api.waiting import MAX_WAIT
from cwz_web.api.webhook_events import WEBHOOK_EVENTS
from cwz_web.campaigns.models import ChangeKind
from cwz_web.feeds.encodings import ENCODING_LABELS
from cwz_web.feeds.limits import MAX_NAME as MAX_COLUMN_NAME
from cwz_web.feeds.reading import CHARACTER_NAMES, DELIMITER_LABELS, MAX_CHOICE, MAX_HEADER_ROW, QUOTE_LABELS
from cwz_web.generation.api_keys import SCOPE_LABELS, Scope
from cwz_web.generation.uploads import MAX_NAME
from cwz_web.imaging.uploads import EXTENSIONS, UploadKind
from cwz_web.notify.webhook_examples import EVENT_EXAMPLES
from cwz_web.notify.webhooks import EVENT_LABELS, Event
from cwz_web.resources.api import ApiRoot
from cwz_web.web.problems import PROBLEM_JSON
from cwz_web.web.request import Request

MAX_AGE_SECONDS = 3600
REF = "#/components/schemas/{model}"
UUID_PATTERN = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
BINARY = {"schema": {"type": "string", "format": "binary"}}
UPLOAD_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": BINARY["schema"], "name": {"type": "string", "maxLength": MAX_NAME}},
}


class ProblemInfo(BaseModel):
    """A problem (RFC 9457). `code` is stable; `errors` has a message for each invalid field."""

    type: str
    title: str
    status: int
    code: str = Field(json_schema_extra={"enum": [*sorted(PROBLEM_STATUSES)]})
    detail: str
    request_id: str
    errors: dict[str, str] = {}


@dataclass(frozen=True)
class Operation:
    """An operation of the API.

    Attributes:
        name: a verb and an object, after which generated clients name their function.
        responses: the model of the response body by status; None for a response without one.
        is_paginated: whether it takes `limit` and `after`.
        accepts_file: whether the body is a file of any type, or empty.
        accepts_form: whether the body can also be a form (multipart/form-data) with a file.
        returns_file: whether the response is the file of an upload.
        returns_image: whether the response is an image.
        can_wait: whether the response waits for the end of a run if the query says so.
        problems: the codes of problems that not every operation has.
        description: what the summary does not say.
        descriptions: what the responses are, by status; by default, the summary.
    """

    name: str
    method: str
    path: str
    summary: str
    scope: Scope
    responses: dict[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    is_paginated: bool = False
    accepts_file: bool = False
    accepts_form: bool = False
    returns_file: bool = False
    returns_image: bool = False
    can_wait: bool = False
    problems: tuple[str, ...] = ()
    description: str = ""
    descriptions: dict[int, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The tag that groups it with others."""
        return TAGS[self.path.split("/")[1]]

    @property
    def problem_codes(self) -> dict[int, list[str]]:
        """The codes of all its problems, by status."""
        codes = [*ANY_OPERATION, *self.problems]
        codes += WITH_JSON_BODY if self.body else WITH_FILE if self.accepts_file else ()
        codes += WITH_IDEMPOTENCY_KEY if self.method == "post" else ()
        codes += ["not_found"] if "{" in self.path else []
        codes += ["invalid"] if self.is_paginated else []
        codes += ["conflict", "read_only"] if self.method != "get" else []
        return codes_by_status(codes)


# Tags by the first path segment.
TAGS = {
    "images": "Images",
    "image-requests": "Images",
    "templates": "Templates",
    "feeds": "Feeds",
    "runs": "Runs",
    "campaigns": "Campaigns",
    "uploads": "Uploads",
    "brand": "Brand",
    "usage": "Usage",
}
TEMPLATE = ("template_not_allowed", "unknown_template")
RUN = (*TEMPLATE, "cannot_render", "nothing_to_render", "unknown_feed")
GENERATE, READ, WRITE = Scope.GENERATE, Scope.READ, Scope.FEEDS_WRITE
UPLOADS_WRITE, BRAND_WRITE, IMAGES_WRITE = Scope.UPLOADS_WRITE, Scope.BRAND_WRITE, Scope.IMAGES_WRITE
TEMPLATES_WRITE, CAMPAIGNS_WRITE = Scope.TEMPLATES_WRITE, Scope.CAMPAIGNS_WRITE
PUBLICATIONS, PUBLICATION = "/campaigns/{id}/publications", "/campaigns/{id}/publications/{number}"
CHANNELS, CHANNEL = "/campaigns/{id}/channels", "/campaigns/{id}/channels/{channel}"
OPERATIONS = (
    Operation(
        "render_image",
        "post",
        "/images",
        "Render an image or a set, or request it with Prefer: respond-async",
        GENERATE,
        {200: images.CreatedImages, 201: images.CreatedImages, 202: image_requests.ImageRequestInfo},
        image_requests.ImageRequest,
        problems=(
            *TEMPLATE,
            "cannot_render",
            "not_acceptable",
            "photo_missing",
            "quota_exceeded",
            "storage_unavailable",
            "unknown_feed",
            "unknown_item",
            "unknown_version",
        ),
        description=(
            "Returns JSON about the stored image. A client that names an image type in Accept (image/png, image/*), or "
            "in the parameter format, gets the image itself."
        ),
        descriptions={
            200: "The image itself, or JSON about an image that was stored before",
            201: "JSON about the image that was stored now",
            202: "The image request, for Prefer: respond-async",
        },
    ),
    Operation("list_images", "get", "/images", "List stored images", READ, {200: images.ImagePage}, is_paginated=True),
    Operation("get_image", "get", "/images/{id}", "Get a stored image", READ, {200: images.ImageInfo}),
    Operation(
        "delete_image",
        "delete",
        "/images/{id}",
        "Delete a stored image",
        IMAGES_WRITE,
        {204: None},
        problems=("image_in_use",),
    ),
    Operation(
        "request_images",
        "post",
        "/image-requests",
        "Request images of up to 1,000 items",
        GENERATE,
        {202: image_requests.ImageRequestInfo},
        image_batches.ImageBatchRequest,
        problems=(*TEMPLATE, "cannot_render", "quota_exceeded", "unknown_version"),
    ),
    Operation(
        "get_image_request",
        "get",
        "/image-requests/{id}",
        "Get an image request and a page of its images",
        GENERATE,
        {200: image_requests.ImageRequestInfo},
        is_paginated=True,
        can_wait=True,
    ),
    Operation(
        "list_templates", "get", "/templates", "List templates", READ, {200: templates.TemplatePage}, is_paginated=True
    ),
    Operation(
        "create_template",
        "post",
        "/templates",
        "Create a template",
        TEMPLATES_WRITE,
        {201: templates.TemplateDetails},
        templates.TemplateRequest,
        problems=("template_not_allowed",),
        description="The errors name the place in the document, such as `document.layers.0.width`.",
    ),
    Operation(
        "get_template",
        "get",
        "/templates/{id}",
        "Get a template with its document",
        READ,
        {200: templates.TemplateDetails},
        description="The ETag of the response is for If-Match.",
    ),
    Operation(
        "update_template",
        "put",
        "/templates/{id}",
        "Change a template",
        TEMPLATES_WRITE,
        {200: templates.TemplateDetails},
        templates.TemplateChangeRequest,
        problems=("precondition_failed", "template_not_allowed"),
        description="The errors name the place in the document, such as `document.layers.0.width`.",
    ),
    Operation(
        "delete_template",
        "delete",
        "/templates/{id}",
        "Delete a template",
        TEMPLATES_WRITE,
        {204: None},
        problems=("precondition_failed", "template_not_allowed"),
        description="Members can restore it on its page for a while. Its images stay.",
    ),
    Operation(
        "get_template_draft",
        "get",
        "/templates/{id}/draft",
        "Get a template as its draft has it",
        READ,
        {200: templates.TemplateDetails},
    ),
    Operation(
        "preview_template",
        "post",
        "/templates/{id}/preview",
        "Preview a draft, a version or a document",
        TEMPLATES_WRITE,
        {200: None},
        template_previews.PreviewRequest,
        returns_image=True,
        problems=(
            "cannot_render",
            "quota_exceeded",
            "storage_unavailable",
            "unknown_feed",
            "unknown_item",
            "unknown_version",
        ),
        description="The image is neither stored nor counted, and at most 1,000 pixels wide. Only photos that image"
        " processors change for the first time count.",
    ),
    Operation(
        "show_template_thumbnail",
        "get",
        "/templates/{id}/thumbnail",
        "Show a template as a small image",
        READ,
        {200: None},
        returns_image=True,
        problems=("cannot_render", "quota_exceeded", "storage_unavailable"),
        description="The published version with its default values, 400 pixels wide at most. It is not counted; send"
        " its ETag as If-None-Match.",
    ),
    Operation(
        "publish_template",
        "post",
        "/templates/{id}/publish",
        "Publish the draft of a template",
        TEMPLATES_WRITE,
        {200: templates.TemplateDetails},
        problems=("precondition_failed", "template_not_allowed"),
    ),
    Operation(
        "list_template_versions",
        "get",
        "/templates/{id}/versions",
        "List the versions of a template",
        READ,
        {200: templates.TemplateVersionList},
    ),
    Operation(
        "get_template_version",
        "get",
        "/templates/{id}/versions/{number}",
        "Get a version of a template with its document",
        READ,
        {200: templates.TemplateVersionDetails},
    ),
    Operation("list_feeds", "get", "/feeds", "List feeds", READ, {200: feeds.FeedPage}, is_paginated=True),
    Operation(
        "create_feed",
        "post",
        "/feeds",
        "Create a feed, empty or with a source",
        WRITE,
        {201: feeds.FeedInfo},
        feeds.FeedRequest,
        problems=("plan_limit_reached",),
    ),
    Operation("get_feed", "get", "/feeds/{id}", "Get a feed", READ, {200: feeds.FeedInfo}),
    Operation(
        "update_feed",
        "patch",
        "/feeds/{id}",
        "Change the name or the currency of a feed",
        WRITE,
        {200: feeds.FeedInfo},
        feeds.FeedChangeRequest,
    ),
    Operation(
        "list_feed_items",
        "get",
        "/feeds/{id}/items",
        "List a feed's items",
        READ,
        {200: feeds.ItemPage},
        is_paginated=True,
    ),
    Operation(
        "put_feed_items",
        "post",
        "/feeds/{id}/items",
        "Create or replace items",
        WRITE,
        {200: feeds.ItemWriteInfo},
        feeds.ItemsRequest,
        problems=("feed_full",),
    ),
    Operation(
        "delete_feed_items",
        "post",
        "/feeds/{id}/remove",
        "Delete items",
        WRITE,
        {200: feeds.ItemDeleteInfo},
        feeds.ItemKeysRequest,
    ),
    Operation(
        "set_feed_formats",
        "put",
        "/feeds/{id}/formats",
        "Set the formats of columns",
        WRITE,
        {200: feeds.FeedInfo},
        feeds.ColumnFormatsRequest,
    ),
    Operation("get_feed_item", "get", "/feeds/{id}/items/{key}", "Get an item", READ, {200: feeds.ItemInfo}),
    Operation(
        "put_feed_item",
        "put",
        "/feeds/{id}/items/{key}",
        "Create or replace an item",
        WRITE,
        {200: feeds.ItemWriteInfo},
        feeds.ItemRequest,
        problems=("feed_full",),
    ),
    Operation("delete_feed_item", "delete", "/feeds/{id}/items/{key}", "Delete an item", WRITE, {204: None}),
    Operation(
        "list_feed_imports", "get", "/feeds/{id}/imports", "List a feed's newest imports", READ, {200: feeds.ImportPage}
    ),
    Operation(
        "start_feed_import",
        "post",
        "/feeds/{id}/imports",
        "Import a file, or fetch the feed's source",
        WRITE,
        {202: feeds.ImportInfo},
        accepts_file=True,
        problems=("invalid_file", "no_source"),
    ),
    Operation("get_feed_import", "get", "/feeds/{id}/imports/{number}", "Get an import", READ, {200: feeds.ImportInfo}),
    Operation(
        "apply_feed_import",
        "post",
        "/feeds/{id}/imports/{number}/apply",
        "Apply an import that needs a review",
        WRITE,
        {200: feeds.ImportInfo},
        problems=("import_not_reviewable",),
    ),
    Operation(
        "discard_feed_import",
        "post",
        "/feeds/{id}/imports/{number}/discard",
        "Discard an import that needs a review",
        WRITE,
        {200: feeds.ImportInfo},
        problems=("import_not_reviewable",),
    ),
    Operation("list_runs", "get", "/runs", "List runs", READ, {200: runs.RunPage}, is_paginated=True),
    Operation(
        "start_run",
        "post",
        "/runs",
        "Start a run",
        GENERATE,
        {201: runs.RunInfo},
        runs.RunRequest,
        problems=(*RUN, "quota_exceeded"),
    ),
    Operation(
        "preview_run",
        "post",
        "/runs/plan",
        "Preview a run",
        GENERATE,
        {200: runs.RunPlanInfo},
        runs.RunRequest,
        problems=RUN,
    ),
    Operation("get_run", "get", "/runs/{id}", "Get a run", READ, {200: runs.RunStatus}),
    Operation(
        "list_run_items",
        "get",
        "/runs/{id}/items",
        "List a run's items",
        READ,
        {200: runs.RunItemPage},
        is_paginated=True,
    ),
    Operation("cancel_run", "post", "/runs/{id}/cancel", "Cancel a run", GENERATE, {200: runs.RunInfo}),
    Operation(
        "retry_run",
        "post",
        "/runs/{id}/retry",
        "Retry the failed items of a run",
        GENERATE,
        {200: runs.RunInfo},
        problems=("quota_exceeded",),
    ),
    Operation(
        "list_campaigns", "get", "/campaigns", "List campaigns", READ, {200: campaigns.CampaignPage}, is_paginated=True
    ),
    Operation(
        "create_campaign",
        "post",
        "/campaigns",
        "Create a campaign",
        CAMPAIGNS_WRITE,
        {201: campaigns.CampaignDetails},
        campaigns.CampaignRequest,
        problems=("template_not_allowed", "unknown_feed"),
        description="The errors name the rule and the field, such as `rules.0.condition`.",
    ),
    Operation(
        "get_campaign",
        "get",
        "/campaigns/{id}",
        "Get a campaign",
        READ,
        {200: campaigns.CampaignDetails},
        description="The ETag of the response is for If-Match.",
    ),
    Operation(
        "update_campaign",
        "patch",
        "/campaigns/{id}",
        "Change a campaign",
        CAMPAIGNS_WRITE,
        {200: campaigns.CampaignDetails},
        campaigns.CampaignChangeRequest,
        problems=("approval_required", "precondition_failed", "template_not_allowed"),
        description="If the campaign is active, a publication with the change is prepared.",
    ),
    Operation(
        "delete_campaign",
        "delete",
        "/campaigns/{id}",
        "Delete a campaign",
        CAMPAIGNS_WRITE,
        {204: None},
        description="The URL of its output feed is not found from then on.",
    ),
    Operation(
        "get_campaign_plan",
        "get",
        "/campaigns/{id}/plan",
        "Get which rows get which design, and how many images would be rendered",
        READ,
        {200: campaigns.CampaignPlan},
    ),
    Operation(
        "prepare_publication",
        "post",
        "/campaigns/{id}/prepare",
        "Prepare a publication",
        CAMPAIGNS_WRITE,
        {200: campaigns.CampaignInfo},
        description="What is missing is rendered; then the publication is in the list, and webhooks are notified.",
    ),
    Operation(
        "pause_campaign",
        "post",
        "/campaigns/{id}/pause",
        "Pause a campaign",
        CAMPAIGNS_WRITE,
        {200: campaigns.CampaignInfo},
        description="Changes of its feed prepare nothing until it is resumed; what is public stays.",
    ),
    Operation(
        "resume_campaign",
        "post",
        "/campaigns/{id}/resume",
        "Resume a campaign",
        CAMPAIGNS_WRITE,
        {200: campaigns.CampaignInfo},
    ),
    Operation(
        "list_publications",
        "get",
        PUBLICATIONS,
        "List a campaign's publications",
        READ,
        {200: publications.PublicationPage},
        is_paginated=True,
    ),
    Operation("get_publication", "get", PUBLICATION, "Get a publication", READ, {200: publications.PublicationInfo}),
    Operation(
        "list_publication_changes",
        "get",
        f"{PUBLICATION}/changes",
        "List the changes of a publication",
        READ,
        {200: publications.PublicationChangePage},
        is_paginated=True,
    ),
    Operation(
        "decide_publication_changes",
        "post",
        f"{PUBLICATION}/decisions",
        "Decide about changes of a publication",
        CAMPAIGNS_WRITE,
        {200: publications.DecisionInfo, 202: publications.DecisionInfo},
        publications.DecisionRequest,
        descriptions={202: "The decision may be about many rows, and is being applied"},
        problems=("not_publishable",),
    ),
    Operation(
        "publish_publication",
        "post",
        f"{PUBLICATION}/publish",
        "Publish a publication",
        CAMPAIGNS_WRITE,
        {200: publications.PublicationInfo},
        problems=("approval_required", "not_publishable"),
        description="It is public at once, or at `publish_at` if that is later; then its state is `scheduled`.",
    ),
    Operation(
        "discard_publication",
        "post",
        f"{PUBLICATION}/discard",
        "Discard a publication",
        CAMPAIGNS_WRITE,
        {200: publications.PublicationInfo},
        problems=("not_publishable",),
    ),
    Operation(
        "roll_back_to_publication",
        "post",
        f"{PUBLICATION}/rollback",
        "Roll back to a publication",
        CAMPAIGNS_WRITE,
        {200: publications.PublicationInfo},
        problems=("not_publishable",),
        description="It is public again as it was, nothing is rendered, and the campaign is paused.",
    ),
    Operation("list_channels", "get", CHANNELS, "List a campaign's channels", READ, {200: channels.ChannelList}),
    Operation(
        "create_channel",
        "post",
        CHANNELS,
        "Add a channel",
        CAMPAIGNS_WRITE,
        {201: channels.ChannelDetails},
        channels.ChannelRequest,
        description="Its feed is written at once if something of the campaign is public, and after each publication.",
    ),
    Operation("get_channel", "get", CHANNEL, "Get a channel and its report", READ, {200: channels.ChannelDetails}),
    Operation(
        "update_channel",
        "patch",
        CHANNEL,
        "Change a channel",
        CAMPAIGNS_WRITE,
        {200: channels.ChannelDetails},
        channels.ChannelChangeRequest,
    ),
    Operation(
        "delete_channel",
        "delete",
        CHANNEL,
        "Delete a channel",
        CAMPAIGNS_WRITE,
        {204: None},
        description="Its feed is not served any more. What was stored in your storage stays there.",
    ),
    Operation("list_uploads", "get", "/uploads", "List uploads", READ, {200: uploads.UploadPage}, is_paginated=True),
    Operation(
        "create_upload",
        "post",
        "/uploads",
        "Upload an image or a font",
        UPLOADS_WRITE,
        {200: uploads.UploadInfo, 201: uploads.UploadInfo},
        uploads.UploadUrlRequest,
        accepts_form=True,
        problems=("invalid_file", "plan_limit_reached", "storage_unavailable", "uploads_full"),
        description="Send the file as multipart/form-data, or the URL of the file as JSON.",
        descriptions={200: "The upload, which the workspace had already", 201: "The new upload"},
    ),
    Operation(
        "get_upload",
        "get",
        "/uploads/{id}",
        "Get an upload and its uses",
        READ,
        {200: uploads.UploadDetails},
        description="By its id, or by the digest of its file.",
    ),
    Operation(
        "get_upload_file",
        "get",
        "/uploads/{id}/file",
        "Get the file of an upload",
        READ,
        {200: None},
        returns_file=True,
        problems=("storage_unavailable",),
        description="As it is stored: without metadata, and an SVG or GIF image as PNG.",
    ),
    Operation(
        "delete_upload",
        "delete",
        "/uploads/{id}",
        "Delete an upload",
        UPLOADS_WRITE,
        {204: None},
        problems=("upload_in_use",),
    ),
    Operation("get_brand", "get", "/brand", "Get the brand", READ, {200: brand.BrandInfo}),
    Operation(
        "replace_brand",
        "put",
        "/brand",
        "Replace the brand",
        BRAND_WRITE,
        {200: brand.ChangedBrand},
        brand.BrandRequest,
        problems=("template_not_allowed",),
    ),
    Operation("get_usage", "get", "/usage", "Get this month's usage and quotas", READ, {200: usage.UsageInfo}),
)


@view_config(context=ApiRoot, name="openapi.json", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def openapi(context: ApiRoot, request: Request) -> Response:
    """Return the OpenAPI document."""
    response = Response(json_body=document(request.services.settings.url), charset="utf-8")
    response.content_type = "application/json"
    response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
    return response


def document(url: str) -> dict[str, Any]:
    """Return the OpenAPI document of an installation."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ConnectWyze",
            "version": "1",
            "description": "Render images from data. Every error is a problem (RFC 9457) with a stable `code`.",
        },
        "servers": [{"url": f"{url}/v1"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(TAGS.values())],
        "paths": paths,
        "webhooks": {str(event): {"post": _webhook(event)} for event in WEBHOOK_EVENTS},
        "components": {"securitySchemes": {"key": _security_scheme()}, "schemas": _schemas()},
    }


def _security_scheme() -> dict[str, Any]:
    scopes = "; ".join(f"`{scope}`: {label}" for scope, label in SCOPE_LABELS.items())
    return {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "cwz_live_…",
        "description": f"An API key. The key needs the scope of the operation, or `admin`. {scopes}.",
    }


def _webhook(event: Event) -> dict[str, Any]:
    """Return the request that subscribed URLs get (Standard Webhooks)."""
    headers = ("webhook-id", "webhook-timestamp", "webhook-signature")
    content = _model(WEBHOOK_EVENTS[event]) | {"example": EVENT_EXAMPLES[event]}
    return {
        "operationId": str(event).replace(".", "_"),
        "tags": ["Webhooks"],
        "summary": EVENT_LABELS[event],
        "security": [],
        "parameters": [_parameter("header", name, {"type": "string"}) | {"required": True} for name in headers],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "2XX": {"description": "Delivered"},
            "410": {"description": "The webhook is disabled"},
            "default": {"description": "Delivered again later"},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.description} Requires an API key with the scope `{operation.scope}`.".strip(),
        "security": [{"key": [str(operation.scope)]}],
        "parameters": _parameters(operation),
        "responses": {str(status): _response(operation, status) for status in operation.responses}
        | {str(status): _problem(codes) for status, codes in operation.problem_codes.items()}
        | {"default": _problem([])},
    }
    if operation.body is not None:
        form = {"multipart/form-data": {"schema": UPLOAD_FORM}} if operation.accepts_form else {}
        entry["requestBody"] = {"required": True, "content": {"application/json": _model(operation.body)} | form}
    if operation.accepts_file:
        entry["requestBody"] = {"required": False, "content": {"application/octet-stream": BINARY}}
    return entry


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{id}" in operation.path:
        # A template can also be named by its slug, and an upload by its digest.
        has_name = operation.path == "/templates/{id}" or operation.path.startswith("/uploads/")
        of_id = {"minLength": 1, "maxLength": 100} if has_name else {"format": "uuid"}
        parameters.append(_parameter("path", "id", {"type": "string", **of_id}))
    if "{key}" in operation.path:
        parameters.append(
            _parameter("path", "key", {"type": "string", "minLength": 1, "maxLength": feeds.MAX_PATH_KEY})
        )
    if "{channel}" in operation.path:
        parameters.append(_parameter("path", "channel", {"type": "string", "format": "uuid"}))
    if "{number}" in operation.path:
        parameters.append(_parameter("path", "number", {"type": "integer", "minimum": 1, "maximum": 999_999_999}))
    if operation.is_paginated:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        by_position = operation.path.endswith(("/items", "/changes")) or operation.path == "/image-requests/{id}"
        pattern = POSITION_PATTERN if by_position else f"({UUID_PATTERN})?"
        after = {"type": "string", "pattern": f"^{pattern}$"}
        parameters += [_parameter("query", "limit", limit), _parameter("query", "after", after)]
    if operation.method == "post":
        key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"}
        parameters.append(_parameter("header", HEADER, key))
    if operation.accepts_file:
        parameters += [_parameter("query", name, schema) for name, schema in _read_option_schemas().items()]
    if operation.body is image_requests.ImageRequest:
        formats = [format.value for format in IMAGE_TYPES.values()]
        format = _parameter("query", "format", {"type": "string", "enum": formats})
        parameters.append(format | {"description": "Return the image itself, in this format, whatever Accept says"})
        parameters.append(_parameter("header", "Prefer", {"type": "string", "enum": ["respond-async"]}))
    if operation.path == "/feeds/{id}/items" and operation.method == "get":
        text = _parameter("query", "search", {"type": "string", "maxLength": feeds.MAX_SEARCH, "pattern": feeds.NO_NUL})
        parameters.append(text | {"description": "A text in any column or the key, in any case"})
        column = _parameter(
            "query", "column", {"type": "string", "maxLength": MAX_COLUMN_NAME, "pattern": feeds.NO_NUL}
        )
        parameters.append(column | {"description": "The column that has the text"})
    if operation.path == "/uploads" and operation.method == "get":
        name = {"type": "string", "maxLength": MAX_NAME, "pattern": feeds.NO_NUL}
        parameters.append(_parameter("query", "name", name) | {"description": "A text in the name, in any case"})
        parameters.append(_parameter("query", "kind", {"type": "string", "enum": list(UploadKind)}))
    if operation.can_wait:
        wait = _parameter("query", "wait", {"type": "integer", "minimum": 1, "maximum": MAX_WAIT})
        parameters.append(wait | {"description": "Respond once it has ended, after so many seconds at most"})
    if "precondition_failed" in operation.problems:
        etag = _parameter("header", "If-Match", {"type": "string", "maxLength": 200})
        parameters.append(etag | {"description": "The ETag that it must have"})
    if operation.path.endswith("/changes"):
        parameters.append(_parameter("query", "kind", {"type": "string", "enum": list(ChangeKind)}))
        parameters.append(_parameter("query", "state", {"type": "string", "enum": list(get_args(ChangeState))}))
        parameters.append(_parameter("query", "design", {"type": "integer", "minimum": 1, "maximum": 32_000}))
    if operation.path == "/runs/{id}/items":
        parameters.append(_parameter("query", "state", {"type": "string", "enum": list(runs.ITEM_STATES)}))
    return parameters


def _read_option_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of the options of how a file is read (feeds/reading.py)."""
    names = {character: name for name, character in CHARACTER_NAMES.items()}
    name = {"type": "string", "minLength": 1, "maxLength": MAX_CHOICE, "pattern": feeds.NO_NUL}
    quotes = [names.get(character, character) for character in QUOTE_LABELS]
    return {
        "encoding": {"type": "string", "enum": list(ENCODING_LABELS)},
        "delimiter": {"type": "string", "enum": [names[character] for character in DELIMITER_LABELS]},
        feeds.QUOTE_PARAMETER: {"type": "string", "enum": quotes},
        "header_row": {"type": "integer", "minimum": 0, "maximum": MAX_HEADER_ROW},
        "sheet": name,
        "member": name,
        "row_element": name,
    }


def _parameter(location: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": location, "name": name, "required": location == "path", "schema": schema}


def _problem(codes: list[str]) -> dict[str, Any]:
    """Return the response of a status with its codes; without any, of a status that every URL can have."""
    description = f"Problem: {', '.join(f'`{code}`' for code in codes)}" if codes else "Problem"
    content = {PROBLEM_JSON: _model(ProblemInfo)}
    return {"description": description, "content": content} | ({"x-problem-codes": codes} if codes else {})


def _response(operation: Operation, status: int) -> dict[str, Any]:
    model = operation.responses[status]
    if operation.returns_file:
        return {"description": operation.summary, "content": dict.fromkeys(EXTENSIONS, BINARY)}
    if operation.returns_image:
        return {"description": operation.summary, "content": dict.fromkeys(IMAGE_TYPES, BINARY)}
    if model is None:
        return {"description": "No content"}
    content = {"application/json": _model(model)}
    if model is images.CreatedImages and status == 200:
        content |= dict.fromkeys(IMAGE_TYPES, BINARY)
    return {"description": operation.descriptions.get(status, operation.summary), "content": content}


def _model(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": REF.format(model=model.__name__)}}


@cache
def _schemas() -> dict[str, Any]:
    """Return the schema of every model; cached, because building them takes 30 ms."""
    bodies = [(operation.body, "validation") for operation in OPERATIONS if operation.body is not None]
    responses = [
        (m, "serialization") for operation in OPERATIONS for m in operation.responses.values() if m is not None
    ]
    others = [(model, "serialization") for model in (ProblemInfo, *WEBHOOK_EVENTS.values())]
    models: Any = dict.fromkeys([*bodies, *responses, *others])
    _, schemas = models_json_schema(list(models), ref_template=REF)
    definitions: dict[str, Any] = schemas["$defs"]
    for schema in definitions.values():
        for member in schema.get("properties", {}).values():
            _describe_default(member)
    return definitions


def _describe_default(schema: dict[str, Any]) -> None:
    """Move a default into the description: some code generators require each property that has a default."""
    default = schema.pop("default", None)
    if default not in (None, "", [], {}):
        text = f"Default: {json.dumps(default)}."
        schema["description"] = f"{schema['description']} {text}" if "description" in schema else text
