"""Podman: control calls, streams, observation and health probes."""
