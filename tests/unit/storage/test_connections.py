"""Deleting a connection: refused while something needs it, and nothing is deleted then."""

import pytest

from cwz_web.generation.models import Upload
from cwz_web.storage.connections import (
    ConnectionInUseError,
    create_connection,
    delete_connection,
    get_default_connection,
    set_default_connection,
)
from cwz_web.storage.models import Connection
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, jpeg


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


@pytest.fixture
def former(make: Factory, space: Workspace) -> Connection:
    """The connection that was the default one before another was added."""
    with make.database.transaction(space.id) as db:
        return get_default_connection(db, space.id)


def change_default(make: Factory, space: Workspace) -> None:
    with make.database.transaction(space.id) as db:
        new = create_connection(db, space.id, make.services.ring, provider="local", name="New", settings={})
        set_default_connection(db, new)


def delete(make: Factory, connection: Connection) -> None:
    with make.database.transaction(connection.workspace_id) as db:
        delete_connection(db, db.get_one(Connection, (connection.workspace_id, connection.id)))


def test_connection_with_uploads_is_kept(make: Factory, space: Workspace, former: Connection) -> None:
    uploads = [make.upload(space, jpeg(9 + number, 9), f"Logo {number}") for number in range(4)]
    change_default(make, space)
    message = r"4 uploads are stored in it \(“Logo 0”, “Logo 1”, “Logo 2” and 1 more\)"
    with pytest.raises(ConnectionInUseError, match=message):
        delete(make, former)
    assert {each.connection_id for each in map(make.reload, uploads)} == {former.id}


def test_file_that_is_uploaded_again_is_in_the_new_connection(
    make: Factory, space: Workspace, former: Connection
) -> None:
    upload = make.upload(space, jpeg())
    change_default(make, space)
    make.upload(space, jpeg())
    assert make.reload(upload).connection_id != former.id
    delete(make, former)
    assert make.count(Connection, space.id) == 1


def test_upload_of_an_unknown_connection_keeps_all(make: Factory, space: Workspace, former: Connection) -> None:
    upload = make.upload(space, jpeg())
    change_default(make, space)
    with make.database.transaction(space.id) as db:
        db.get_one(Upload, (space.id, upload.id)).connection_id = None
    with pytest.raises(ConnectionInUseError, match="1 upload could be stored in it"):
        delete(make, former)


def test_connection_of_a_campaign_is_kept(make: Factory, space: Workspace, former: Connection) -> None:
    make.campaign(make.feed(space), make.template(space), connection_id=former.id)
    change_default(make, space)
    with pytest.raises(ConnectionInUseError, match="1 campaign uses it"):
        delete(make, former)
