"""Operations: backups, exports, retention, purges, health checks and metrics.

Jobs, commands and the operations page use this package; it covers every table. What customers do is in the packages of
the domains.
"""
