"""Reports about the Content-Security-Policy: counted, sampled, and without secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import CapturingLogger
from webtest import TestApp

from cwz_web.metrics import CSP_REPORTS
from cwz_web.views import csp_reports
from cwz_web.views.csp_reports import MAX_REPORTS, Sampler, parse_reports

SECRET = "https://user:pw@site.example/reset?token=canary#canary"
OLD = {"csp-report": {"effective-directive": "img-src", "document-uri": SECRET, "blocked-uri": "https://evil.test/a?b"}}
NEW = [
    {"type": "csp-violation", "body": {"effectiveDirective": "img-src", "documentURL": SECRET, "blockedURL": "inline"}}
]


def count_of(directive: str) -> float:
    [metric] = CSP_REPORTS.collect()
    return sum(
        sample.value
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels == {"directive": directive}
    )


@pytest.mark.parametrize(("report", "blocked"), [(OLD, "https://evil.test/a"), (NEW, "inline")])
def test_report_is_read_without_queries(report: object, blocked: str) -> None:
    [found] = parse_reports(json.dumps(report).encode())
    assert found == {"directive": "img-src", "page": "https://site.example/reset", "blocked": blocked, "source": ""}


@pytest.mark.parametrize("content_type", ["application/csp-report", "application/reports+json", "text/plain"])
def test_report_is_counted_and_logged(app: TestApp, monkeypatch: pytest.MonkeyPatch, content_type: str) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(csp_reports, "log", log)
    monkeypatch.setattr(csp_reports, "SAMPLER", Sampler(1))
    before = count_of("img-src")
    for _ in range(3):
        answer = app.post("/csp-reports", json.dumps(OLD), {"Content-Type": content_type}, status=204)
        assert "Set-Cookie" not in answer.headers
    assert count_of("img-src") == before + 3
    [call] = log.calls
    assert call.args == ("csp violation",)
    assert "canary" not in repr(call)


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"null", b"[[]]", b'{"csp-report": 1}', b'{"csp-report": {"document-uri": "http://["}}', b"[" * 16000]
    + [b"\xff", b'{"csp-report": {"effective-directive": ["a"]}}', b" " * 20_000 + json.dumps(OLD).encode()],
)
def test_invalid_report_gets_the_same_answer(app: TestApp, body: bytes) -> None:
    app.post("/csp-reports", body, {"Content-Type": "application/csp-report"}, status=204)


def test_reports_of_a_request_are_limited() -> None:
    assert len(list(parse_reports(json.dumps(NEW * 100).encode()))) == MAX_REPORTS


def test_directives_are_a_closed_set() -> None:
    """They become labels of a metric."""
    [found] = parse_reports(b'{"csp-report": {"effective-directive": "made-up"}}')
    assert found["directive"] == "other"


def test_sampler_selects_the_first_of_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 600.0
    monkeypatch.setattr("cwz_web.views.csp_reports.time.monotonic", lambda: now)
    sampler = Sampler(2)
    assert [sampler.select() for _ in range(4)] == [True, True, False, False]
    now += 60
    assert sampler.select()


NAMES = st.sampled_from(["csp-report", "body", "document-uri", "blockedURL"])
SCALARS = st.none() | st.booleans() | st.floats() | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_any_document_is_read(document: object) -> None:
    for found in parse_reports(json.dumps(document).encode()):
        assert all(len(value) <= 220 for value in found.values())
