"""Runs: many images at once, a feed rendered with a template.

- `mapping.py`: which column of the feed fills which field of the template.
- `planning.py`: plan, start, retry and cancel a run; `auto_runs.py`: start runs when a feed changes.
- `scheduling.py`: the queue of chunks, and fair turns for workspaces.
- `render_worker.py`, `render_tasks.py`, `presigned_storage.py`: a render worker, in a process of its own without keys.
- `protocol.py`: the messages between render worker and web application.
- `reports.py`, `object_access.py`: how the web application processes them.
- `progress.py`, `output_feed.py`, `notifications.py`, `slack_messages.py`: what users, programs and Slack see.

The zip file of a run's images is an export (`cwz_web/ops/run_exports.py`).
"""
