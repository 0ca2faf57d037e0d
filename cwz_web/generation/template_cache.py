"""Templates ready to render: the document and the workspace's connections, cached per version.

Documents whose layers a request has overridden are cached apart, by their overrides.

Each request reads the template's current state in one query (`find_template_state`), so a published version, a deleted
template or a changed connection takes effect at once.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any
from uuid import UUID

import cachetools
from sqlalchemy import Row, text

from cwz_web.db.session import Database
from cwz_web.generation.models import Template
from cwz_web.generation.templates import TemplateDesign, load_design
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.layer_overrides import LayerOverrides, override_layers
from cwz_web.storage.connections import list_connections_first
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ConnectionSpec
from cwz_web.values.formats import ValueFormat
from cwz_web.workspaces.access import PlanStatus

MAX_PLANS, MAX_OVERRIDDEN = 512, 64
_FIND_STATE = text("SELECT * FROM find_template_state(CAST(:id AS uuid), CAST(:workspace AS uuid), :slug)")


@dataclass(frozen=True)
class TemplateVersionState:
    """The current state of a template.

    Attributes:
        version: the published version.
        unsigned_parameters: the parameters that an unsigned URL may have; None where every URL needs a signature.
        signing_key_numbers: the numbers of the workspace's valid signing keys.
        connections: a digest of the workspace's storage connections.
        value_format: the workspace's format of values.
    """

    template_id: UUID
    workspace_id: UUID
    version: int
    unsigned_parameters: tuple[str, ...] | None
    signing_key_numbers: range
    connections: str
    plan_status: PlanStatus
    value_format: ValueFormat


@dataclass(frozen=True)
class TemplatePlan:
    """A template's document, and the connections of its workspace; images are stored in the first.

    Attributes:
        is_overridden: whether a request has overridden layers of the document.
    """

    design: TemplateDesign
    connections: list[Connection]
    is_overridden: bool = False

    @cached_property
    def connection_specs(self) -> list[ConnectionSpec]:
        """The connections as their plugins open them."""
        return [connection.spec for connection in self.connections]


class TemplateCache:
    """Finds templates and caches their plans. One per process; thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._plans: cachetools.LRUCache[tuple[UUID, int, str], TemplatePlan] = cachetools.LRUCache(MAX_PLANS)
        self._overridden: cachetools.LRUCache[tuple[UUID, int, str], ImageTemplate] = cachetools.LRUCache(
            MAX_OVERRIDDEN
        )
        self._lock = Lock()

    def find_state(self, template_id: UUID) -> TemplateVersionState | None:
        """Return the state of a template, or None if there is no such template."""
        return self._find_state(template_id, None, None)

    def find_state_by_name(self, workspace_id: UUID, name: str) -> TemplateVersionState | None:
        """Return the state of a workspace's template, by its id or slug."""
        try:
            template_id = UUID(name)
        except ValueError:
            return self._find_state(None, workspace_id, name)
        return self._find_state(template_id, workspace_id, None)

    def get_plan(self, state: TemplateVersionState, version: int | None = None) -> TemplatePlan:
        """Return the plan of the published version, or of another one.

        Raises:
            NoResultFound: There is no such version.
            InvalidSettingsError: A connection's settings are invalid.
        """
        number = version or state.version
        key = (state.template_id, number, state.connections)
        with self._lock:
            plan = self._plans.get(key)
        if plan is None:
            plan = self._load_plan(state, number)
            with self._lock:
                self._plans[key] = plan
        return plan

    def override_plan(self, plan: TemplatePlan, overrides: LayerOverrides, *, is_trusted: bool) -> TemplatePlan:
        """Return a plan with overridden layers. Arguments and errors are those of `override_layers`."""
        if not overrides:
            return plan
        design = plan.design
        if plan.is_overridden:  # no document of a version
            document = override_layers(design.document, overrides, is_trusted=is_trusted)
            return replace(plan, design=replace(design, document=document))
        wanted = json.dumps([is_trusted, overrides], sort_keys=True)
        key = (design.template.id, design.version, wanted)
        with self._lock:
            cached = self._overridden.get(key)
        document = cached or override_layers(design.document, overrides, is_trusted=is_trusted)
        if cached is None:
            with self._lock:
                self._overridden[key] = document
        return replace(plan, design=replace(design, document=document), is_overridden=True)

    def _find_state(
        self, template_id: UUID | None, workspace_id: UUID | None, slug: str | None
    ) -> TemplateVersionState | None:
        row = self._database.query_one(_FIND_STATE, {"id": template_id, "workspace": workspace_id, "slug": slug})
        return None if row is None else _state_from(row)

    def _load_plan(self, state: TemplateVersionState, version: int) -> TemplatePlan:
        with self._database.transaction(state.workspace_id) as db:
            template = db.get_one(Template, (state.workspace_id, state.template_id))
            design = load_design(db, template, version)
            return TemplatePlan(design, list_connections_first(db, state.workspace_id, template.connection_id))


def _state_from(row: Row[Any]) -> TemplateVersionState:
    return TemplateVersionState(
        template_id=row.template_id,
        workspace_id=row.workspace_id,
        version=row.version,
        unsigned_parameters=None if row.unsigned_parameters is None else tuple(row.unsigned_parameters),
        signing_key_numbers=range(row.oldest_signing_key_number, row.signing_key_number + 1),
        connections=row.connections or "",
        plan_status=PlanStatus(row.plan, row.unpaid, row.read_only),
        value_format=ValueFormat(locale=row.locale, currency=row.currency),
    )
