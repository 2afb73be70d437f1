# syntax=docker/dockerfile:1

# The archiver: `docker run IMAGE` serves everything, `docker run IMAGE receiver|worker|playback` one deployable.
# Runs with a read-only root and no capabilities; /tmp is for the bounded spool of MP4s, /app/var for the embedded mode:
#   docker run --read-only --tmpfs /tmp:noexec,nosuid --cap-drop ALL --security-opt no-new-privileges \
#     -v archiver:/app/var -p 8080:8080 --env-file .env IMAGE
# Encoders are caged by what the kernel of the host allows (src/media/encoder/README.md); -e ENCODER_CAGE=required insists.
# For builds that can be repeated pin the base by digest: --build-arg NODE_IMAGE=node:24-trixie-slim@sha256:…
ARG NODE_IMAGE=node:24-trixie-slim

FROM ${NODE_IMAGE} AS manifest
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

FROM manifest AS build
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src ./src
COPY .ci/sbom.mjs .ci/browser.mjs ./.ci/
RUN npm run build

FROM manifest AS dependencies
RUN npm ci --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="genesys-recording-archiver" \
      org.opencontainers.image.description="Brings Genesys Cloud recordings into your own Google Cloud Storage as seekable WebM" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# bubblewrap and util-linux cage the encoders; tini reaps what they leave behind and passes signals on. npm is of no use at run time.
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ffmpeg tini util-linux \
 && rm -rf /var/lib/apt/lists/* /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
 && install -d -o 65532 -g 65532 /app/var

WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./

ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080
VOLUME /app/var
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The first line of the file says how Node is started.
ENTRYPOINT ["tini", "--", "dist/cli.js"]
CMD ["serve"]
