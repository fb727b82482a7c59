"""The names of the page's session cookie. Cookies do not know ports: a browser sends them also to the apps of the same
host, so the ingress has to know them, to keep them from the apps."""

from __future__ import annotations

SESSION_COOKIE = "minipaas_session"
SECURE_SESSION_COOKIE = "__Host-minipaas"
"""Over TLS: with the prefix that no other host can set (RFC 6265bis, 4.1.3.2)."""
