"""Sign-in with Google: OpenID Connect Core 1.0, authorization code flow with PKCE (RFC 7636), through authlib.

The provider's URLs come from its discovery document, whose own URL is a setting: tests use another OpenID provider in
place of Google. An identity is an issuer and a subject. The email address only finds an existing account, which is
linked after its owner has authenticated.
"""

import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, ExternalIdentity, LoginSession, Passkey, has_email
from cwz_web.accounts.registration import normalize_email
from cwz_web.accounts.sessions import end_all_sessions
from cwz_web.accounts.tokens import delete_tokens
from cwz_web.net.deadlines import DeadlineAdapter
from cwz_web.notify.tasks import enqueue_email

WELL_KNOWN = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
ALGORITHMS = ["RS256", "PS256", "ES256"]
# Of each of the three requests: to connect, and to receive the whole response.
TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 60
MAX_RESPONSE_BYTES = 512 * 1024


class GoogleSignInError(Exception):
    """The provider did not respond, or responded incorrectly. The message is for the log only."""


class EmailNotVerifiedByProviderError(Exception):
    """The provider does not confirm that the user owns the email address."""


class PasswordRequiredError(Exception):
    """An account with this email address exists; its password is required before Google is linked to it."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """Random values of an authorization request, kept in a signed cookie until the provider redirects back."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def create(cls) -> "AuthorizationRequest":
        """Return a request with new random values; the verifier has 64 characters (RFC 7636, section 4.1)."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


@dataclass(frozen=True)
class GoogleProfile:
    """A user as the provider identifies them."""

    issuer: str
    subject: str
    email: str
    name: str

    def as_claims(self) -> dict[str, str]:
        """Return the profile as claims of a signed token.

        The browser keeps the token until the user has authenticated.
        """
        return {f"google_{name}": value for name, value in asdict(self).items()}

    @classmethod
    def from_claims(cls, claims: dict[str, Any]) -> "GoogleProfile | None":
        """Return the profile that as_claims() serialized, or None."""
        values = {name: claims.get(f"google_{name}") for name in ("issuer", "subject", "email", "name")}
        return cls(**{name: str(value) for name, value in values.items()}) if all(values.values()) else None


class GoogleProvider:
    """Client of the OpenID provider.

    Args:
        discovery_url: URL of its configuration document (OpenID Connect Discovery 1.0).
        client_id: The client id registered there.
        client_secret: The client secret registered there.
        redirect_uri: The callback URL registered there.
    """

    def __init__(self, discovery_url: str, client_id: str, client_secret: str, redirect_uri: str) -> None:
        self._discovery_url = discovery_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._configuration: dict[str, Any] | None = None

    def authorization_url(self, authorization: AuthorizationRequest) -> str:
        """Return the URL to redirect the user to.

        Raises:
            GoogleSignInError: The provider did not respond correctly.
        """
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._load_configuration(client)["authorization_endpoint"],
                state=authorization.state,
                nonce=authorization.nonce,
                code_verifier=authorization.verifier,
            )
        return str(url)

    def fetch_profile(self, authorization: AuthorizationRequest, code: str, issuer: str | None) -> GoogleProfile:
        """Exchange an authorization code for the user's profile.

        Args:
            authorization: The request that the code belongs to.
            code: The code of the callback.
            issuer: The `iss` parameter of the callback, if there is one (RFC 9207).

        Raises:
            GoogleSignInError: The provider did not respond correctly, or its ID token is invalid.
            EmailNotVerifiedByProviderError: The provider does not confirm the email address.
        """
        with self._client() as client:
            configuration = self._load_configuration(client)
            if issuer not in (None, configuration["issuer"]):
                raise GoogleSignInError("callback: unexpected issuer")
            try:
                token = client.fetch_token(
                    configuration["token_endpoint"], code=code, code_verifier=authorization.verifier
                )
                keys = KeySet.import_key_set(_json(client.get(configuration["jwks_uri"], withhold_token=True)))
            except (AuthlibBaseError, requests.RequestException, JoseError, ValueError, KeyError) as error:
                raise GoogleSignInError(f"token: {type(error).__name__}") from None
        claims = read_id_token(
            token.get("id_token"),
            keys,
            issuer=configuration["issuer"],
            client_id=self._client_id,
            nonce=authorization.nonce,
        )
        return verified_profile(claims)

    def _client(self) -> OAuth2Session:
        client = OAuth2Session(
            self._client_id,
            self._client_secret,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            default_timeout=TIMEOUT_SECONDS,
        )
        for scheme in ("https://", "http://"):
            client.mount(scheme, DeadlineAdapter(TIMEOUT_SECONDS))
        client.trust_env = False
        client.max_redirects = 0
        return client

    def _load_configuration(self, client: OAuth2Session) -> dict[str, Any]:
        if self._configuration is None:
            try:
                found = _json(client.get(self._discovery_url, withhold_token=True))
                needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
                known = {name: str(found[name]) for name in needed}
                if known["issuer"].rstrip("/") + WELL_KNOWN != self._discovery_url:
                    raise ValueError("unexpected issuer")
                self._configuration = known
            except (AuthlibBaseError, requests.RequestException, ValueError, KeyError, TypeError) as error:
                raise GoogleSignInError(f"discovery: {type(error).__name__}") from None
        return self._configuration


def read_id_token(token: object, keys: KeySet, *, issuer: str, client_id: str, nonce: str) -> dict[str, Any]:
    """Return the claims of an ID token, validated as OpenID Connect Core 1.0, section 3.1.3.7 requires.

    authlib's own validation is not used: it accepts a foreign `aud` if `azp` is ours.

    Args:
        token: The ID token, a JSON Web Token.
        keys: The provider's public keys.
        issuer: The issuer that the discovery document names.
        client_id: Our client id, the only accepted audience.
        nonce: The nonce of the authorization request.

    Raises:
        GoogleSignInError: The token is invalid.
    """
    registry = jwt.JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        claims = jwt.decode(str(token), keys, algorithms=ALGORITHMS).claims
        registry.validate(claims)
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise GoogleSignInError(f"id token: {type(error).__name__}") from None
    if claims.get("aud") not in (client_id, [client_id]) or claims.get("azp", client_id) != client_id:
        raise GoogleSignInError("id token: wrong audience")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise GoogleSignInError("id token: invalid subject")
    return claims


def verified_profile(claims: dict[str, Any]) -> GoogleProfile:
    """Return the profile of validated claims.

    Raises:
        EmailNotVerifiedByProviderError: The provider does not confirm the email address.
    """
    if claims.get("email_verified") is not True:  # the strings "true" and "false" do not count
        raise EmailNotVerifiedByProviderError
    try:
        email = normalize_email(str(claims.get("email")))
    except ValueError:
        raise EmailNotVerifiedByProviderError from None
    name = claims.get("name")
    display_name = " ".join(name.split())[:100] if isinstance(name, str) and name.isprintable() else ""
    return GoogleProfile(claims["iss"], claims["sub"], email, display_name or email.partition("@")[0])


def sign_in_with_google(db: Session, profile: GoogleProfile, *, signed_in: LoginSession | None) -> Account:
    """Return the account of a Google profile.

    It is the linked account, the signed-in one after linking it, or a new one.

    Args:
        db: The database session.
        profile: The validated profile.
        signed_in: The browser's session, if the user started from it; Google is linked to its account.

    Raises:
        PasswordRequiredError: A verified account has this email address and is not linked yet.
    """
    linked = db.scalar(
        select(Account)
        .join(ExternalIdentity, ExternalIdentity.account_id == Account.id)
        .where(ExternalIdentity.issuer == profile.issuer, ExternalIdentity.subject == profile.subject)
    )
    if linked is not None:
        return linked
    if signed_in is not None:
        return link_google(db, signed_in.account, profile)
    account = db.scalar(select(Account).where(has_email(profile.email)).with_for_update())
    if account is None:
        account = Account(email=profile.email, name=profile.name)
        db.add(account)
        db.flush()
    elif account.verified_at is not None:
        raise PasswordRequiredError
    _take_over(db, account, profile)
    return account


def link_google(db: Session, account: Account, profile: GoogleProfile) -> Account:
    """Link a Google account to an account whose owner has authenticated, and notify the owner."""
    _add_identity(db, account, profile)
    enqueue_email(db, account.email, emails.google_linked(account, profile.email))
    return account


def unlink_google(db: Session, account: Account) -> None:
    """Unlink every Google account, and notify the owner."""
    identities = list_identities(db, account)
    if identities:
        enqueue_email(db, account.email, emails.google_unlinked(account, identities))
    db.execute(delete(ExternalIdentity).where(ExternalIdentity.account_id == account.id))


def list_identities(db: Session, account: Account) -> list[ExternalIdentity]:
    """Return the Google accounts linked to an account."""
    return list(db.scalars(select(ExternalIdentity).where(ExternalIdentity.account_id == account.id)))


def _take_over(db: Session, account: Account, profile: GoogleProfile) -> None:
    """Give an unverified account to the owner of its email address, without what was set up before verification."""
    account.password_hash = None
    account.name = profile.name
    account.encrypted_totp_secret = account.totp_confirmed_at = account.totp_last_step = None
    db.execute(delete(Passkey).where(Passkey.account_id == account.id))
    delete_tokens(db, account)
    end_all_sessions(db, account)
    account.verified_at = datetime.now(UTC)
    _add_identity(db, account, profile)


def _add_identity(db: Session, account: Account, profile: GoogleProfile) -> None:
    db.add(ExternalIdentity(issuer=profile.issuer, subject=profile.subject, account_id=account.id, email=profile.email))
    db.flush()


def _json(response: requests.Response) -> Any:
    response.raise_for_status()
    if len(response.content) > MAX_RESPONSE_BYTES:
        raise ValueError("response too large")
    return response.json()
