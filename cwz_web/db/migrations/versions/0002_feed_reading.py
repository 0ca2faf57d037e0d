"""How a feed's file is read: encoding, delimiter, header row, sheet, row element."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
