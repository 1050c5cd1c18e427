#!/bin/sh
# What the image holds, into an empty folder: the compiled program and the packages that it needs, without type
# declarations and source maps, which nobody reads there. The Dockerfile and CI make it the same way.
#
# sh scripts/image.sh FOLDER
set -eu
to=$1
mkdir -p "$to"
npm run --silent build
cp package.json package-lock.json LICENSE "$to"
cp -r dist "$to"
(cd "$to" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund)
find "$to" -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.tsbuildinfo' \) -delete
rm "$to/package-lock.json" "$to/node_modules/.package-lock.json"
