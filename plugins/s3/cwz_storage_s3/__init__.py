"""AWS S3 as a ConnectWyze storage provider. Nothing heavy is imported before a bucket is opened."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, SecretStr, field_validator

from cwz_web.storage import API_VERSION, Bucket, Capability, Fields, Opening, StorageProvider, hookimpl

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_bucket_name = re.compile(r"\A[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]\Z")
OBJECT_STORAGE = frozenset({Capability.RANGE, Capability.MULTIPART, Capability.PRESIGNED_GET, Capability.PRESIGNED_PUT})


def _check_bucket(name: str) -> str:
    if not _bucket_name.match(name) or ".." in name or re.fullmatch(r"[0-9.]+", name):
        raise ValueError("A bucket's name has 3 to 63 small letters, digits, dots and hyphens")
    return name


BucketName = Annotated[str, AfterValidator(_check_bucket)]
Secret = Annotated[SecretStr, Field(min_length=8, max_length=200)]


class S3Settings(Fields):
    """Where the bucket is."""

    region: str = Field(
        title="Region",
        description="The bucket's region, as the S3 console shows it beside the name",
        examples=["eu-central-1"],
    )
    bucket: BucketName = Field(title="Bucket", description="Its name alone, not its address", examples=["our-images"])
    endpoint: Literal["standard", "dualstack", "fips", "dualstack-fips"] = Field(
        default="standard", title="Endpoint", description="Leave it at standard unless your rules ask for another"
    )

    @field_validator("region")
    @classmethod
    def _known(cls, value: str) -> str:
        from cwz_storage_s3.bucket import known_regions

        if value not in known_regions():
            raise ValueError("AWS has no region of this name; one looks like eu-central-1")
        return value


class S3Credentials(Fields):
    """An access key of an IAM user that may use this bucket and nothing else."""

    access_key_id: Secret = Field(title="Access key ID", description="Of an IAM user for this bucket only")
    secret_access_key: Secret = Field(title="Secret access key", description="Shown once, when the key was made")


class S3Provider:
    """Opens buckets of AWS S3."""

    api_version = API_VERSION
    name = "s3"
    label = "AWS S3"
    icon = "cloud"
    help_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html"
    capabilities = OBJECT_STORAGE
    settings_model: type[BaseModel] = S3Settings
    credentials_model: type[BaseModel] = S3Credentials

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        """The region's endpoint as botocore's own data names it, and the bucket's name in front of it."""
        from cwz_storage_s3.bucket import host_of, region_host

        assert isinstance(settings, S3Settings)
        if operator.get("endpoint"):
            return [host_of(operator["endpoint"])]
        host = region_host(settings.region, settings.endpoint)
        return [host, f"{settings.bucket}.{host}"]

    def open(self, opening: Opening) -> Bucket:
        """Open the bucket; the operator's `endpoint` (for an emulator) wins over the region's."""
        from cwz_storage_s3.bucket import S3Bucket, make_client, region_host

        settings, credentials = opening.settings, opening.credentials
        assert isinstance(settings, S3Settings)
        assert isinstance(credentials, S3Credentials)
        client = make_client(
            opening.outbound,
            endpoint=opening.operator.get("endpoint") or f"https://{region_host(settings.region, settings.endpoint)}",
            region=settings.region,
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            # A name with a dot does not fit AWS's certificate as a part of the host.
            path_style=bool(opening.operator.get("endpoint")) or "." in settings.bucket,
        )
        return S3Bucket(client, settings.bucket)


@hookimpl
def cwz_storage_providers() -> Iterable[StorageProvider]:
    """The provider of this distribution."""
    return [S3Provider()]
