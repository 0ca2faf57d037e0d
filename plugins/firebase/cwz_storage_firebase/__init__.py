"""Firebase Storage as a ConnectWyze storage provider: the Google Cloud Storage bucket of a Firebase project."""

from collections.abc import Iterable, Mapping

from cwz_storage_gcs import (
    CAPABILITIES,
    ENDPOINT,
    PUBLIC_ACCESS_ADVICE,
    BucketName,
    GoogleCredentials,
    hosts_of,
    read_service_account,
)
from pydantic import Field

from cwz_web.storage import Bucket, BucketContext, Fields, StorageProvider, hookimpl


class FirebaseSettings(Fields):
    """The location of the bucket."""

    bucket: BucketName = Field(
        title="Bucket",
        description="Shown on the Storage page of the Firebase console; enter it without gs://",
        examples=["our-app.firebasestorage.app"],
    )


class FirebaseProvider(StorageProvider[FirebaseSettings, GoogleCredentials]):
    """Opens buckets of Firebase Storage."""

    api_version = 1
    name = "firebase"
    label = "Firebase Storage"
    icon = "flame"
    help_url = "https://firebase.google.com/docs/admin/setup#initialize_the_sdk_in_non-google_environments"
    public_access_advice = PUBLIC_ACCESS_ADVICE
    capabilities = CAPABILITIES
    settings_model = FirebaseSettings
    credentials_model = GoogleCredentials

    def hosts(self, settings: FirebaseSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return Google's hosts, which are the same for every bucket."""
        return hosts_of(operator)

    def open(self, context: BucketContext[FirebaseSettings, GoogleCredentials]) -> Bucket:
        """Open the bucket with the account that firebase_admin reads from the key file.

        firebase_admin's own storage client is not used: it takes its URL from the environment
        (STORAGE_EMULATOR_HOST), and connects without the guard.
        """
        from cwz_storage_gcs.bucket import make_client, service_account_of
        from firebase_admin import credentials as firebase

        from cwz_storage_firebase.bucket import FirebaseBucket

        info = read_service_account(context.credentials.service_account.get_secret_value())
        service_account_of(info)  # raises an error of the contract for an invalid private key
        account = firebase.Certificate(info).get_credential()
        endpoint = context.operator.get("endpoint")
        client = make_client(context.outbound, account, endpoint)
        return FirebaseBucket(client, context.settings.bucket, account, endpoint or ENDPOINT)


@hookimpl
def cwz_storage_providers() -> list[FirebaseProvider]:
    """Return the provider of this distribution."""
    return [FirebaseProvider()]
