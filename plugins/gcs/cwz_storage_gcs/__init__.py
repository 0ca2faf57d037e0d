"""Google Cloud Storage as a ConnectWyze storage provider. The SDK is imported when it is needed: that is slow."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, field_validator

from cwz_web.storage import Bucket, BucketContext, Capability, Fields, StorageProvider, hookimpl

HOSTS = ("storage.googleapis.com", "oauth2.googleapis.com")
ENDPOINT = "https://storage.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL
UNIVERSE = "googleapis.com"
MIN_KEY_BITS = 2048
CAPABILITIES = frozenset(Capability)
PUBLIC_ACCESS_ADVICE = (
    "Grant allUsers the role Storage Object Viewer on this bucket, and turn off public access prevention."
    " With uniform access, ACLs of objects have no effect"
)
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def _check_bucket(name: str) -> str:
    # https://cloud.google.com/storage/docs/buckets#naming
    if not BUCKET_NAME.fullmatch(name) or ".." in name:
        raise ValueError("Enter a bucket name: at least 3 lower-case letters, digits, dots, hyphens and underscores")
    if name.startswith("goog") or re.fullmatch(r"[0-9.]+", name) or "xn--" in name:
        raise ValueError("Enter the name of a bucket: no IP address, and no name that begins with goog or holds xn--")
    return name


BucketName = Annotated[str, AfterValidator(_check_bucket)]


def read_service_account(text: str) -> dict[str, Any]:
    """Return the service account of a JSON key file, with Google's own URLs in place of those in the file.

    The private key is not read here, which takes longer than all else: GoogleCredentials has checked it.

    Raises:
        ValueError: The text is no such file. Other types of credentials name a URL or a file to read.
    """
    try:
        info = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("Paste the JSON key file of a service account") from None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        found = str(info.get("type"))[:40] if isinstance(info, dict) else "another document"
        raise ValueError(f"Paste the key file of a service account (type service_account), not {found}")
    if info.get("token_uri", TOKEN_URL) != TOKEN_URL:
        raise ValueError(f"token_uri must be {TOKEN_URL}")
    if info.get("universe_domain", UNIVERSE) != UNIVERSE:
        raise ValueError(f"universe_domain must be {UNIVERSE}")
    required = ("project_id", "private_key_id", "private_key", "client_email")
    missing = [name for name in required if not isinstance(info.get(name), str)]
    if missing:
        raise ValueError(f"The key file lacks {', '.join(missing)}")
    values = {name: info[name] for name in (*required, "client_id") if isinstance(info.get(name), str)}
    return {**values, "type": "service_account", "token_uri": TOKEN_URL, "universe_domain": UNIVERSE}


def _check_private_key(pem: str) -> None:
    """Raise ValueError for a key that Google does not issue: its keys are RSA keys of 2,048 bits."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("The private key in the key file is not valid; download a new key") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < MIN_KEY_BITS:
        raise ValueError(f"The private key must be an RSA key of at least {MIN_KEY_BITS:,} bits; download a new key")


class GcsSettings(Fields):
    """The location of the bucket."""

    bucket: BucketName = Field(title="Bucket", description="The bucket name, without gs://", examples=["our-images"])


class GoogleCredentials(Fields):
    """The key of a service account with access to this bucket only."""

    service_account: SecretStr = Field(
        title="Service account key",
        description="The JSON key file. The account needs the role Storage Object Admin on this bucket",
        max_length=10_000,
        json_schema_extra={"multiline": True},
    )

    @field_validator("service_account")
    @classmethod
    def _check_key_file(cls, value: SecretStr) -> SecretStr:
        _check_private_key(read_service_account(value.get_secret_value())["private_key"])
        return value


class GcsProvider(StorageProvider[GcsSettings, GoogleCredentials]):
    """Opens buckets of Google Cloud Storage."""

    api_version = 1
    name = "gcs"
    label = "Google Cloud Storage"
    icon = "cloud-cog"
    help_url = "https://cloud.google.com/iam/docs/keys-create-delete"
    public_access_advice = PUBLIC_ACCESS_ADVICE
    capabilities = CAPABILITIES
    settings_model = GcsSettings
    credentials_model = GoogleCredentials

    def hosts(self, settings: GcsSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return Google's hosts, which are the same for every bucket."""
        return hosts_of(operator)

    def open(self, context: BucketContext[GcsSettings, GoogleCredentials]) -> Bucket:
        """Open the bucket. The operator's `endpoint` (for an emulator) replaces Google's."""
        from cwz_storage_gcs.bucket import GcsBucket, make_client, service_account_of

        account = service_account_of(read_service_account(context.credentials.service_account.get_secret_value()))
        endpoint = context.operator.get("endpoint")
        client = make_client(context.outbound, account, endpoint)
        return GcsBucket(client, context.settings.bucket, account, endpoint or ENDPOINT)


def hosts_of(operator: Mapping[str, str]) -> Iterable[str]:
    """Return Google's hosts, or that of the operator's endpoint."""
    endpoint = operator.get("endpoint")
    return [endpoint.partition("://")[2].rstrip("/")] if endpoint else HOSTS


@hookimpl
def cwz_storage_providers() -> list[GcsProvider]:
    """Return the provider of this distribution."""
    return [GcsProvider()]
