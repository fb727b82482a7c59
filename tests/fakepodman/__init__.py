"""A stateful fake Podman on a real Unix socket, with the answers of libpod 4.3 and containers that really listen.

async with FakePodman(tmp_path) as fake:
    image = fake.add_image("shop")
    engine = await Engine.connect(fake.socket, ...)
    fake.behave(Behaviour(status=503), service="web")      # how containers behave, newest rule first
    fake.crash("minipaas-shop-web-1-1", 3)                 # things that happen to them
    fake.refuse("containers/create", 500, times=1)         # things that happen to calls
"""

from tests.fakepodman.behaviour import Behaviour
from tests.fakepodman.server import FakePodman

__all__ = ["Behaviour", "FakePodman"]
