"""Prometheus metrics of this process; `ops/health.py` adds those of the database."""

from prometheus_client import Counter, Histogram

REQUEST_DURATION = Histogram(
    "cwz_http_request_duration_seconds",
    "Duration of requests by resource and view.",
    ["route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
RENDER_DURATION = Histogram(
    "cwz_render_duration_seconds",
    "Duration of rendering an image; cached images are not counted.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
IMAGE_CACHE_HITS = Counter("cwz_image_cache_hits", "Images that were served from the cache.")
QUOTA_EXCEEDED = Counter("cwz_quota_exceeded", "Images that were rejected because of a monthly limit.", ["limit"])
CSP_REPORTS = Counter("cwz_csp_reports", "Reports of violations of the Content-Security-Policy.", ["directive"])
API_REQUESTS_UNLOGGED = Counter(
    "cwz_api_requests_unlogged",
    "Requests to the API that are not in its log: too many in a minute, too many waiting, or a database error.",
    ["reason"],
)
STORAGE_ERRORS = Counter("cwz_storage_errors", "Errors of storage providers.", ["type"])
