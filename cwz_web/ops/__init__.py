"""Looking after an installation for years: backups, exports, retention and purging, health and metrics. What concerns
every table stands here. In: what a job, a command or a page of operators does. Not in: what customers do.
"""
