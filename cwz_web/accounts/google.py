"""Sign-in with Google: OpenID Connect Core 1.0, authorization code with PKCE (RFC 7636), through authlib.

The provider's addresses come from its discovery document, whose own address is a setting: any OpenID provider can
stand in for Google. A person is known by issuer and subject; the email address only helps to find an account that is
then linked by proof.
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
from cwz_web.accounts.models import Account, OutsideIdentity, SignIn, has_email
from cwz_web.accounts.registration import clean_email
from cwz_web.accounts.sessions import end_all_sessions
from cwz_web.accounts.tokens import forget_tokens
from cwz_web.notify.tasks import queue_email

WELL_KNOWN = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
ALGORITHMS = ["RS256", "PS256", "ES256"]
SECONDS = 10.0
LEEWAY_SECONDS = 60
MAX_BYTES = 512 * 1024


class GoogleSignInError(Exception):
    """The provider does not answer, or not as it should. The message is for the log; people are asked to try again."""


class EmailNotVerifiedByProviderError(Exception):
    """The provider does not say that the address is the person's own."""


class PasswordRequiredError(Exception):
    """An account with this address exists: its owner has to prove the password before Google is linked to it."""


@dataclass(frozen=True)
class Visit:
    """What the browser keeps while its person is away at the provider."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> "Visit":
        """Fresh random values; the verifier has 64 characters (RFC 7636, 4.1)."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


@dataclass(frozen=True)
class GooglePerson:
    """Who the provider says is there."""

    issuer: str
    subject: str
    email: str
    name: str

    def as_claims(self) -> dict[str, str]:
        """For a signed token in the browser, while a proof is asked for."""
        return {f"google_{name}": value for name, value in asdict(self).items()}

    @classmethod
    def from_claims(cls, claims: dict[str, Any]) -> "GooglePerson | None":
        """What as_claims() wrote."""
        values = {name: claims.get(f"google_{name}") for name in ("issuer", "subject", "email", "name")}
        return cls(**{name: str(value) for name, value in values.items()}) if all(values.values()) else None


class Google:
    """The OpenID provider.

    Arguments:
        discovery_url: of its configuration document (OpenID Connect Discovery 1.0).
        client_id, client_secret: as registered there.
        redirect_uri: where it sends people back to, as registered there.
    """

    def __init__(self, discovery_url: str, client_id: str, client_secret: str, redirect_uri: str) -> None:
        self._discovery_url = discovery_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._known: dict[str, Any] | None = None

    def address(self, visit: Visit) -> str:
        """Where to send a person. Raises GoogleSignInError."""
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._configuration(client)["authorization_endpoint"],
                state=visit.state,
                nonce=visit.nonce,
                code_verifier=visit.verifier,
            )
        return str(url)

    def person(self, visit: Visit, code: str, issuer: str | None) -> GooglePerson:
        """Exchange the code that a person came back with. Raises GoogleSignInError, EmailNotVerifiedByProviderError.

        Arguments:
            issuer: the `iss` that came with the code, if one did (RFC 9207).
        """
        with self._client() as client:
            configuration = self._configuration(client)
            if issuer not in (None, configuration["issuer"]):
                raise GoogleSignInError("the answer comes from another provider")
            try:
                token = client.fetch_token(configuration["token_endpoint"], code=code, code_verifier=visit.verifier)
                keys = KeySet.import_key_set(_json(client.get(configuration["jwks_uri"], withhold_token=True)))
            except (AuthlibBaseError, requests.RequestException, JoseError, ValueError, KeyError) as error:
                raise GoogleSignInError(f"token: {type(error).__name__}") from None
        claims = read_id_token(
            token.get("id_token"),
            keys,
            issuer=configuration["issuer"],
            client_id=self._client_id,
            nonce=visit.nonce,
        )
        return vouched_person(claims)

    def _client(self) -> OAuth2Session:
        client = OAuth2Session(
            self._client_id,
            self._client_secret,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            default_timeout=SECONDS,
        )
        client.trust_env = False
        client.max_redirects = 0
        return client

    def _configuration(self, client: OAuth2Session) -> dict[str, Any]:
        if self._known is None:
            try:
                found = _json(client.get(self._discovery_url, withhold_token=True))
                needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
                known = {name: str(found[name]) for name in needed}
                if known["issuer"].rstrip("/") + WELL_KNOWN != self._discovery_url:
                    raise ValueError("another issuer")
                self._known = known
            except (AuthlibBaseError, requests.RequestException, ValueError, KeyError, TypeError) as error:
                raise GoogleSignInError(f"discovery: {type(error).__name__}") from None
        return self._known


