"""A Firebase bucket: objects in Google Cloud Storage with public URLs of Firebase."""

from urllib.parse import quote

from cwz_storage_gcs.bucket import GcsBucket


class FirebaseBucket(GcsBucket):
    """Objects of one bucket."""

    def public_url(self, key: str) -> str:
        """Return the object's URL at Firebase. The bucket's security rules decide whether it is public."""
        name = quote(self._bucket.name, safe="")
        return f"https://firebasestorage.googleapis.com/v0/b/{name}/o/{quote(key, safe='')}?alt=media"
