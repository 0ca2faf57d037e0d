"""The way from a new workspace to its first images: data, a design, a run. It can be left and resumed at each step."""

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.demo.samples import add_sample_feed
from cwz_web.feeds.imports import list_imports
from cwz_web.feeds.models import Feed, FeedImport, ImportState
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.models import Template
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.runs.models import Run
from cwz_web.storage.connections import create_connection, has_storage, ready_providers
from cwz_web.storage.contract import StorageError
from cwz_web.views.feed_imports import ImportProgress, progress_of_import
from cwz_web.views.new_template import SAMPLE_DATA, Gallery, GalleryQuery, find_gallery
from cwz_web.views.setup_steps import SETUP, NumberedStep, SetupStep, numbered_steps
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.provider_forms import provider_label
from cwz_web.web.request import Request

PAGE = "workspaces/setup.jinja2"


STEP_LABELS = {
    SetupStep.STORAGE: gettext_noop("Connect storage"),
    SetupStep.FEED: gettext_noop("Add your data"),
    SetupStep.COLUMNS: gettext_noop("Review the columns of your data"),
    SetupStep.TEMPLATE: gettext_noop("Choose a design"),
    SetupStep.RUN: gettext_noop("Render your images"),
}
STEP_HINTS = {
    SetupStep.STORAGE: gettext_noop("Next step to your first images: connect storage."),
    SetupStep.FEED: gettext_noop("Next step to your first images: add your data."),
    SetupStep.COLUMNS: gettext_noop("Next step to your first images: review the columns of your data."),
    SetupStep.TEMPLATE: gettext_noop("Next step to your first images: choose a design."),
    SetupStep.RUN: gettext_noop("Next step to your first images: render your images."),
}


class StorageForm(Form):
    """The storage provider."""

    provider: str


SetupForm: TypeAlias = SubmittedForm[StorageForm] | SubmittedForm[Form]


@dataclass(frozen=True)
class SetupState:
    """How far a workspace has come.

    Attributes:
        step: What comes next.
        feed: The newest feed, or None.
        newest: Its newest import, or None.
        template: The newest template, or None.
    """

    step: SetupStep
    feed: Feed | None = None
    newest: FeedImport | None = None
    template: Template | None = None

    @property
    def label(self) -> str:
        """What to do next, or nothing."""
        return gettext(STEP_LABELS[self.step]) if self.step in STEP_LABELS else ""

    @property
    def hint(self) -> str:
        """What to do next, as a sentence, or nothing."""
        return gettext(STEP_HINTS[self.step]) if self.step in STEP_HINTS else ""


@dataclass(frozen=True)
class SetupPage:
    """The view model of workspaces/setup.jinja2.

    Attributes:
        state: How far the workspace has come.
        steps: The list of steps.
        providers: The labels of the storage providers that work without settings, by name.
        progress: The progress of the newest import, or None.
        gallery: The starters with the rows of the newest feed, if a design comes next.
    """

    form: SetupForm
    state: SetupState
    steps: list[NumberedStep]
    providers: dict[str, str]
    progress: ImportProgress | None
    gallery: Gallery | None


def find_setup_state(db: Session, workspace_id: UUID) -> SetupState:
    """Return how far a workspace has come to its first images. Each step counts as done, however it was done."""
    if db.scalar(select(exists().where(Run.workspace_id == workspace_id))):
        return SetupState(SetupStep.NOTHING)
    feed = next(iter(list_feeds(db, workspace_id, limit=1)), None)
    newest = next(iter(list_imports(db, feed, limit=1)), None) if feed else None
    own_templates = select(Template).where(Template.workspace_id == workspace_id, Template.deleted_at.is_(None))
    template = db.scalar(own_templates.order_by(Template.id.desc()).limit(1))
    if not has_storage(db, workspace_id):
        step = SetupStep.STORAGE
    elif newest is not None and newest.state == ImportState.DRAFT:
        step = SetupStep.COLUMNS
    elif feed is None or not (feed.item_count or (newest and newest.state == ImportState.QUEUED)):
        step = SetupStep.FEED  # also after an import that failed
    elif template is None:
        step = SetupStep.TEMPLATE
    else:
        step = SetupStep.RUN
    return SetupState(step, feed, newest, template)


def _page(context: WorkspaceResource, request: Request, form: SetupForm) -> SetupPage:
    state = find_setup_state(request.db, request.workspace.workspace_id)
    progress, gallery = progress_of_import(state.newest), None
    if state.step == SetupStep.TEMPLATE:
        query = read_form(GalleryQuery, request.GET).value or GalleryQuery()
        # A feed that is being imported has no rows to show yet.
        feed = SAMPLE_DATA if progress else query.feed
        gallery = find_gallery(request, query.model_copy(update={"feed": feed, "next": SETUP}))
    return SetupPage(
        form=form,
        state=state,
        steps=numbered_steps(state.step),
        providers={each.name: provider_label(each) for each in ready_providers(request.services.providers)},
        progress=progress,
        gallery=gallery,
    )


@view_config(
    context=WorkspaceResource,
    name="setup",
    request_method="GET",
    renderer=PAGE,
    permission=Permission.FEED_EDIT,
)
def setup_page(context: WorkspaceResource, request: Request) -> SetupPage:
    """Show what comes next on the way to the first images."""
    return _page(context, request, empty_form())


@form_view(
    StorageForm,
    _page,
    context=WorkspaceResource,
    name="setup-storage",
    renderer=PAGE,
    permission=Permission.STORAGE_MANAGE,
    requires_recent_auth=True,
)
def set_up_storage(context: WorkspaceResource, request: Request, form: StorageForm) -> Response:
    """Connect a provider that needs no settings."""
    workspace_id, services = request.workspace.workspace_id, request.services
    provider = next((p for p in ready_providers(services.providers) if p.name == form.provider), None)
    if provider is None:
        raise FieldError("provider", gettext("Choose an option"))
    if not has_storage(request.db, workspace_id):
        create_connection(request.db, workspace_id, services.ring, provider=provider.name, name=provider.label)
        request.audit("storage.connect", provider.label)
    return HTTPSeeOther(request.path_in("setup"))


@form_view(
    Form,
    _page,
    context=WorkspaceResource,
    name="setup-feed",
    renderer=PAGE,
    permission=Permission.FEED_EDIT,
)
def set_up_feed(context: WorkspaceResource, request: Request, form: Form) -> Response:
    """Add the sample feed."""
    check_plan_limit(request.db, request.services.settings, request.workspace.workspace_id, PlanLimit.FEEDS)
    try:
        feed = add_sample_feed(request.db, request.workspace.workspace_id, request.services.providers)
    except StorageError as error:
        raise FieldError("feed", gettext(str(error))) from None
    request.audit("feed.sample", feed.name)
    return HTTPSeeOther(request.path_in("setup"))
