"""Events and state in one database of our schema: SQLite in the workspace, or PostgreSQL by its URL."""
