"""From passes to keys between pairs of users: yields, weather, schedules, operation, campaigns.

How the parts hang together: `docs/design/planning.md`.
"""
