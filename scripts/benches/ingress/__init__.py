"""The data path beside nginx, HAProxy, Caddy and an aiohttp proxy: the same duties, the same core, in turn."""
