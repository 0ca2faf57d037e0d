"""Google Cloud Storage as a ConnectWyze storage provider. Nothing heavy is imported before a bucket is opened."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, SecretStr, field_validator

from cwz_web.storage import API_VERSION, Bucket, Capability, Fields, Opening, StorageProvider, hookimpl

HOSTS = ("storage.googleapis.com", "oauth2.googleapis.com")
ENDPOINT = "https://storage.googleapis.com"
TOKEN_ADDRESS = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
UNIVERSE = "googleapis.com"
CAPABILITIES = frozenset(Capability)
_bucket_name = re.compile(r"\A[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]\Z")


def _check_bucket(name: str) -> str:
    # https://cloud.google.com/storage/docs/buckets#naming
    if not _bucket_name.match(name) or ".." in name:
        raise ValueError("A bucket's name has 3 or more small letters, digits, dots, hyphens and underscores")
    return name


BucketName = Annotated[str, AfterValidator(_check_bucket)]


def read_service_account(text: str) -> dict[str, Any]:
    """The service account of a JSON key file, with Google's own addresses in it, whatever the file says.

    Raises ValueError for every other kind of credentials: those can name an address of their own, or a file.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("This is not the JSON file of a service account's key") from None
    if not isinstance(found, dict) or found.get("type") != "service_account":
        kind = str(found.get("type"))[:40] if isinstance(found, dict) else "something else"
        raise ValueError(f"This must be the key of a service account (type service_account), not {kind}")
    if found.get("token_uri", TOKEN_ADDRESS) != TOKEN_ADDRESS:
        raise ValueError("token_uri must be Google's own")
    if found.get("universe_domain", UNIVERSE) != UNIVERSE:
        raise ValueError("universe_domain must be googleapis.com")
    needed = ("project_id", "private_key_id", "private_key", "client_email")
    missing = [name for name in needed if not isinstance(found.get(name), str)]
    if missing:
        raise ValueError(f"The key file lacks {', '.join(missing)}")
    kept = {name: found[name] for name in (*needed, "client_id") if isinstance(found.get(name), str)}
    return {**kept, "type": "service_account", "token_uri": TOKEN_ADDRESS, "universe_domain": UNIVERSE}


class GcsSettings(Fields):
    """Where the bucket is."""

    bucket: BucketName = Field(
        title="Bucket", description="Its name alone, as the Cloud Storage page lists it", examples=["our-images"]
    )


class GoogleCredentials(Fields):
    """The key of a service account that may use this bucket and nothing else."""

    service_account: SecretStr = Field(
        title="Key file of the service account",
        description="The whole JSON file; the account needs the role Storage Object Admin on this bucket",
        max_length=10_000,
        json_schema_extra={"multiline": True},
    )

    @field_validator("service_account")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        read_service_account(value.get_secret_value())
        return value


class GcsProvider:
    """Opens buckets of Google Cloud Storage."""

    api_version = API_VERSION
    name = "gcs"
    label = "Google Cloud Storage"
    icon = "cloud-cog"
    help_url = "https://cloud.google.com/iam/docs/keys-create-delete"
    capabilities = CAPABILITIES
    settings_model: type[BaseModel] = GcsSettings
    credentials_model: type[BaseModel] = GoogleCredentials

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        """Google's own, the same for every bucket."""
        return hosts_of(operator)

    def open(self, opening: Opening) -> Bucket:
        """Open the bucket; the operator's `endpoint` (for an emulator) wins over Google's."""
        from cwz_storage_gcs.bucket import GcsBucket, make_client, service_account_of

        settings, credentials = opening.settings, opening.credentials
        assert isinstance(settings, GcsSettings)
        assert isinstance(credentials, GoogleCredentials)
        account = service_account_of(read_service_account(credentials.service_account.get_secret_value()))
        client = make_client(opening.outbound, account, opening.operator.get("endpoint"))
        return GcsBucket(client, settings.bucket, account)


def hosts_of(operator: Mapping[str, str]) -> Iterable[str]:
    """Google's hosts, or the emulator's."""
    endpoint = operator.get("endpoint")
    return [endpoint.partition("://")[2].rstrip("/")] if endpoint else HOSTS


@hookimpl
def cwz_storage_providers() -> Iterable[StorageProvider]:
    """The provider of this distribution."""
    return [GcsProvider()]
