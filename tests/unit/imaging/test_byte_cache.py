from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cwz_web.imaging.byte_cache import ENTRY_BYTES, ByteCache


def test_least_recently_used_value_is_evicted() -> None:
    cache: ByteCache[np.ndarray] = ByteCache(3 * (1000 + ENTRY_BYTES))
    for name in "abc":
        cache.put(name, np.zeros(1000, np.uint8))
    assert cache.get("a") is not None
    cache.put("d", np.zeros(1000, np.uint8))
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_too_large_value_is_not_cached() -> None:
    cache: ByteCache[bytes] = ByteCache(ENTRY_BYTES + 1000)
    cache.put("a", b"small")
    large = bytes(10_000)
    assert cache.put("b", large) is large
    assert cache.get("b") is None
    assert cache.get("a") == b"small"


def test_value_is_created_once() -> None:
    created = []

    def create() -> bytes:
        created.append("value")
        return b"value"

    cache: ByteCache[bytes] = ByteCache(ENTRY_BYTES + 1000)
    assert [cache.get_or_create("key", create) for _ in range(3)] == [b"value"] * 3
    assert created == ["value"]


def test_cache_is_safe_for_threads_while_it_evicts() -> None:
    cache: ByteCache[bytes] = ByteCache(20 * ENTRY_BYTES)

    def work(seed: int) -> None:
        for number in range(3000):
            key = (number * (seed + 1)) % 50
            assert cache.get(key) in (None, b"%d" % key)
            cache.put(key, b"%d" % key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
