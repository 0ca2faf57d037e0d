"""The images of a campaign's designs: what platforms' rules are about, and what fields are suggested by."""

from collections.abc import Collection, Mapping

from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.rules import RULES
from cwz_web.channels.checks import DesignImage, describe_images
from cwz_web.channels.preset import Carried
from cwz_web.channels.suggestions import OutputShape
from cwz_web.generation.templates import load_designs
from cwz_web.imaging.encoders import Output
from cwz_web.runs.output_feed import image_columns


def load_design_images(
    db: Session,
    campaign: Campaign,
    corrections: Mapping[int, frozenset[Carried]] | None = None,
    publication: Publication | None = None,
) -> list[DesignImage]:
    """Return the images of the designs of a campaign's rules, by the published versions of their templates.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        corrections: what people say that a design shows, by its number; by default, what is saved.
        publication: a publication whose rules and outputs are meant; None for those of the campaign.
    """
    if corrections is None:
        corrections = {int(number): frozenset(map(Carried, each)) for number, each in campaign.carried.items()}
    source = publication or campaign
    rules = RULES.validate_python(source.rules)
    outputs = [Output.model_validate(output) for output in source.outputs]
    designs = [design for rule in rules if rule.is_enabled for design in rule.designs]
    templates = load_designs(db, campaign.workspace_id, {each.template for each in designs if each.template})
    images: list[DesignImage] = []
    for design in designs:
        found = templates.get(design.template) if design.template else None
        if found:
            images += describe_images(
                found.document,
                outputs,
                design=design.number,
                name=found.template.name,
                corrected=corrections.get(design.number),
            )
    return images


def output_shapes(campaign: Campaign, images: Collection[DesignImage], columns: Collection[str]) -> list[OutputShape]:
    """Return the images that each row has, with the ratio that all designs have.

    Args:
        campaign: the campaign.
        images: the images of its designs.
        columns: the columns of its rows.
    """
    names = image_columns(list(columns), campaign.image_outputs)
    shapes: list[OutputShape] = []
    for number, name in enumerate(names):
        ratios = {round(image.width / image.height, 3) for image in images if image.output == number}
        shapes.append(OutputShape(name, ratios.pop() if len(ratios) == 1 else None))
    return shapes
