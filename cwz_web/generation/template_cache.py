"""What an image on demand is made by: its template's document and the workspace's storage, read once and kept.

A request asks the database one question (`template_state`), which tells whether what is kept is still right: so what
is published, deleted, or connected anew counts at once, and a request costs one query instead of six. A signed address
asks once a second: whoever shows its image keeps that for minutes.
"""

from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any
from uuid import UUID

import cachetools

from cwz_web.db.session import Database
from cwz_web.generation.models import Template
from cwz_web.generation.templates import Design, open_design
from cwz_web.storage.connections import connections_from
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import Place
from cwz_web.workspaces.access import PlanStatus

KEPT = 512
# For how long a signed address may not know what another process changes, in seconds.
RECENT = 1.0
_STATE = b"SELECT to_json(state) FROM template_state($1, $2, $3) state"


@dataclass(frozen=True)
class TemplateVersionState:
    """How things are with a template: its version in use, what may be asked without a signature, the signing keys that
    are good, a digest of the workspace's connections, and what the workspace may do."""

    template_id: UUID
    workspace_id: UUID
    version: int
    open_parameters: tuple[str, ...] | None
    signing_numbers: range
    connections: str
    plan_status: PlanStatus


@dataclass(frozen=True)
class TemplatePlan:
    """A template's document, and where its photos may be; the first connection is where its images are kept."""

    design: Design
    connections: list[Connection]

    @cached_property
    def places(self) -> list[Place]:
        """What the connections' buckets are opened with."""
        return [connection.place for connection in self.connections]


class TemplateCache:
    """Keeps recipes. One a process; safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: cachetools.LRUCache[tuple[UUID, int, str], TemplatePlan] = cachetools.LRUCache(KEPT)
        self._recent: cachetools.TTLCache[tuple[UUID, int], TemplateVersionState] = cachetools.TTLCache(KEPT, RECENT)
        self._lock = Lock()

    def state(self, template_id: UUID) -> TemplateVersionState | None:
        """How things are with a template now; None when there is no such template."""
        return state_from(self._database.ask(_STATE, template_id, None, None))

    def state_named(self, workspace_id: UUID, name: str) -> TemplateVersionState | None:
        """The same for what a workspace calls a template: its id or its slug."""
        state = state_from(self._database.ask(_STATE, id_in(name), workspace_id, name))
        return state if state and state.workspace_id == workspace_id else None

    def recent_state(self, template_id: UUID) -> TemplateVersionState | None:
        """How things were with a template a second ago at most, and since this process changed anything."""
        key = (template_id, self._database.commits)
        with self._lock:
            kept = self._recent.get(key)
        if kept is not None:
            return kept
        state = self.state(template_id)
        if state is not None:
            with self._lock:
                self._recent[key] = state
        return state

    def of(self, state: TemplateVersionState, version: int | None = None) -> TemplatePlan:
        """The recipe of a template, in the version in use or another one. Raises NoResultFound, InvalidSettingsError."""
        key = (state.template_id, version or state.version, state.connections)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        with self._database.transaction(state.workspace_id) as db:
            template = db.get_one(Template, (state.workspace_id, state.template_id))
            design = open_design(db, template, version or state.version)
            template_plan = TemplatePlan(design, connections_from(db, state.workspace_id, template.connection_id))
        with self._lock:
            self._kept[key] = template_plan
        return template_plan


def id_in(name: str) -> UUID | None:
    """The id of a template, if that is what it is called by, and not its slug."""
    try:
        return UUID(name)
    except ValueError:
        return None


def state_from(said: dict[str, Any] | None) -> TemplateVersionState | None:
    """What `template_state` or `key_state` says; None where there is no template."""
    if said is None or said["template_id"] is None:
        return None
    return TemplateVersionState(
        UUID(said["template_id"]),
        UUID(said["workspace_id"]),
        said["version"],
        None if said["open_parameters"] is None else tuple(said["open_parameters"]),
        range(said["signing_oldest"], said["signing_number"] + 1),
        said["connections"] or "",
        PlanStatus(said["plan"], said["unpaid"], said["read_only"]),
    )
