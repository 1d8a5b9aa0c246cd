# Douse in a container: one binary, no shell, no root.
#   docker build -t douse .
# SQLite and the TLS library are compiled in; of the C world only glibc is needed at run time.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
COPY migrations migrations
COPY runbooks runbooks
COPY tests/it/main.rs tests/it/main.rs
RUN cargo build --release --locked --bin douse \
 && mkdir -p /out/var/lib/douse /out/etc/douse \
 && cp target/release/douse /out/douse

# glibc, certificates of public authorities, and a user `nonroot` (65532); nothing else.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/douse /usr/bin/douse
COPY --from=build --chown=65532:65532 /out/var/lib/douse /var/lib/douse
COPY --from=build /src/runbooks /usr/share/douse/runbooks
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/douse/
WORKDIR /var/lib/douse
USER 65532:65532
EXPOSE 9494
VOLUME /var/lib/douse
# DOUSE_URL tells it where to ask when the engine listens elsewhere.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/bin/douse", "healthcheck"]
ENTRYPOINT ["/usr/bin/douse"]
CMD ["serve", "--config.file=/etc/douse/douse.yml"]
