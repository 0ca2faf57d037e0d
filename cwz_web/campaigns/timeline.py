"""The timeline of a campaign: which images each row shows, from one state until another.

A state is written once, and only for the rows that differ from the state before. A publication is a state together
with the designs that count, so that publishing, going back and the end of a window write no rows.
"""

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.targets import WANTED_IMAGES, Targets, bind_wanted
from cwz_web.db.session import execute_update, hash_joins
from cwz_web.runs.missing_photos import OnMissingPhoto

# The rows of a state, and the design of each among those that count; `:state` and `:active` name them.
ROWS_OF_STATE = """
    SELECT row.*, first_design(row.designs, :active)::text AS design
    FROM publication_rows AS row
    WHERE row.workspace_id = :workspace AND row.campaign_id = :campaign
      AND row.since <= :state AND (row.until IS NULL OR row.until > :state)
"""
# The images that a row shows: an empty list for the original photo, NULL for none.
SHOWN = """
    CASE WHEN decisions ? design THEN decisions -> design -> 'i'
         WHEN images -> design ->> 's' = 'ok' THEN images -> design -> 'i' END
"""
# The same rows with what they show.
SHOWN_ROWS = f"""
    SELECT key, data, design, images -> design AS image, decisions -> design AS decision, {SHOWN} AS shown
    FROM ({ROWS_OF_STATE}) AS row
"""  # noqa: S608 - composed of constants
# The results that count as an image of the row, by the state of the item.
_COMPLETE, _ALSO_INCOMPLETE = ["done"], ["done", "incomplete"]

_STAGE_RESULTS = bind_wanted(f"""
    CREATE TEMPORARY TABLE target_results ON COMMIT DROP AS
    SELECT key, design,
           CASE WHEN template IS NULL THEN '[]' ELSE jsonb_agg(image_id ORDER BY output) END AS ids,
           CASE WHEN bool_or(template IS NOT NULL AND state IS NULL) THEN 'missing'
                WHEN bool_or(state = 'failed') THEN 'failed'
                WHEN bool_or(state <> ALL(:complete)) THEN 'incomplete'
                ELSE 'ok' END AS state,
           coalesce(sum(findings), 0) AS findings
    FROM ({WANTED_IMAGES}) AS image GROUP BY key, design, template
""")  # noqa: S608 - composed of constants
_STAGE = text("""
    CREATE TEMPORARY TABLE prepared_rows ON COMMIT DROP AS
    SELECT row.key, row.data, row.designs, coalesce(own.images, '{}') AS images, CAST(NULL AS jsonb) AS decisions
    FROM target_rows AS row
    LEFT JOIN (
        SELECT key, jsonb_object_agg(design, jsonb_build_object('i', ids, 's', state, 'f', findings)) AS images
        FROM target_results GROUP BY key
    ) AS own ON own.key = row.key
""")

# Images of other phases, and decisions about images that are the same, stay.
_KEEP_EARLIER = text("""
    UPDATE prepared_rows AS new
    SET images = (
            SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(old.images)
            WHERE old.data = new.data AND key::smallint = ANY(new.designs) AND NOT key::smallint = ANY(:stale)
        ) || new.images,
        decisions = (
            SELECT jsonb_object_agg(key, value) FROM jsonb_each(old.decisions)
            WHERE new.images -> key = old.images -> key)
    FROM publication_rows AS old
    WHERE old.workspace_id = :workspace AND old.campaign_id = :campaign AND old.until IS NULL AND old.key = new.key
""").bindparams(bindparam("stale", type_=ARRAY(SmallInteger)))

# A row whose image is incomplete, has failed or is missing keeps what is public, if that is an image.
_KEEP_PUBLIC = text(f"""
    WITH public AS (
        SELECT key, {SHOWN} AS shown FROM ({ROWS_OF_STATE}) AS row
    )
    UPDATE prepared_rows AS new
    SET decisions = coalesce(new.decisions, '{{}}') || (
        SELECT jsonb_object_agg(image.key, jsonb_build_object('v', 'kept', 'i', public.shown))
        FROM jsonb_each(new.images) AS image
        WHERE image.value ->> 's' <> 'ok' AND NOT coalesce(new.decisions, '{{}}') ? image.key)
    FROM public
    WHERE public.key = new.key AND public.shown IS NOT NULL
      AND EXISTS (SELECT FROM jsonb_each(new.images) AS image
                  WHERE image.value ->> 's' <> 'ok' AND NOT coalesce(new.decisions, '{{}}') ? image.key)
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants

_DELETE_SAME = text("""
    DELETE FROM prepared_rows AS new USING publication_rows AS old
    WHERE old.workspace_id = :workspace AND old.campaign_id = :campaign AND old.until IS NULL AND old.key = new.key
      AND old.data = new.data AND old.designs = new.designs AND old.images = new.images
      AND old.decisions IS NOT DISTINCT FROM new.decisions
""")
_CLOSE = text("""
    UPDATE publication_rows AS old SET until = :state
    WHERE old.workspace_id = :workspace AND old.campaign_id = :campaign AND old.until IS NULL
      AND (EXISTS (SELECT FROM prepared_rows AS new WHERE new.key = old.key)
           OR NOT EXISTS (SELECT FROM campaign_rows AS row WHERE row.workspace_id = :workspace
                          AND row.campaign_id = :campaign AND row.key = old.key))
""")
# In the order in which feeds are read.
_INSERT = text("""
    INSERT INTO publication_rows (
        workspace_id, campaign_id, key, since, data, designs, images, decisions, is_faulty)
    SELECT :workspace, :campaign, key, :state, data, designs, images, decisions,
           EXISTS (SELECT FROM jsonb_each(images) AS image WHERE image.value ->> 's' <> 'ok')
    FROM prepared_rows ORDER BY key
""")


def write_state(db: Session, targets: Targets, public: tuple[int, list[int]] | None) -> bool:
    """Write the next state of a campaign's timeline for the staged rows, in the caller's transaction.

    Args:
        db: the caller's transaction, in which nothing else writes the campaign's timeline.
        targets: the images that its rows need; those that do not exist are missing in the state.
        public: the state and the designs of the publication that is public; None if there is none.

    Returns:
        Whether it differs from the state before; otherwise none is written.
    """
    campaign = targets.campaign
    keeps = campaign.on_missing_photo != OnMissingPhoto.REPLACE
    parameters = targets.parameters() | {"complete": _COMPLETE if keeps else _ALSO_INCOMPLETE}
    values = {"workspace": campaign.workspace_id, "campaign": campaign.id, "state": campaign.timeline + 1}
    db.execute(_STAGE_RESULTS, parameters)
    db.execute(text("ANALYZE target_results"))
    db.execute(_STAGE)
    db.execute(text("ANALYZE prepared_rows"))
    with hash_joins(db):
        db.execute(_KEEP_EARLIER, {**values, "stale": targets.stale})
        if public:
            db.execute(_KEEP_PUBLIC, {**values, "state": public[0], "active": public[1]})
        db.execute(_DELETE_SAME, values)
        closed = execute_update(db, _CLOSE, values)
    inserted = execute_update(db, _INSERT, values)
    db.execute(text("DROP TABLE prepared_rows, target_results"))
    campaign.prepared_plan, campaign.prepared_designs = campaign.plan, targets.fingerprints
    if closed or inserted:
        campaign.timeline += 1
    db.flush()
    return bool(closed or inserted)
