"""Ceremonies of passkeys with a software authenticator: right answers, and each way in which one can be wrong."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from structlog.testing import LogCapture
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from cwz_web.accounts import passkeys
from cwz_web.accounts.models import Account, Passkey, UsedChallenge
from cwz_web.accounts.passkeys import Ceremony, PasskeyError, PasskeyService, RelyingParty, list_passkeys
from cwz_web.accounts.sessions import BrowserTokens
from tests.authenticator import USER_PRESENT, USER_VERIFIED, Authenticator
from tests.factories import Factory

BROWSER = "a browser"
SERVICE = PasskeyService(RelyingParty("localhost", "http://localhost"), BrowserTokens("a secret of the tests " * 3))
CEREMONIES = [Ceremony.SIGN_IN, Ceremony.SECOND_FACTOR, Ceremony.PROVE]


def add(make: Factory, account: Account, key: Authenticator, name: str = "Laptop") -> Passkey:
    with make.database.transaction() as db:
        owner = db.get_one(Account, account.id)
        found = SERVICE.registration_options(db, owner, BROWSER)
        credential = key.create(found["options"])
        return SERVICE.add(db, owner, name=name, challenge=found["challenge"], credential=credential, binding=BROWSER)


def challenge(make: Factory, ceremony: Ceremony, account: Account | None = None) -> dict[str, Any]:
    with make.database.transaction() as db:
        return SERVICE.authentication_options(db, ceremony, account, BROWSER)


def answer(
    make: Factory,
    found: dict[str, Any],
    credential: str,
    ceremony: Ceremony = Ceremony.SIGN_IN,
    account: Account | None = None,
    binding: str = BROWSER,
) -> Account:
    with make.database.transaction() as db:
        return SERVICE.authenticate(
            db, ceremony, account, challenge=found["challenge"], credential=credential, binding=binding
        ).account


def authenticate(
    make: Factory, key: Authenticator, ceremony: Ceremony = Ceremony.SIGN_IN, account: Account | None = None
) -> Account:
    found = challenge(make, ceremony, account)
    return answer(make, found, key.get(found["options"]), ceremony, account)


@pytest.fixture
def account(make: Factory) -> Account:
    return make.account()


@pytest.fixture
def key(make: Factory, account: Account) -> Authenticator:
    """An authenticator that has been added to the account."""
    key = Authenticator()
    add(make, account, key)
    return key


def test_passkey_finds_its_account_and_is_used_again(make: Factory, account: Account, key: Authenticator) -> None:
    for _ in range(2):
        assert authenticate(make, key).id == account.id
    for ceremony in (Ceremony.SECOND_FACTOR, Ceremony.PROVE):
        assert authenticate(make, key, ceremony, account).id == account.id
    with make.database.transaction() as db:
        assert list_passkeys(db, account)[0].last_used_at is not None


def test_options_ask_for_a_verified_user(make: Factory, account: Account, key: Authenticator) -> None:
    with make.database.transaction() as db:
        options = SERVICE.registration_options(db, account, BROWSER)["options"]
    assert (
        options["authenticatorSelection"] | {"residentKey": "required", "userVerification": "required"}
        == options["authenticatorSelection"]
    )
    assert len(options["excludeCredentials"]) == 1
    sign_in = challenge(make, Ceremony.SIGN_IN)["options"]
    assert (sign_in["allowCredentials"], sign_in["userVerification"]) == ([], "required")
    assert len(challenge(make, Ceremony.PROVE, account)["options"]["allowCredentials"]) == 1


CHANGES: dict[str, Callable[[Authenticator], None]] = {
    "origin": lambda key: setattr(key, "origin", "https://evil.test"),
    "origin with a prefix": lambda key: setattr(key, "origin", "http://localhost.evil.test"),
    "origin with a port": lambda key: setattr(key, "origin", "http://localhost:8080"),
    "relying party": lambda key: setattr(key, "rp_id", "evil.test"),
    "no user present": lambda key: setattr(key, "flags", USER_VERIFIED),
    "no user verified": lambda key: setattr(key, "flags", USER_PRESENT),
    "another key": lambda key: setattr(key, "key", Authenticator().key),
    "another id": lambda key: setattr(key, "id", Authenticator().id),
    "another user": lambda key: setattr(key, "user_handle", b"x" * 16),
    "no user": lambda key: setattr(key, "user_handle", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_wrong_answer_is_refused(make: Factory, account: Account, key: Authenticator, change: str) -> None:
    CHANGES[change](key)
    with pytest.raises(PasskeyError):
        authenticate(make, key)
    with make.database.transaction() as db:
        assert list_passkeys(db, account)[0].last_used_at is None


@pytest.mark.parametrize(
    "change", ["origin", "origin with a port", "relying party", "no user present", "no user verified"]
)
def test_wrong_registration_is_refused(make: Factory, account: Account, change: str) -> None:
    key = Authenticator()
    CHANGES[change](key)
    with pytest.raises(PasskeyError):
        add(make, account, key)


@pytest.mark.parametrize(("length", "is_accepted"), [(1, True), (1023, True), (1024, False), (8000, False)])
def test_credential_ids_are_bounded(make: Factory, account: Account, length: int, is_accepted: bool) -> None:
    key = Authenticator(id=b"i" * length)
    if is_accepted:
        add(make, account, key)
        assert authenticate(make, key).id == account.id
    else:
        with pytest.raises(PasskeyError, match="not accepted"):
            add(make, account, key)


def test_second_factor_needs_no_verified_user(make: Factory, account: Account, key: Authenticator) -> None:
    key.flags, key.user_handle = USER_PRESENT, None
    assert authenticate(make, key, Ceremony.SECOND_FACTOR, account).id == account.id
    with pytest.raises(PasskeyError):
        authenticate(make, key, Ceremony.PROVE, account)


def test_challenge_is_valid_once(make: Factory, account: Account, key: Authenticator) -> None:
    found = challenge(make, Ceremony.SIGN_IN)
    answer(make, found, key.get(found["options"]))
    token = found["challenge"]
    # The last character of a signature in base64url has unused bits: other spellings of the token are valid as well.
    for spelling in (token, *(token[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")):
        with pytest.raises(PasskeyError):
            answer(make, found | {"challenge": spelling}, key.get(found["options"]))
    with make.database.transaction() as db:
        db.execute(update(UsedChallenge).values(expires_at=datetime.now(UTC) - timedelta(hours=1)))
    authenticate(make, key)
    with make.database.transaction() as db:
        assert len(db.scalars(select(UsedChallenge)).all()) == 1, "expired challenges are deleted"


def test_challenge_belongs_to_its_browser_and_purpose(make: Factory, account: Account, key: Authenticator) -> None:
    for ceremony in CEREMONIES:
        found = challenge(make, ceremony, account)
        credential = key.get(found["options"])
        with pytest.raises(PasskeyError):
            answer(make, found, credential, ceremony, account, binding="another browser")
        for other in set(CEREMONIES) - {ceremony}:
            with pytest.raises(PasskeyError):
                answer(make, found, credential, other, account)


def test_challenge_expires(make: Factory, key: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passkeys, "CHALLENGE_LIFETIME", timedelta(seconds=-1))
    with pytest.raises(PasskeyError, match="took too long"):
        authenticate(make, key)


def test_answer_to_another_challenge_is_refused(make: Factory, key: Authenticator) -> None:
    first, second = (challenge(make, Ceremony.SIGN_IN) for _ in range(2))
    with pytest.raises(PasskeyError):
        answer(make, second, key.get(first["options"]))


def test_passkey_of_another_account_is_refused(make: Factory, key: Authenticator) -> None:
    other = make.account()
    for ceremony in (Ceremony.SECOND_FACTOR, Ceremony.PROVE):
        with pytest.raises(PasskeyError):
            authenticate(make, key, ceremony, other)


@pytest.mark.parametrize("count", [0, 4, 5])
def test_count_that_does_not_grow_is_refused_and_logged(
    make: Factory, account: Account, key: Authenticator, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = LogCapture()
    monkeypatch.setattr(passkeys, "log", structlog.wrap_logger(None, processors=[logs]))
    key.count = 5
    authenticate(make, key)
    key.count = count
    with pytest.raises(PasskeyError, match="may have been copied"):
        authenticate(make, key)
    assert [entry["event"] for entry in logs.entries] == ["passkey may have been copied"]
    key.count = 6
    assert authenticate(make, key).id == account.id


def test_passkey_is_added_once(make: Factory, key: Authenticator) -> None:
    with pytest.raises(PasskeyError, match="already"):
        add(make, make.account(), key)


def test_account_has_at_most_so_many_passkeys(
    make: Factory, account: Account, key: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passkeys, "MAX_PASSKEYS", 1)
    with pytest.raises(PasskeyError, match="at most 1 "):
        add(make, account, Authenticator())


def test_unverified_account_does_not_sign_in(make: Factory, account: Account, key: Authenticator) -> None:
    with make.database.transaction() as db:
        db.get_one(Account, account.id).verified_at = None
    with pytest.raises(PasskeyError):
        authenticate(make, key)


def mutations(credential: str) -> st.SearchStrategy[str]:
    """Return changed credentials: other values at any place, or any text."""
    values = st.none() | st.integers() | st.text() | st.binary().map(lambda data: data.hex()) | st.just({})
    document = json.loads(credential)
    names = st.sampled_from([*document, *document["response"]])

    def change(name: str, value: Any) -> str:
        response = document["response"] | ({name: value} if name in document["response"] else {})
        return json.dumps(document | {"response": response} | ({name: value} if name in document else {}))

    return st.text() | st.builds(change, names, values)


@given(data=st.data())
def test_malformed_answer_is_refused(data: st.DataObject) -> None:
    key = Authenticator(user_handle=b"x")
    known = Passkey(account_id=None, public_key=b"", credential_id=key.id)
    credential = data.draw(mutations(key.create({"challenge": "AA", "user": {"id": "AA"}})))
    with pytest.raises(PasskeyError):
        SERVICE._verify_registration(credential, b"another")
    credential = data.draw(mutations(key.get({"challenge": "AA"})))
    with pytest.raises(PasskeyError):
        SERVICE._verify_response(passkeys._parse(credential), known, b"another", Ceremony.SIGN_IN)


def certificate(key: Authenticator, change: str) -> bytes:
    """Return a certificate in DER that no parser accepts."""
    name, day = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]), datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.key.public_key())
    signed = builder.serial_number(1).not_valid_before(day).not_valid_after(day).sign(key.key, SHA256())
    data = signed.public_bytes(Encoding.DER)
    version = bytes.fromhex("a003020102")
    return data.replace(version, version[:-1] + b"\x07") if change == "version" else data[:-40]


@pytest.mark.parametrize("change", ["version", "truncated"])
def test_malformed_attestation_is_refused(change: str) -> None:
    key = Authenticator()
    credential = json.loads(key.create({"challenge": "AA", "user": {"id": "AA"}}))
    attestation = cbor2.loads(base64url_to_bytes(credential["response"]["attestationObject"]))
    statement = {"alg": -7, "sig": b"x", "x5c": [certificate(key, change)]}
    changed = cbor2.dumps(attestation | {"fmt": "packed", "attStmt": statement})
    credential["response"]["attestationObject"] = bytes_to_base64url(changed)
    with pytest.raises(PasskeyError):
        SERVICE._verify_registration(json.dumps(credential), base64url_to_bytes("AA"))


@pytest.mark.parametrize(
    ("url", "party"),
    [
        ("https://cards.example.com", RelyingParty("cards.example.com", "https://cards.example.com")),
        ("https://cards.example.com:443", RelyingParty("cards.example.com", "https://cards.example.com")),
        ("https://cards.example.com:8443", RelyingParty("cards.example.com", "https://cards.example.com:8443")),
        ("http://127.0.0.1:6543", RelyingParty("localhost", "http://localhost:6543")),
        ("http://[::1]:6543", RelyingParty("localhost", "http://localhost:6543")),
        ("https://192.0.2.1", None),
    ],
)
def test_relying_party_is_the_host_of_the_site(url: str, party: RelyingParty | None) -> None:
    assert RelyingParty.of(url) == party
