"""Storage on Google Cloud: immutable objects and one pointer at a time in a bucket."""
