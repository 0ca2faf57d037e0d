"""Feeds: tables of rows that images are rendered from.

- Reading files: `archives.py` unpacks, `file_types.py` detects the format, `csv_reader.py`, `json_reader.py`,
  `xml_reader.py` and `spreadsheet_reader.py` parse it into `records.py: Records`, within the bounds of `limits.py`.
  `encodings.py` detects the encoding, `reading.py` has the options that a user can set.
- Schema: `columns.py` names and types the columns, `variants.py` computes the key of each row.
- Imports: `import_files.py` stores a file, `imports.py` compares it with the feed and applies the difference, unless
  `import_guard.py` finds a reason for a review; `column_uses.py` finds the templates of a column.
- Sources: `sources.py` fetches a URL, `json_pages.py` joins pages, `share_links.py` finds the file of a share link,
  `schedules.py` says when.
- Jobs: `fetch_job.py` fetches and imports, `tasks.py` registers the jobs.
- Rows: `queries.py` searches, `sort_index.py` sorts, `row_writes.py` writes single rows.

The documentation for users is docs/feeds.md.
"""
