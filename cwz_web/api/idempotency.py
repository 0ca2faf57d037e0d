"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeated request is executed once.

The key is stored before the request is executed, its response afterwards. A response that does not depend on the
request alone (402, 409, 429, 5xx) is not stored, so the client can retry. A key whose process was killed becomes free
again after a few minutes. The keys of two callers do not meet: a caller is an API key with those that replace it, so a
retry can be sent with a rotated API key.
"""

import hashlib
import json
from collections.abc import Callable
from hashlib import sha256
from uuid import UUID

import structlog
from pyramid.response import Response
from sqlalchemy import ColumnElement, delete, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.models import IdempotencyKey
from cwz_web.web.fields import Fields
from cwz_web.web.form_body import MULTIPART, read_multipart
from cwz_web.web.problems import ProblemError, problem_response
from cwz_web.web.request import Request

log = structlog.get_logger()

HEADER = "Idempotency-Key"
MAX_KEY = 255
MAX_BODY = 16 * 1024 * 1024
# Of responses with a larger body than this, the newest ones of a workspace are kept: they would fill the database.
SMALL_BODY = 64 * 1024
MAX_LARGE_RESPONSES = 20
RETENTION = text("now() - interval '1 day'")
# No request takes longer.
ABANDONED = text("now() - interval '5 minutes'")
# Statuses that a retry can change.
TRANSIENT = frozenset({402, 409, 429})
STORED_HEADERS = ("Content-Type", "ETag", "Location", "Link", "Findings")


def run_once(request: Request, execute: Callable[[], Response]) -> Response:
    """Return the stored response of a request with an `Idempotency-Key`, or execute the request.

    Raises:
        ProblemError: The key is malformed, was sent with another request, or its first request is still running.
    """
    key, api_key = request.headers[HEADER], request.api_key
    if not (key.strip() and len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise ProblemError(
            400, "invalid_idempotency_key", f"{HEADER} must be 1 to {MAX_KEY} printable ASCII characters"
        )
    fingerprint = _fingerprint(request)
    stored = _reserve(request, api_key, key, fingerprint)
    if stored is not None:
        return stored
    try:
        response = execute()
    except ProblemError as problem:
        if problem.status in TRANSIENT or problem.status >= 500:
            _release(request, api_key, key)
        else:
            _store(request, api_key, key, problem_response(request, problem))
        raise
    except Exception:
        _release(request, api_key, key)
        raise
    try:
        _store(request, api_key, key, response)
    except SQLAlchemyError:
        # The request was executed (and an image counted), so the client gets its response all the same.
        log.exception("idempotent response not stored", key_id=str(api_key.key_id))
    return response


def _fingerprint(request: Request) -> str:
    identity = [request.method, request.path_qs, *(request.headers.get(name, "") for name in ("Accept", "Prefer"))]
    digest = sha256(json.dumps(identity).encode())
    request.body_file_seekable.seek(0)
    if request.content_type == MULTIPART:
        _hash_form(digest, read_multipart(request))
        request.body_file_seekable.seek(0)
        return digest.hexdigest()
    while chunk := request.body_file_seekable.read(1024 * 1024):
        digest.update(chunk)
    request.body_file_seekable.seek(0)
    return digest.hexdigest()


def _hash_form(digest: "hashlib._Hash", fields: Fields) -> None:
    """Add the fields of a form: their bytes differ in each attempt, by the boundary that a client chooses."""
    for name, value in fields.items():
        is_file = hasattr(value, "file")
        digest.update(json.dumps([name, is_file, value.filename if is_file else value]).encode())
        if is_file:
            digest.update(hashlib.file_digest(value.file, "sha256").digest())


def _reserve(request: Request, api_key: ApiKeyIdentity, key: str, fingerprint: str) -> Response | None:
    """Reserve the key for this request, or return the response that is stored for it."""
    of_workspace = IdempotencyKey.workspace_id == api_key.workspace_id
    identity = {"workspace_id": api_key.workspace_id, "lineage_id": api_key.lineage_id, "key": key}
    row = insert(IdempotencyKey).values(**identity, fingerprint=fingerprint)
    reserve = row.on_conflict_do_update(
        index_elements=list(identity),
        set_={"fingerprint": fingerprint, "started_at": func.now()},
        where=IdempotencyKey.status.is_(None) & (IdempotencyKey.started_at < ABANDONED),
    ).returning(IdempotencyKey.key)
    with request.services.database.transaction(api_key.workspace_id) as db:
        db.execute(delete(IdempotencyKey).where(of_workspace, IdempotencyKey.started_at < RETENTION))
        if db.execute(reserve).one_or_none() is not None:
            return None
        stored = db.get_one(IdempotencyKey, identity)
    if stored.fingerprint != fingerprint:
        raise ProblemError(422, "idempotency_key_reused", f"This {HEADER} was used for another request. Use a new key.")
    if stored.status is None:
        raise ProblemError(
            409, "request_in_flight", f"The first request with this {HEADER} is still running. Try again later."
        )
    response = Response(
        stored.body, status=stored.status, headerlist=[(name, value) for name, value in stored.headers or []]
    )
    response.headers["Idempotent-Replayed"] = "true"
    return response


def _store(request: Request, api_key: ApiKeyIdentity, key: str, response: Response) -> None:
    if len(response.body) > MAX_BODY:
        _release(request, api_key, key)
        return
    headers = [(name, response.headers[name]) for name in STORED_HEADERS if name in response.headers]
    values = {"status": response.status_int, "headers": headers, "body": response.body}
    with request.services.database.transaction(api_key.workspace_id) as db:
        db.execute(update(IdempotencyKey).where(*_where(api_key, key)).values(**values))
        if len(response.body) > SMALL_BODY:
            _delete_older_large_responses(db, api_key.workspace_id)


def _delete_older_large_responses(db: Session, workspace_id: UUID) -> None:
    is_large = (
        IdempotencyKey.workspace_id == workspace_id,
        # A literal, as in the index.
        func.octet_length(IdempotencyKey.body) > literal_column(str(SMALL_BODY)),
    )
    newest = select(IdempotencyKey.started_at).where(*is_large).order_by(IdempotencyKey.started_at.desc())
    oldest_kept = newest.offset(MAX_LARGE_RESPONSES - 1).limit(1).scalar_subquery()
    db.execute(delete(IdempotencyKey).where(*is_large, IdempotencyKey.started_at < oldest_kept))


def _release(request: Request, api_key: ApiKeyIdentity, key: str) -> None:
    with request.services.database.transaction(api_key.workspace_id) as db:
        db.execute(delete(IdempotencyKey).where(*_where(api_key, key)))


def _where(api_key: ApiKeyIdentity, key: str) -> tuple[ColumnElement[bool], ...]:
    of_caller = IdempotencyKey.workspace_id == api_key.workspace_id, IdempotencyKey.lineage_id == api_key.lineage_id
    return *of_caller, IdempotencyKey.key == key
