"""All tables of a store, those first that others point to: what a backup holds."""

from typing import Final

from sqlalchemy import Connection

TABLES: Final = (
    *("meta", "blocks", "block_keys", "segments", "spends", "failed_tags", "relays", "audit"),
    *("raw_blocks", "raw_material", "uses", "reservations", "fetched"),
    *("conversations", "memories", "journal", "unreceipted", "boots"),
    *("outbox", "inbox", "parcels", "arrivals"),
    *("combinations", "commands", "relayed", "imports", "imported_keys"),
    *("id_secrets", "held_keys"),
    *("pushes", "streams", "stream_chunks"),
)
"""Without `migrations`, which a store that is filled from a backup has made itself."""


def count_on(connection: Connection) -> None:
    """PostgreSQL numbers new rows after those that were put in with their numbers; SQLite does by itself."""
    if connection.dialect.name != "postgresql":
        return
    query = (
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE is_identity = 'YES' AND table_schema = current_schema()"
    )
    for table, column in connection.exec_driver_sql(query).all():
        connection.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "
            f"(SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
        )
