"""What is counted and timed in this process, for Prometheus; `/metrics` adds what the database knows."""

from prometheus_client import Counter, Histogram

REQUESTS = Histogram(
    "cwz_http_request_seconds",
    "How long requests took, by what answered them.",
    ["route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
RENDERED = Histogram(
    "cwz_rendering_seconds",
    "How long images took to be rendered; those that were at hand already are not among them.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
FROM_MEMORY = Counter("cwz_images_from_memory", "Images that were asked for and were at hand already.")
CAPS = Counter("cwz_caps_reached", "Images that were refused because a month's cap was reached.", ["whose"])
STORAGE_ERRORS = Counter("cwz_storage_errors", "What storages refused or failed at, by kind.", ["kind"])
