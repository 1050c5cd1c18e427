# syntax=docker/dockerfile:1
# The image is made on the builder's own platform: what it makes is JavaScript, the same everywhere.
FROM --platform=$BUILDPLATFORM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --no-audit --no-fund
# Owned by the user it will run as: a volume that is mounted here takes this over.
RUN mkdir /storage && chown 65532:65532 /storage

FROM node:26-slim
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
COPY --from=build /app/package.json /app/LICENSE ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build --chown=65532:65532 /storage /var/lib/container-registry-exporter
USER 65532:65532
EXPOSE 10056
VOLUME /var/lib/container-registry-exporter
# `node` is the process itself: signals reach it, and no package manager stands between.
# A small young generation: collecting it is then too short to be felt by a scrape (docs/performance.md).
ENTRYPOINT ["node", "--max-semi-space-size=4", "/app/dist/main.js"]
CMD ["--config.file=/etc/container-registry-exporter/exporter.yaml", "--storage.path=/var/lib/container-registry-exporter"]
