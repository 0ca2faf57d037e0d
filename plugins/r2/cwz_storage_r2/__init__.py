"""Cloudflare R2 as a ConnectWyze storage provider: S3 at an endpoint of the account."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from cwz_storage_s3 import S3_CAPABILITIES, BucketName, S3Credentials
from pydantic import AfterValidator, Field

from cwz_web.storage import Bucket, BucketContext, Fields, StorageProvider, hookimpl


def _check_account_id(account_id: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", account_id):
        raise ValueError("Enter an account ID: 32 digits and letters from a to f")
    return account_id


class R2Settings(Fields):
    """The location of the bucket."""

    account_id: Annotated[str, AfterValidator(_check_account_id)] = Field(
        title="Account ID",
        description="Shown on the R2 page of the Cloudflare dashboard",
        examples=["0123456789abcdef0123456789abcdef"],
    )
    bucket: BucketName = Field(title="Bucket", description="The bucket name, without a URL", examples=["our-images"])
    jurisdiction: Literal["default", "eu", "fedramp"] = Field(
        default="default",
        title="Jurisdiction",
        description="The jurisdiction that was chosen when the bucket was created",
        json_schema_extra={"choices": {"default": "Default", "eu": "European Union", "fedramp": "FedRAMP"}},
    )


class R2Provider(StorageProvider[R2Settings, S3Credentials]):
    """Opens buckets of Cloudflare R2."""

    api_version = 1
    name = "r2"
    label = "Cloudflare R2"
    icon = "cloudy"
    help_url = "https://developers.cloudflare.com/r2/api/tokens/"
    public_access_advice = (
        "Turn on public access in the settings of the bucket: connect a custom domain, or allow its r2.dev subdomain"
    )
    capabilities = S3_CAPABILITIES
    settings_model = R2Settings
    credentials_model = S3Credentials

    def hosts(self, settings: R2Settings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the account's host."""
        from cwz_storage_s3.bucket import host_of

        return [host_of(operator.get("endpoint") or endpoint_of(settings))]

    def open(self, context: BucketContext[R2Settings, S3Credentials]) -> Bucket:
        """Open the bucket. The operator's `endpoint` (for an emulator) replaces that of the account."""
        from cwz_storage_s3.bucket import S3Bucket, make_client

        client = make_client(
            context.outbound,
            endpoint=context.operator.get("endpoint") or endpoint_of(context.settings),
            region="auto",
            credentials=context.credentials,
            path_style=True,
        )
        return S3Bucket(client, context.settings.bucket)


def endpoint_of(settings: R2Settings) -> str:
    """Return the account's endpoint, built from validated parts."""
    jurisdiction = "" if settings.jurisdiction == "default" else f"{settings.jurisdiction}."
    return f"https://{settings.account_id}.{jurisdiction}r2.cloudflarestorage.com"


@hookimpl
def cwz_storage_providers() -> list[R2Provider]:
    """Return the provider of this distribution."""
    return [R2Provider()]
