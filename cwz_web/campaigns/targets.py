"""Which images the rows of a campaign need, and which of them exist.

An image exists if a run has rendered the same row with the same design, output and values: images are found by what
they show, and not by the plan that they were rendered for. So a plan that was interrupted continues where it was, and
going back to earlier rules renders nothing.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.rules import Design, DesignRule, Phase, phases
from cwz_web.db.session import hash_joins
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.i18n import gettext
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.runs.models import Run
from cwz_web.runs.planning import RunSpec, new_run, run_parameters

# Images of a window are rendered so long before it begins.
LEAD = timedelta(hours=24)
# The phases that are prepared at once, the current one included.
MAX_PHASES = 6

# The rows whose images can have changed since the newest state of the timeline, and those without a complete image.
# They are put into a table, of which the database knows the size: it misjudges tables that were filled a moment ago.
_STAGE_ROWS = """
    CREATE TEMPORARY TABLE target_rows ON COMMIT DROP AS
    SELECT row.key, row.designs, item.data || coalesce(row.joined, '{}') AS data
    FROM campaign_rows AS row
    JOIN items AS item ON item.workspace_id = :workspace AND item.feed_id = :feed AND item.key = row.key
    WHERE row.workspace_id = :workspace AND row.campaign_id = :campaign
      AND (row.plan > :prepared_plan OR row.designs && :stale OR row.key IN (
          SELECT key FROM publication_rows
          WHERE workspace_id = :workspace AND campaign_id = :campaign AND is_faulty AND until IS NULL))
"""
# An image for each design that such a row has in a phase, and each output; with the newest result for the same values.
WANTED_IMAGES = """
    SELECT wanted.*, newest.state, newest.image_id, newest.findings
    FROM (
        SELECT row.key, row.designs, design.number AS design, output.number - 1 AS output, output.value AS output_value,
               mapped.data, design.template, design.formats, design.version, design.digests
        FROM target_rows AS row
        JOIN jsonb_to_recordset(:targets) AS design (
                 number smallint, mapping jsonb, formats jsonb, template uuid, version int, digests jsonb)
             ON design.number = ANY(row.designs)
        CROSS JOIN LATERAL (
            SELECT coalesce(
                (SELECT jsonb_object_agg(m.key, coalesce(
                     row.data -> m.value,
                     (SELECT row.data -> c.name FROM unnest(string_to_array(m.value, ' | '))
                          WITH ORDINALITY c(name, n)
                      WHERE row.data -> c.name IS NOT NULL ORDER BY c.n LIMIT 1),
                     '""'))
                 FROM jsonb_each_text(design.mapping) m),
                '{}'
            ) AS data
        ) AS mapped
        CROSS JOIN jsonb_array_elements(:outputs) WITH ORDINALITY AS output (value, number)
        WHERE EXISTS (
            SELECT FROM jsonb_array_elements(:phases) AS phase
            WHERE first_design(row.designs, ARRAY(SELECT jsonb_array_elements_text(phase)::smallint)) = design.number)
    ) AS wanted
    LEFT JOIN LATERAL (
        SELECT item.state, item.image_id, coalesce(jsonb_array_length(item.findings), 0) AS findings
        FROM (
            -- OFFSET keeps the database from reading all items of a run instead, as it does without statistics.
            SELECT * FROM run_items WHERE workspace_id = :workspace AND key = wanted.key OFFSET 0
        ) AS item
        JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
        WHERE (item.image_id IS NOT NULL AND item.state IN ('done', 'incomplete')
               OR item.state = 'failed' AND item.deleted_image_id IS NULL)
          AND item.data = wanted.data AND run.outputs -> item.output = wanted.output_value
          AND run.feed_id = :feed AND run.template_id = wanted.template AND run.connection_id = :connection
          AND run.formats = wanted.formats
          AND CASE WHEN run.design_digests = '[]' THEN run.template_version = wanted.version
                   ELSE run.design_digests -> item.output = wanted.digests -> CAST(wanted.output AS integer) END
        ORDER BY item.state = 'done' DESC, item.run_id DESC LIMIT 1
    ) AS newest ON wanted.template IS NOT NULL
"""
JSON_PARAMETERS = ("targets", "outputs", "phases")

_COUNT_MISSING = f"""
    SELECT design, count(*) AS images FROM ({WANTED_IMAGES}) AS image
    WHERE state IS NULL AND template IS NOT NULL GROUP BY design
