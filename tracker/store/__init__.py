"""The memory: what was told, in SQLite or Postgres. Only this package and the migrations know SQLAlchemy."""
