"""Storage benchmark: uploads through each provider and through the bare SDK, against the same emulator.

Objects of 200 KB, eight uploads in flight. The emulators are slow and handle one request at a time: the benchmark
measures the overhead of the plugins, not the throughput of a storage service.
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
from figures import save_figures  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import storage  # noqa: E402

from cwz_web.storage.testing import ProviderSetup  # noqa: E402
from tests.emulators import BUCKET, gcs_emulator, host_of, moto_server, service_account  # noqa: E402

BODY = os.urandom(200_000)
PUTS, ROUNDS, IN_FLIGHT = 60, 5, 8
Put = Callable[[str], object]


def per_second(put: Put, name: str) -> float:
    """Return uploads per second."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        start = time.perf_counter()
        list(pool.map(lambda number: put(f"bench/{name}/{number}"), range(PUTS)))
        return PUTS / (time.perf_counter() - start)


def compare(pairs: dict[str, tuple[Put, Put]], results: dict[str, float]) -> None:
    """Measure plugin and bare SDK in turns, and print the medians and their ratio."""
    for name, (plugin, sdk) in pairs.items():
        rates: dict[str, list[float]] = {"plugin": [], "sdk": []}
        for number in range(ROUNDS):
            for side, put in (("plugin", plugin), ("sdk", sdk)):
                rates[side].append(per_second(put, f"{name}-{side}-{number}"))
        plugin_rate, sdk_rate = (statistics.median(rates[side]) for side in ("plugin", "sdk"))
        print(f"  {name:10} {plugin_rate:8.0f} {sdk_rate:8.0f}   {sdk_rate / plugin_rate:.2f}x")
        results |= {
            f"storage_{name}_puts_per_s": round(plugin_rate, 1),
            f"storage_{name}_bare_sdk_puts_per_s": round(sdk_rate, 1),
        }


def upload_with(opened: ProviderSetup) -> Put:
    """Return the upload function of a provider's bucket."""
    bucket = opened.bucket()
    return lambda key: bucket.put(key, BODY, content_type="image/jpeg")


def main() -> None:
    results: dict[str, float] = {}
    keys = {"access_key_id": "x" * 20, "secret_access_key": "y" * 40}
    print(f"uploads/s of {len(BODY) // 1000} KB, {IN_FLIGHT} in flight: plugin, bare SDK, ratio")
    with moto_server() as url:
        config = Config(max_pool_connections=32, request_checksum_calculation="when_required")
        client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="x" * 20,
            aws_secret_access_key="y" * 40,
            config=config,
        )

        def sdk_s3(key: str) -> object:
            return client.put_object(Bucket=BUCKET, Key=key, Body=BODY, ContentType="image/jpeg")

        operator_options = ({"endpoint": url}, [host_of(url)])
        s3 = upload_with(
            ProviderSetup(S3Provider(), {"region": "us-east-1", "bucket": BUCKET}, keys, *operator_options)
        )
        r2 = upload_with(
            ProviderSetup(R2Provider(), {"account_id": "0" * 32, "bucket": BUCKET}, keys, *operator_options)
        )
        compare({"s3": (s3, sdk_s3), "r2": (r2, sdk_s3)}, results)
    with gcs_emulator() as url:
        bare = storage.Client(
            project="p",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            _http=requests.Session(),
            client_options={"api_endpoint": url},
        ).bucket(BUCKET)

        def sdk_gcs(key: str) -> object:
            return bare.blob(key).upload_from_string(BODY, content_type="image/jpeg")

        operator_options = ({"endpoint": url}, [host_of(url)])
        account = {"service_account": service_account()}
        gcs = upload_with(ProviderSetup(GcsProvider(), {"bucket": BUCKET}, account, *operator_options))
        firebase = upload_with(ProviderSetup(FirebaseProvider(), {"bucket": BUCKET}, account, *operator_options))
        compare({"gcs": (gcs, sdk_gcs), "firebase": (firebase, sdk_gcs)}, results)
    save_figures(results)


if __name__ == "__main__":
    sys.exit(main())
