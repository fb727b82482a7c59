"""The keys of a Compose service: which are carried over, which lose nothing, and why the others are not."""

from __future__ import annotations

HTTP_PORTS = (80, 8080, 8000, 3000, 5000, 8888, 4000, 8081, 8008, 1880, 5173, 9000, 9090)
"""Container ports that look like HTTP."""

WRITABLE = ("/tmp", "/var/tmp", "/run")  # noqa: S108 (paths in the container)
"""What an instance can always write to."""

SILENT = frozenset(
    {"labels", "label_file", "annotations", "attach", "pull_policy", "restart", "develop", "scale", "init"}
)
"""Nothing is lost with them, or they concern Compose itself."""

HANDLED = frozenset(
    {
        *("image", "build", "entrypoint", "command", "ports", "expose", "environment", "env_file", "volumes"),
        *("depends_on", "healthcheck", "deploy", "mem_limit", "cpus", "pids_limit", "user", "working_dir", "cap_add"),
        *("cap_drop", "read_only", "stop_grace_period", "profiles", "networks", "tmpfs", "security_opt"),
    }
)

WHY = {
    "privileged": "a privileged container is not offered; name the capabilities that it needs",
    "network_mode": "an app has a network of its own; publish ports or use routes",
    "secrets": "there are no secret files; whatever is in the bundle can be read by who has the bundle",
    "configs": "bake the file into the image, or pass it through env",
    "devices": "devices of the host are not passed on",
    "container_name": "instances are named by minipaas; other services reach it by its service name",
    "hostname": "other services reach it by its service name",
    "extends": "write the inherited keys into this file first (docker compose config does it)",
    "links": "services of an app reach each other by service name",
    "logging": "minipaas keeps the logs itself, within a quota",
    "extra_hosts": "put the address into env",
    "volumes_from": "name the volumes",
    "platform": "the platform is that of the image",
    "mem_reservation": "nothing is reserved on a single box; only limits are carried over",
}
"""What is said of a key that is not carried over."""
