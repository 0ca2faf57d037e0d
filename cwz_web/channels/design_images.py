"""The images of a campaign's designs: what platforms' rules are about, and what fields are suggested by."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign
from cwz_web.channels.checks import DesignImage, ImageFinding, check_images, describe_images
from cwz_web.channels.mapping import FieldMapping
from cwz_web.channels.preset import Carried, Preset
from cwz_web.channels.suggestions import OutputShape
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.imaging.encoders import Output
from cwz_web.runs.output_feed import image_columns


def load_design_images(
    db: Session, campaign: Campaign, corrections: Mapping[int, frozenset[Carried]] | None = None
) -> list[DesignImage]:
    """Return the images of the designs of a campaign's rules, by the published versions of their templates.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        corrections: what people say that a design shows, by its number; by default, what is saved.
    """
    outputs = outputs_of(campaign)
    if corrections is None:
        corrections = {int(number): frozenset(map(Carried, each)) for number, each in campaign.carried.items()}
    images: list[DesignImage] = []
    for rule in campaign.design_rules:
        for design in rule.designs:
            template = db.get(Template, (campaign.workspace_id, design.template)) if design.template else None
            if template is None or not rule.is_enabled:
                continue
            corrected = corrections.get(design.number)
            document = load_design(db, template).document
            images += describe_images(document, outputs, design=design.number, name=template.name, corrected=corrected)
    return images


def check_channel_images(
    db: Session,
    campaign: Campaign,
    preset: Preset,
    mappings: Sequence[FieldMapping],
    corrections: Mapping[int, frozenset[Carried]] | None = None,
) -> list[ImageFinding]:
    """Return what a platform wants otherwise of the images that a channel shows.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        preset: the platform.
        mappings: the fields of the channel.
        corrections: what people say that a design shows, by its number.
    """
    return check_images(preset, mappings, load_design_images(db, campaign, corrections))


def output_shapes(campaign: Campaign, images: Collection[DesignImage], columns: Collection[str]) -> list[OutputShape]:
    """Return the images that each row has, with the ratio that all designs have.

    Args:
        campaign: the campaign.
        images: the images of its designs.
        columns: the columns of its rows.
    """
    names = image_columns(list(columns), outputs_of(campaign))
    shapes: list[OutputShape] = []
    for number, name in enumerate(names):
        ratios = {round(image.width / image.height, 3) for image in images if image.output == number}
        shapes.append(OutputShape(name, ratios.pop() if len(ratios) == 1 else None))
    return shapes


def outputs_of(campaign: Campaign) -> list[Output]:
    """Return the outputs of a campaign."""
    return [Output.model_validate(output) for output in campaign.outputs]
