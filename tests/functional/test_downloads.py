"""CSV files: those for people contain no formulas, those for programs contain the values as they are."""

import csv
import io
import re
from uuid import UUID

import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.feeds.models import Feed
from cwz_web.spreadsheets import FORMULA_PREFIXES, plain_cell
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.models import Role
from tests.factories import Factory, sign_in
from tests.functional.test_access import SampleWorkspace, all_pages
from tests.installation import ROOT

FORMULAS = [f"{prefix}HYPERLINK(A1)" for prefix in FORMULA_PREFIXES] + ["-5+cmd|' /C calc'!A0", "+1-2"]
NUMBERS = ["-5", "+49", "-1,234.50", "-5%", "-1e-3"]
# The views that return CSV for people, and the only modules that write CSV.
DOWNLOADS = {"audit.csv", "invalid-rows.csv"}
WRITERS = {"spreadsheets.py", "demo/contents.py", "channels/campaign_feed.py"}
CSV_RESPONSES = {"web/downloads.py", "api/signed_urls.py"}


def test_every_download_escapes_formulas(app: TestApp, wsgi: Router, make: Factory) -> None:
    place, values, file = SampleWorkspace(make), [*FORMULAS, *NUMBERS], io.StringIO()
    columns = [f"={number}" for number in range(len(values))]
    csv.writer(file).writerows([["sku", "title", *columns], ["1", "One"], ["2", "Two"], ["3", "Three"]])
    csv.writer(file).writerow(["", "", *values])
    with make.database.transaction(place.space.id) as db:
        feed = db.get_one(Feed, (place.space.id, UUID(place.feed_id)))
    make.import_with_invalid_row(feed, file.getvalue().encode())
    with make.database.transaction(place.space.id) as db:
        for value in values:
            record(db, place.space.id, Actor(None, "System", ""), "feed.import", value, {})
    sign_in(app, make.member(place.space, Role.ADMIN))
    pages = [page for page in all_pages(wsgi) if page.name.endswith(".csv")]
    assert {page.name for page in pages} == DOWNLOADS
    for page in pages:
        cells = [
            cell
            for row in csv.reader(
                io.StringIO(app.get(place.path(page).replace("number=1", "number=2")).text, newline="")
            )
            for cell in row
        ]
        assert [cell for cell in cells if cell != plain_cell(cell)] == []
        assert {value.strip() for value in NUMBERS} <= set(cells), page.name
        assert any(cell.startswith("'=") for cell in cells), page.name


@pytest.mark.parametrize(
    ("pattern", "modules"), [(r"csv\.(writer|DictWriter)", WRITERS), (r'content_type="text/csv"', CSV_RESPONSES)]
)
def test_csv_is_written_in_one_place(pattern: str, modules: set[str]) -> None:
    package = ROOT / "cwz_web"
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if re.search(pattern, path.read_text())}
    assert found == modules
