"""On-demand images: templates and their versions, API keys, signed URLs, usage, and rendering one image from data.

- `templates`, `drafts`, `template_cache`: templates, their drafts, and the published version as requests use it.
- `api_keys`, `usage`: API keys, and the quotas that images count against.
- `image_service`, `image_sources`: data in, image out; where the photos inside an image come from.
- `images`: stored images.
- `uploads`, `upload_uses`: images and fonts that customers upload, and the templates that use them.
- `signed_urls`: URLs that need no API key.

Not here: many images at once (`cwz_web.runs`), and rendering itself (`cwz_web.imaging`).
"""
