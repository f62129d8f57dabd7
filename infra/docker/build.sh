#!/bin/sh
# Build the image from the wheels of wheels.sh and this working tree, and copy out what it contains.
#
#   infra/docker/build.sh [further arguments of docker build]
#
# VARIANT: cpu (default) or gpu. TAG: default everloop-python:<version>, with -gpu. BASE_IMAGE: the name, or
# the digest, of a Python 3.11 on Debian. DOCKER: the client. PYTHON, TORCH_INDEX: see wheels.sh.
set -eu
cd "$(dirname "$0")/../.."
variant=${VARIANT:-cpu} docker=${DOCKER:-docker}
case $variant in cpu | gpu) ;; *) echo "error: VARIANT=$variant is neither cpu nor gpu." >&2; exit 2 ;; esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
suffix=; [ "$variant" = cpu ] || suffix=-$variant
tag=${TAG:-everloop-python:$version$suffix}

if ! command -v "$docker" > /dev/null; then
  echo "error: there is no container engine here: $docker is not installed." >&2
  echo "  fix: install Docker (Debian: apt-get install docker.io), or set DOCKER=<its client>" >&2
  exit 2
fi
if ! told=$("$docker" info 2>&1 > /dev/null); then
  echo "error: the container engine does not answer: $(echo "$told" | tail -n 1)" >&2
  echo "  fix: start it (dockerd), set DOCKER_HOST, or join the group that owns its socket" >&2
  exit 2
fi
sh infra/docker/wheels.sh "$variant"

# Clients from 23 on have BuildKit as a plugin, and older ones as a part; without it, the builder of old does.
major=$("$docker" version --format '{{.Client.Version}}' | cut -d. -f1)
if "$docker" buildx version > /dev/null 2>&1 || [ "$major" -lt 23 ]; then buildkit=1; else buildkit=0; fi
revision=$(git rev-parse HEAD 2> /dev/null || echo unknown)
if [ "$revision" != unknown ] && [ -n "$(git status --porcelain 2> /dev/null)" ]; then
  revision=$revision-changed
fi
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || echo 315532800)}
base=; [ -z "${BASE_IMAGE:-}" ] || base="--build-arg BASE_IMAGE=$BASE_IMAGE"

started=$(date +%s)
# shellcheck disable=SC2086
DOCKER_BUILDKIT=$buildkit "$docker" build --quiet --network=none --file infra/docker/Dockerfile \
  --tag "$tag" --build-arg VARIANT="$variant" --build-arg SOURCE_DATE_EPOCH="$epoch" \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" \
  --build-arg CREATED="$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)" $base "$@" . > /dev/null
seconds=$(($(date +%s) - started))

sbom=build/everloop-python-$version$suffix.sbom.cdx.json
box=$("$docker" create "$tag")
"$docker" cp "$box:/usr/share/everloop/sbom.cdx.json" "$sbom"
"$docker" rm "$box" > /dev/null
bytes=$("$docker" image inspect --format '{{.Size}}' "$tag")
echo "built $tag in $seconds s: $((bytes / 1000000)) MB; what it contains: $sbom"
