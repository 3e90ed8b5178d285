FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies first: they change less often than the source, and stay in the cache.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/service benches/chaos && echo 'fn main() {}' | tee src/main.rs benches/service/main.rs benches/chaos/main.rs > src/lib.rs \
    && cargo build --locked --release --bin schedule-service && rm -r src
COPY src src
# For `schedule_build_info` in /metrics: docker build --build-arg SCHEDULE_SERVICE_COMMIT=$(git rev-parse HEAD)
ARG SCHEDULE_SERVICE_COMMIT=
RUN touch src/main.rs src/lib.rs && cargo build --locked --release --bin schedule-service

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /app schedule && install -d -o schedule /app /app/data
COPY --from=build /build/target/release/schedule-service /usr/local/bin/schedule-service
USER schedule
WORKDIR /app
VOLUME /app/data
# Inside a container the port has to be reachable from outside of it, so a key is needed: SCHEDULE__ACCESS__ADMIN_KEY, or
# SCHEDULE__ACCESS__ALLOW_ANONYMOUS=true where what is published decides who may.
ENV SCHEDULE__SERVER__HOST=0.0.0.0
EXPOSE 3000
ENTRYPOINT ["schedule-service"]
