import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import update

from cwz_web.accounts.models import Account, SignIn
from cwz_web.accounts.sessions import IDLE_LIMIT, SignInRefused, end_session, find_session, sign_in
from tests.factories import PASSWORD, PEPPER, Factory

SECRET = "a session secret of the tests, long enough"


def start(make: Factory, account: Account, password: str = PASSWORD, email: str | None = None) -> str:
    with make.database.transaction() as db:
        return sign_in(
            db,
            email=email or account.email,
            password=password,
            pepper=PEPPER,
            secret=SECRET,
            address="192.0.2.1",
            user_agent="Test",
        )


def find(make: Factory, token: str, secret: str = SECRET) -> SignIn | None:
    with make.database.transaction() as db:
        return find_session(db, token, secret)


def test_a_session_is_found_by_its_token(make: Factory) -> None:
    account = make.account()
    found = find(make, start(make, account))
    assert found is not None
    assert found.account.email == account.email


def test_the_address_is_compared_without_case(make: Factory) -> None:
    account = make.account()
    assert start(make, account, email=account.email.upper())


def test_a_wrong_password_and_an_unknown_address_are_refused_alike(make: Factory) -> None:
    account = make.account()
    for attempt in ({"password": "wrong"}, {"email": "nobody@example.org"}):
        with pytest.raises(SignInRefused):
            start(make, account, **attempt)


def test_an_account_without_a_password_can_not_sign_in_with_one(make: Factory) -> None:
    account = make.account(password_hash=None)
    with pytest.raises(SignInRefused):
        start(make, account, password="nobody has this password")


def test_an_ended_session_is_gone_at_once(make: Factory) -> None:
    token = start(make, make.account())
    found = find(make, token)
    assert found is not None
    with make.database.transaction() as db:
        end_session(db, found.id)
    assert find(make, token) is None


def test_a_new_epoch_ends_every_session(make: Factory) -> None:
    account = make.account()
    tokens = [start(make, account) for _ in range(2)]
    with make.database.transaction() as db:
        db.execute(update(Account).values(epoch=Account.epoch + 1))
    assert [find(make, token) for token in tokens] == [None, None]


def test_an_idle_session_ends(make: Factory) -> None:
    token = start(make, make.account())
    with make.database.transaction() as db:
        db.execute(update(SignIn).values(last_seen_at=datetime.now(UTC) - IDLE_LIMIT))
    assert find(make, token) is None


def claims_of(token: str) -> dict[str, object]:
    body = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def encode(claims: dict[str, object], secret: str = SECRET) -> str:
    return jwt.encode({"alg": "HS256", "kid": "1"}, claims, OctKey.import_key(secret))


@pytest.mark.parametrize(
    "change",
    [
        {"exp": int((datetime.now(UTC) - timedelta(seconds=1)).timestamp())},
        {"iss": "somebody"},
        {"sub": "x"},
        {"jti": "no-uuid"},
        {"jti": 7},
        {"epoch": 99},
        {"exp": None},
    ],
)
def test_a_token_with_changed_claims_is_refused(make: Factory, change: dict[str, object]) -> None:
    claims = claims_of(start(make, make.account()))
    assert find(make, encode(claims)) is not None
    assert find(make, encode({k: v for k, v in (claims | change).items() if v is not None})) is None


def test_a_forged_token_is_refused(make: Factory) -> None:
    token = start(make, make.account())
    claims = claims_of(token)
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for forged in (
        encode(claims, "another secret that is long enough too"),
        f"{header}.{token.split('.')[1]}.",
        token[:-4],
        "",
        "a.b.c",
    ):
        assert find(make, forged) is None
