"""A run of daem: what the stations say, and what the kernel says of them."""
import json
import subprocess
import time

from suite import daem_faults, machine, stations
from suite.daem_cases import CASES, CLIENT_PEER, FAULTS, LEVELS, NONE, PACKETS, streams_of
from suite.latency import SHARES
from suite.network import Fault, Lan, Processes
from suite.usage import Usage

COUNTS = ['samples', 'sent', 'lost', 'duplicates']
END_SECONDS = 10
# The client asks for nothing until all have joined; of so long before that they are at rest.
REST_S, REST_NS = 3, 2000000000
# So long, at most, messages that were made while it was measured are waited for.
DRAIN_S = 10


def client_wait(processes, name, usage, seconds, faults):
    """Looks at the stations until the one with the client has told its figures."""
    until = time.monotonic() + stations.START_SECONDS + seconds
    while time.monotonic() < until:
        usage.look()
        if faults:
            faults.turn(usage)
        why = processes.dead()
        text = processes.output(name)
        if text.endswith('}\n'):
            return json.loads(text)
        if why:
            raise Fault(why)
        time.sleep(0.1)
    raise Fault('no figures in time')


def others_end(processes, name, faults):
    """
    Ends all; what the stations without a client say of themselves. One that was just started again
    may not have come to say anything.
    """
    for _, process in processes.running:
        process.terminate()
    for other, process in processes.running:
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            raise Fault(f'{other} does not end') from None
    said = {other: processes.output(other) for other, _ in processes.running if other != name}
    young = faults.started() if faults else []
    return [json.loads(text) for other, text in said.items() if text or other not in young]


def stations_run(processes, commands, client, seconds, faults=None, groups=None):
    """Starts the stations, that of the client last: its figures, the others', and the usage."""
    usage = Usage()
    for name in sorted(commands, key=lambda name: name == client):
        process = processes.start(name, commands[name], apart=True)
        usage.add(process.pid, groups[name] if groups else name)
    found = client_wait(processes, client, usage, seconds, faults)
    return found, others_end(processes, client, faults), usage


def process_run(streams, plan):
    with Processes() as processes:
        command = stations.one_command(processes) + stations.arguments(streams, plan.seconds, 1)
        found, others, usage = stations_run(
            processes, {'station': command}, 'station', plan.seconds)
        marks = found['marks']
        return {**figures(found, others, usage), 'cpu': busy_share(marks, 'from', 'to'),
                'cpu_idle': busy_share(marks, 'idle', 'asked')}


def tree_commands(lan, processes, streams, seconds, more):
    """name -> words; `more`: for each of them."""
    commands = stations.tree_commands(lan, processes)
    for peer in commands:
        mine = [s for s in streams if s['peer'] == peer]
        commands[peer] += stations.arguments(mine, seconds, 1, client=False) + more
    commands[CLIENT_PEER] += stations.arguments(streams, seconds, 1, sources=False)
    commands[CLIENT_PEER] += ['--rest', str(REST_S)]
    return {daem_faults.station_name(p): words for p, words in commands.items()}


def tree_figures(found, others, usage):
    at = {key: mark['at_ns'] for key, mark in found['marks'].items()}
    return {**figures(found, others, usage), 'cpu': 100 * usage.share(at['from'], at['to']),
            'cpu_idle': 100 * usage.share(at['asked'] - REST_NS, at['asked']),
            'others': 100 * usage.others_share(at['from'], at['to']),
            'cpu_levels': [100 * usage.share(at['from'], at['to'], level) for level in LEVELS],
            'memory_levels': [usage.peak_size(level) / 1e6 for level in LEVELS]}


def levels_of_stations():
    return {daem_faults.station_name(p): stations.level(p) for p in stations.PEERS}


def tree_run(streams, plan):
    with Lan(len(stations.PEERS)) as lan, Processes() as processes:
        commands = tree_commands(lan, processes, streams, plan.seconds, [])
        return tree_figures(*stations_run(
            processes, commands, daem_faults.station_name(CLIENT_PEER), plan.seconds,
            groups=levels_of_stations()))


