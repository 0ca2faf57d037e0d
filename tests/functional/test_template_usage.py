"""The tabs of a template: where it is used, and how it is called."""

from webtest import TestApp

from cwz_web.runs.auto_runs import start_auto_run
from cwz_web.workspaces.models import Role
from tests.factories import Factory, sign_in, small_document
from tests.rendering import work


def test_usage_and_request_of_a_template(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    template = make.template(space, small_document(sizes=[{"name": "tall", "width": 100, "height": 300}]))
    feed = make.feed(space, name="Autumn")
    run = make.run(feed, template)
    with make.database.transaction(space.id) as db:
        start_auto_run(db, db.merge(run))
    make.key(space, templates=[str(template.id)])
    make.key(space, templates=[str(make.template(space).id)])
    work(make, run)
    sign_in(app, make.member(space))
    here = f"/w/{space.slug}/templates/{template.id}"
    usage = app.get(here).click(href=f"{here}/usage").html
    assert [number.text.strip() for number in usage.select(".numbers dd")] == ["1", "3", "1"]
    assert usage.find("a", string="Autumn")["href"].endswith(str(feed.id))
    assert [tag.text.split(" (")[0] for tag in usage.select(".tags li")] == ["Test"]
    api = app.get(f"{here}/api").html
    assert f'"template": "{template.slug}"' in api.pre.text
    assert api.table.find("th", scope="row").text == "title"
    assert [tag.code.text for tag in api.select(".tags li")] == ["default", "tall"]
    sign_in(app, make.member(space, Role.USER))
    assert "API keys" not in app.get(f"{here}/usage").text
