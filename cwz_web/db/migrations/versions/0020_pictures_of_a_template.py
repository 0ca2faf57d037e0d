"""An index for looking at the images of one template."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_index("ix_images_template", "images", ["workspace_id", "template_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_images_template", "images")
