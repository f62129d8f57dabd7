"""Model registry: what a checkpoint is, when it may be promoted, and how its files are loaded.

Pure logic over the ``Registry`` and ``BlobStore`` ports; nothing is loaded before it was verified.
"""
