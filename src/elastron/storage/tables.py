"""The metadata database's tables (storage API, section 10).

Layout and names are the original server's, so that its databases open here; what we add is
marked. The migrations hold the same in steps; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import postgresql

metadata = MetaData()

UUID_TEXT = String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
"""A UUID as lower-case text; PostgreSQL's own type there. Both sort alike."""

schema_versions = Table(
    "schema_versions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("status", Text),
)

blobs = Table(
    "blob_metadata",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("id", UUID_TEXT, primary_key=True),
    Column("device", Text),
    Column("name", Text),
    Column("session", Text),
    Column("content_type", Text),
    Column("created_at", BigInteger),  # ms since 1970
    Column("expires_at", BigInteger),  # ms since 1970, NULL: never
    Column("staged", Boolean),
    # Ours, since version 3:
    Column("size_bytes", BigInteger),  # NULL in records of older servers
    Column("lease_until", BigInteger),  # ms; a staged record beyond it is an orphan
    Column("owner", String(36)),  # the server process that is uploading
    Index("idx_blob_metadata_search", "subject", "device", "name", "created_at", "id"),
    Index("idx_blob_metadata_newest", "subject", "created_at", "id"),
    Index("idx_blob_metadata_name", "subject", "name", "created_at", "id"),
    Index("idx_blob_metadata_device", "subject", "device", "created_at", "id"),
    Index("idx_blob_metadata_created", "created_at", "id"),
    Index(
        "idx_blob_metadata_staged",
        "created_at",
        postgresql_where=text("staged"),
        sqlite_where=text("staged = 1"),
    ),
    Index(
        "idx_blob_metadata_expires",
        "expires_at",
        postgresql_where=text("expires_at IS NOT NULL"),
        sqlite_where=text("expires_at IS NOT NULL"),
    ),
)

custom_tags = Table(
    "custom_blob_metadata",
    metadata,
    Column("blob_subject", Text, primary_key=True),
    Column("blob_id", UUID_TEXT, primary_key=True),
    Column("tag_name", Text, primary_key=True),
    Column("tag_value", Text, primary_key=True),
    # Ours: a copy of the blob's, so that the newest blobs with a tag come straight off an index.
    Column("created_at", BigInteger),
    ForeignKeyConstraint(
        ["blob_subject", "blob_id"],
        ["blob_metadata.subject", "blob_metadata.id"],
        ondelete="CASCADE",
    ),
    Index(
        "idx_custom_blob_metadata_newest",
        "blob_subject",
        "tag_name",
        "tag_value",
        "created_at",
        "blob_id",
    ),
)
