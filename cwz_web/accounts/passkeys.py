"""Passkeys: credentials of the Web Authentication API (W3C WebAuthn Level 3), verified by the library webauthn.

A passkey signs in on its own, which requires that the authenticator verified its user, or replaces the authentication
code of a password sign-in. A challenge is a signed token that is bound to a purpose and to the browser. It is stored
once it was used, so that requests of strangers write nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    generate_challenge,
    options_to_json_dict,
    parse_authentication_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, LoginSession, Passkey, UsedChallenge
from cwz_web.accounts.sessions import BrowserTokens, end_passkey_sessions
from cwz_web.accounts.tokens import digest
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.notify.emails import PRODUCT
from cwz_web.notify.tasks import enqueue_email

log = structlog.get_logger()

CHALLENGE_LIFETIME = timedelta(minutes=10)
MAX_PASSKEYS = 20
# WebAuthn Level 3, section 7.1.
MAX_CREDENTIAL_ID_BYTES = 1023
ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
NOT_ACCEPTED = gettext_noop("This passkey was not accepted. Try again, or use another one")
# What verifying any response can raise: besides its own errors, the library lets those of its parsers through.
RESPONSE_ERRORS = (
    WebAuthnException,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
DEFAULT_PORTS = {"http": 80, "https": 443}


class Ceremony(StrEnum):
    """What a challenge is for; a response to another challenge does not count."""

    ADD = "passkey-add"
    SIGN_IN = "passkey-sign-in"
    SECOND_FACTOR = "passkey-second-factor"
    PROVE = "passkey-prove"


class PasskeyError(Exception):
    """The passkey was not accepted; the message can be shown in a form."""


@dataclass(frozen=True)
class RelyingParty:
    """This site as browsers and authenticators know it.

    Attributes:
        id: The host name that passkeys belong to.
        origin: The only origin whose responses count.
    """

    id: str
    origin: str

    @classmethod
    def of(cls, url: str) -> "RelyingParty | None":
        """Return the relying party of the site's URL; None if its host is an IP address, which cannot have passkeys.

        A loopback address stands for localhost: the site of a development installation has both names.
        """
        parts = urlsplit(url)
        host = str(parts.hostname)
        with suppress(ValueError):
            host = "localhost" if ip_address(host).is_loopback else ""
        is_default = parts.port in (None, DEFAULT_PORTS[parts.scheme])
        return cls(host, f"{parts.scheme}://{host}{'' if is_default else f':{parts.port}'}") if host else None


@dataclass(frozen=True)
class PasskeyService:
    """The ceremonies of this site.

    Args:
        party: This site.
        tokens: Signs challenges.
    """

    party: RelyingParty
    tokens: BrowserTokens

    def registration_options(self, db: Session, account: Account, binding: str) -> dict[str, Any]:
        """Return what the browser needs to create a passkey.

        Args:
            db: The database session.
            account: The owner.
            binding: What identifies the browser, such as the id of its session.

        Returns:
            `options` of `navigator.credentials.create()`, and the `challenge` to send back with the response.
        """
        challenge = generate_challenge()
        options = generate_registration_options(
            rp_id=self.party.id,
            rp_name=PRODUCT,
            user_id=account.id.bytes,
            user_name=account.email,
            user_display_name=account.name,
            challenge=challenge,
            exclude_credentials=_descriptors(db, account),
            supported_pub_key_algs=ALGORITHMS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        return {"options": options_to_json_dict(options), "challenge": self._sign(Ceremony.ADD, binding, challenge)}

    def authentication_options(
        self, db: Session, ceremony: Ceremony, account: Account | None, binding: str
    ) -> dict[str, Any]:
        """Return what the browser needs to use a passkey.

        Args:
            db: The database session.
            ceremony: What the passkey is used for.
            account: The owner; None if the passkey tells who that is.
            binding: What identifies the browser.

        Returns:
            `options` of `navigator.credentials.get()`, and the `challenge` to send back with the response.
        """
        challenge = generate_challenge()
        options = generate_authentication_options(
            rp_id=self.party.id,
            challenge=challenge,
            allow_credentials=_descriptors(db, account) if account else None,
            user_verification=UserVerificationRequirement.PREFERRED
            if ceremony is Ceremony.SECOND_FACTOR
            else UserVerificationRequirement.REQUIRED,
        )
        return {"options": options_to_json_dict(options), "challenge": self._sign(ceremony, binding, challenge)}

    def add(
        self, db: Session, account: Account, *, name: str, challenge: str, credential: str, binding: str
    ) -> Passkey:
        """Store a new passkey, and notify the owner.

        Args:
            db: The database session.
            account: The owner.
            name: The owner's name for it.
            challenge: The token of the challenge.
            credential: The response of `navigator.credentials.create()`, as JSON.
            binding: What identifies the browser.

        Raises:
            PasskeyError: The response is invalid, the passkey is known, or there are too many.
        """
        expected = self._read(Ceremony.ADD, binding, challenge)
        verified = self._verify_registration(credential, expected)
        if not 0 < len(verified.credential_id) <= MAX_CREDENTIAL_ID_BYTES:
            raise PasskeyError(gettext(NOT_ACCEPTED))
        _consume(db, expected)
        db.refresh(account, with_for_update=True)
        if len(list_passkeys(db, account)) >= MAX_PASSKEYS:
            raise PasskeyError(
                gettext("An account can have at most %(number)s passkeys. Remove one first", number=MAX_PASSKEYS)
            )
        if _find(db, verified.credential_id) is not None:
            raise PasskeyError(gettext("This passkey has already been added"))
        passkey = Passkey(
            account_id=account.id,
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            name=name,
        )
        db.add(passkey)
        db.flush()
        enqueue_email(db, account.email, emails.passkey_added(account, name))
        return passkey

    def authenticate(
        self,
        db: Session,
        ceremony: Ceremony,
        account: Account | None,
        *,
        challenge: str,
        credential: str,
        binding: str,
    ) -> Passkey:
        """Return the passkey that signed a challenge, with its account.

        Args:
            db: The database session.
            ceremony: What the passkey is used for.
            account: The account that has to own the passkey; None if the passkey tells who the owner is.
            challenge: The token of the challenge.
            credential: The response of `navigator.credentials.get()`, as JSON.
            binding: What identifies the browser.

        Raises:
            PasskeyError: The response is invalid, or the passkey is unknown or may have been copied.
        """
        expected = self._read(ceremony, binding, challenge)
        response = _parse(credential)
        passkey = _find(db, response.raw_id)
        if passkey is None:
            raise PasskeyError(gettext("This passkey is not known here. It may have been removed from its account"))
        handle = response.response.user_handle
        if (account is None or handle is not None) and handle != passkey.account_id.bytes:
            raise PasskeyError(gettext(NOT_ACCEPTED))
        owner = passkey.account
        if (account is not None and owner.id != account.id) or owner.verified_at is None:
            raise PasskeyError(gettext("This passkey belongs to another account"))
        verified = self._verify_response(response, passkey, expected, ceremony)
        _check_sign_count(passkey, verified.new_sign_count)
        _consume(db, expected)
        passkey.sign_count, passkey.last_used_at = verified.new_sign_count, datetime.now(UTC)
        return passkey

    def _verify_registration(self, credential: str, expected: bytes) -> VerifiedRegistration:
        with _valid_response():
            return verify_registration_response(
                credential=credential,
                expected_challenge=expected,
                expected_rp_id=self.party.id,
                expected_origin=self.party.origin,
                require_user_verification=True,
                supported_pub_key_algs=ALGORITHMS,
            )

    def _verify_response(
        self, response: AuthenticationCredential, passkey: Passkey, expected: bytes, ceremony: Ceremony
    ) -> VerifiedAuthentication:
        with _valid_response(account=str(passkey.account_id)):
            return verify_authentication_response(
                credential=response,
                expected_challenge=expected,
                expected_rp_id=self.party.id,
                expected_origin=self.party.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=0,  # _check_sign_count, once the signature is known to be valid
                require_user_verification=ceremony is not Ceremony.SECOND_FACTOR,
            )

    def _sign(self, ceremony: Ceremony, binding: str, challenge: bytes) -> str:
        return self.tokens.sign(
            ceremony, CHALLENGE_LIFETIME, binding=digest(binding), challenge=bytes_to_base64url(challenge)
        )

    def _read(self, ceremony: Ceremony, binding: str, token: str) -> bytes:
        claims = self.tokens.read(ceremony, token)
        if claims is None or claims["binding"] != digest(binding):
            raise PasskeyError(gettext("This took too long, or began in another browser. Try again"))
        return base64url_to_bytes(claims["challenge"])


def list_passkeys(db: Session, account: Account) -> list[Passkey]:
    """Return the passkeys of an account, the oldest first."""
    return list(db.scalars(select(Passkey).where(Passkey.account_id == account.id).order_by(Passkey.id)))


def remove_passkey(db: Session, current: LoginSession, passkey_id: UUID) -> Passkey | None:
    """Remove a passkey, end the sessions that began with it, and notify the owner.

    Args:
        db: The database session.
        current: The owner's session, which remains.
        passkey_id: The passkey.

    Returns:
        The removed passkey, or None if the account has no such passkey.
    """
    account = current.account
    # The lock waits for a sign-in with the passkey, whose session ends as well.
    owned = select(Passkey).where(Passkey.account_id == account.id, Passkey.id == passkey_id)
    passkey = db.scalar(owned.with_for_update())
    if passkey is not None:
        end_passkey_sessions(db, passkey.id, keep=current.id)
        db.delete(passkey)
        enqueue_email(db, account.email, emails.passkeys_removed(account, [passkey]))
    return passkey


def remove_all_passkeys(db: Session, account: Account) -> None:
    """Remove all passkeys of an account, and notify the owner."""
    passkeys = list_passkeys(db, account)
    if passkeys:
        enqueue_email(db, account.email, emails.passkeys_removed(account, passkeys))
    db.execute(delete(Passkey).where(Passkey.account_id == account.id))


@contextmanager
def _valid_response(**context: str) -> Iterator[None]:
    """Raise PasskeyError for a response that cannot be verified, and log the reason."""
    try:
        yield
    except RESPONSE_ERRORS as error:
        log.warning("passkey refused", reason=type(error).__name__, **context)
        raise PasskeyError(gettext(NOT_ACCEPTED)) from None


def _descriptors(db: Session, account: Account) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=passkey.credential_id) for passkey in list_passkeys(db, account)]


def _parse(credential: str) -> AuthenticationCredential:
    with _valid_response():
        return parse_authentication_credential_json(credential)


def _find(db: Session, credential_id: bytes) -> Passkey | None:
    """Return a passkey, locked until the transaction ends: two responses do not pass with one count."""
    return db.scalar(select(Passkey).where(Passkey.credential_id == credential_id).with_for_update())


def _check_sign_count(passkey: Passkey, count: int) -> None:
    """Refuse a passkey whose count did not grow (WebAuthn Level 3, section 6.1.1). Synchronized passkeys count none."""
    if (count or passkey.sign_count) and count <= passkey.sign_count:
        log.warning(
            "passkey may have been copied",
            account=str(passkey.account_id),
            passkey=str(passkey.id),
            known_count=passkey.sign_count,
            count=count,
        )
        raise PasskeyError(
            gettext("This passkey may have been copied, and was not accepted. Remove it, and add a new one")
        )


def _consume(db: Session, challenge: bytes) -> None:
    """Record that a challenge was answered. Raises PasskeyError if it was answered before, also at the same moment."""
    db.execute(delete(UsedChallenge).where(UsedChallenge.expires_at < func.now()))
    values = {"digest": digest(challenge.hex()), "expires_at": datetime.now(UTC) + CHALLENGE_LIFETIME}
    unused = insert(UsedChallenge).values(values).on_conflict_do_nothing().returning(UsedChallenge.digest)
    if db.scalar(unused) is None:
        raise PasskeyError(gettext("This was used before. Try again"))
