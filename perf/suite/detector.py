"""Failure detection: kill -9 of a station to the verdict of each survivor, and false verdicts.

Four stations, each in a network namespace, make one cell over af_packet; two make one over memif.
Each setting is measured as the machine is, and with hogs on all cores. First all stations are
watched, and every verdict is a false one; then one of them is killed, again and again, and each
survivor tells on its command socket when its verdict fell (station time is CLOCK_MONOTONIC).
"""
import json
import os
import random
import select
import socket
import subprocess
import time

from suite import report
from suite.network import Fault, Lan, Missing, Processes
from suite.stations import cores, name_of
from suite.tools import median, program, say

START_SECONDS = 40
VERDICT_SECONDS = 10
HOGS_A_CORE = 2
FAST = {'kind': 'accrual', 'interval': '2ms', 'timeout_min': '20ms', 'timeout_max': '60ms'}
# name: wire, detector's keys, scheduling
SETTINGS = {
    'push': ('af_packet', {'kind': 'push'}, 'other'),
    'accrual': ('af_packet', {}, 'other'),
    'fast': ('af_packet', FAST, 'fifo'),
    'memif': ('memif', {}, 'other'),
    'memif-fast': ('memif', FAST, 'fifo'),
}
LOADS = ['quiet', 'loaded']


def names():
    if not program('apps/perrond/perrond'):
        return []
    return [f'detector/{setting}/{load}' for setting in SETTINGS for load in LOADS]


class Hogs:
    """Busy loops of no rank, so many on each core."""

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        self.running = [subprocess.Popen(['sh', '-c', 'while :; do :; done'])
                        for _ in range(self.count)]

    def __exit__(self, *_):
        for hog in self.running:
            hog.kill()
            hog.wait()


class Station:
    """One of the cell: its process, and its command socket with the verdicts that came there."""

    def __init__(self, peer, path, start):
        self.peer, self.path, self.start = peer, path, start
        self.process = self.events = None
        self.data = b''

    def raise_up(self):
        self.process = self.start()
        self.events, self.data = None, b''

    def connect(self):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(5)
        link.connect(self.path)
        return link

    def ask(self, command):
        """The reply, or None while it does not answer."""
        try:
            with self.connect() as link:
                link.sendall(json.dumps({'command': command}).encode() + b'\n')
                data = b''
                while not data.endswith(b'\n'):
                    part = link.recv(65536)
                    if not part:
                        return None
                    data += part
            return json.loads(data)
        except (OSError, ValueError):
            return None

    def links_up(self):
        reply = self.ask('peers')
        return sum(link['state'] == 'alive' for peer in (reply or {}).get('peers', [])
                   for link in peer['links'])

    def subscribe(self):
        if self.events:
            return
        self.events = self.connect()
        self.events.sendall(b'{"command":"subscribe","events":["link-down"]}\n')
        self.events.setblocking(False)

    def verdicts(self):
        """Those that came since the last call."""
        try:
            while True:
                part = self.events.recv(65536)
                if not part:
                    break
                self.data += part
        except BlockingIOError:
            pass
        *lines, self.data = self.data.split(b'\n')
        events = [json.loads(line) for line in lines]
        return [e for e in events if e.get('event') == 'link-down']

    def kill(self):
        """When it was."""
        at_ns = time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        self.events.close()
        return at_ns


def descriptor(name, address, peer, portal, cell_size, path, setting, port, where):
    _, keys, scheduling = SETTINGS[setting]
    core, housekeeping = where
    text = (f'overlay:\n  depth: 1\n  cell_size: {cell_size}\n'
            f'  portal: [{", ".join(f"{{peer: {p}, address: {a}}}" for p, a in portal)}]\n'
            f'station:\n  name: {name}\n  address: {address}/24\n  huge_pages: no\n'
            f'  idle: backoff\n  lcores: [{core}]\n  housekeeping_core: {housekeeping}\n'
            f'  scheduling: {scheduling}\n  socket: {path}\n'
            'port:\n' + ''.join(f'  {k}: {v}\n' for k, v in port.items()) +
            f'peers: [{{id: {peer}}}]\n')
    if keys:
        text += 'detector:\n' + ''.join(f'  {k}: {v}\n' for k, v in keys.items())
    return text


