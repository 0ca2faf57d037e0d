"""A Firebase bucket: the same objects as in Google Cloud Storage, at Firebase's public addresses."""

from urllib.parse import quote

from cwz_storage_gcs.bucket import GcsBucket


class FirebaseBucket(GcsBucket):
    """Objects of one bucket."""

    def public_url(self, key: str) -> str:
        """The object's address at Firebase; the bucket's security rules say who may read it."""
        name = quote(self._bucket.name, safe="")
        return f"https://firebasestorage.googleapis.com/v0/b/{name}/o/{quote(key, safe='')}?alt=media"
