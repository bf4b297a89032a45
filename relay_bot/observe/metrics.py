"""Every metric, in one place. They are in a registry of their own, served by `GET /metrics`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

HALLS = Gauge("relay_halls", "Halls that this process serves, by state.", ["state"], registry=REGISTRY)
PARTICIPANTS = Gauge("relay_participants", "Participants in all halls.", registry=REGISTRY)
MESSAGES = Counter(
    "relay_messages_total", "Messages taken up, by the door they came through.", ["door"], registry=REGISTRY
)
REFUSED = Counter("relay_refused_total", "Messages refused, by code.", ["code"], registry=REGISTRY)
DUPLICATES = Counter("relay_duplicates_total", "Messages that were answered before.", registry=REGISTRY)
DROPPED = Counter(
    "relay_dropped_total", "What was dropped because a bound was reached, by place.", ["place"], registry=REGISTRY
)
HELD = Gauge("relay_held", "Messages held until their sender is known.", registry=REGISTRY)
INFERRED = Counter("relay_inferred_total", "Messages taken with an inferred sender.", registry=REGISTRY)
MAILBOX = Gauge("relay_mailbox_messages", "Messages waiting in all mailboxes.", registry=REGISTRY)
HANDLER_SECONDS = Histogram(
    "relay_handler_seconds", "Time in handlers, for one turn of a hall.", buckets=_FAST, registry=REGISTRY
)
HANDLER_FAILURES = Counter(
    "relay_handler_failures_total", "Handlers that raised or hung, by plugin.", ["plugin"], registry=REGISTRY
)
COMMIT_SECONDS = Histogram("relay_commit_seconds", "Time of a journal transaction.", buckets=_FAST, registry=REGISTRY)
COMMIT_ROWS = Histogram(
    "relay_commit_rows",
    "Rows of a journal transaction.",
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000),
    registry=REGISTRY,
)
COMMIT_FAILURES = Counter("relay_commit_failures_total", "Batches that the journal did not keep.", registry=REGISTRY)
ANSWER_SECONDS = Histogram(
    "relay_answer_seconds",
    "From a message's arrival to its answer's release.",
    buckets=_FAST,
    registry=REGISTRY,
)
OUTBOX = Gauge("relay_outbox_packets", "Packets waiting to be sent in all halls.", registry=REGISTRY)
SENT = Counter("relay_packets_sent_total", "Packets sent.", registry=REGISTRY)
SEND_FAILURES = Counter("relay_send_failures_total", "Packets that the link could not send.", registry=REGISTRY)
EFFECTS = Counter(
    "relay_effects_total", "Effects settled, by kind and outcome.", ["kind", "outcome"], registry=REGISTRY
)
JOINS = Counter("relay_joins_total", "Attempts to join a room, by outcome.", ["outcome"], registry=REGISTRY)
HALL_RESTARTS = Counter(
    "relay_hall_restarts_total", "Halls restarted from the journal, by cause.", ["cause"], registry=REGISTRY
)
WEBHOOKS = Counter("relay_webhooks_total", "LiveKit webhooks, by outcome.", ["outcome"], registry=REGISTRY)
REQUESTS = Counter(
    "relay_http_requests_total", "HTTP requests, by route and status.", ["route", "status"], registry=REGISTRY
)
