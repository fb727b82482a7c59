"""What an instance that has ended used, out of what is kept of its slot.

What always holds: nothing of the instance before or after it in the slot is told as its own; a step of time in which
another one may have been sampled is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from minipaas.forensics.limits import FIGURES
from minipaas.model.capsule import Figures
from minipaas.model.metrics import AppSeries, InstanceSeries
from minipaas.model.observed import Instance
from minipaas.model.usage import Usage
from minipaas.telemetry.limits import SAMPLE


def figures_of(
    instance: Instance, series: AppSeries, last: float, seen: Iterable[Usage | None], limit: int | None
) -> Figures | None:
    """`last`: when the last sample was taken; `seen`: what was read of this very container; `limit`: of its memory,
    bytes. None: nothing is known."""
    peaks = [used.peak or used.memory for used in seen if used is not None]
    reached = limit is not None and instance.oom_killed
    if limit is not None and reached:
        peaks.append(limit)
    most = max(peaks, default=None)
    key = (instance.service, instance.slot)
    found = next((one for one in series.instances if (one.service, one.slot) == key), None)
    steps = _own(instance, series, last, len(found.cpu)) if found is not None else range(0)
    if found is None or not steps:
        start = instance.started or instance.created
        return None if most is None else _figures(start, series.step, None, range(0), most, reached)
    return _figures(series.start + steps.start * series.step, series.step, found, steps, most, reached)


def _own(instance: Instance, series: AppSeries, last: float, count: int) -> range:
    """The steps that are surely its own. A sample stands for the time before it, so those of a step are taken from
    half a sample after its beginning until half a sample after its end."""
    began = instance.started or instance.created
    ended = instance.finished or last
    begins = [series.start + number * series.step + SAMPLE / 2 for number in range(count)]
    own = [
        number
        for number, first in enumerate(begins)
        if first >= began and (first + series.step <= ended or first <= last <= ended)
    ]
    return range(max(own[0], own[-1] + 1 - FIGURES), own[-1] + 1) if own else range(0)


def _figures(
    start: float, step: int, found: InstanceSeries | None, steps: range, most: int | None, reached: bool
) -> Figures:
    cut = slice(steps.start, steps.stop)
    if found is None:
        return Figures(start=start, step=step, cpu=(), memory=(), peak=(), pids=(), most=most, reached=reached)
    return Figures(
        start=start,
        step=step,
        cpu=found.cpu[cut],
        memory=found.memory[cut],
        peak=found.peak[cut],
        pids=found.pids[cut],
        received=found.received[cut],
        sent=found.sent[cut],
        read=found.read[cut],
        written=found.written[cut],
        most=most,
        reached=reached,
    )
