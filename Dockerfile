# asmm in a container, to receive OpenTelemetry: RUNBOOK.md, "Running the receiver as a service".
#
#   docker build -t asmm .
#   docker run --rm asmm --version
#
# The build needs no network beyond the crates in Cargo.lock. Prices, migrations, time zones and certificate authorities are in
# the program, so that the image holds nothing else of ours.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin asmm

FROM debian:bookworm-slim
# Nobody's log-in: it owns the folder that a SQLite ledger and the spool lie in, and nothing else.
RUN useradd --system --uid 10001 --home-dir /var/lib/asmm --create-home --shell /usr/sbin/nologin asmm
COPY --from=build /src/target/release/asmm /usr/local/bin/asmm
COPY LICENSE LICENSE-APACHE LICENSE-MIT /usr/share/doc/asmm/
USER asmm
WORKDIR /var/lib/asmm
VOLUME /var/lib/asmm
ENV ASMM_SERVE_LISTEN=0.0.0.0:4318
EXPOSE 4318
# By bash alone: the image has no HTTP client, and needs none.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${ASMM_SERVE_LISTEN##*:} && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r answer <&3 && [[ $answer == *' 200 '* ]]"]
ENTRYPOINT ["asmm"]
# It listens to other machines and so wants a token: ASMM_SERVE_TOKEN, or --token-file with a mounted secret.
CMD ["serve"]
