"""Long answers: only so many at once, whoever asks, and each place comes back."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import repeat
from uuid import UUID, uuid4

import pytest

from cwz_web.web.stream_limits import StreamLimiter, StreamLimitError

MINE, OTHER = uuid4(), uuid4()


def free(answers: StreamLimiter, workspace_id: UUID) -> int:
    """How many places the workspace could have now."""
    with ExitStack() as taken:
        for number in range(100):
            try:
                taken.enter_context(answers.place(workspace_id))
            except StreamLimitError:
                return number
    raise AssertionError("there is no end to them")


def test_there_are_so_many_places_and_fewer_for_each() -> None:
    answers = StreamLimiter(places=3, each=2)
    with answers.place(MINE), answers.place(MINE):
        with pytest.raises(StreamLimitError), answers.place(MINE):
            pass
        assert free(answers, OTHER) == 1
        with answers.place(OTHER):
            assert free(answers, uuid4()) == 0
    assert (free(answers, MINE), free(answers, OTHER)) == (2, 2)


def test_what_is_short_takes_no_place() -> None:
    answers = StreamLimiter(places=0)
    with answers.place(MINE, when=False):
        pass
    with pytest.raises(StreamLimitError), answers.place(MINE, when=True):
        pass


def test_a_place_comes_back_when_the_block_fails() -> None:
    answers = StreamLimiter(places=1)
    with pytest.raises(ZeroDivisionError), answers.place(MINE):
        1 / 0  # noqa: B018
    assert free(answers, MINE) == 1


def test_a_body_has_a_place_until_it_is_closed() -> None:
    answers, closed = StreamLimiter(places=1), []

    def parts() -> object:
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append(True)

    body = answers.sent(MINE, parts())  # type: ignore[arg-type]
    with pytest.raises(StreamLimitError):
        answers.sent(MINE, repeat(b""))
    assert next(body) == b"one"
    assert free(answers, MINE) == 0
    body.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert free(answers, MINE) == 1
    body.close()  # type: ignore[attr-defined]
    assert free(answers, MINE) == 1, "one place comes back once"


def test_a_body_that_nobody_ever_takes_gives_its_place_back() -> None:
    answers = StreamLimiter(places=1)
    answers.sent(MINE, repeat(b"never sent"))
    gc.collect()
    assert free(answers, MINE) == 1
    assert b"".join(answers.sent(MINE, iter([b"a", b"b"]))) == b"ab"


def test_a_body_that_the_collector_lets_go_of_while_places_are_given_out_holds_nobody_up() -> None:
    answers = StreamLimiter(places=2)
    lost = [answers.sent(MINE, repeat(b"never sent"))]
    done = threading.Event()

    def take() -> None:
        with answers._lock:  # as while a place is given out
            lost.clear()
        done.set()

    threading.Thread(target=take, daemon=True).start()
    assert done.wait(10)
    assert free(answers, MINE) == 2


def test_from_many_threads_there_are_never_more() -> None:
    answers, at_once, most = StreamLimiter(places=3, each=2), [0], [0]

    def use(number: int) -> bool:
        try:
            with answers.place(MINE if number % 2 else OTHER):
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
                at_once[0] -= 1
                return True
        except StreamLimitError:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert any(pool.map(use, range(2000)))
    assert most[0] <= 3
    assert (free(answers, MINE), free(answers, OTHER)) == (2, 2)
