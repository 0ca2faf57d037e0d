"""The table of storage connections."""

import base64
import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.storage.plugins import ConnectionSpec


class ConnectionState(StrEnum):
    """The result of the last connection test. The value is the label of the interface, in English."""

    UNTESTED = gettext_noop("Not tested")
    WORKING = gettext_noop("Working")
    FAILING = gettext_noop("Failing")

    @property
    def label(self) -> str:
        """Return the label of the interface."""
        return gettext(self.value)


class Connection(WorkspaceOwned, Base):
    """A workspace's storage: a provider, its settings and its encrypted secrets. One of them is the default.

    `error_message` is the result of the last connection test; NULL when it passed. `test_steps` are its steps
    (`connection_test.Step` as JSON). `public_base_url` is what was entered, without a slash at its end;
    `proven_base_url` is the one that URLs of images begin with, since a test has fetched an object from it.
    `key_pattern` is the pattern of the keys of new images (`image_names.py`); empty for their digest alone.
    """

    __tablename__ = "connections"

    name: Mapped[str]
    provider: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    encrypted_credentials: Mapped[bytes | None]
    is_default: Mapped[bool]
    checked_at: Mapped[datetime | None]
    error_message: Mapped[str | None]
    test_steps: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")
    public_base_url: Mapped[str] = mapped_column(default="", server_default="")
    proven_base_url: Mapped[str] = mapped_column(default="", server_default="")
    key_pattern: Mapped[str] = mapped_column(default="", server_default="")

    @property
    def state(self) -> ConnectionState:
        """The result of the last connection test."""
        if self.error_message is not None:
            return ConnectionState.FAILING
        return ConnectionState.UNTESTED if self.checked_at is None else ConnectionState.WORKING

    @property
    def spec(self) -> ConnectionSpec:
        """What opens its bucket."""
        return ConnectionSpec(
            workspace_id=self.workspace_id,
            connection_id=self.id,
            provider=self.provider,
            settings=json.dumps(self.settings, sort_keys=True),
            encrypted_credentials=base64.b64encode(self.encrypted_credentials or b"").decode(),
        )


Index("uq_connections_default", Connection.workspace_id, unique=True, postgresql_where=text("is_default"))
