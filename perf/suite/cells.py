"""Cells of live stations: N perronds, or one with N peers, that are the root cell of an overlay.

    with cells.stations(4) as cell:
        cell.wait_view()
        figures = cell.bench('--mode', 'latency', '--senders', 'all')
        cell.kill(3)
        cell.wait_view(3)

`bench` gives the figures of `perron bench group --json`, run by run; `watch` a process whose lines
are those of `perron group watch --json`: `at_ns` of a view is CLOCK_MONOTONIC, as is
time.monotonic_ns.
"""
import json
import os
import signal
import subprocess
import time

from suite.network import Fault, Lan, Missing, Processes
from suite.stations import cores
from suite.tools import program

NETWORK = '10.9.6.'
START_SECONDS = 60
LOOK_SECONDS = 0.1


class Station:
    """One perrond, or what `command` makes of it; `running` is whether it should be."""

    def __init__(self, name, peers, file, inside, socket, command=None):
        self.name, self.peers, self.file = name, peers, file
        self.inside, self.socket = inside, socket
        self.command = command or [program('apps/perrond/perrond'), '--', '--config', file]
        self.process, self.running, self.lives = None, False, 0


class Watch:
    """The rows of a cell's `watch`, as they come."""

    def __init__(self, process):
        self.process = process
        os.set_blocking(self.process.stdout.fileno(), False)
        self.data = b''

    def read(self):
        """Rows that came since the last call."""
        try:
            while part := os.read(self.process.stdout.fileno(), 65536):
                self.data += part
        except BlockingIOError:
            pass
        *lines, self.data = self.data.split(b'\n')
        return [json.loads(line) for line in lines]

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Cell:
    """The stations of a cell; entered, they are started, and left, ended."""

    def __init__(self, count, lan, make):
        """`make`: of this object, all its stations."""
        self.count, self.lan, self.make = count, lan, make
        self.processes, self.stations = Processes(), []

    def __enter__(self):
        if self.lan:
            self.lan.__enter__()
        self.processes.__enter__()
        try:
            self.stations = self.make(self)
            for index in range(len(self.stations)):
                self.start(index)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.processes.__exit__()
        if self.lan:
            self.lan.__exit__()

    def start(self, index):
        station = self.stations[index]
        station.lives += 1
        station.process = self.processes.start(f'{station.name}.{station.lives}',
                                               station.inside + station.command)
        station.running = True

    def kill(self, index, number=signal.SIGKILL):
        """When it was sent: nanoseconds of CLOCK_MONOTONIC."""
        station = self.stations[index]
        station.running = False
        at_ns = time.monotonic_ns()
        station.process.send_signal(number)
        station.process.wait()
        return at_ns

    def words(self, index):
        """What the station said in its present life."""
        station = self.stations[index]
        return self.processes.words(f'{station.name}.{station.lives}')

    def check(self):
        """A station that should run does."""
        for index, station in enumerate(self.stations):
            if station.running and station.process.poll() is not None:
                said = self.words(index).strip().splitlines() or ['no word']
                raise Fault(f'{station.name} has ended: {said[-1]}')

    def ask(self, index, *words):
        """A subcommand's answer; None: the station does not answer."""
        done = subprocess.run([program('apps/perron/perron'), *words, '--json', '--socket',
                               self.stations[index].socket], capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def groups(self, index):
        """Rows of the station's peers: what each is in its cell's group."""
        answer = self.ask(index, 'group', 'show')
        return answer['group'] if answer else []

    def views(self):
        """What the peers of all running stations say: their views, and how many peers there are."""
        rows = [row for i, s in enumerate(self.stations) if s.running for row in self.groups(i)]
        return {(r['cell'], r['view'], r['leader'], r['leader_incarnation'], len(r['members']))
                if r['state'] == 'operational' else None for r in rows}, len(rows)

    def wait_view(self, members=None, seconds=START_SECONDS):
        """Waits until every running peer is in one view of so many; its members. Else a Fault."""
        members = self.count if members is None else members
        until = time.monotonic() + seconds
        views, peers = set(), 0
        while time.monotonic() < until:
            self.check()
            views, peers = self.views()
            if peers == members and len(views) == 1 and None not in views and \
                    next(iter(views))[4] == members:
                index = next(i for i, s in enumerate(self.stations) if s.running)
                return self.groups(index)[0]['members']
            time.sleep(LOOK_SECONDS)
        raise Fault(f'no view of {members} after {seconds} s: {peers} peers say {views}')

    def bench(self, *options):
        """Figures of each run of `perron bench group`, with all running stations."""
        where = [word for s in self.stations if s.running for word in ('--socket', s.socket)]
        done = subprocess.run([program('apps/perron/perron'), 'bench', 'group', '--json', *where,
                               *options], capture_output=True, text=True)
        if done.returncode:
            raise Fault((done.stderr.strip().splitlines() or ['no word'])[-1])
        return [json.loads(line) for line in done.stdout.splitlines()]

    def watch(self, index):
        """A process whose stdout are a station's views and verdicts, a line of JSON each."""
        return subprocess.Popen(
            [program('apps/perron/perron'), 'group', 'watch', '--json', '--socket',
             self.stations[index].socket], stdout=subprocess.PIPE, text=True)


def descriptor(cell, name, address, peers, where, **station):
    """
    `where`: addresses of all peers. `station`: core, housekeeping, idle, memory, and port and
    group and detector (keys of those sections), overlay (keys of it beside the portal),
    keys (of the section station).
    """
    portal = ', '.join(f'{{peer: {p}, address: {a}}}' for p, a in sorted(where.items()))
    overlay = ''.join(f'  {k}: {v}\n' for k, v in station.get('overlay', {}).items())
    text = (f'overlay:\n  portal: [{portal}]\n  cell_size: {len(where)}\n{overlay}'
            f'station:\n  name: {name}\n  address: {address}/24\n  huge_pages: no\n'
            f"  socket: {socket_of(cell, name)}\n  idle: {station['idle']}\n"
            f"  lcores: [{station['core']}]\n  housekeeping_core: {station['housekeeping']}\n"
            f"  memory: {station['memory']}\n")
    text += ''.join(f'  {k}: {v}\n' for k, v in (station.get('keys') or {}).items())
    for section in ('port', 'group', 'detector'):
        if station.get(section):
            text += f'{section}:\n' + ''.join(
                f'  {k}: {v}\n' for k, v in station[section].items())
    return text + 'peers: [' + ', '.join(f'{{id: {p}}}' for p in peers) + ']\n'


def socket_of(cell, name):
    return os.path.join(cell.processes.folder, name + '.sock')


def station_make(cell, index, address, peers, where, inside, **station):
    """A station that is not started yet; its EAL calls itself after it."""
    name = f'cell-{index}-{os.getpid()}'
    cell.processes.prefix('perron-' + name)
    file = cell.processes.write(name + '.yaml', descriptor(cell, name, address, peers, where,
                                                           **station))
    return Station(name, peers, file, inside, socket_of(cell, name))


def needed():
    if not program('apps/perrond/perrond') or not program('apps/perron/perron'):
        raise Missing('perrond and perron are not built')


def stations(count, driver='af_packet', idle='backoff', memory='64MB', overlay=None, **sections):
    """
    N stations of a peer each, in namespaces on a bridge (two: a veth pair), over af_packet or
    af_xdp; over memif two, without namespaces. They share the cores, two of which are best.
    """
    needed()
    if driver == 'memif' and count != 2:
        raise Missing('memif joins two stations')
    lan = None if driver == 'memif' else Lan(count)
    core, housekeeping = cores()

    def make(cell):
        where = {i + 1: f'{NETWORK}{i + 1}' for i in range(count)}
        made = []
        for i in range(count):
            port = {'driver': driver}
            if lan:
                port['interface'] = lan.interface(i)
            else:
                port.update(socket=os.path.join(cell.processes.folder, 'memif.sock'),
                            role='client' if i else 'server')
            made.append(station_make(
                cell, i, where[i + 1], [i + 1], where, lan.inside(i) if lan else [], idle=idle,
                core=housekeeping if i % 2 else core, housekeeping=core if i % 2 else housekeeping,
                memory=memory, port=port, overlay=overlay or {}, **sections))
        return made

    return Cell(count, lan, make)


def one_process(count, idle='backoff', memory='128MB', overlay=None, **sections):
    """One station that hosts N peers on one lcore: nothing leaves it."""
    needed()
    core, housekeeping = cores()

    def make(cell):
        where = {i + 1: NETWORK + '1' for i in range(count)}
        return [station_make(cell, 0, NETWORK + '1', sorted(where), where, [], idle=idle, core=core,
                             housekeeping=housekeeping, memory=memory, overlay=overlay or {},
                             **sections)]

    return Cell(count, None, make)
