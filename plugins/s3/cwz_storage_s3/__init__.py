"""AWS S3 as a ConnectWyze storage provider. boto3 is imported when it is needed: that takes 0.3 seconds."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator

from cwz_web.storage import Bucket, BucketContext, Capability, Fields, StorageProvider, hookimpl

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Names of another kind than buckets: aliases of access points, directory buckets, internationalized domain names.
RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
S3_CAPABILITIES = frozenset(
    {
        Capability.RANGE,
        Capability.MULTIPART,
        Capability.PRESIGNED_GET,
        Capability.PRESIGNED_PUT,
        Capability.ATTRIBUTES,
    }
)


def _check_bucket(name: str) -> str:
    if (
        not BUCKET_NAME.fullmatch(name)
        or ".." in name
        or ".-" in name
        or "-." in name
        or re.fullmatch(r"[0-9.]+", name)
    ):
        raise ValueError("Enter a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens")
    reserved = [word for word in RESERVED_PREFIXES if name.startswith(word)]
    reserved += [word for word in RESERVED_SUFFIXES if name.endswith(word)]
    if reserved:
        raise ValueError(f"Enter the name of the bucket itself: {reserved[0]} is reserved for other resources")
    return name


BucketName = Annotated[str, AfterValidator(_check_bucket)]
Secret = Annotated[SecretStr, Field(min_length=8, max_length=200)]


class S3Settings(Fields):
    """The location of the bucket."""

    region: str = Field(
        title="Region",
        description="The AWS Region of the bucket, shown in the S3 console",
        examples=["eu-central-1"],
    )
    bucket: BucketName = Field(title="Bucket", description="The bucket name, without a URL", examples=["our-images"])
    endpoint: Literal["standard", "dualstack", "fips", "dualstack-fips"] = Field(
        default="standard",
        title="Endpoint",
        description='Keep "standard" unless you need dual-stack or FIPS endpoints',
        json_schema_extra={
            "choices": {
                "standard": "Standard",
                "dualstack": "Dual-stack",
                "fips": "FIPS",
                "dualstack-fips": "Dual-stack and FIPS",
            }
        },
    )

    @field_validator("region")
    @classmethod
    def _check_region(cls, value: str) -> str:
        from cwz_storage_s3.bucket import known_regions

        if value not in known_regions():
            raise ValueError("Enter an AWS Region, for example eu-central-1")
        return value


class S3Credentials(Fields):
    """An access key of an IAM user with access to this bucket only."""

    access_key_id: Secret = Field(title="Access key ID", description="From an IAM user with access to this bucket only")
    secret_access_key: Secret = Field(
        title="Secret access key", description="Shown once, when you create the access key"
    )


class S3Provider(StorageProvider[S3Settings, S3Credentials]):
    """Opens buckets of AWS S3."""

    api_version = 1
    name = "s3"
    label = "AWS S3"
    icon = "cloud"
    help_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html"
    public_access_advice = (
        "Turn off Block Public Access for this bucket and add a bucket policy that allows s3:GetObject to "
        "everyone, or let CloudFront read the bucket"
    )
    capabilities = S3_CAPABILITIES
    settings_model = S3Settings
    credentials_model = S3Credentials

    def hosts(self, settings: S3Settings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the region's endpoint from botocore's data, alone and with the bucket name as a subdomain."""
        from cwz_storage_s3.bucket import host_of, region_host

        if operator.get("endpoint"):
            return [host_of(operator["endpoint"])]
        host = region_host(settings.region, settings.endpoint)
        return [host, f"{settings.bucket}.{host}"]

    def open(self, context: BucketContext[S3Settings, S3Credentials]) -> Bucket:
        """Open the bucket. The operator's `endpoint` (for an emulator) replaces that of the region."""
        from cwz_storage_s3.bucket import S3Bucket, make_client, region_host

        settings, endpoint = context.settings, context.operator.get("endpoint")
        client = make_client(
            context.outbound,
            endpoint=endpoint or f"https://{region_host(settings.region, settings.endpoint)}",
            region=settings.region,
            credentials=context.credentials,
            # AWS's certificate does not match a bucket name with a dot as a subdomain.
            path_style=bool(endpoint) or "." in settings.bucket,
        )
        return S3Bucket(client, settings.bucket)


@hookimpl
def cwz_storage_providers() -> list[S3Provider]:
    """Return the provider of this distribution."""
    return [S3Provider()]
