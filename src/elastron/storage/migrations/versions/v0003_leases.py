"""Leases of running uploads, sizes, indexes for every search; columns as wide as the API allows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT_COLUMNS = {
    "blob_metadata": ("subject", "device", "name", "session", "content_type"),
    "custom_blob_metadata": ("blob_subject", "tag_name", "tag_value"),
}


def upgrade() -> None:
    """Widen the original's varchar(64), add our columns and indexes."""
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":  # SQLite enforces no width
        for table, columns in TEXT_COLUMNS.items():
            for column in columns:
                op.alter_column(table, column, type_=sa.Text)
    for replaced in ("staged", "expires"):  # the original's, where it made the database
        op.drop_index(replaced, "blob_metadata", if_exists=True)
    op.add_column("blob_metadata", sa.Column("size_bytes", sa.BigInteger))
    op.add_column("blob_metadata", sa.Column("lease_until", sa.BigInteger))
    op.add_column("blob_metadata", sa.Column("owner", sa.String(36)))
    op.add_column("custom_blob_metadata", sa.Column("created_at", sa.BigInteger))
    op.execute(
        "UPDATE custom_blob_metadata SET created_at = (SELECT b.created_at FROM blob_metadata b "
        "WHERE b.subject = blob_subject AND b.id = blob_id)"
    )
    newest = ["created_at", "id"]
    op.create_index("idx_blob_metadata_newest", "blob_metadata", ["subject", *newest])
    op.create_index("idx_blob_metadata_name", "blob_metadata", ["subject", "name", *newest])
    op.create_index("idx_blob_metadata_device", "blob_metadata", ["subject", "device", *newest])
    op.create_index("idx_blob_metadata_created", "blob_metadata", newest)
    staged, expires = sa.text("staged"), sa.text("expires_at IS NOT NULL")
    op.create_index(
        "idx_blob_metadata_staged",
        "blob_metadata",
        ["created_at"],
        postgresql_where=staged,
        sqlite_where=sa.text("staged = 1"),
    )
    op.create_index(
        "idx_blob_metadata_expires",
        "blob_metadata",
        ["expires_at"],
        postgresql_where=expires,
        sqlite_where=expires,
    )
    op.create_index(
        "idx_custom_blob_metadata_newest",
        "custom_blob_metadata",
        ["blob_subject", "tag_name", "tag_value", "created_at", "blob_id"],
    )


def downgrade() -> None:
    """Not offered: the original would hide blobs that are being uploaded."""
    raise NotImplementedError("restore the database from the backup taken before the upgrade")
