"""The original server's schema, version 2, as its gorm models make it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = None

UUID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    """Make whatever of it is missing: an interrupted start of the original may have left some."""
    op.create_table(
        "schema_versions",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("status", sa.Text),
        if_not_exists=True,
    )
    op.create_table(
        "blob_metadata",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("id", UUID, primary_key=True),
        sa.Column("device", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("session", sa.Text),
        sa.Column("content_type", sa.Text),
        sa.Column("created_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("staged", sa.Boolean),
        if_not_exists=True,
    )
    if "expires_at" not in {
        column["name"] for column in sa.inspect(op.get_bind()).get_columns("blob_metadata")
    }:
        op.add_column("blob_metadata", sa.Column("expires_at", sa.BigInteger))
    op.create_table(
        "custom_blob_metadata",
        sa.Column("blob_subject", sa.Text, primary_key=True),
        sa.Column("blob_id", UUID, primary_key=True),
        sa.Column("tag_name", sa.Text, primary_key=True),
        sa.Column("tag_value", sa.Text, primary_key=True),
        sa.ForeignKeyConstraint(
            ["blob_subject", "blob_id"],
            ["blob_metadata.subject", "blob_metadata.id"],
            ondelete="CASCADE",
        ),
        if_not_exists=True,
    )
    op.create_index(
        "idx_blob_metadata_search",
        "blob_metadata",
        ["subject", "device", "name", "created_at", "id"],
        if_not_exists=True,
    )


def downgrade() -> None:
    """There is nothing below the first version."""
    raise NotImplementedError("the first schema version has no predecessor")
