"""The table of storage connections."""

import base64
import json
from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned
from cwz_web.storage.plugins import Place


class Connection(WorkspaceOwned, Base):
    """A workspace's storage: a provider, its settings, and its secrets in an envelope. One of them is the default.

    `trouble` says what its last test found wrong; NULL when it works.
    """

    __tablename__ = "connections"

    name: Mapped[str]
    provider: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    sealed: Mapped[bytes | None]
    is_default: Mapped[bool]
    checked_at: Mapped[datetime | None]
    trouble: Mapped[str | None]

    @property
    def place(self) -> Place:
        """What its bucket is opened with."""
        return Place(
            workspace_id=self.workspace_id,
            connection_id=self.id,
            provider=self.provider,
            settings=json.dumps(self.settings, sort_keys=True),
            sealed=base64.b64encode(self.sealed or b"").decode(),
        )


Index("uq_connections_default", Connection.workspace_id, unique=True, postgresql_where=text("is_default"))
