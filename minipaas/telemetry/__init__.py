"""Telemetry: what the box and its apps use and answer, now and over the last 30 days. Knows no Podman and no proxy:
whoever looks feeds it."""
