"""The table of storage connections."""

from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned


class Connection(WorkspaceOwned, Base):
    """A workspace's storage: a provider and its settings. One of them is the default."""

    __tablename__ = "connections"

    name: Mapped[str]
    provider: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    is_default: Mapped[bool]


Index("uq_connections_default", Connection.workspace_id, unique=True, postgresql_where=text("is_default"))
