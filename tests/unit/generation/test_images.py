"""Stored images."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from cwz_web.generation.images import StoredImage, record_images
from cwz_web.generation.models import Image
from cwz_web.storage.connections import get_default_connection
from tests.factories import Factory


def test_concurrent_transactions_record_the_same_images_without_a_deadlock(make: Factory) -> None:
    space, both = make.workspace(), Barrier(2)
    template = make.template(space)

    def record(numbers: Iterable[int]) -> int:
        digests = [f"{number:064x}" for number in numbers]
        images = [
            ("", StoredImage(digest=digest, key=digest, content_type="image/jpeg", width=3, height=2, size=9))
            for digest in digests
        ]
        with make.database.transaction(space.id) as db:
            connection_id = get_default_connection(db, space.id).id
            both.wait()
            recorded = record_images(
                db, space.id, images, connection_id=connection_id, template_id=template.id, version=1
            )
        return sum(is_new for _, is_new in recorded.values())

    with ThreadPoolExecutor(2) as pool:
        for first in range(0, 3000, 300):
            numbers = range(first, first + 300)
            assert sum(pool.map(record, (numbers, reversed(numbers)))) == 300
    assert make.count(Image, space.id) == 3000
