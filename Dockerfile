# syntax=docker/dockerfile:1
# A release names both by digest: --build-arg NODE_IMAGE=node:26-slim@sha256:…
ARG NODE_IMAGE=node:26-slim
# glibc, libstdc++, certificates and time zones: no shell, no package manager, nothing that is setuid.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian13:nonroot

# The program is made on the builder's own platform: it is JavaScript, the same everywhere.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN sh scripts/image.sh /image/app
# Owned by the user it will run as: a volume that is mounted here takes this over.
RUN mkdir /image/storage

FROM ${NODE_IMAGE} AS node

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="container-registry-exporter" \
      org.opencontainers.image.description="Prometheus exporter, alerts and dashboards for container registries" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/container-registry-exporter/container-registry-exporter" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production REVISION=${REVISION}
WORKDIR /app
# Of the target's platform.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=build /image/app ./
COPY --from=build --chown=65532:65532 /image/storage /var/lib/container-registry-exporter
USER 65532:65532
EXPOSE 10056
VOLUME /var/lib/container-registry-exporter
# `node` is the process itself: signals reach it, and no package manager stands between.
# A small young generation: collecting it is then too short to be felt by a scrape (docs/performance.md).
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=4", "/app/dist/main.js"]
CMD ["--config.file=/etc/container-registry-exporter/exporter.yaml", "--storage.path=/var/lib/container-registry-exporter"]
