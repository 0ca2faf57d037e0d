"""Public pages: their contents come from the settings, the plans and the claims."""

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import pyvips
from pydantic import SecretStr
from pyramid.router import Router
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.billing.stripe_api import Stripe
from cwz_web.billing.subscriptions import BillingService
from cwz_web.guides import GUIDES
from cwz_web.security_claims import load_claims
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
    "governing_law": "German law, Bremen",
    "source": "https://code.example/connectwyze",
    "security_reviewed": "2026-11-20",
    "disclosure_days": "60",
    "certifications": "SOC 2 Type I, planned for 2027; ISO 27001",
    "enterprise_contact": "enterprise@bilder.example",
    "encrypted_volumes": "LUKS",
}
PAGES = (
    "/",
    "/security",
    "/privacy",
    "/terms",
    "/imprint",
    "/changelog",
    "/docs",
    "/docs/search",
    "/docs/guides/feeds",
)


@pytest.fixture(scope="module")
def wsgi_named(shared_services: Services) -> Router:
    settings = change_settings(shared_services.settings, {"operator": Operator.model_validate(OPERATOR)})
    return create_app(dataclasses.replace(shared_services, settings=settings))


@pytest.fixture
def named(wsgi_named: Router, services: Services) -> TestApp:
    return TestApp(wsgi_named)


@pytest.mark.parametrize("path", PAGES)
def test_public_pages_have_no_broken_links(named: TestApp, make: Factory, path: str) -> None:
    page = named.get(path)
    for link in {a["href"] for a in page.html.find_all("a", href=re.compile("^/"))}:
        assert named.get(link, status="*").status_int in (200, 303), link
    sign_in(named, make.member(make.workspace()))
    assert named.get(path).status_int in (200, 303)


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_a_description_and_a_preview(named: TestApp, path: str) -> None:
    head = named.get(path).html.head
    tags = {tag.get("name") or tag.get("property"): tag["content"] for tag in head.find_all("meta", content=True)}
    assert 20 < len(tags["description"]) < 160
    assert tags["og:description"] == tags["description"]
    assert head.title.text.startswith(tags["og:title"])
    assert tags["og:image"] == "http://localhost/og-image.jpg"
    assert head.find("link", rel="canonical")["href"] == f"http://localhost{path}"


def test_guides_are_pages_whose_links_work(app: TestApp, named: TestApp) -> None:
    """Links to documents that are no guide lead to the source code, if the operator names it."""
    app.get("/docs/guides/threat-model", status=404)
    app.get("/docs/guides/..%2f..%2fetc%2fpasswd", status=404)
    pages = {f"/docs/guides/{name}": app.get(f"/docs/guides/{name}").html for name in GUIDES}
    for path, page in pages.items():
        assert page.select("main h1")
        for link in page.select("main a"):
            target, _, anchor = link["href"].partition("#")
            if not target.startswith(("https://", "/docs", "/signin")):
                assert target == "", link
            if anchor and not target.startswith("https://"):
                assert pages[target or path].find(id=anchor), f"{path}: {link['href']}"
    source = named.get("/docs/guides/operations").html
    assert source.select('main a[href^="https://"][href*="/docs/"]')


def test_documents_are_guides_or_left_out_on_purpose() -> None:
    left_out = {"architecture", "security-claims", "threat-model"}
    assert {path.stem for path in ROOT.joinpath("docs").glob("*.md")} == set(GUIDES) | left_out


def test_assistants_read_guides_as_markdown(named: TestApp, app: TestApp) -> None:
    index = named.get("/llms.txt")
    assert (index.content_type, index.text.count("# ConnectWyze\n\n> ")) == ("text/plain", 1)
    links = re.findall(r"^- \[.+?\]\(http://localhost(\S+)\): .+$", index.text, re.MULTILINE)
    assert {f"{guide.url}.md" for guide in GUIDES.values()} < set(links)
    for link in links:
        text = named.get(link)
        if link.endswith(".md"):
            assert (text.content_type, text.text[:2]) == ("text/markdown", "# ")
            for target in re.findall(r"\]\(([^)\s]+)\)", text.text):
                assert target.startswith(("https://", "http://localhost/", "#")), f"{link}: {target}"
    text = app.get("/docs/guides/operations.md").text
    assert "(http://localhost/docs/guides/api.md" in app.get("/docs/guides/mcp.md").text
    assert "decisions/" not in "".join(re.findall(r"\]\(([^)\s]+)\)", text)), "without the source, links are texts"
    alternate = app.get("/docs/guides/mcp").html.find("link", rel="alternate", type="text/markdown")
    assert alternate["href"] == "/docs/guides/mcp.md"


