"""The templates that are rendered from the columns of a feed.

They follow from the mappings of automatic runs and of each template's newest run. The package of runs is above this
one, so that its tables are read with SQL.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.feeds.import_guard import TemplateUse
from cwz_web.feeds.models import Feed

_USES = text("""
    WITH newest AS (
        SELECT DISTINCT ON (template_id) template_id, mapping FROM runs
        WHERE workspace_id = :workspace AND feed_id = :feed ORDER BY template_id, id DESC
    ), mappings AS (
        SELECT template_id, mapping, true AS automatic FROM auto_runs
        WHERE workspace_id = :workspace AND feed_id = :feed
        UNION ALL SELECT template_id, mapping, false FROM newest
    )
    SELECT split_part(c.value, ' | ', -1) AS column, t.id, t.slug, t.name, bool_or(m.automatic) AS automatic
    FROM mappings m JOIN templates t ON t.workspace_id = :workspace AND t.id = m.template_id,
         jsonb_each_text(m.mapping) c
    WHERE t.deleted_at IS NULL AND c.value <> ''
    GROUP BY 1, t.id, t.slug, t.name ORDER BY 1, t.name, t.id
""")


def find_column_uses(db: Session, feed: Feed) -> dict[str, list[TemplateUse]]:
    """Return the templates that are rendered from each column, by the name of the column in the feed.

    Of a mapping such as `sale_price | price`, only the last column has to have values.
    """
    uses: dict[str, list[TemplateUse]] = {}
    for row in db.execute(_USES, {"workspace": feed.workspace_id, "feed": feed.id}).mappings():
        uses.setdefault(row["column"], []).append(TemplateUse.model_validate(dict(row)))
    return uses
