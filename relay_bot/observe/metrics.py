"""Every metric, in one place. They are in a registry of their own, served by `GET /metrics`."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ManyHistogram(Collector):
    """A histogram that is told many values at once: ten times cheaper a value than one by one.

    For the loop's thread alone, which also collects it.
    """

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = list(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe_all(self, values: Iterable[float]) -> None:
        """Count each value in its bucket."""
        bounds, counts = self._bounds, self._counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            self._sum += value

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """See `Collector`: buckets are cumulative there."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        return [HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)]


CONNECTIONS = Gauge("relay_http_connections", "Open connections of the control endpoint.", registry=REGISTRY)
CONNECTIONS_CUT = Counter(
    "relay_http_connections_cut_total",
    "Connections that were cut or not taken: head, body, idle, too_many, no_descriptor.",
    ["reason"],
    registry=REGISTRY,
)
HALLS = Gauge("relay_halls", "Halls that this process serves, by state.", ["state"], registry=REGISTRY)
PARTICIPANTS = Gauge("relay_participants", "Participants in all halls.", registry=REGISTRY)
MESSAGES = Counter(
    "relay_messages_total", "Messages taken up, by the door they came through.", ["door"], registry=REGISTRY
)
REFUSED = Counter("relay_refused_total", "Messages refused, by code.", ["code"], registry=REGISTRY)
DUPLICATES = Counter("relay_duplicates_total", "Messages that were answered before.", registry=REGISTRY)
ANSWERS_EVICTED = Counter(
    "relay_answers_evicted_total",
    "Kept answers that were forgotten because `storage.answers_bytes` was reached.",
    registry=REGISTRY,
)
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
ANSWER_SECONDS = ManyHistogram(
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
DEAD_EFFECTS = Gauge(
    "relay_dead_effects", "Effects that were given up and can be tried again by hand.", registry=REGISTRY
)
LINK_ROOMS = Gauge("relay_link_rooms", "Rooms that the link is in, by its kind.", ["kind"], registry=REGISTRY)
LINK_FRAMES = Counter(
    "relay_link_frames_total", "Packets, requests and texts that the link handed on.", registry=REGISTRY
)
LINK_DROPPED = Counter("relay_link_dropped_total", "What the link dropped, by reason.", ["reason"], registry=REGISTRY)
LINK_STARTS = Counter("relay_link_starts_total", "Starts of the native link's process.", registry=REGISTRY)
JOINS = Counter("relay_joins_total", "Attempts to join a room, by outcome.", ["outcome"], registry=REGISTRY)
HALL_RESTARTS = Counter(
    "relay_hall_restarts_total", "Halls restarted from the journal, by cause.", ["cause"], registry=REGISTRY
)
HELPER_FAILURES = Counter(
    "relay_helper_failures_total",
    "Failures of tasks that work beside others, by part.",
    ["part"],
    registry=REGISTRY,
)
QUARANTINED = Gauge(
    "relay_quarantined_plugins", "Halls in which a plugin is left out, by plugin.", ["plugin"], registry=REGISTRY
)
NOT_WORKING = Gauge(
    "relay_not_working",
    "Parts that do not work now, in all halls and the process; `/ready` names them.",
    ["part"],
    registry=REGISTRY,
)
WEBHOOKS = Counter("relay_webhooks_total", "LiveKit webhooks, by outcome.", ["outcome"], registry=REGISTRY)
REQUESTS = Counter(
    "relay_http_requests_total", "HTTP requests, by route and status.", ["route", "status"], registry=REGISTRY
)
