"""The machine that figures are of: what it is, and how quiet it was."""
import json
import os
import platform

from suite.tools import output, program, say


def read(path, default=''):
    try:
        with open(path, encoding='utf-8') as f:
            return f.read().strip()
    except OSError:
        return default


def cpu_model():
    for line in read('/proc/cpuinfo').splitlines():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()


def cpu_mhz():
    return [float(line.split(':', 1)[1]) for line in read('/proc/cpuinfo').splitlines()
            if line.startswith('cpu MHz')]


def is_virtual():
    return ' hypervisor' in read('/proc/cpuinfo')


def huge_pages():
    return {key.strip(): value.strip() for key, value in
            (line.split(':', 1) for line in read('/proc/meminfo').splitlines() if 'Huge' in line)}


def conditions(seconds=0.5):
    """What may be another after the run; own gaps are looked for so long on each core."""
    tool = program('perf/perron-machine')
    text = output([tool, '--gap-seconds', str(seconds)]) if tool else ''
    return {'load_average': read('/proc/loadavg').split()[:3], 'cpu_mhz': cpu_mhz(),
            'measured': json.loads(text) if text else None}


def before():
    say('machine: cache line and own gaps')
    state = {
        'cpu': cpu_model(),
        'cores': len(os.sched_getaffinity(0)),
        'virtual': is_virtual(),
        'kernel': platform.release(),
        'clock_source': read('/sys/devices/system/clocksource/clocksource0/current_clocksource'),
        'isolated_cores': read('/sys/devices/system/cpu/isolated'),
        'nohz_full_cores': read('/sys/devices/system/cpu/nohz_full'),
        'governor': read('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor', 'none'),
        'memory_kb': int(read('/proc/meminfo').split()[1]),
        'huge_pages': huge_pages(),
        'before': conditions(),
    }
    describe(state['before'])
    return state


def after(state):
    say('machine: the same again')
    state['after'] = conditions()
    describe(state['after'])


def describe(now):
    measured = now['measured']
    if not measured:
        say('machine: perron-machine is not built: nothing known of its gaps')
        return
    gaps = ', '.join(f"core {g['core']}: {g['max_ns'] / 1000:.0f} us at most, "
                     f"{g['lost_share'] * 100:.1f} % lost" for g in measured['gaps'])
    say(f"machine: load {now['load_average'][0]}; cache line there and back "
        f"{measured['cache_line_round_trip_ns']} ns; own gaps: {gaps}")
