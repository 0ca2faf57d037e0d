"""Clients of OpenID providers: OpenID Connect Core 1.0, authorization code flow with PKCE (RFC 7636), through authlib.

The provider's URLs come from its discovery document. An identity is an issuer and a subject; the email address only
finds an account.
"""

import secrets
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from authlib.common.errors import AuthlibBaseError
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cwz_web.accounts.registration import normalize_email
from cwz_web.net.client import BlockedRequestError, check_url
from cwz_web.net.deadlines import DeadlineAdapter
from cwz_web.net.guard import OutboundPolicy

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session

WELL_KNOWN = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
ALGORITHMS = ["RS256", "PS256", "ES256"]
# Of each of the three requests: to connect, and to receive the whole response.
TIMEOUT_SECONDS = 5.0
# Of the responses of a provider that a user named, all together: a slow one holds a thread.
TOTAL_SECONDS = 8.0
LEEWAY_SECONDS = 60
MAX_RESPONSE_BYTES = 512 * 1024
# OpenID Connect Core 1.0, section 2.
MAX_SUBJECT_LENGTH = 255
# What sending a request and reading any response can raise.
RESPONSE_ERRORS = (
    AuthlibBaseError,
    requests.RequestException,
    BlockedRequestError,
    JoseError,
    UnsupportedAlgorithm,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)


class OpenIDError(Exception):
    """The provider did not respond, or responded incorrectly. The message is for the log only."""


class EmailNotVerifiedByProviderError(Exception):
    """The provider does not confirm that the user owns the email address."""


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
class OpenIDProfile:
    """A user as the provider identifies them."""

    issuer: str
    subject: str
    email: str
    name: str

    def as_claims(self) -> dict[str, str]:
        """Return the profile as claims of a signed token.

        The browser keeps the token until the user has authenticated.
        """
        return {f"profile_{name}": value for name, value in asdict(self).items()}

    @classmethod
    def from_claims(cls, claims: dict[str, Any]) -> "OpenIDProfile | None":
        """Return the profile that as_claims() serialized, or None."""
        values = {name: claims.get(f"profile_{name}") for name in ("issuer", "subject", "email", "name")}
        return cls(**{name: str(value) for name, value in values.items()}) if all(values.values()) else None


class OpenIDProvider:
    """Client of an OpenID provider.

    Args:
        discovery_url: URL of its configuration document (OpenID Connect Discovery 1.0).
        client_id: The client id registered there.
        client_secret: The client secret registered there.
        redirect_uri: The callback URL registered there.
        outbound: The hosts that may be reached, for a provider that a user named; None for one of the settings.
    """

    def __init__(
        self,
        discovery_url: str,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        outbound: OutboundPolicy | None = None,
    ) -> None:
        self._discovery_url = discovery_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._outbound = outbound
        self._configuration: dict[str, Any] | None = None

    def authorization_url(self, authorization: AuthorizationRequest) -> str:
        """Return the URL to redirect the user to.

        Raises:
            OpenIDError: The provider did not respond correctly.
        """
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._load_configuration(client)["authorization_endpoint"],
                state=authorization.state,
                nonce=authorization.nonce,
                code_verifier=authorization.verifier,
            )
        return str(url)

    def fetch_profile(self, authorization: AuthorizationRequest, code: str, issuer: str | None) -> OpenIDProfile:
        """Exchange an authorization code for the user's profile.

        Args:
            authorization: The request that the code belongs to.
            code: The code of the callback.
            issuer: The `iss` parameter of the callback, if there is one (RFC 9207).

        Raises:
            OpenIDError: The provider did not respond correctly, or its ID token is invalid.
            EmailNotVerifiedByProviderError: The provider does not confirm the email address.
        """
        with self._client() as client:
            configuration = self._load_configuration(client)
            if issuer not in (None, configuration["issuer"]):
                raise OpenIDError("callback: unexpected issuer")
            try:
                client.token_endpoint_auth_method = _authentication_method(configuration["methods"])
                token = client.fetch_token(
                    configuration["token_endpoint"], code=code, code_verifier=authorization.verifier
                )
                id_token = token.get("id_token")
                keys = KeySet.import_key_set(_json(client.get(configuration["jwks_uri"], withhold_token=True)))
            except RESPONSE_ERRORS as error:
                raise OpenIDError(f"token: {type(error).__name__}") from None
        claims = read_id_token(
            id_token,
            keys,
            issuer=configuration["issuer"],
            client_id=self._client_id,
            nonce=authorization.nonce,
        )
        return verified_profile(claims)

    def _client(self) -> "OAuth2Session":
        from authlib.integrations.requests_client import OAuth2Session  # slow, and no worker needs it

        client = OAuth2Session(
            self._client_id,
            self._client_secret,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            default_timeout=TIMEOUT_SECONDS,
        )
        if self._outbound is not None:
            deadline = time.monotonic() + TOTAL_SECONDS
            remaining = partial(_seconds_until, deadline)
            self._outbound.guard(client, seconds=remaining, max_bytes=MAX_RESPONSE_BYTES)
        else:
            for scheme in ("https://", "http://"):
                client.mount(scheme, DeadlineAdapter(TIMEOUT_SECONDS))
        client.trust_env = False
        client.max_redirects = 0
        return client

    def _load_configuration(self, client: "OAuth2Session") -> dict[str, Any]:
        if self._configuration is None:
            try:
                found = _json(client.get(self._discovery_url, withhold_token=True))
                needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
                known = {name: str(found[name]) for name in needed}
                if known["issuer"].rstrip("/") + WELL_KNOWN != self._discovery_url:
                    raise ValueError("unexpected issuer")
                for url in known.values():
                    check_url(url)
                if self._outbound and not all(map(self._outbound.is_secure, known.values())):
                    raise ValueError("URL without https")
                self._configuration = known | {"methods": found.get("token_endpoint_auth_methods_supported")}
            except RESPONSE_ERRORS as error:
                raise OpenIDError(f"discovery: {type(error).__name__}") from None
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
        OpenIDError: The token is invalid.
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
    except (JoseError, ValueError, TypeError, AttributeError, KeyError, UnsupportedAlgorithm, RecursionError) as error:
        raise OpenIDError(f"id token: {type(error).__name__}") from None
    if claims.get("aud") not in (client_id, [client_id]) or claims.get("azp", client_id) != client_id:
        raise OpenIDError("id token: wrong audience")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isprintable():
        raise OpenIDError("id token: invalid subject")
    return claims


def verified_profile(claims: dict[str, Any]) -> OpenIDProfile:
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
    return OpenIDProfile(claims["iss"], claims["sub"], email, display_name or email.partition("@")[0])


def _seconds_until(deadline: float) -> float:
    return min(deadline - time.monotonic(), TIMEOUT_SECONDS)


def _authentication_method(supported: object) -> str:
    """Return how to send the client secret: as HTTP Basic, the default (OpenID Connect Discovery 1.0, section 3)."""
    posts = isinstance(supported, list) and "client_secret_post" in supported and "client_secret_basic" not in supported
    return "client_secret_post" if posts else "client_secret_basic"


def _json(response: requests.Response) -> Any:
    response.raise_for_status()
    if len(response.content) > MAX_RESPONSE_BYTES:
        raise ValueError("response too large")
    return response.json()
