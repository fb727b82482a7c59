"""An install that is killed: places and switches versions for ever, and says on stdout what it was told is done.

python -m tests.install.killed HOME SOURCE…
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from minipaas.install.layout import Layout

layout = Layout(Path(sys.argv[1]))
print("open", flush=True)
for number, source in enumerate(itertools.cycle(sys.argv[2:])):
    with layout.lock():
        placed = layout.place(Path(source), f"1.{number % 7}")
        layout.switch(placed)
        print(placed.name, flush=True)
        layout.prune(2)
