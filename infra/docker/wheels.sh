#!/bin/sh
# Put the wheels of the image into build/wheels, with their checksums; the image is built from them alone.
#
#   infra/docker/wheels.sh cpu|gpu
#
# PYTHON: whose pip fetches them, as it is configured (index, proxy, certificates); Python 3.11.
# TORCH_INDEX: address of an index that has PyTorch for the variant, where pip's own has another.
set -eu
cd "$(dirname "$0")/../.."
variant=$1 python=${PYTHON:-python3.11} here=infra/docker

fetch() { # list of requirements, folder
  place=build/wheels/$2
  if [ -f "$place/SHA256SUMS" ] && cmp -s "$1" "$place/requirements.txt"; then return; fi
  echo "== fetching the wheels of $1 into $place"
  rm -rf "$place" && mkdir -p "$place"
  if [ "$2" != tools ] && [ -n "${TORCH_INDEX:-}" ]; then
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$place" --index-url "$TORCH_INDEX" \
      "$(grep '^torch==' "$1")"
  fi
  "$python" -m pip wheel --quiet --wheel-dir "$place" --find-links "$place" \
    --constraint requirements.lock --requirement "$1"
  cp "$1" "$place/requirements.txt"
}

fetch $here/tools.txt tools
fetch $here/requirements.txt "$variant"
place=build/wheels/$variant
extra=$(ls "$place" | grep -E '^(nvidia|triton|cuda)' || true)
if [ "$variant" = cpu ] && [ -n "$extra" ]; then
  rm -rf "$place"
  echo "error: the PyTorch that pip finds is the one for GPUs ($(echo "$extra" | wc -l) more packages)." >&2
  echo "  fix: make image TORCH_INDEX=<the address of PyTorch's index for CPUs>" >&2
  exit 2
fi
if [ "$variant" = gpu ] && [ -z "$extra" ]; then
  rm -rf "$place"
  echo "error: the PyTorch that pip finds cannot use a GPU: it came without a package of CUDA." >&2
  echo "  fix: make image VARIANT=gpu TORCH_INDEX=<the address of PyTorch's index for CUDA>" >&2
  exit 2
fi
for folder in tools "$variant"; do
  (cd "build/wheels/$folder" && sha256sum ./*.whl | sed 's#\./##' > SHA256SUMS)
done
