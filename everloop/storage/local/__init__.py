"""Storage on one machine: SQLite in WAL mode, Parquet files and content-addressed blobs."""
