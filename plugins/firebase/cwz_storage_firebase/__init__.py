"""Firebase Storage as a ConnectWyze storage provider: a bucket of Google Cloud Storage that belongs to an app."""

from collections.abc import Iterable, Mapping

from cwz_storage_gcs import CAPABILITIES, BucketName, GoogleCredentials, hosts_of, read_service_account
from pydantic import BaseModel, Field

from cwz_web.storage import API_VERSION, Bucket, Fields, Opening, StorageProvider, hookimpl


class FirebaseSettings(Fields):
    """Where the bucket is."""

    bucket: BucketName = Field(
        title="Bucket",
        description="On the Storage page of the Firebase console, without gs://",
        examples=["our-app.firebasestorage.app"],
    )


class FirebaseProvider:
    """Opens buckets of Firebase Storage."""

    api_version = API_VERSION
    name = "firebase"
    label = "Firebase Storage"
    icon = "flame"
    help_url = "https://firebase.google.com/docs/admin/setup#initialize_the_sdk_in_non-google_environments"
    capabilities = CAPABILITIES
    settings_model: type[BaseModel] = FirebaseSettings
    credentials_model: type[BaseModel] = GoogleCredentials

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        """Google's own, the same for every bucket."""
        return hosts_of(operator)

    def open(self, opening: Opening) -> Bucket:
        """Open the bucket with the account that firebase_admin reads from the key file.

        firebase_admin's own storage client is not used: it takes its address from the environment
        (STORAGE_EMULATOR_HOST), and connects past the guard.
        """
        from cwz_storage_gcs.bucket import make_client, service_account_of
        from firebase_admin import credentials as firebase

        from cwz_storage_firebase.bucket import FirebaseBucket

        settings, credentials = opening.settings, opening.credentials
        assert isinstance(settings, FirebaseSettings)
        assert isinstance(credentials, GoogleCredentials)
        info = read_service_account(credentials.service_account.get_secret_value())
        service_account_of(info)  # says what is wrong with the key in the contract's words
        account = firebase.Certificate(info).get_credential()
        client = make_client(opening.outbound, account, opening.operator.get("endpoint"))
        return FirebaseBucket(client, settings.bucket, account)


@hookimpl
def cwz_storage_providers() -> Iterable[StorageProvider]:
    """The provider of this distribution."""
    return [FirebaseProvider()]
