"""Stations for the latency runs: the tree of 14 peers, put on one, two or 14 of them."""
import json
import os
import subprocess

from suite.network import Fault, Lan, Missing, Processes
from suite.tools import program

# 7 cells in a binary tree of 3 levels, 2 peers each.
CELLS = ['0', '0.0', '0.1', '0.0.0', '0.0.1', '0.1.0', '0.1.1']
PEERS = {2 * i + k + 1: cell for i, cell in enumerate(CELLS) for k in range(2)}
ROOTS = [1, 2]
SOURCE_PEER = 14
NETWORK = '10.9.6.'
START_SECONDS = 60


def level(peer):
    return PEERS[peer].count('.')


def descriptor(name, address, peers, where, **station):
    """`where`: address of each root peer. `station`: core, housekeeping, idle, memory, port."""
    portal = ', '.join(f'{{peer: {p}, address: {where[p]}}}' for p in ROOTS)
    text = (f'overlay:\n  portal: [{portal}]\n  depth: 3\n  span: 2\n  cell_size: 2\n'
            f'station:\n  name: {name}\n  address: {address}/24\n  huge_pages: no\n'
            f"  idle: {station['idle']}\n  lcores: [{station['core']}]\n"
            f"  housekeeping_core: {station['housekeeping']}\n"
            f"  memory: {station['memory']}\n")
    if station.get('port'):
        options = ''.join(f'  {key}: {value}\n' for key, value in station['port'].items())
        text += f'port:\n{options}'
    text += 'peers:\n' + ''.join(f"- {{id: {p}, cell: '{PEERS[p]}'}}\n" for p in peers)
    return text


def cores():
    """Core of the workers, core of housekeeping: the last and the first that we may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]


def arguments(streams, seconds, warm, sources=True, client=True):
    """`streams`: name, class, size, rate, traced; peer (SOURCE_PEER), policy (no replication)."""
    words = []
    for s in streams:
        if sources:
            source = f"{s['name']},{s.get('peer', SOURCE_PEER)},{s['size']},{s['rate']}"
            words += ['--source', source + (',traced' if s['traced'] else '')]
        if client:
            words += ['--subscribe', ','.join([s['name'], s['class'], s.get('policy', 'none')])]
    return words + ['--seconds', str(seconds), '--warm', str(warm)]


def client_run(processes, command, seconds):
    """Runs the station that measures; its report."""
    done = subprocess.run(command, capture_output=True, text=True,
                          timeout=START_SECONDS + seconds)
    if done.returncode:
        why = processes.dead() or (done.stderr.strip().splitlines() or ['no word'])[-1]
        raise Fault(why)
    return json.loads(done.stdout)


def name_of(processes, what):
    """A station's name; its EAL calls itself after it."""
    name = f'perf-{what}-{os.getpid()}'
    processes.prefix('perron-' + name)
    return name


def one_command(processes):
    """One station, one spinning lcore, no port."""
    core, housekeeping = cores()
    where = {p: NETWORK + '1' for p in ROOTS}
    file = processes.write('one.yaml', descriptor(
        name_of(processes, 'one'), NETWORK + '1', PEERS, where, idle='spin', core=core,
        housekeeping=housekeeping, memory='256MB'))
    return [program('perf/perron-latency'), '--config', file]


def in_process(streams, seconds, warm):
    with Processes() as processes:
        command = one_command(processes)
        return client_run(processes, command + arguments(streams, seconds, warm), seconds)


def two_stations(ports, inside, streams, seconds, warm):
    """
    Root and leaf cells on station 0, the cells between on station 1 with the client: each of the
    three hops crosses. Both spin, each on a core, with the other's housekeeping.
    """
    first, second = cores()
    if first == second:
        raise Missing('needs two cores')
    where = {p: NETWORK + '1' for p in ROOTS}
    halves = [[p for p in PEERS if level(p) != 1], [p for p in PEERS if level(p) == 1]]
    with Processes() as processes:
        commands = []
        for i, (core, other) in enumerate([(first, second), (second, first)]):
            file = processes.write(f'{i}.yaml', descriptor(
                name_of(processes, i), f'{NETWORK}{i + 1}', halves[i], where, idle='spin',
                core=core, housekeeping=other, memory='192MB',
                port={k: v.replace('FOLDER', processes.folder) for k, v in ports[i].items()}))
            commands.append(inside[i] + [program('perf/perron-latency'), '--config', file])
        processes.start('station 0', commands[0] + arguments(streams, seconds, warm, client=False))
        return client_run(processes, commands[1] + arguments(streams, seconds, warm,
                                                             sources=False), seconds)


def over_memif(streams, seconds, warm):
    ports = [{'driver': 'memif', 'socket': 'FOLDER/memif.sock', 'role': role}
             for role in ('server', 'client')]
    return two_stations(ports, [[], []], streams, seconds, warm)


def over_wire(driver, streams, seconds, warm):
    with Lan(2) as lan:
        ports = [{'driver': driver, 'interface': lan.interface(i)} for i in range(2)]
        return two_stations(ports, [lan.inside(0), lan.inside(1)], streams, seconds, warm)


def tree_commands(lan, processes):
    """14 stations of a peer each, on a bridge, over af_packet; they back off when idle."""
    core, housekeeping = cores()
    where = {p: lan.address(p - 1) for p in ROOTS}
    commands = {}
    for p in PEERS:
        file = processes.write(f'{p}.yaml', descriptor(
            name_of(processes, p), lan.address(p - 1), [p], where, idle='backoff',
            core=core if p % 2 else housekeeping, housekeeping=housekeeping, memory='64MB',
            port={'driver': 'af_packet', 'interface': lan.interface(p - 1)}))
        commands[p] = lan.inside(p - 1) + [program('perf/perron-latency'), '--config', file]
    return commands


def tree(streams, seconds, warm):
    with Lan(len(PEERS)) as lan, Processes() as processes:
        commands = tree_commands(lan, processes)
        for p in sorted(PEERS, reverse=True):
            if p == 1:
                return client_run(processes, commands[p] + arguments(
                    streams, seconds, warm + 3, sources=False), seconds)
            words = arguments(streams, seconds, warm, client=False) if p == SOURCE_PEER else []
            processes.start(f'station of peer {p}', commands[p] + words)
    return None
