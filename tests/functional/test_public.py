"""Pages for everybody: what they say comes from the settings, the plans and the claims, and from nowhere else."""

import dataclasses
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pyvips
from pydantic import SecretStr
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.billing.stripe_api import Stripe
from cwz_web.billing.subscriptions import BillingService
from cwz_web.security_claims import claims, limits
from cwz_web.settings import Operator, Settings, SettingsError
from cwz_web.web.services import Services
from tests.conftest import change_settings
from tests.factories import Factory, sign_in
from tests.installation import ROOT

OPERATOR = {
    "name": "Bilder GmbH",
    "address": "Am Markt 1, 28195 Bremen",
    "contact": "hello@bilder.example",
    "security_contact": "security@bilder.example",
    "hosting": "Hetzner Online GmbH, Germany",
    "processors": "Another One Ltd., Malta; A Third, Spain",
    "since": "2026-11-01",
    "law": "German law, Bremen",
    "source": "https://code.example/connectwyze",
}
PAGES = ("/", "/pricing", "/security", "/privacy", "/terms")


def app_with(services: Services, **settings: object) -> TestApp:
    return TestApp(create_app(dataclasses.replace(services, settings=change_settings(services.settings, settings))))


@pytest.fixture
def named(services: Services) -> TestApp:
    return app_with(services, operator=Operator.model_validate(OPERATOR))


@pytest.mark.parametrize("path", PAGES)
def test_everybody_sees_them_and_they_lead_to_each_other(app: TestApp, make: Factory, path: str) -> None:
    page = app.get(path)
    for link in {a["href"] for a in page.html.find_all("a", href=re.compile("^/"))}:
        assert app.get(link, status="*").status_int in (200, 303), link
    sign_in(app, make.member(make.workspace()))
    assert app.get(path).status_int in (200, 303)


def test_the_front_page_shows_what_it_talks_of(app: TestApp) -> None:
    page = app.get("/")
    images = [stage["src"] for stage in page.html.find_all("img", src=re.compile("^/showcase"))]
    assert len(images) == 6
    for source in images:
        answer = app.get(source)
        image: Any = pyvips.Image.new_from_buffer(answer.body, "")
        assert image.width <= 720
        assert "public" in answer.headers["Cache-Control"]
        app.get(source, headers={"If-None-Match": answer.headers["ETag"]}, status=304)
    for nothing in ("/showcase", "/showcase?name=../secret", "/showcase?name=certificate-of-nobody"):
        app.get(nothing, status=404)


