from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cwz_web.imaging.byte_cache import NOTHING_BYTES, ByteCache, remembered


def test_the_least_recently_used_goes_first_and_too_large_is_not_kept() -> None:
    memory: ByteCache[np.ndarray] = ByteCache(3 * (1000 + NOTHING_BYTES))
    for name in "abc":
        memory.keep(name, np.zeros(1000, np.uint8))
    assert memory.get("a") is not None
    memory.keep("d", np.zeros(1000, np.uint8))
    assert memory.get("b") is None
    assert memory.get("a") is not None
    large = np.zeros(10_000, np.uint8)
    assert memory.keep("e", large) is large
    assert memory.get("e") is None
    assert memory.get("a") is not None


def test_many_threads_may_use_it_while_it_overflows() -> None:
    memory: ByteCache[bytes] = ByteCache(20 * NOTHING_BYTES)

    def work(seed: int) -> None:
        for number in range(3000):
            key = (number * (seed + 1)) % 50
            assert memory.get(key) in (None, b"%d" % key)
            memory.keep(key, b"%d" % key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_a_function_is_asked_once_for_what_is_remembered() -> None:
    asked = []

    @remembered(10_000)
    def double(number: int) -> int:
        asked.append(number)
        return number * 2

    assert [double(2), double(2), double(3)] == [4, 4, 6]
    assert asked == [2, 3]
