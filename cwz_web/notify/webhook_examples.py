"""An example message of each event, for the page *Webhooks* and the OpenAPI document."""

from typing import Any

from cwz_web.notify.webhooks import Event

_TIME = "2026-11-30T09:41:12Z"
_FEED, _TEMPLATE = "0190b0a0-0000-7000-8000-000000000001", "0190b0a0-0000-7000-8000-000000000002"
_RUN, _IMAGE = "0190b0a0-0000-7000-8000-000000000003", "0190b0a0-0000-7000-8000-000000000004"
_METADATA = {"campaign": "autumn"}
_finished_run = {
    "id": _RUN,
    "state": "completed",
    "feed": _FEED,
    "template": _TEMPLATE,
    "version": 3,
    "outputs": [{"size": "default", "format": "jpg"}],
    "prepared": True,
    "total": 120,
    "done": 120,
    "incomplete": 0,
    "failed": 0,
    "unchanged": 96,
    "findings": 0,
    "force": False,
    "refresh_photos": False,
    "on_missing_photo": "keep",
    "canceled": False,
    "error_message": None,
    "metadata": _METADATA,
    "started_at": "2026-11-30T09:40:58Z",
    "finished_at": "2026-11-30T09:41:11Z",
}
_PUBLICATION: dict[str, Any] = {
    "id": "0198f5a2-7c1e-7d3b-9a64-2f0e8b1c5d77",
    "campaign": "0198f5a2-7c1e-7d3b-9a64-2f0e8b1c5d78",
    "name": "Product ads",
    "number": 12,
    "state": "held",
    "publish_at": None,
    "published_at": None,
    "rows": 12000,
    "new": 40,
    "changed": 3100,
    "removed": 12,
    "unchanged": 8860,
    "updated": 210,
    "kept": 3,
    "missing": 0,
    "findings": 5,
    "reasons": [],
}
_CHANNEL = {
    "id": "0190b0a0-0000-7000-8000-000000000009",
    "campaign": _PUBLICATION["campaign"],
    "name": "Meta Germany",
    "preset": "meta",
}
_data: dict[Event, dict[str, Any]] = {
    Event.RUN_FINISHED: _finished_run,
    Event.RUN_FAILED: _finished_run | {"state": "failed", "done": 118, "failed": 2},
    Event.IMAGE_CREATED: {
        "id": _IMAGE,
        "url": "https://images.example/i/…",
        "digest": "9f86d081884c7d65",
        "width": 1080,
        "height": 1080,
        "bytes": 184320,
        "content_type": "image/jpeg",
        "run": _RUN,
        "template": _TEMPLATE,
        "key": "mug-1",
        "findings": [{"code": "overflow", "message": "has more text than fits", "layer": "Title"}],
        "metadata": _METADATA,
    },
    Event.IMAGE_FAILED: {
        "run": _RUN,
        "template": _TEMPLATE,
        "key": "mug-1",
        "error": "The storage did not accept the image",
        "metadata": _METADATA,
    },
    Event.FEED_FAILED: {
        "feed": _FEED,
        "name": "Products",
        "error": "The server responded with status 503",
        "failures": 3,
    },
    Event.QUOTA_REACHED: {"percent": 80, "used": 8000, "limit": 10000, "month": "2026-11-01"},
    Event.PUBLICATION_READY: {**_PUBLICATION, "state": "scheduled", "publish_at": "2026-11-27T08:00:00Z"},
    Event.PUBLICATION_HELD: {**_PUBLICATION, "state": "held", "reasons": ["changed"]},
    Event.PUBLICATION_PUBLISHED: {**_PUBLICATION, "state": "published", "published_at": _TIME},
    Event.CHANNEL_WRITTEN: {**_CHANNEL, "rows": 1200, "held": 3, "written_at": _TIME},
    Event.CHANNEL_FAILED: {**_CHANNEL, "error": "The storage does not respond"},
}
EVENT_EXAMPLES: dict[Event, dict[str, Any]] = {
    event: {"type": str(event), "timestamp": _TIME, "data": _data[event]} for event in Event
}
