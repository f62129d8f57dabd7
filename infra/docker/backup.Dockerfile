# The image with PostgreSQL's client beside it: `everloop backup` calls pg_dump, which must not be older than the server.
# Debian 12 brings version 15. Unlike the image itself this one downloads:
#   docker build --file infra/docker/backup.Dockerfile --build-arg EVERLOOP_IMAGE=… --tag everloop-backup:0.1.0 infra/docker
ARG EVERLOOP_IMAGE=everloop-python:0.1.0
FROM ${EVERLOOP_IMAGE}
USER 0:0
RUN apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-client \
 && rm -rf /var/lib/apt/lists/*
USER 10001:10001
