"""The URLs of images: below the public base URL of their connection, or signed."""

from uuid import UUID

from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.storage.connections import create_connection, get_default_connection, image_key, update_connection
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory

SIGNED_URLS = SignedUrls("a signing secret", "https://app.example")
SPACE, CONNECTION, OTHER, IMAGE = (UUID(int=number) for number in range(1, 5))
KEY = image_key(SPACE, "ab" * 32, "jpg")


def urls_with(**base_urls: str) -> ImageUrls:
    return ImageUrls(SPACE, SIGNED_URLS, {str(CONNECTION): base_url for base_url in base_urls.values()})


def test_url_is_public_for_a_proven_connection_and_signed_for_any_other() -> None:
    urls = urls_with(first="https://images.example.com/a")
    assert urls.url_of(CONNECTION, IMAGE, KEY) == f"https://images.example.com/a/{KEY}"
    assert urls.url_of(str(CONNECTION), str(IMAGE), KEY) == f"https://images.example.com/a/{KEY}"
    signed = SIGNED_URLS.image_url(SPACE)(IMAGE, KEY)
    assert urls.url_of(OTHER, IMAGE, KEY) == signed
    assert urls_with().url_of(CONNECTION, IMAGE, KEY) == signed


def test_key_of_another_workspace_is_not_published() -> None:
    key = image_key(OTHER, "ab" * 32, "jpg")
    assert (
        urls_with(first="https://images.example.com").url_of(CONNECTION, IMAGE, key).startswith("https://app.example")
    )


def test_version_changes_with_a_base_url() -> None:
    versions = {urls_with(**each).version for each in ({}, {"a": "https://a.example"}, {"a": "https://b.example"})}
    assert len(versions) == 3


def test_only_proven_urls_of_the_workspace_are_loaded(make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    ring = make.services.ring

    def urls(workspace: Workspace) -> list[str]:
        with make.database.transaction(workspace.id) as db:
            loaded = ImageUrls.load(db, workspace.id, SIGNED_URLS)
            connections = [get_default_connection(db, workspace.id).id, *added]
            key = image_key(workspace.id, "ab" * 32, "jpg")
            return [
                loaded.url_of(each, IMAGE, key).partition("/i/")[0].partition(f"/{workspace.id}")[0]
                for each in connections
            ]

    added: list[UUID] = []
    with make.database.transaction(space.id) as db:
        for name in ("proven", "entered"):
            base_url = f"https://{name}.example"
            connection = create_connection(db, space.id, ring, provider="local", name=name, public_base_url=base_url)
            connection.proven_base_url = base_url if name == "proven" else ""
            added.append(connection.id)
    assert urls(space) == ["https://app.example", "https://proven.example", "https://app.example"]
    assert urls(other) == ["https://app.example"] * 3


def test_change_keeps_the_proven_url_unless_it_may_lead_to_another_bucket(make: Factory) -> None:
    space, ring = make.workspace(), make.services.ring
    a, b = "https://a.example", "https://b.example"
    for settings, base_url, expected in (({}, a, a), ({}, b, a), ({}, "", ""), ({"bucket": "other"}, a, "")):
        with make.database.transaction(space.id) as db:
            connection = create_connection(db, space.id, ring, provider="local", name="x", public_base_url=a)
            connection.proven_base_url = a
            update_connection(connection, ring, name="x", settings=settings, secrets=None, public_base_url=base_url)
            assert (connection.public_base_url, connection.proven_base_url) == (base_url, expected)
