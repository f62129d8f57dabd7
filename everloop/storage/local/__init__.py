"""Storage in a folder of this machine: Parquet files and content-addressed blobs."""
