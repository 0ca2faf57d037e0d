"""The images of a campaign's designs."""

from cwz_web.campaigns.models import Campaign
from cwz_web.channels.checks import PolicyCode, check_images
from cwz_web.channels.design_images import load_design_images, output_shapes
from cwz_web.channels.preset import Carried
from cwz_web.channels.presets.google import GOOGLE
from tests.factories import Factory
from tests.unit.campaigns.test_publications import Setting
from tests.unit.channels.feeds import image


def test_images_of_all_designs_are_checked_with_corrections(make: Factory) -> None:
    setting = Setting(make)
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        images = load_design_images(db, campaign, {2: frozenset([Carried.LOGO])})
        assert [(each.design, each.name, each.width, each.height) for each in images] == [
            (1, "Sale", 300, 200),
            (2, "Brand", 300, 200),
            (3, "Plain", 300, 200),
        ]
        assert images[1].carried == {Carried.LOGO}
        (shape,) = output_shapes(campaign, images, ["image_url"])
        assert (shape.name, shape.ratio) == ("image_url_2", 1.5)
        findings = check_images(GOOGLE, [image("image_link")], load_design_images(db, campaign))
        too_small = [each.message for each in findings if each.code == PolicyCode.TOO_SMALL]
        assert [text.split("“")[1].split("”")[0] for text in too_small] == ["Sale", "Brand", "Plain"]
