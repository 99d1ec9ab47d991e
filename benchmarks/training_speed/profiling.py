"""Where the time of one cohort step goes, by torch.profiler; on the CPU."""

from time import perf_counter
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.training_speed.peers import PEERS
from benchmarks.training_speed.setting import WARM_STEPS, Setting

TOP = 12


def profile_step(setting: Setting, members: int, steps: int) -> dict[str, Any]:
    """Shares of the time spent in each operation itself, children taken out.

    Returns:
        `milliseconds_per_step` of all members with the profiler off and on (it makes small
        operations look larger), `in_operations`, the share of that time spent in operations,
        and `rows`, largest first, the last one holding the rest.
    """
    run = PEERS["lossheads"].build(setting)
    run(members, steps)
    off = run(members, steps) / steps
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        started = perf_counter()
        on = run(members, steps) / steps
        wall = perf_counter() - started
    events = [e for e in profiler.key_averages() if e.device_type == DeviceType.CPU]
    events.sort(key=lambda event: event.self_cpu_time_total, reverse=True)
    total = sum(event.self_cpu_time_total for event in events)
    rows = [
        {
            "operation": event.key,
            "calls_per_step": event.count / (steps + WARM_STEPS),
            "share": event.self_cpu_time_total / total,
        }
        for event in events
    ]
    rest = {
        "operation": f"{max(0, len(rows) - TOP)} others",
        "calls_per_step": sum(row["calls_per_step"] for row in rows[TOP:]),
        "share": sum(row["share"] for row in rows[TOP:]),
    }
    return {
        "setting": {"model": setting.model, "batch": setting.batch, "members": members},
        "milliseconds_per_step": {"profiler_off": 1e3 * off, "profiler_on": 1e3 * on},
        "in_operations": 1e-6 * total / wall,
        "rows": [*rows[:TOP], rest],
    }
