"""Notices: what was done is shown once, with a form that undoes it."""

from webtest import TestApp

from cwz_web.workspaces.models import Membership, Role
from tests.factories import Factory, sign_in, token_of


def test_a_deletion_is_undone_from_its_notice(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    template = make.template(space, name="Sale <50%>")
    make.template(space, name="Other")
    page = app.get(f"/w/{space.slug}/templates?search=sale")
    delete = next(form for form in page.forms.values() if form.action.endswith(f"{template.id}/delete"))
    shown = delete.submit(status=303).follow()
    toast = shown.html.find(class_="toast")
    assert toast.span.text == "Deleted “Sale <50%>”."
    assert app.get(shown.request.path_qs).html.find(class_="toast") is None, "shown once"
    undo = next(form for form in shown.forms.values() if form.action.endswith(f"{template.id}/restore"))
    restored = undo.submit(status=303).follow()
    assert "search=sale" in restored.request.path_qs, "at the same place"
    assert restored.html.find(class_="toast").span.text == "Restored “Sale <50%>”."


def test_a_notice_is_for_one_account_and_one_workspace(app: TestApp, make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    person, colleague, template = make.member(space), make.member(space), make.template(space)
    with make.database.transaction(other.id) as db:
        db.add(Membership(workspace_id=other.id, account_id=person.id, role=Role.ADMIN))
    sign_in(app, person)
    token = token_of(app, f"/w/{space.slug}")
    app.post(f"/w/{space.slug}/templates/{template.id}/delete", {"csrf_token": token}, status=303)
    notice = app.cookies["cwz_notice"]
    assert app.get(f"/w/{other.slug}/feeds").html.find(class_="toast") is None
    sign_in(app, colleague)
    app.set_cookie("cwz_notice", notice)
    assert app.get(f"/w/{space.slug}/feeds").html.find(class_="toast") is None


def test_a_long_place_in_a_list_makes_no_long_cookie(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    fields = {"csrf_token": token_of(app, f"/w/{space.slug}"), "role": "support", "list": "search=" + "x" * 50_000}
    answer = app.post(f"/w/{space.slug}/members/{make.member(space, Role.USER).id}/role", fields, status=303)
    assert max(len(value) for name, value in answer.headerlist if name == "Set-Cookie") < 4096
