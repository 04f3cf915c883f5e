# A small image with a user of its own. No container engine was at hand where this was written: each
# step was tried by hand, the image itself was not built.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package api --bin mission-control

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /data --create-home mission-control
COPY --from=build /src/target/release/mission-control /usr/local/bin/mission-control
USER mission-control
WORKDIR /data
ENV MC_BIND=0.0.0.0:8080 MC_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD curl --fail --silent http://127.0.0.1:8080/livez || exit 1
ENTRYPOINT ["mission-control"]
CMD ["serve"]