def read_id_token(token: object, keys: KeySet, *, issuer: str, client_id: str, nonce: str) -> dict[str, Any]:
    """The claims of an ID token, checked as OpenID Connect Core 1.0, 3.1.3.7 says. Raises GoogleSignInError.

    Not by authlib's own check: that takes a foreign `aud` when `azp` is ours.
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
        raise GoogleSignInError("id token: for somebody else")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise GoogleSignInError("id token: no subject")
    return claims


def vouched_person(claims: dict[str, Any]) -> GooglePerson:
    """The person of checked claims. Raises EmailNotVerifiedByProviderError when the address is not theirs for certain."""
    if claims.get("email_verified") is not True:  # the text "true" or "false" is no answer
        raise EmailNotVerifiedByProviderError
    try:
        email = clean_email(str(claims.get("email")))
    except ValueError:
        raise EmailNotVerifiedByProviderError from None
    name = claims.get("name")
    shown = " ".join(name.split())[:100] if isinstance(name, str) and name.isprintable() else ""
    return GooglePerson(claims["iss"], claims["sub"], email, shown or email.partition("@")[0])


def enter_with_google(db: Session, person: GooglePerson, *, signed_in: SignIn | None) -> Account:
    """The account of somebody who comes from Google: known, to be linked, or new.

    Arguments:
        signed_in: the live session of the browser; Google is then linked to its account.
    Raises PasswordRequiredError when an account with this address is somebody's already.
    """
    known = db.scalar(
        select(Account)
        .join(OutsideIdentity, OutsideIdentity.account_id == Account.id)
        .where(OutsideIdentity.issuer == person.issuer, OutsideIdentity.subject == person.subject)
    )
    if known is not None:
        return known
    if signed_in is not None:
        return link_google(db, signed_in.account, person)
    account = db.scalar(select(Account).where(has_email(person.email)).with_for_update())
    if account is None:
        account = Account(email=person.email, name=person.name)
        db.add(account)
        db.flush()
    elif account.verified_at is not None:
        raise PasswordRequiredError
    _take_over(db, account, person)
    return account


def link_google(db: Session, account: Account, person: GooglePerson) -> Account:
    """Let Google sign in as the account, whose owner has proved who they are."""
    _remember(db, account, person)
    queue_email(db, account.email, emails.google_linked(account, person.email))
    return account


def unlink_google(db: Session, account: Account) -> None:
    """Let no Google account sign in as the person any more."""
    db.execute(delete(OutsideIdentity).where(OutsideIdentity.account_id == account.id))


def identities_of(db: Session, account: Account) -> list[OutsideIdentity]:
    """The Google accounts that can sign in as a person."""
    return list(db.scalars(select(OutsideIdentity).where(OutsideIdentity.account_id == account.id)))


def _take_over(db: Session, account: Account, person: GooglePerson) -> None:
    """Give an address that nobody had proved to its owner; whatever somebody else prepared under it is void."""
    account.password_hash = None
    account.name = person.name
    account.totp_envelope = account.totp_confirmed_at = account.totp_last_step = None
    forget_tokens(db, account)
    end_all_sessions(db, account)
    account.verified_at = datetime.now(UTC)
    _remember(db, account, person)


def _remember(db: Session, account: Account, person: GooglePerson) -> None:
    db.add(OutsideIdentity(issuer=person.issuer, subject=person.subject, account_id=account.id, email=person.email))
    db.flush()


def _json(response: requests.Response) -> Any:
    response.raise_for_status()
    if len(response.content) > MAX_BYTES:
        raise ValueError("too large")
    return response.json()
