"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that comes again is not done again.

The key is written down before the work begins, and the answer after it. What failed through no fault of the request
(429, 402, 5xx) is forgotten, so that it can be tried again. A key whose request never ended, since its process was
killed, is taken over after a while.
"""

import json
from collections.abc import Callable
from hashlib import sha256

from pyramid.response import Response
from sqlalchemy import ColumnElement, delete, func, text, update
from sqlalchemy.dialects.postgresql import insert

from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.models import IdempotencyKey
from cwz_web.web.problems import ProblemError, problem_response
from cwz_web.web.request import Request

HEADER = "Idempotency-Key"
MAX_KEY = 255
MAX_KEPT = 16 * 1024 * 1024
KEPT = text("now() - interval '1 day'")
# No request lasts longer.
GIVEN_UP = text("now() - interval '5 minutes'")
# What says something about the moment, and not about the request.
MOMENTARY = frozenset({402, 409, 429})
OWN_HEADERS = ("Content-Type", "ETag", "Location", "Link")


def answered_once(request: Request, work: Callable[[], Response]) -> Response:
    """The answer to a request with an `Idempotency-Key`: the one that was given before, or else what `work` gives."""
    key, owner = request.headers[HEADER], request.api_key
    if not (key.strip() and len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise ProblemError(400, "bad_idempotency_key", f"{HEADER} is 1 to {MAX_KEY} printable ASCII characters")
    fingerprint = _fingerprint(request, owner)
    before = _begin(request, owner, key, fingerprint)
    if before is not None:
        return before
    try:
        response = work()
    except ProblemError as problem:
        if problem.status in MOMENTARY or problem.status >= 500:
            _forget(request, owner, key)
        else:
            _finish(request, owner, key, problem_response(request, problem))
        raise
    except Exception:
        _forget(request, owner, key)
        raise
    _finish(request, owner, key, response)
    return response


def _fingerprint(request: Request, owner: ApiKeyIdentity) -> str:
    asked = [str(owner.key_id), request.method, request.path_qs, request.headers.get("Accept", "")]
    digest = sha256(json.dumps(asked).encode())
    request.body_file_seekable.seek(0)
    while part := request.body_file_seekable.read(1024 * 1024):
        digest.update(part)
    request.body_file_seekable.seek(0)
    return digest.hexdigest()


def _begin(request: Request, owner: ApiKeyIdentity, key: str, fingerprint: str) -> Response | None:
    """Take a key. Returns the answer that it was given before; None when it is free. Raises Problem."""
    mine = IdempotencyKey.workspace_id == owner.workspace_id
    new = insert(IdempotencyKey).values(workspace_id=owner.workspace_id, key=key, fingerprint=fingerprint)
    taken = new.on_conflict_do_update(
        index_elements=["workspace_id", "key"],
        set_={"fingerprint": fingerprint, "begun_at": func.now()},
        where=IdempotencyKey.status.is_(None) & (IdempotencyKey.begun_at < GIVEN_UP),
    ).returning(IdempotencyKey.key)
    with request.services.database.transaction(owner.workspace_id) as db:
        db.execute(delete(IdempotencyKey).where(mine, IdempotencyKey.begun_at < KEPT))
        if db.execute(taken).one_or_none() is not None:
            return None
        row = db.get_one(IdempotencyKey, (owner.workspace_id, key))
    if row.fingerprint != fingerprint:
        raise ProblemError(422, "idempotency_key_reused", f"This {HEADER} was sent with another request; use a new one")
    if row.status is None:
        raise ProblemError(409, "request_in_flight", f"The first request with this {HEADER} is still being answered")
    response = Response(row.body, status=row.status, headerlist=[(name, value) for name, value in row.headers or []])
    response.headers["Idempotent-Replayed"] = "true"
    return response


def _finish(request: Request, owner: ApiKeyIdentity, key: str, response: Response) -> None:
    if len(response.body) > MAX_KEPT:
        _forget(request, owner, key)
        return
    headers = [(name, response.headers[name]) for name in OWN_HEADERS if name in response.headers]
    given = {"status": response.status_int, "headers": headers, "body": response.body}
    with request.services.database.transaction(owner.workspace_id) as db:
        db.execute(update(IdempotencyKey).where(*_of(owner, key)).values(**given))


def _forget(request: Request, owner: ApiKeyIdentity, key: str) -> None:
    with request.services.database.transaction(owner.workspace_id) as db:
        db.execute(delete(IdempotencyKey).where(*_of(owner, key)))


def _of(owner: ApiKeyIdentity, key: str) -> tuple[ColumnElement[bool], ...]:
    return IdempotencyKey.workspace_id == owner.workspace_id, IdempotencyKey.key == key
