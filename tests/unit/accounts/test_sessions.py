import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import update

from cwz_web.accounts.models import Account, LoginSession
from cwz_web.accounts.sessions import (
    ABSOLUTE_LIMIT,
    IDLE_LIMIT,
    SESSION,
    BrowserTokens,
    end_all_sessions,
    end_session,
    find_session,
    list_sessions,
    session_token,
    start_session,
)
from tests.factories import Factory

SECRET = "a session secret of the tests, long enough"
OTHER = "another session secret, as long as the first"
TOKENS = BrowserTokens(SECRET)


def start(make: Factory, account: Account) -> str:
    with make.database.transaction() as db:
        return start_session(db, db.get_one(Account, account.id), TOKENS, ip_address="192.0.2.1", user_agent="Test")[1]


def find(make: Factory, token: str, tokens: BrowserTokens = TOKENS) -> LoginSession | None:
    with make.database.transaction() as db:
        return find_session(db, token, tokens)


def test_session_is_found_by_its_token(make: Factory) -> None:
    account = make.account()
    found = find(make, start(make, account))
    assert found is not None
    assert found.account.email == account.email


def test_ended_session_is_not_found(make: Factory) -> None:
    account = make.account()
    token = start(make, account)
    found = find(make, token)
    assert found is not None
    with make.database.transaction() as db:
        assert end_session(db, account.id, found.id)
        assert not end_session(db, account.id, found.id)
    assert find(make, token) is None


def test_session_of_another_account_cannot_be_ended(make: Factory) -> None:
    token = start(make, make.account())
    found = find(make, token)
    assert found is not None
    with make.database.transaction() as db:
        assert not end_session(db, make.account().id, found.id)
    assert find(make, token) is not None


def test_end_all_sessions_keeps_one_with_a_new_token(make: Factory) -> None:
    account = make.account()
    tokens = [start(make, account) for _ in range(3)]
    kept = find(make, tokens[0])
    assert kept is not None
    with make.database.transaction() as db:
        stored = db.get_one(Account, account.id)
        end_all_sessions(db, stored, keep=kept.id)
        fresh = session_token(kept.id, stored, TOKENS)
    assert [find(make, token) for token in tokens] == [None] * 3
    assert find(make, fresh) is not None
    with make.database.transaction() as db:
        assert [session.id for session in list_sessions(db, account.id)] == [kept.id]


@pytest.mark.parametrize(
    "column", [{"last_seen_at": IDLE_LIMIT}, {"created_at": ABSOLUTE_LIMIT}], ids=["idle", "absolute"]
)
def test_session_expires(make: Factory, column: dict[str, timedelta]) -> None:
    account = make.account()
    token = start(make, account)
    [(name, limit)] = column.items()
    with make.database.transaction() as db:
        db.execute(update(LoginSession).values({name: datetime.now(UTC) - limit}))
        assert list_sessions(db, account.id) == []
    assert find(make, token) is None


def test_both_keys_are_valid_during_rotation_and_the_newest_signs(make: Factory) -> None:
    old = start(make, make.account())
    during, after = BrowserTokens(OTHER, before=SECRET), BrowserTokens(OTHER)
    assert find(make, old, during) is not None
    assert find(make, old, after) is None
    fresh = during.sign("x", timedelta(minutes=1), sub="user")
    assert after.read("x", fresh) is not None
    assert TOKENS.read("x", fresh) is None


def test_token_is_valid_for_its_audience_only(make: Factory) -> None:
    account = make.account()
    with make.database.transaction() as db:
        session, token = start_session(
            db, db.get_one(Account, account.id), TOKENS, ip_address="192.0.2.1", user_agent="Test"
        )
    assert TOKENS.read("second-factor", token) is None
    step = TOKENS.sign("second-factor", ABSOLUTE_LIMIT, sub=str(account.id), jti=str(session.id), epoch=0)
    assert find(make, step) is None


def decode_part(token: str, index: int) -> dict[str, object]:
    """Return the header (0) or the claims (1) of a token."""
    part = token.split(".")[index]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def encode(claims: dict[str, object], secret: str = SECRET, algorithm: str = "HS256") -> str:
    key = OctKey.import_key(secret)
    key_id = decode_part(TOKENS.sign("x", timedelta(minutes=1)), 0)["kid"]
    return jwt.encode({"alg": algorithm, "kid": key_id}, claims, key, algorithms=[algorithm])


@pytest.mark.parametrize(
    "change",
    [
        {"exp": int((datetime.now(UTC) - timedelta(seconds=1)).timestamp())},
        {"iss": "other"},
        {"aud": "second-factor"},
        {"aud": None},
        {"sub": "x"},
        {"sub": None},
        {"jti": "no-uuid"},
        {"jti": 7},
        {"jti": None},
        {"jti": str(uuid4())},
        {"epoch": 99},
        {"epoch": None},
        {"exp": None},
    ],
)
def test_modified_claims_are_rejected(make: Factory, change: dict[str, object]) -> None:
    claims = decode_part(start(make, make.account()), 1)
    assert find(make, encode(claims)) is not None
    assert find(make, encode({k: v for k, v in (claims | change).items() if v is not None})) is None


def test_forged_token_is_rejected(make: Factory) -> None:
    token = start(make, make.account())
    claims = decode_part(token, 1)
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for forged in (
        encode(claims, "another secret that is long enough too"),
        encode(claims, algorithm="HS512"),
        f"{header}.{token.split('.')[1]}.",
        token[:-4],
        "",
        "a.b.c",
    ):
        assert find(make, forged) is None


@given(st.text(max_size=200))
def test_any_cookie_value_is_handled(text: str) -> None:
    assert TOKENS.read(SESSION, text) is None