@pytest.mark.parametrize(
    "name",
    [
        "threat-model.md",
        "mcp.md.md",
        "mcp.txt",
        ".md",
        "..%2fapi.md",
        "%2e%2e/%2e%2e/api.md",
        "mcp%00.md",
        "__init__.py",
    ],
)
def test_other_files_are_no_guides(app: TestApp, name: str) -> None:
    assert app.get(f"/docs/guides/{name}", status="*").status_int in (400, 404)


def test_documentation_is_searched(app: TestApp) -> None:
    page = app.get("/docs").form
    page["q"] = "claude code"
    found = page.submit()
    first = found.html.select_one("main .choices a")
    assert first["href"].startswith("/docs/guides/mcp")
    assert "Claude" in [mark.text for mark in first.select("mark")]
    anchor = first["href"].partition("#")[2]
    assert app.get(first["href"]).html.find(id=anchor)
    assert found.html.select_one("main input[name=q]")["value"] == "claude code"
    none = app.get("/docs/search", {"q": "zzzz qqqq"})
    assert "No section has these words" in none.text
    assert not none.html.select("main .choices")
    assert not app.get("/docs/search", {"q": "  …&"}).html.select("main .choices")


def test_search_shows_hostile_queries_as_text(app: TestApp) -> None:
    hostile = '"><script>alert(1)</script> feed {{ 7*7 }}'
    page = app.get("/docs/search", {"q": hostile})
    assert page.html.select_one("main input[name=q]")["value"] == hostile
    assert "<script>alert" not in page.text
    long = app.get("/docs/search", {"q": "a" * 10_000}, status=422)
    assert "aaaa" not in long.text
    assert app.get("/docs/search", {"q": "feed\0"}, status="*").status_int in (200, 400)


def test_search_engines_find_the_public_pages_only(named: TestApp, app: TestApp) -> None:
    robots = named.get("/robots.txt").text
    assert "Disallow" not in robots
    assert "Sitemap: http://localhost/sitemap.xml" in robots
    pages = re.findall("<loc>http://localhost(.*?)</loc>", named.get("/sitemap.xml").text)
    guides = {f"/docs/guides/{name}" for name in GUIDES}
    assert set(pages) == {*PAGES, "/docs/api", "/docs/models", *guides} - {"/docs/search"}
    assert named.get("/docs/search").html.find("meta", {"name": "robots"})["content"] == "noindex"
    assert all(named.get(page).status_int == 200 for page in pages)
    assert "/terms" not in app.get("/sitemap.xml").text


def test_preview_image_is_rendered_by_the_engine(app: TestApp) -> None:
    answer = app.get("/og-image.jpg")
    image: Any = pyvips.Image.new_from_buffer(answer.body, "")
    assert (answer.content_type, image.width, image.height) == ("image/jpeg", 1200, 630)


def test_front_page_shows_rendered_starters(app: TestApp) -> None:
    page = app.get("/")
    images = page.html.find_all("img", src=re.compile("^/(showcase|live-image)"))
    assert len(images) == 14
    assert all(image["width"] and image["height"] for image in images), "the page does not jump"
    for image in (images[0], images[-1]):
        for source in (part.split()[0] for part in image["srcset"].split(", ")):
            answer = app.get(source)
            rendered: Any = pyvips.Image.new_from_buffer(answer.body, "")
            assert f"width={rendered.width}" in source
            assert "public" in answer.headers["Cache-Control"]
            app.get(source, headers={"If-None-Match": answer.headers["ETag"]}, status=304)
    for unknown in ("/showcase", "/showcase?name=../secret", images[0]["src"].replace("width=280", "width=2800")):
        app.get(unknown, status=404)