class Cell:
    """Stations of one cell, all linked with all."""

    def __init__(self, setting):
        self.setting = setting
        self.wire = SETTINGS[setting][0]
        self.count = 4 if self.wire == 'af_packet' else 2

    def __enter__(self):
        self.lan = Lan(self.count) if self.wire == 'af_packet' else None
        if self.lan:
            self.lan.__enter__()
        self.processes = Processes()
        self.processes.__enter__()
        try:
            self.stations = [self.station(i) for i in range(self.count)]
            for station in self.stations:
                station.raise_up()
            self.await_links()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.processes.__exit__()
        if self.lan:
            self.lan.__exit__()

    def port(self, index):
        if self.wire == 'af_packet':
            return {'driver': 'af_packet', 'interface': self.lan.interface(index)}
        return {'driver': 'memif', 'socket': os.path.join(self.processes.folder, 'memif.sock'),
                'role': 'client' if index else 'server'}

    def station(self, index):
        last, first = cores()
        address = [f'10.9.6.{i + 1}' for i in range(self.count)]
        path = os.path.join(self.processes.folder, f'{index}.sock')
        file = self.processes.write(f'{index}.yaml', descriptor(
            name_of(self.processes, f'd{index}'), address[index], index + 1,
            list(zip(range(1, self.count + 1), address)), self.count, path, self.setting,
            self.port(index), (last if index % 2 else first, first if index % 2 else last)))
        inside = self.lan.inside(index) if self.lan else []
        command = inside + [program('apps/perrond/perrond'), '--', '--config', file]

        def start():
            # The namespace's command becomes the station, so that it is the station that is killed.
            self.processes.running = [r for r in self.processes.running
                                      if r[0] != f'station {index}']
            return self.processes.start(f'station {index}', command)
        return Station(index + 1, path, start)

    def await_links(self):
        until = time.monotonic() + START_SECONDS
        while any(s.links_up() < self.count - 1 for s in self.stations):
            why = self.processes.dead()
            if why or time.monotonic() > until:
                raise Fault(why or f'not all are linked after {START_SECONDS} s')
            time.sleep(0.1)
        for station in self.stations:
            station.subscribe()
        time.sleep(1)
        for station in self.stations:
            station.verdicts()

    def watch(self, seconds):
        """Every verdict of a time in which nobody dies."""
        until, found = time.monotonic() + seconds, []
        while time.monotonic() < until:
            select.select([s.events for s in self.stations], [], [],
                          max(0, until - time.monotonic()))
            for station in self.stations:
                found += station.verdicts()
            if why := self.processes.dead():
                raise Fault(why)
        return found

    def kill(self, victim):
        """Of each survivor: its verdict with `after_ns`, since the kill."""
        # A link that a false verdict has ended has to be there again, or none falls.
        self.await_links()
        time.sleep(random.uniform(0.3, 0.6))
        for station in self.stations:
            station.verdicts()
        at_ns = victim.kill()
        others = [s for s in self.stations if s is not victim]
        found, until = {}, time.monotonic() + VERDICT_SECONDS
        while len(found) < len(others) and time.monotonic() < until:
            select.select([s.events for s in others], [], [], 0.1)
            for station in others:
                for verdict in station.verdicts():
                    if verdict['neighbour'] == victim.peer:
                        found.setdefault(station.peer,
                                         {**verdict, 'after_ns': verdict['at_ns'] - at_ns})
        if len(found) < len(others):
            raise Fault(f'no verdict within {VERDICT_SECONDS} s')
        victim.raise_up()
        return list(found.values())


def share(ordered, part):
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def measure(name, seconds, kills):
    _, setting, load = name.split('/')
    hogs = HOGS_A_CORE * len(os.sched_getaffinity(0)) if load == 'loaded' else 0
    verdicts = []
    with Cell(setting) as cell, Hogs(hogs):
        say(f'{name}: {seconds} s in which nobody dies')
        false = cell.watch(seconds)
        say(f'{name}: {kills} kills')
        for i in range(kills):
            # A memif server of DPDK 22.11 may fall with its client: the client is killed.
            verdicts += cell.kill(cell.stations[1 + i % (cell.count - 1)])
    times = sorted(v['after_ns'] / 1e6 for v in verdicts)
    return {'name': name, 'unit': 'ms', 'what': 'kill -9 to the verdict of each survivor',
            'median': median(times), 'p99': share(times, 0.99), 'p999': share(times, 0.999),
            'max': times[-1], 'min': times[0], 'samples': len(times),
            'causes': sorted({v['cause'] for v in verdicts}), 'false_verdicts': len(false),
            'false': false, 'watched_seconds': seconds,
            'false_an_hour': len(false) * 3600 / seconds}


def run(wanted, options):
    results = []
    for name in wanted:
        try:
            results.append(measure(name, 5 if options.quick else options.watch,
                                   3 if options.quick else 20))
        except (Fault, OSError) as fault:
            results.append({'name': name, 'unit': 'ms', 'error': str(fault),
                            'skipped': isinstance(fault, Missing)})
        result = results[-1]
        result.setdefault('repetitions', 1)
        report.line(result)
        if 'error' not in result:
            print(f"{'':34} false verdicts {result['false_verdicts']} in "
                  f"{result['watched_seconds']} s ({result['false_an_hour']:.3g} an hour), "
                  f"causes {', '.join(result['causes'])}", flush=True)
    return results
