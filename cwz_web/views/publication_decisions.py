"""Decisions of people about rows of a publication."""

import json
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.decisions import MAX_COMMENT, Decision, Verdict, decide
from cwz_web.campaigns.models import (
    Publication,
)
from cwz_web.campaigns.progress import enqueue_advance
from cwz_web.campaigns.publications import NotPublishableError
from cwz_web.i18n import gettext, ngettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import PublicationResource
from cwz_web.views.publication_head import (
    DecisionStatus,
    decision_status,
    design_names,
    load_campaign_of,
    publication_path,
)
from cwz_web.views.publications import changes_page
from cwz_web.web.forms import Form, form_view
from cwz_web.web.notices import MAX_FIELD, add_notice
from cwz_web.web.request import Request

# A decision about selected rows names at most so many.
MAX_KEYS = 1000


class DecisionForm(Form):
    """A decision: about the rows of the keys that the form repeats, or about all rows of a design or with a text."""

    model_config = ConfigDict(extra="ignore")

    verdict: Verdict
    rows: Literal["selected", "matching"] = "selected"
    design: Annotated[str, Field(pattern=r"^[0-9]{0,5}$")] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    value: Annotated[str, Field(max_length=400)] = ""
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""


@form_view(
    DecisionForm,
    changes_page,
    context=PublicationResource,
    name="decide",
    renderer="publications/changes.jinja2",
    permission=Permission.CAMPAIGN_APPROVE,
)
def decide_rows(context: PublicationResource, request: Request, form: DecisionForm) -> Response:
    """Decide about selected rows, about those of a design, or about those with a text in a column."""
    publication, campaign = context.row, load_campaign_of(request.db, context.row)
    chosen = _chosen_rows(request, publication, form)
    decision = Decision(verdict=form.verdict, actor=request.actor, comment=form.comment, **chosen)
    try:
        count = decide(request.db, campaign, publication, decision)
    except NotPublishableError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    enqueue_advance(request.db, campaign)  # publications of later phases are compared again
    request.audit(
        "publication.request_decision" if count is None else "publication.decide",
        campaign.name,
        number=publication.number,
        verdict=form.verdict.value,
        **({} if count is None else {"rows": count}),
        column=form.column,
        value=form.value,
        comment=form.comment,
    )
    if count is None:
        return HTTPSeeOther(_return_path(request, publication))
    text = ngettext(
        "%(verdict)s: decided for %(count)s row",
        "%(verdict)s: decided for %(count)s rows",
        count,
        verdict=form.verdict.label,
    )
    add_notice(request, text, **_undo(request, publication, form, chosen.get("keys")) if count else {})
    return HTTPSeeOther(_return_path(request, publication))


@view_config(
    context=PublicationResource,
    name="decision",
    request_method="GET",
    renderer="publications/_decision.jinja2",
    permission=Permission.VIEW,
)
def show_decision(context: PublicationResource, request: Request) -> dict[str, DecisionStatus | None] | Response:
    """Show how far the decision is that a job applies; once it is applied, htmx loads the whole page again."""
    status = decision_status(request, context.row)
    if status is None or not status.is_waiting:
        if request.headers.get("HX-Request") != "true":
            return HTTPSeeOther(publication_path(request, context.row))
        request.response.headers["HX-Refresh"] = "true"
    return {"decision": status}


def _chosen_rows(request: Request, publication: Publication, form: DecisionForm) -> dict[str, Any]:
    """Return the rows that a decision is about, as `decide` takes them."""
    if form.rows == "selected":
        keys = _sent_keys(request)
        if not keys:
            raise HTTPUnprocessableEntity(gettext("Select at least one row"))
        if len(keys) > MAX_KEYS:
            raise HTTPUnprocessableEntity(gettext("Select at most %(count)s rows", count=MAX_KEYS))
        return {"keys": keys}
    if form.column and form.column not in publication.columns:
        raise HTTPUnprocessableEntity(gettext("Choose a column of the feed"))
    if form.value and not form.column:
        raise HTTPUnprocessableEntity(gettext("Choose the column that has the text"))
    if not form.design and not form.value:
        raise HTTPUnprocessableEntity(gettext("Choose a design, or a column and a text"))
    designs = {"designs": [int(form.design)]} if form.design else {}
    if form.design and int(form.design) not in design_names(publication.rules):
        raise HTTPUnprocessableEntity(gettext("Choose a design of this publication"))
    return {**designs, **({"column": form.column, "value": form.value} if form.value else {})}


def _sent_keys(request: Request) -> list[str]:
    """Return the keys that a form has sent: one by one, or as a JSON array in `keys`."""
    keys = [key for key in request.POST.getall("key") if isinstance(key, str)]
    packed = request.POST.get("keys")
    if isinstance(packed, str) and packed:
        try:
            more = json.loads(packed)
        except ValueError:
            more = None
        if not isinstance(more, list) or not all(isinstance(key, str) for key in more):
            raise HTTPUnprocessableEntity(gettext("Select at least one row"))
        keys += more
    if any("\x00" in key or any("\ud800" <= each <= "\udfff" for each in key) for key in keys):
        raise HTTPUnprocessableEntity(gettext("The form contains a character that is not allowed"))
    return list(dict.fromkeys(keys))


def _undo(request: Request, publication: Publication, form: DecisionForm, keys: list[str] | None) -> dict[str, str]:
    """Return the form that takes a decision back, for a notice; none if it is one, or if it names too many rows."""
    fields = {"verdict": Verdict.RESET.value, "rows": form.rows}
    if keys is not None:
        fields["keys"] = json.dumps(keys)
    else:
        fields |= {"design": form.design, "column": form.column, "value": form.value}
    if form.verdict == Verdict.RESET or any(len(value) > MAX_FIELD for value in fields.values()):
        return {}
    return {"undo": f"{publication_path(request, publication)}/decide", **fields}


def _return_path(request: Request, publication: Publication) -> str:
    """Return where a decision came from: the page of a change, or the list with its filters."""
    here, key = publication_path(request, publication), request.POST.get("change")
    if isinstance(key, str) and key:
        return f"{here}/change?{urlencode({'key': key})}"
    kept = ("search", "column", "kind", "design", "state", "sort")
    values = {name: request.GET[name] for name in kept if request.GET.get(name)}
    return f"{here}?{urlencode(values)}" if values else here
