# syntax=docker/dockerfile:1

# The archiver: `docker run IMAGE` serves everything, `docker run IMAGE receiver|worker|playback` one deployable.
# Runs with a read-only root and no capabilities; /tmp is for the bounded spool of MP4s, /app/var for the embedded mode:
#   docker run --read-only --tmpfs /tmp:noexec,nosuid --cap-drop ALL --security-opt no-new-privileges \
#     -v archiver:/app/var -p 8080:8080 --env-file .env IMAGE
# Encoders have to be shut off from all but their own files, or nothing starts: Docker 23 or later, Linux with Landlock
# (src/media/encoder/README.md). -e ENCODER_CAGE=best takes what an older host has.
# Its ffmpeg is made of Debian's source with only what the service asks for: nothing else of ffmpeg is there for hostile media, the image
# takes 0.3 GB instead of 0.8, and an encoder starts for 1 ms of CPU instead of 70. Scanners do not see it as Debian's package: build
# anew when Debian mends ffmpeg. `docker build --target debian` has Debian's whole ffmpeg instead, and compiles nothing.
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

# Debian's source with Debian's patches, so that its fixes come along with each build; the decoders, by the names of ./configure,
# are those of src/media/encoder/arguments.ts, each as ffmpeg itself has it.
FROM ${NODE_IMAGE} AS ffmpeg
RUN sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources \
 && apt-get update \
 && apt-get install -y --no-install-recommends dpkg-dev gcc libc6-dev libdav1d-dev libopus-dev libvpx-dev make nasm pkgconf zlib1g-dev
WORKDIR /build
RUN apt-get source ffmpeg && mv ffmpeg-*/ ffmpeg
WORKDIR /build/ffmpeg
RUN ./configure --prefix=/opt/ffmpeg --toolchain=hardened --extra-version="$(dpkg-parsechangelog -S Version | sed 's/.*-//')" \
      --disable-everything --disable-autodetect --disable-programs --disable-doc --disable-debug --disable-network --disable-avdevice \
      --enable-ffmpeg --enable-gpl --enable-libdav1d --enable-libopus --enable-libvpx --enable-zlib \
      --enable-protocol=pipe \
      --enable-demuxer=aac,flac,matroska,mov,mp3,ogg,wav \
      --enable-decoder=pcm_s16le,pcm_s16be,pcm_u8,pcm_s8,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be \
      --enable-decoder=pcm_mulaw,pcm_alaw,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_ima_oki,adpcm_g722,g723_1,adpcm_g726,adpcm_g726le,g729 \
      --enable-decoder=gsm,gsm_ms,speex,amrnb,amrwb,opus,vorbis,flac,alac,mp3,mp3float,mp2,mp2float,mp1,mp1float,aac,aac_latm \
      --enable-decoder=h264,hevc,mpeg4,vp8,vp9,libdav1d \
      --enable-parser=aac,aac_latm,amr,av1,flac,g723_1,g729,gsm,h264,hevc,mpeg4video,mpegaudio,opus,vorbis,vp8,vp9 \
      --enable-filter=aeval,aformat,alimiter,amix,amultiply,anull,aresample,asetpts,asplit,atrim,channelmap,pan,volume \
      --enable-filter=crop,format,hflip,mpdecimate,null,rotate,scale,transpose,trim,vflip \
      --enable-encoder=libopus,libvpx_vp9 \
      --enable-muxer=webm --enable-bsf=vp9_superframe \
 && make -j"$(nproc)" \
 && make install

# What both images are but for their ffmpeg. bubblewrap and util-linux cage the encoders; tini reaps what they leave behind and
# passes signals on; npm is of no use at run time.
FROM ${NODE_IMAGE} AS frame
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="genesys-recording-archiver" \
      org.opencontainers.image.description="Brings Genesys Cloud recordings into your own Google Cloud Storage as seekable WebM" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap tini util-linux \
 && rm -rf /var/lib/apt/lists/* /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
 && install -d -o 65532 -g 65532 /app/var
WORKDIR /app
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080 \
    ENCODER_CAGE=required
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The first line of the file says how Node is started.
ENTRYPOINT ["tini", "--", "dist/cli.js"]
CMD ["serve"]

# In both: a first start, as the user of all later ones, keeps what Node has compiled (src/compiled.ts; a CPU with other features
# compiles anew) and what was proven of ffmpeg (src/media/encoder/proven.ts). Afterwards only root can write there.
FROM frame AS debian
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg \
 && rm -rf /var/lib/apt/lists/*
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
RUN --mount=type=bind,source=.ci/first-start.mjs,target=/tmp/first-start.mjs \
    install -d -o 65532 -g 65532 node_modules/.cache \
 && setpriv --reuid=65532 --regid=65532 --clear-groups node /tmp/first-start.mjs \
 && chown -R 0:0 node_modules/.cache \
 && chmod -R a+rX node_modules/.cache
VOLUME /app/var
USER 65532:65532

FROM frame
RUN apt-get update \
 && apt-get install -y --no-install-recommends libdav1d7 libopus0 libvpx9 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=ffmpeg /opt/ffmpeg/bin/ffmpeg /usr/local/bin/
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
RUN --mount=type=bind,source=.ci/first-start.mjs,target=/tmp/first-start.mjs \
    install -d -o 65532 -g 65532 node_modules/.cache \
 && setpriv --reuid=65532 --regid=65532 --clear-groups node /tmp/first-start.mjs \
 && chown -R 0:0 node_modules/.cache \
 && chmod -R a+rX node_modules/.cache
VOLUME /app/var
USER 65532:65532
