from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cwz_web.runs import protocol
from cwz_web.runs.protocol import MessageRejectedError, SpecificationRequest, sign, verify

SECRET = "a render secret of the tests"
BODY = SpecificationRequest(workspace_id=uuid4(), run_id=uuid4(), chunk=3).model_dump_json()


def test_a_signed_message_is_understood() -> None:
    headers = sign(SECRET, BODY)
    identity, message = verify(SECRET, headers, BODY.encode())
    assert identity == headers["webhook-id"]
    assert message == SpecificationRequest.model_validate_json(BODY)


def test_each_message_has_an_id_of_its_own() -> None:
    assert sign(SECRET, BODY)["webhook-id"] != sign(SECRET, BODY)["webhook-id"]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h | {"webhook-id": "msg_other"},
        lambda h: h | {"webhook-timestamp": str(int(h["webhook-timestamp"]) + 1)},
        lambda h: h | {"webhook-timestamp": "soon"},
        lambda h: h | {"webhook-signature": "v1,AAAA"},
        lambda h: h | {"webhook-signature": "no comma"},
        lambda h: h | {"webhook-signature": "v1,***"},
        lambda h: h | {"webhook-signature": h["webhook-signature"].replace("v1,", "v0,")},
        lambda h: {name: value for name, value in h.items() if name != "webhook-id"},
        lambda h: {},
    ],
)
def test_changed_headers_are_refused(change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with pytest.raises(MessageRejectedError):
        verify(SECRET, change(sign(SECRET, BODY)), BODY.encode())


def test_a_changed_body_or_secret_is_refused() -> None:
    headers = sign(SECRET, BODY)
    with pytest.raises(MessageRejectedError):
        verify(SECRET, headers, BODY.replace('"chunk":3', '"chunk":4').encode())
    with pytest.raises(MessageRejectedError):
        verify("another secret", headers, BODY.encode())
    with pytest.raises(MessageRejectedError):
        verify(SECRET, headers, b"\xff\xfe")


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_message_and_one_of_the_future_are_refused(monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(minutes=minutes)

    monkeypatch.setattr(protocol, "datetime", Clock)
    headers = sign(SECRET, BODY)
    with pytest.raises(MessageRejectedError):
        verify(SECRET, headers, BODY.encode())