def test_who_is_signed_in_goes_on_to_their_workspace(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    assert app.get("/", status=303).headers["Location"].endswith(f"/w/{space.slug}")


def test_without_billing_nothing_is_sold(app: TestApp) -> None:
    assert "Nothing is sold here" in app.get("/pricing").text


def test_prices_come_from_the_plans_and_from_stripe(kept_paid: Services, services: Services) -> None:
    page = TestApp(create_app(kept_paid)).get("/pricing")
    text = " ".join(page.html.find("main").text.split())
    assert "3 images a month" in text  # as SMALL has it
    assert re.search(r"€ ?\d|\d ?€|\$\d", text), text
    assert "Free" in text
    assert "after 7 days a workspace can only be looked at" in text


def test_a_stripe_that_is_down_costs_the_prices_and_not_the_page(kept_paid: Services, services: Services) -> None:
    settings = change_settings(kept_paid.settings, {"billing.stripe_api": "http://127.0.0.1:1"})
    billing = BillingService(Stripe(settings), settings)
    try:
        app = TestApp(create_app(dataclasses.replace(kept_paid, settings=settings, billing=billing)))
        for _ in range(2):
            assert "shown before you pay" in app.get("/pricing").text
    finally:
        billing.stripe.close()


def test_privacy_names_the_operator_and_whoever_else_gets_data(named: TestApp, services: Services) -> None:
    page = named.get("/privacy").text
    for said in (
        "Bilder GmbH",
        "Am Markt 1",
        "hello@bilder.example",
        "Hetzner Online GmbH",
        "A Third, Spain",
        "730 days",
    ):
        assert said in page, said
    for nobody in ("Stripe", "Resend", "Sentry", "Slack Technologies", "Google Ireland"):
        assert nobody not in page, nobody
    assert "1 November 2026" in page
    assert "730 days" in page
    more = {
        "mail.transport": "resend",
        "monitoring.sentry_dsn": SecretStr("https://k@sentry.example/1"),
        "retention.audit_days": 100,
    }
    page = app_with(services, **more).get("/privacy").text
    assert "Resend, Inc." in page
    assert "Sentry" in page
    assert "100 days" in page


def test_without_an_operator_the_pages_say_so_and_invent_nobody(app: TestApp) -> None:
    assert "to be set by the operator" in app.get("/terms").text
    assert "has not yet" in app.get("/privacy").text
    assert "has not yet named an address" in app.get("/security").text
    app.get("/.well-known/security.txt", status=404)


def test_terms_are_filled_from_the_settings(named: TestApp) -> None:
    page = named.get("/terms").text
    assert "to be set" not in page
    assert "German law, Bremen" in page


def test_security_txt_is_as_the_rfc_has_it(named: TestApp, services: Services) -> None:
    answer = named.get("/.well-known/security.txt")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:security@bilder.example"
    assert fields["Canonical"] == "http://localhost/.well-known/security.txt"
    ends = datetime.fromisoformat(fields["Expires"].replace("Z", "+00:00"))
    assert timedelta(days=30) < ends - datetime.now(UTC) < timedelta(days=366)
    operator = Operator(security_contact="https://bilder.example/report", security_expires=date(2027, 1, 31))
    fixed = app_with(services, operator=operator).get("/.well-known/security.txt").text
    assert "Contact: https://bilder.example/report\n" in fixed
    assert "Expires: 2027-01-31T00:00:00Z\n" in fixed


@pytest.mark.parametrize(
    ("name", "value"),
    [("contact", "nobody"), ("security_contact", "http://x"), ("since", "soon"), ("nme", "x"), ("source", "ftp://x")],
)
def test_a_wrong_operator_is_named_at_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"cwz\.operator\.{name}"):
        Settings.load({f"cwz.operator.{name}": value}, {})


def test_the_security_page_says_every_claim_of_the_file_and_what_is_not_promised(named: TestApp) -> None:
    page = named.get("/security")
    text = page.html.find("main").text
    for claim in claims():
        assert claim.promise in text
        assert claim.shown_by in text
        assert page.html.find(id=claim.anchor)
    assert len({claim.anchor for claim in claims()}) == len(claims()) > 50
    [not_done] = [section for section in limits() if section.title == "What it does not do"]
    for point in not_done.points:
        assert point in text
    assert page.html.find("a", href="https://code.example/connectwyze/docs/security-claims.md")


def paths_in(cell: str) -> Iterator[str]:
    """The files and folders that a cell names."""
    for word in re.split(r"[,;]\s*|\s+", re.sub(r"\([^)]*\)", "", cell)):
        if re.search(r"\.py$|/$|/\*/", word) or re.fullmatch(r"plugins/\w+", word):
            yield word


def test_each_claim_names_code_and_tests_that_are_there() -> None:
    tests = {path.name for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/*.py")]}
    code = {str(path.relative_to(ROOT / "cwz_web")) for path in ROOT.glob("cwz_web/**/*.py")}
    for claim in claims():
        shown = list(paths_in(claim.shown_by))
        assert shown, f"no test: {claim.promise}"
        for path in shown:
            there = list(ROOT.glob(path)) or Path(path).name in tests
            assert there, f"{path}: {claim.promise}"
        for path in paths_in(claim.kept_in):
            known = list(ROOT.glob(path)) or list((ROOT / "cwz_web").glob(path))
            assert known or any(each.endswith(f"/{path}") for each in code), f"{path}: {claim.promise}"
