"""The store's database: tables and rules declared once, SQLite, PostgreSQL, migrations, the use log."""
