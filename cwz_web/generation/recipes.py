"""What a picture on demand is made by: its template's document and the workspace's storage, read once and kept.

Every request asks the database one question (`picture_state`), which tells whether what is kept is still right: so what
is published, deleted, or connected anew counts at once, and a request costs one query instead of six.
"""

from dataclasses import dataclass
from threading import Lock
from typing import Any, LiteralString
from uuid import UUID

import cachetools

from cwz_web.db.session import Database
from cwz_web.generation.models import Template
from cwz_web.generation.templates import Design, open_design
from cwz_web.storage.connections import connections_from
from cwz_web.storage.models import Connection
from cwz_web.workspaces.access import Standing

KEPT = 512
_BY_ID: LiteralString = """
    SELECT t.id, p.*, s.* FROM (SELECT %s::uuid) AS t (id), picture_state(t.id) AS p, standing_of(p.workspace_id) AS s
"""
_BY_SLUG: LiteralString = """
    SELECT t.id, p.*, s.* FROM template_of(%s, %s) AS t, picture_state(t.id) AS p, standing_of(p.workspace_id) AS s
"""


@dataclass(frozen=True)
class State:
    """How things are with a template: its version in use, what may be asked without a signature, the signing keys that
    are good, a digest of the workspace's connections, and what the workspace may do."""

    template_id: UUID
    workspace_id: UUID
    version: int
    open_parameters: tuple[str, ...] | None
    signing_numbers: range
    connections: str
    standing: Standing


@dataclass(frozen=True)
class Recipe:
    """A template's document, and where its photos may be; the first connection is where its pictures are kept."""

    design: Design
    connections: list[Connection]


class Recipes:
    """Keeps recipes. One a process; safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: cachetools.LRUCache[tuple[UUID, int, str], Recipe] = cachetools.LRUCache(KEPT)
        self._lock = Lock()

    def state(self, template_id: UUID) -> State | None:
        """How things are with a template now; None when there is no such template."""
        return _state(self._database.ask(_BY_ID, template_id))

    def state_by_slug(self, workspace_id: UUID, slug: str) -> State | None:
        """The same for a template that a workspace calls by a name of its own."""
        return _state(self._database.ask(_BY_SLUG, workspace_id, slug))

    def of(self, state: State, version: int | None = None) -> Recipe:
        """The recipe of a template, in the version in use or another one. Raises NoResultFound, BadSettings."""
        key = (state.template_id, version or state.version, state.connections)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        with self._database.transaction(state.workspace_id) as db:
            template = db.get_one(Template, (state.workspace_id, state.template_id))
            design = open_design(db, template, version or state.version)
            recipe = Recipe(design, connections_from(db, state.workspace_id, template.connection_id))
        with self._lock:
            self._kept[key] = recipe
        return recipe


def _state(row: Any | None) -> State | None:
    """What `_BY_ID` and `_BY_SLUG` find."""
    if row is None:
        return None
    return State(
        row.id,
        row.workspace_id,
        row.version,
        None if row.open_parameters is None else tuple(row.open_parameters),
        range(row.signing_oldest, row.signing_number + 1),
        row.connections or "",
        Standing(row.plan, row.unpaid, row.read_only),
    )
