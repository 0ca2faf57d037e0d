"""Cloudflare R2 as a ConnectWyze storage provider: S3 at an address of its own."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from cwz_storage_s3 import OBJECT_STORAGE, BucketName, S3Credentials
from pydantic import AfterValidator, BaseModel, Field

from cwz_web.storage import API_VERSION, Bucket, Fields, Opening, StorageProvider, hookimpl

_account = re.compile(r"\A[0-9a-f]{32}\Z")


def _check_account(account_id: str) -> str:
    if not _account.match(account_id):
        raise ValueError("An account ID has 32 characters, digits and the letters a to f")
    return account_id


class R2Settings(Fields):
    """Where the bucket is."""

    account_id: Annotated[str, AfterValidator(_check_account)] = Field(
        title="Account ID",
        description="32 letters and digits, on the R2 page of Cloudflare's dashboard",
        examples=["0123456789abcdef0123456789abcdef"],
    )
    bucket: BucketName = Field(title="Bucket", description="Its name alone, not its address", examples=["our-images"])
    jurisdiction: Literal["default", "eu", "fedramp"] = Field(
        default="default", title="Jurisdiction", description="As it was chosen when the bucket was made"
    )


class R2Provider:
    """Opens buckets of Cloudflare R2."""

    api_version = API_VERSION
    name = "r2"
    label = "Cloudflare R2"
    icon = "cloudy"
    help_url = "https://developers.cloudflare.com/r2/api/tokens/"
    capabilities = OBJECT_STORAGE
    settings_model: type[BaseModel] = R2Settings
    credentials_model: type[BaseModel] = S3Credentials

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        """The account's host."""
        from cwz_storage_s3.bucket import host_of

        assert isinstance(settings, R2Settings)
        return [host_of(operator.get("endpoint") or endpoint_of(settings))]

    def open(self, opening: Opening) -> Bucket:
        """Open the bucket; the operator's `endpoint` (for an emulator) wins over the account's."""
        from cwz_storage_s3.bucket import S3Bucket, make_client

        settings, credentials = opening.settings, opening.credentials
        assert isinstance(settings, R2Settings)
        assert isinstance(credentials, S3Credentials)
        client = make_client(
            opening.outbound,
            endpoint=opening.operator.get("endpoint") or endpoint_of(settings),
            region="auto",
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            path_style=True,
        )
        return S3Bucket(client, settings.bucket)


def endpoint_of(settings: R2Settings) -> str:
    """The account's address, built of validated parts."""
    jurisdiction = "" if settings.jurisdiction == "default" else f"{settings.jurisdiction}."
    return f"https://{settings.account_id}.{jurisdiction}r2.cloudflarestorage.com"


@hookimpl
def cwz_storage_providers() -> Iterable[StorageProvider]:
    """The provider of this distribution."""
    return [R2Provider()]
