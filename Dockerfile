# relay-bot in a container. Build: docker build -t relay-bot .
# Run: docker run -e LIVEKIT_URL -e LIVEKIT_API_KEY -e LIVEKIT_API_SECRET -e RELAY_CONTROL_TOKEN \
#          -v relay-data:/var/lib/relay-bot relay-bot
# Secrets come from the environment alone; nothing secret is in the image.

FROM golang:1.26-bookworm AS link
WORKDIR /src
COPY native/relay-link ./
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /relay-link .

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt build hatchling
COPY pyproject.toml hatch_build.py README.md LICENSE config.yaml ./
COPY relay_bot ./relay_bot
COPY plugins ./plugins
COPY --from=link /relay-link /relay-link
RUN RELAY_WHEEL_LINK=/relay-link python -m build --wheel --no-isolation --outdir /wheels

FROM python:3.13-slim-bookworm
# A number that no user of the host has, so that a volume's files are nobody else's.
RUN groupadd --gid 10001 relay-bot \
    && useradd --uid 10001 --gid relay-bot --no-create-home --home-dir /var/lib/relay-bot relay-bot \
    && install -d -o relay-bot -g relay-bot -m 0750 /var/lib/relay-bot
COPY constraints.txt /tmp/
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir -c /tmp/constraints.txt /tmp/wheels/*.whl && rm -r /tmp/wheels /tmp/constraints.txt
COPY config.yaml /etc/relay-bot/config.yaml

ENV PYTHONUNBUFFERED=1 \
    RELAY_DATABASE_URL=sqlite:////var/lib/relay-bot/relay.db \
    RELAY_HEALTH_URL=http://127.0.0.1:8787/health
USER relay-bot
WORKDIR /var/lib/relay-bot
VOLUME /var/lib/relay-bot
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(os.environ['RELAY_HEALTH_URL'], timeout=2)"]
ENTRYPOINT ["relay-bot"]
CMD ["run", "--config", "/etc/relay-bot/config.yaml"]