def test_live_example_renders_what_is_typed_without_scripts(app: TestApp) -> None:
    form = next(form for form in app.get("/").forms.values() if form.action == "/#example")
    form["title"], form["color"], form["product"] = "Straße <b>2</b>", "#112233", "serum"
    page = form.submit()
    assert page.html.find(id="title")["value"] == "Straße <b>2</b>"
    sources = [image["src"] for image in page.html.select("#live-images img")]
    assert len(sources) == 3
    typed, initial = (app.get(each) for each in (sources[0], app.get("/").html.select_one("#live-images img")["src"]))
    assert typed.content_type == "image/webp"
    assert typed.body != initial.body
    assert typed.headers["X-Robots-Tag"] == "noindex, nofollow"
    part = app.get("/?title=Mug", headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<div id="live-images"')
    assert "title=Mug" in part.text


@pytest.mark.parametrize(
    "query",
    [
        f"title={'x' * 61}",
        "title=",
        f"price={'1' * 21}",
        "color=red",
        "color=%23112233aa",
        "product=https://evil.example/x.png",
        "image=https://evil.example/x.png",
        "size=original",
        "title=a%00",
    ],
)
def test_live_example_is_bounded(app: TestApp, query: str) -> None:
    app.get(f"/live-image?{query}", status=[400, 422])
    page = app.get(f"/?{query}", status=[200, 400])
    assert "pattern" not in page.text, "the message of a field says what to enter"
    assert page.status_int == 400 or all("evil" not in image["src"] for image in page.html.select("#live-images img"))


def test_front_page_redirects_a_signed_in_user_to_the_workspace(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    assert app.get("/", status=303).headers["Location"].endswith(f"/w/{space.slug}")


def test_pricing_shows_plans_with_prices_of_stripe(
    shared_paid_services: Services, services: Services, app_with: Callable[[Services], TestApp]
) -> None:
    page = app_with(shared_paid_services).get("/pricing")
    text = " ".join(page.html.find("main").text.split())
    assert "3 images per month" in text  # as SMALL_PLANS has it
    assert "2 uploads" in text
    assert re.search(r"€ ?\d|\d ?€|\$\d", text), text
    assert "Free" in text
    assert "after 7 days the workspace becomes read-only" in text


def test_pricing_works_while_stripe_is_unavailable(
    shared_paid_services: Services, services: Services, app_with: Callable[[Services], TestApp]
) -> None:
    settings = change_settings(shared_paid_services.settings, {"billing.stripe_api": "http://127.0.0.1:1"})
    billing = BillingService(Stripe(settings), settings)
    try:
        app = app_with(dataclasses.replace(shared_paid_services, settings=settings, billing=billing))
        for _ in range(2):
            assert "You see the price before you pay" in app.get("/pricing").text
    finally:
        billing.stripe.close()


def test_privacy_names_the_operator_and_the_subprocessors(
    named: TestApp, app_with_settings: Callable[..., TestApp]
) -> None:
    page = named.get("/privacy").text
    for expected in (
        "Bilder GmbH",
        "Am Markt 1",
        "hello@bilder.example",
        "Hetzner Online GmbH",
        "A Third, Spain",
        "730 days",
    ):
        assert expected in page, expected
    for unused in ("Stripe", "Resend", "Sentry", "Slack Technologies", "Google Ireland"):
        assert unused not in page, unused
    assert "1 November 2026" in page
    assert "730 days" in page
    assert "included storage" not in page
    operator = Operator.model_validate(OPERATOR)
    more = {
        "included_storage.provider": "s3",
        "mail.transport": "resend",
        "monitoring.sentry_dsn": SecretStr("https://k@sentry.example/1"),
        "retention.audit_days": 100,
    }
    page = app_with_settings(operator=operator, **more).get("/privacy").text
    assert "Resend, Inc." in page
    assert "AWS S3" in page
    assert "included storage are stored by the operator" in page
    assert "Sentry" in page
    assert "100 days" in page
    for data in ("passkeys", "identity provider of a workspace"):
        assert data in page, data
    more = {"included_storage.provider": "local"}
    assert "Local folder" not in app_with_settings(operator=operator, **more).get("/privacy").text


@pytest.mark.parametrize("path", ["/pricing", "/privacy", "/terms", "/imprint", "/.well-known/security.txt"])
def test_pages_that_the_operator_has_not_filled_in_are_hidden(
    app: TestApp, app_with_settings: Callable[..., TestApp], path: str
) -> None:
    app.get(path, status=404)
    assert path not in {a["href"] for a in app.get("/security").html.find_all("a")}
    operator = Operator.model_validate(OPERATOR | {"since": None, "address": ""})
    app_with_settings(operator=operator).get(path, status=200 if "security" in path else 404)


def test_imprint_names_the_operator(named: TestApp) -> None:
    page = named.get("/imprint").html.find("main").text
    assert all(OPERATOR[name] in page for name in ("name", "address", "contact"))


def test_terms_use_the_operator_settings(named: TestApp) -> None:
    page = named.get("/terms").text
    assert "German law, Bremen" in page


def test_security_txt_follows_rfc_9116(named: TestApp, app_with_settings: Callable[..., TestApp]) -> None:
    answer = named.get("/.well-known/security.txt")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert fields["Contact"] == "mailto:security@bilder.example"
    assert fields["Canonical"] == "http://localhost/.well-known/security.txt"
    ends = datetime.fromisoformat(fields["Expires"].replace("Z", "+00:00"))
    assert timedelta(days=30) < ends - datetime.now(UTC) < timedelta(days=366)
    operator = Operator(security_contact="https://bilder.example/report", security_expires=date(2027, 1, 31))
    fixed = app_with_settings(operator=operator).get("/.well-known/security.txt").text
    assert "Contact: https://bilder.example/report\n" in fixed
    assert "Expires: 2027-01-31T00:00:00Z\n" in fixed


PROMISES = {
    "security_reviewed": ("20 November 2026", "# Last reviewed: 2026-11-20"),
    "disclosure_days": ("wait 60 days", "# Disclosure: after 60 days"),
    "certifications": ("ISO 27001", "# Certifications on the roadmap: SOC 2 Type I, planned for 2027; ISO 27001"),
    "enterprise_contact": ("enterprise@bilder.example", "# Enterprise: mailto:enterprise@bilder.example"),
    "security_contact": ("steps to reproduce it", "# Report: what is affected, the steps to reproduce it"),
    "name": ("There is no bounty", "# Bounty: none; we credit you"),
}


@pytest.mark.parametrize("setting", PROMISES)
def test_security_page_and_security_txt_say_the_same(named: TestApp, setting: str) -> None:
    on_page, in_file = PROMISES[setting]
    assert on_page in " ".join(named.get("/security").html.find("main").text.split())
    assert in_file in named.get("/.well-known/security.txt").text


def test_security_page_names_the_duties_of_the_operator(named: TestApp, app: TestApp) -> None:
    stated, silent = (" ".join(each.get("/security").html.find("main").text.split()) for each in (named, app))
    assert "The operator states: LUKS" in stated
    assert "Volumes of the database" in silent
    assert "operator states" not in silent
    assert "Certifications" not in silent
    assert "Report a vulnerability" not in silent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disclosure_days", "0"),
        ("enterprise_contact", "x"),
        ("security_reviewed", "lately"),
        ("contact", "no address"),
        ("security_contact", "http://x"),
        ("since", "soon"),
        ("nme", "x"),
        ("source", "ftp://x"),
    ],
)
def test_invalid_operator_setting_is_reported(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"cwz\.operator\.{name}"):
        Settings.load({f"cwz.operator.{name}": value}, {})


def test_security_page_shows_every_claim_and_limit(named: TestApp) -> None:
    page = named.get("/security")
    text = page.html.find("main").text
    claims = load_claims()
    for claim in claims.claims:
        assert claim.text.replace("`", "") in text
        assert claim.tests[0] in text
        assert page.html.find(id=claim.anchor)
    for point in claims.limits.points:
        assert point.replace("`", "") in text
    assert page.html.find("a", href="https://code.example/connectwyze/docs/security-claims.md")
