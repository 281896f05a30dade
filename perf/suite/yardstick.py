"""Yardsticks of latency: bare round trips of 418 bytes, over what stations use."""
import json
import os
import re
import subprocess
import time

from suite import micro
from suite.network import Fault, Lan, Processes
from suite.stations import cores
from suite.tools import program

RING = 'handover/round_trip/spsc'
READY_SECONDS = 20


def figures(samples, lost, p50, p99, p999, largest):
    """All in us."""
    return {'samples': samples, 'lost': lost, 'p50': p50, 'p99': p99, 'p999': p999, 'max': largest}


def ring(options):
    runs = micro.measure([RING], options).get(RING, [])
    good = [r for r in runs if not r.get('error_occurred')]
    if not good:
        raise Fault('the ring was not measured')
    best = sorted(good, key=lambda r: r['p50'])[len(good) // 2]
    return figures(best['iterations'], 0, *[best[k] / 1000 for k in ('p50', 'p99', 'p999', 'max')])


def port_commands(driver, lan, processes, seconds):
    """port_host at both ends: it answers, and it asks."""
    host = program('test/net/port/port_host')
    if not host:
        raise Fault('test/net/port/port_host is not built')
    core, other = cores()
    commands = []
    for i, at in enumerate([other, core]):
        words = [host, f'10.9.6.{i + 1}/24', 'echo' if i == 0 else 'ping']
        if i == 1:
            words += ['10.9.6.1', f'seconds={seconds}']
        words += [f'core={at}', f'driver={driver}']
        if driver == 'memif':
            words += [f'socket={processes.folder}/memif.sock',
                      f"role={'server' if i == 0 else 'client'}"]
        else:
            words += [f'interface={lan.interface(i)}']
        prefix = processes.prefix(f'perf-yard-{os.getpid()}-{i}')
        words += ['--', '--no-huge', '--no-shconf', '-m', '256', f'--file-prefix={prefix}']
        commands.append((lan.inside(i) if lan else []) + words)
    return commands


def port_ping(driver, lan, seconds):
    with Processes() as processes:
        answer, ask = port_commands(driver, lan, processes, seconds)
        process = processes.start('answer', answer)
        until = time.monotonic() + READY_SECONDS
        while 'ready' not in processes.words('answer'):
            if process.poll() is not None or time.monotonic() > until:
                raise Fault(processes.dead() or 'the port does not open')
            time.sleep(0.05)
        done = subprocess.run(ask, capture_output=True, text=True, timeout=60 + seconds)
    found = re.search(r'round-trips (\d+) lost (\d+) p50 (\d+) ns p99 (\d+) ns p999 (\d+) ns '
                      r'max (\d+) ns', done.stdout)
    if not found:
        raise Fault((done.stderr.strip() or 'no round trip').splitlines()[-1])
    numbers = [int(n) for n in found.groups()]
    return figures(numbers[0], numbers[1], *[n / 1000 for n in numbers[2:]])


def udp(how, seconds):
    core, other = cores()
    with Lan(2, addresses=True) as lan, Processes() as processes:
        tool = program('perf/perron-udp')
        processes.start('answer', lan.inside(0) + [tool, 'answer', how, lan.address(0),
                                                   str(other)])
        time.sleep(0.3)
        done = subprocess.run(lan.inside(1) + [tool, 'ask', how, lan.address(0), str(core),
                                               str(seconds)], capture_output=True, text=True)
    if done.returncode:
        raise Fault((done.stderr.strip() or 'perron-udp failed').splitlines()[-1])
    return json.loads(done.stdout)


def measure(name, seconds, options):
    """Round trips in us."""
    if name == 'ring':
        return ring(options)
    if name == 'memif':
        return port_ping('memif', None, seconds)
    if name in ('af_xdp', 'af_packet'):
        with Lan(2) as lan:
            return port_ping(name, lan, seconds)
    return udp('poll' if name == 'udp_poll' else 'block', seconds)