"""  # noqa: S608 - composed of constants


class MissingTemplateError(Exception):
    """A rule uses a template that was deleted."""


@dataclass(frozen=True)
class DesignTarget:
    """What a design of a campaign renders.

    Attributes:
        rule: its rule.
        design: the design.
        run: a run that would render it, which is in no session; None for the original photo.
        parameters: what its images depend on, beside the rows and the outputs.
    """

    rule: DesignRule
    design: Design
    run: Run | None
    parameters: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Identifies what its images show."""
        run = self.run
        parts = [self.parameters, run and [run.outputs, str(run.connection_id), run.on_missing_photo]]
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Targets:
    """The images that a campaign needs in some phases.

    Attributes:
        campaign: the campaign.
        phases: the current phase, and those that begin soon.
        designs: its designs, by number.
        stale: the designs whose images have to be looked up again for all their rows.
    """

    campaign: Campaign
    phases: Sequence[Phase]
    designs: dict[int, DesignTarget]
    stale: list[int]

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of WANTED_IMAGES."""
        campaign = self.campaign
        connection = next((target.run.connection_id for target in self.designs.values() if target.run), None)
        return {
            "workspace": campaign.workspace_id,
            "campaign": campaign.id,
            "feed": campaign.feed_id,
            "connection": connection,
            "prepared_plan": campaign.prepared_plan,
            "stale": self.stale,
            "targets": [target.parameters for target in self.designs.values()],
            "outputs": campaign.outputs,
            "phases": [list(phase.designs) for phase in self.phases],
        }

    @property
    def fingerprints(self) -> dict[str, str]:
        """What the designs of the phases render, by their numbers."""
        counting = {number for phase in self.phases for number in phase.designs}
        return {str(number): target.fingerprint for number, target in self.designs.items() if number in counting}


def bind_wanted(statement: str) -> Any:
    """Return a statement about WANTED_IMAGES."""
    return text(statement).bindparams(*(bindparam(name, type_=JSONB) for name in JSON_PARAMETERS))


@contextmanager
def staged_rows(db: Session, targets: Targets) -> Iterator[None]:
    """Stage the rows that WANTED_IMAGES are of, during the block."""
    statement = text(_STAGE_ROWS).bindparams(bindparam("stale", type_=ARRAY(SmallInteger)))
    with hash_joins(db):
        db.execute(statement, targets.parameters())
    db.execute(text("ANALYZE target_rows"))
    yield
    db.execute(text("DROP TABLE target_rows"))


def upcoming_phases(campaign: Campaign) -> list[Phase]:
    """Return the phases that are prepared: the current one, and those that begin soon."""
    now = datetime.now(UTC)
    return phases(campaign.design_rules, ZoneInfo(campaign.time_zone), now, now + LEAD)[:MAX_PHASES]


def find_targets(db: Session, campaign: Campaign) -> Targets:
    """Return the images that a campaign needs now and for the windows that begin soon.

    Raises:
        MissingTemplateError: a rule uses a template that was deleted.
        InvalidSettingsError: the workspace has no storage connection.
        UnknownSizeError: a template does not have a size of the outputs.
    """
    rules, upcoming = campaign.design_rules, upcoming_phases(campaign)
    designs = {
        design.number: find_target(db, campaign, rule, design)
        for rule in rules
        if rule.is_enabled
        for design in rule.designs
    }
    targets = Targets(campaign, upcoming, designs, [])
    prepared = campaign.prepared_designs
    stale = [int(number) for number, print_ in targets.fingerprints.items() if prepared.get(number) != print_]
    return Targets(campaign, upcoming, designs, stale)


def count_missing(db: Session, targets: Targets) -> dict[int, int]:
    """Return how many images of the staged rows have to be rendered, by the design."""
    rows = db.execute(bind_wanted(_COUNT_MISSING), targets.parameters())
    return {row.design: row.images for row in rows}


def count_images_to_render(db: Session, campaign: Campaign) -> dict[int, int]:
    """Return how many images the next publication lacks, by the design. Errors as for find_targets."""
    targets = find_targets(db, campaign)
    with staged_rows(db, targets):
        return count_missing(db, targets)


def find_target(db: Session, campaign: Campaign, rule: DesignRule, design: Design) -> DesignTarget:
    """Return what a design of a rule renders. Errors as for find_targets."""
    outputs = campaign.image_outputs
    if design.template is None:
        return DesignTarget(rule, design, None, {"number": design.number, "template": None})
    template = db.get(Template, (campaign.workspace_id, design.template))
    if template is None or template.deleted_at:
        raise MissingTemplateError(
            gettext(
                "The template of the rule “%(name)s” was deleted. Restore it, or choose another one", name=rule.name
            )
        )
    columns = load_columns(db, campaign)
    feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
    spec = RunSpec(
        feed,
        template,
        design.mapping,
        outputs,
        campaign.connection_id,
        on_missing_photo=OnMissingPhoto(campaign.on_missing_photo),
        formats=columns.formats,
    )
    run = new_run(db, spec)
    run.campaign_id, run.design = campaign.id, design.number
    known = run_parameters(run, load_design(db, template).document, since=-1)
    parameters = {
        "number": design.number,
        "template": str(template.id),
        "version": run.template_version,
        "mapping": known["mapping"],
        "formats": known["formats"],
        "digests": known["design_digests"],
    }
    return DesignTarget(rule, design, run, parameters)
