"""Putting images into storage: each provider beside the bare SDK, against the same emulator: `make bench`.

200 KB an object, eight in flight. The emulators are slow and answer one request after the other; what is measured is
what our side adds.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import boto3  # noqa: E402
import requests  # noqa: E402
from botocore.config import Config  # noqa: E402
from cwz_storage_firebase import FirebaseProvider  # noqa: E402
from cwz_storage_gcs import GcsProvider  # noqa: E402
from cwz_storage_r2 import R2Provider  # noqa: E402
from cwz_storage_s3 import S3Provider  # noqa: E402
from figures import keep  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import storage  # noqa: E402

from cwz_web.storage.testing import Opened  # noqa: E402
from tests.emulators import BUCKET, gcs_emulator, host_of, moto_server, service_account  # noqa: E402

BODY = os.urandom(200_000)
PUTS, ROUNDS, IN_FLIGHT = 60, 5, 8
Put = Callable[[str], object]


def per_second(put: Put, name: str) -> float:
    """Puts a second, eight in flight."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        began = time.perf_counter()
        list(pool.map(lambda number: put(f"bench/{name}/{number}"), range(PUTS)))
        return PUTS / (time.perf_counter() - began)


def side_by_side(pairs: dict[str, tuple[Put, Put]], results: dict[str, float]) -> None:
    """Measure ours and the bare SDK in turns, and print the medians and their ratio."""
    for name, (ours, bare) in pairs.items():
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        for number in range(ROUNDS):
            for who, put in (("ours", ours), ("bare", bare)):
                rates[who].append(per_second(put, f"{name}-{who}-{number}"))
        mine, theirs = (statistics.median(rates[who]) for who in ("ours", "bare"))
        print(f"  {name:10} {mine:8.0f} {theirs:8.0f}   {theirs / mine:.2f}x")
        results |= {
            f"storage_{name}_puts_per_s": round(mine, 1),
            f"storage_{name}_bare_sdk_puts_per_s": round(theirs, 1),
        }


def put_of(opened: Opened) -> Put:
    """How a provider's bucket puts."""
    bucket = opened.bucket()
    return lambda key: bucket.put(key, BODY, content_type="image/jpeg")


def main() -> None:
    results: dict[str, float] = {}
    keys = {"access_key_id": "x" * 20, "secret_access_key": "y" * 40}
    print(f"puts/s of {len(BODY) // 1000} KB, {IN_FLIGHT} in flight: ours, the bare SDK, how many times faster that is")
    with moto_server() as address:
        config = Config(max_pool_connections=32, request_checksum_calculation="when_required")
        client: Any = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="x" * 20,
            aws_secret_access_key="y" * 40,
            config=config,
        )

        def bare_s3(key: str) -> object:
            return client.put_object(Bucket=BUCKET, Key=key, Body=BODY, ContentType="image/jpeg")

        at = ({"endpoint": address}, [host_of(address)])
        s3 = put_of(Opened(S3Provider(), {"region": "us-east-1", "bucket": BUCKET}, keys, *at))
        r2 = put_of(Opened(R2Provider(), {"account_id": "0" * 32, "bucket": BUCKET}, keys, *at))
        side_by_side({"s3": (s3, bare_s3), "r2": (r2, bare_s3)}, results)
    with gcs_emulator() as address:
        bare = storage.Client(
            project="p",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            _http=requests.Session(),
            client_options={"api_endpoint": address},
        ).bucket(BUCKET)

        def bare_gcs(key: str) -> object:
            return bare.blob(key).upload_from_string(BODY, content_type="image/jpeg")

        at = ({"endpoint": address}, [host_of(address)])
        account = {"service_account": service_account()}
        gcs = put_of(Opened(GcsProvider(), {"bucket": BUCKET}, account, *at))
        firebase = put_of(Opened(FirebaseProvider(), {"bucket": BUCKET}, account, *at))
        side_by_side({"gcs": (gcs, bare_gcs), "firebase": (firebase, bare_gcs)}, results)
    keep(results)


if __name__ == "__main__":
    sys.exit(main())