def faults_run(streams, plan, level, count, seed):
    """As tree_run, and stations of peers of the level are killed."""
    seconds = max(plan.seconds, daem_faults.seconds_least(level, count))
    client = daem_faults.station_name(CLIENT_PEER)
    with Lan(len(stations.PEERS)) as lan, Processes() as processes:
        account = daem_faults.Account(processes, streams)
        commands = tree_commands(lan, processes, streams, seconds, ['--account', account.path])
        commands[client] += ['--drain', str(DRAIN_S)]
        faults = daem_faults.Faults(
            processes, account, commands, daem_faults.plan_of(level, count, seconds, seed),
            plan.restart)
        found, others, usage = stations_run(processes, commands, client, seconds + DRAIN_S,
                                            faults, levels_of_stations())
        faults.check(seconds)
        return {**tree_figures(found, others, usage), 'seconds': seconds, 'faults': faults.done,
                'losses': daem_faults.losses(found, [found] + others, faults.last_made)}


def busy_share(marks, a, b):
    spans = [marks[b][key] - marks[a][key] for key in ('busy_ns', 'at_ns')]
    return 100 * spans[0] / spans[1]


def share_of(buckets, share):
    """The value of [value, count] rows in order that `share` of all do not exceed."""
    rank = share * sum(count for _, count in buckets)
    for value, count in buckets:
        rank -= count
        if rank <= 0:
            return value
    return buckets[-1][0]


def moments(buckets):
    """Mean and standard deviation of [value, count] rows."""
    total = sum(count for _, count in buckets)
    mean = sum(value * count for value, count in buckets) / total
    return mean, (sum((value - mean) ** 2 * count for value, count in buckets) / total) ** 0.5


def together(streams):
    """Figures of several streams as if they were one."""
    buckets = sorted(row for s in streams for row in s['buckets_ns'])
    if not buckets:
        raise Fault('a stream came to nothing')
    longest = max(s['latency_us']['max'] for s in streams)
    mean, deviation = (ns / 1e3 for ns in moments(buckets))
    return {**{key: min(share_of(buckets, share) / 1e3, longest) for key, share in SHARES.items()},
            'max': longest, 'mean': mean, 'deviation': deviation,
            **{key: sum(s[key] for s in streams) for key in COUNTS}}


def figures(found, others, usage):
    """Of one run, but for CPU."""
    packets = {packet: together([s for s in found['streams'] if s['stream'].startswith(packet)])
               for packet in PACKETS}
    told = [found] + others
    peers = [peer for station in told for peer in station['peers']]
    drops = {}
    for drop in (drop for station in told for drop in station['drops']):
        drops[drop['cause']] = drops.get(drop['cause'], 0) + drop['count']

    def mean_of(key):
        return sum(p[key] for p in packets.values()) / len(packets)
    return {'packets': packets, 'latency': mean_of('p50'), 'mean': mean_of('mean'),
            'jitter': mean_of('deviation'),
            'hops': sum(s['path_hops'] for s in found['streams']) / len(found['streams']),
            'memory': usage.peak_size() / 1e6, 'memory_planned': sum(
                station['memory_size'] for station in told) / 1e6,
            'lost': sum(p['lost'] for p in packets.values()),
            'sent': sum(p['sent'] for p in packets.values()),
            'copies': sum(p['replicated'] for p in peers), 'served': sum(
                p['served'] for p in peers), 'retried': sum(p['retried'] for p in peers),
            'adopted': sum(p['adopted'] for p in peers), 'drops': drops}


def case_run(placing, case, plan, turn):
    quiet = machine.conditions(0.2)
    streams = streams_of(case)
    if placing in FAULTS:
        # The same seed for all cases of a placing: the same stations are killed at the same time.
        found = faults_run(streams, plan, *FAULTS[placing], f'{plan.seed}/{placing}/{turn}')
    else:
        found = {'process': process_run, 'tree': tree_run}[placing](streams, plan)
    # Passively a frame is copied only if it waits for its acknowledgement when the period ends.
    if (case == NONE and found['copies']) or (CASES[case][1] == 'active' and not found['copies']):
        raise Fault(f"{found['copies']} copies were made")
    return {**found, 'cpu_above': found['cpu'] - found['cpu_idle'], 'machine': quiet}
