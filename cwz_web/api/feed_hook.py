"""`POST /hooks/feeds/{workspace}/{feed}`: a shop says that rows of a feed have changed."""

from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.feeds.change_webhooks import InvalidCallError, is_ping, receive_call
from cwz_web.resources.application import FeedHook
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

# Shops send the ids of the variants of a large product only. Without a login, the server takes no larger body either.
MAX_BODY = 1024 * 1024


@view_config(
    context=FeedHook,
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
    rate_limit="feed-webhook",
)
def receive_feed_call(context: FeedHook, request: Request) -> Response:
    """Verify a call by its signature, and enqueue a fetch. Unknown feeds and wrong signatures are answered alike."""
    if (request.content_length or 0) > MAX_BODY:
        raise ProblemError(413, "body_too_large", f"The body is larger than {MAX_BODY // 1024**2} MB")
    services, body = request.services, request.body
    if not is_ping(body):
        try:
            with services.database.transaction(context.workspace_id) as db:
                receive_call(
                    db,
                    services.ring,
                    services.feed_sources,
                    context.workspace_id,
                    context.feed_id,
                    request.headers,
                    body,
                )
        except InvalidCallError:
            detail = "There is no webhook at this URL, or the call is not signed with its secret"
            raise ProblemError(401, "invalid_signature", detail) from None
    return Response(status=200, content_type="text/plain", charset="utf-8")
