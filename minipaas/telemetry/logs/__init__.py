"""Logs: every line of every instance, from Podman's files into segments that can be searched."""
