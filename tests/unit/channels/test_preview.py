"""What a channel would write for the first rows."""

from cwz_web.campaigns.models import Campaign, PublicationRow
from cwz_web.channels.preview import load_preview_rows
from cwz_web.generation.image_urls import ImageUrls
from tests.factories import Factory
from tests.rendering import SIGNED_URLS


def test_images_of_a_row_stay_in_the_places_of_their_outputs(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    campaign, image = make.campaign(make.feed(space), template), make.image(template)
    with make.database.transaction(space.id) as db:
        campaign = db.get_one(Campaign, (space.id, campaign.id))
        campaign.outputs = [*campaign.outputs, {"format": "png"}]
        row = {"key": "1", "since": 1, "data": {"title": "One"}, "designs": [1]}
        images = {"1": {"i": [None, str(image.id)], "s": "incomplete", "f": 0}}
        db.add(PublicationRow(workspace_id=space.id, campaign_id=campaign.id, images=images, **row))
        db.flush()
        urls = ImageUrls.load(db, space.id, SIGNED_URLS)
        (shown,) = load_preview_rows(db, campaign, urls)
        assert shown.images == [None, urls.url(image)]
