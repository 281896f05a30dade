"""Paper 000's tables of latency and resources (DAEM), without faults, by our own figures.

As in the paper: 14 peers in 7 cells of 2, three levels; 8 sensors, one at each peer of the lowest
cells; a client at the root that asks for all. A sensor sends 38 packets a second of 418 bytes, 25
of 1024 and 24 of 4180, each size as a stream of its own. Of a replicated stream each packet goes to
all siblings in every cell on its way.

process  all peers, sensors and the client on one spinning lcore
tree     14 stations of a peer each, a network namespace each; they back off when idle

0-of-8 to 8-of-8  so many sensors replicated actively (Table I: 0/8, 1/7, 4/4, 8/0)
passive-PERIOD    all of them passively (Table III, with 0-of-8 for none and 8-of-8 for active)

CPU is what the 14 processes took while it was measured (utime and stime), in per cent of a core. A
lcore that spins takes all of its core whatever it does, and one that sleeps in between is measured
with its waking: so in one process it is the share of time in turns that had work. At rest is before
the client asks for anything. Memory is the sum of the processes' peak resident sizes. Cases are run
in turn, in another order each turn, and ratios are of runs of one turn. --quick: one turn of 2 s a
case; --full: five of 15 s.
"""
import json
import os
import subprocess
import time

from suite import machine, report, stations
from suite.latency import SHARES, attempt, good, why_not
from suite.network import Fault, Lan, Processes
from suite.tools import median, program, say
from suite.usage import Usage

# packet: bytes, a second from each sensor
PACKETS = {'large': (4180, 24), 'medium': (1024, 25), 'small': (418, 38)}
SENSOR_PEERS = [p for p in stations.PEERS if stations.level(p) == 2]
# Sensors differ so much in rate, around the paper's, that they have no common beat.
RATE_STEP = 0.004
# case: how many of the sensors have which policy
CASES = {
    '0-of-8': (0, 'none'),
    '1-of-8': (1, 'active'),
    '4-of-8': (4, 'active'),
    '8-of-8': (8, 'active'),
    'passive-1s': (8, 'passive,1000'),
    'passive-100ms': (8, 'passive,100'),
}
NONE, ACTIVE, PASSIVE, PASSIVE_FAST = '0-of-8', '8-of-8', 'passive-1s', 'passive-100ms'
# Of the paper. Table I: ms of large, medium and small packets, CPU seconds, MB.
TABLE_I = {
    '0-of-8': ('0/8', {'large': 1.70, 'medium': 1.94, 'small': 1.82}, 9.29, 35.36),
    '1-of-8': ('1/7', {'large': 1.94, 'medium': 2.18, 'small': 2.08}, 13.21, 39.72),
    '4-of-8': ('4/4', {'large': 2.58, 'medium': 2.76, 'small': 2.58}, 19.69, 61.62),
    '8-of-8': ('8/0', {'large': 3.38, 'medium': 3.58, 'small': 3.36}, 28.92, 91.37),
}
# Table III: ms, all packets, with one fault at level 0, 1 and 2.
TABLE_III = {
    NONE: ('none', (1.68, 2.00, 1.84)),
    PASSIVE: ('passive, 1 s', (3.43, 3.86, 3.54)),
    PASSIVE_FAST: ('passive, 0.1 s', (3.38, 3.87, 3.61)),
    ACTIVE: ('active', (3.54, 4.05, 3.68)),
}
# name: figure, of case, to case; the paper's, what we want at most, or None
RATIOS = {
    'latency-8-to-0': ('latency', ACTIVE, NONE, 2.0, 1.10),
    'cpu-8-to-0': ('cpu', ACTIVE, NONE, 3.1, 1.5),
    'cpu-above-rest-8-to-0': ('cpu_above', ACTIVE, NONE, None, None),
    'memory-8-to-0': ('memory', ACTIVE, NONE, 2.6, 1.5),
    'active-to-passive-1s': ('latency', ACTIVE, PASSIVE, 1.05, 1.05),
    'active-to-passive-100ms': ('latency', ACTIVE, PASSIVE_FAST, 1.05, 1.05),
}
COUNTS = ['samples', 'sent', 'lost', 'duplicates']
UNITS = {'latency': 'us', 'cpu': '%', 'memory': 'MB'}
CLIENT_PEER = 1
END_SECONDS = 10
# Of the machine: so much is all of it. Per cent of a core: so much for others disturbs.
FULL_SHARE = 0.9
OTHERS_MAX = 5
# The client asks for nothing until all have joined; so long before that they are at rest.
REST_NS = 2000000000


def names():
    if not program('perf/perron-latency'):
        return []
    return [f'daem/{placing}/{case}' for placing in PLACINGS for case in CASES]


class Plan:
    def __init__(self, options):
        self.turns = 1 if options.quick else 5 if options.full else 2
        self.seconds = options.seconds or (2 if options.quick else 15 if options.full else 4)


def is_replicated(sensor, count):
    """Of 8 sensors `count`, spread evenly over the cells."""
    return sensor * count % len(SENSOR_PEERS) < count


def streams_of(case):
    count, policy = CASES[case]
    middle = (len(SENSOR_PEERS) - 1) / 2
    return [{'name': f'{packet}.{peer}', 'class': 'normal', 'size': size, 'peer': peer,
             'rate': round(rate * (1 + RATE_STEP * (sensor - middle)), 4), 'traced': False,
             'policy': policy if is_replicated(sensor, count) else 'none'}
            for sensor, peer in enumerate(SENSOR_PEERS) for packet, (size, rate) in PACKETS.items()]


# ---- a run: what the stations say, and what the kernel says of them ---------------------------

def client_wait(processes, name, usage, seconds):
    """Looks at the stations until the one with the client has told its figures."""
    until = time.monotonic() + stations.START_SECONDS + seconds
    while time.monotonic() < until:
        usage.look()
        why = processes.dead()
        text = processes.output(name)
        if text.endswith('}\n'):
            return json.loads(text)
        if why:
            raise Fault(why)
        time.sleep(0.1)
    raise Fault('no figures in time')


def others_end(processes, name):
    """Ends all; what the stations without a client say of themselves."""
    for _, process in processes.running:
        process.terminate()
    for other, process in processes.running:
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            raise Fault(f'{other} does not end') from None
    return [json.loads(processes.output(other)) for other, _ in processes.running if other != name]


def stations_run(processes, commands, client, seconds):
    """Starts the stations, that of the client last: its figures, the others', and the usage."""
    for name in sorted(commands, key=lambda name: name == client):
        processes.start(name, commands[name], apart=True)
    usage = Usage([process.pid for _, process in processes.running])
    found = client_wait(processes, client, usage, seconds)
    return found, others_end(processes, client), usage


def process_run(streams, seconds):
    with Processes() as processes:
        command = stations.one_command(processes) + stations.arguments(streams, seconds, 1)
        found, others, usage = stations_run(processes, {'station': command}, 'station', seconds)
        marks = found['marks']
        return {**figures(found, others, usage), 'cpu': busy_share(marks, 'from', 'to'),
                'cpu_idle': busy_share(marks, 'idle', 'asked')}


def tree_run(streams, seconds):
    with Lan(len(stations.PEERS)) as lan, Processes() as processes:
        commands = stations.tree_commands(lan, processes)
        for peer in commands:
            mine = [s for s in streams if s['peer'] == peer]
            commands[peer] += stations.arguments(mine, seconds, 1, client=False)
        commands[CLIENT_PEER] += stations.arguments(streams, seconds, 4, sources=False)
        named = {f'station of peer {p}': words for p, words in commands.items()}
        found, others, usage = stations_run(
            processes, named, f'station of peer {CLIENT_PEER}', seconds)
        at = {key: mark['at_ns'] for key, mark in found['marks'].items()}
        return {**figures(found, others, usage), 'cpu': 100 * usage.share(at['from'], at['to']),
                'cpu_idle': 100 * usage.share(at['asked'] - REST_NS, at['asked'])}


PLACINGS = {'process': process_run, 'tree': tree_run}


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


def together(streams):
    """Figures of several streams as if they were one."""
    buckets = sorted(row for s in streams for row in s['buckets_ns'])
    if not buckets:
        raise Fault('a stream came to nothing')
    longest = max(s['latency_us']['max'] for s in streams)
    return {**{key: min(share_of(buckets, share) / 1e3, longest) for key, share in SHARES.items()},
            'max': longest, **{key: sum(s[key] for s in streams) for key in COUNTS}}


def figures(found, others, usage):
    """Of one run, but for CPU."""
    packets = {packet: together([s for s in found['streams'] if s['stream'].startswith(packet)])
               for packet in PACKETS}
    told = [found] + others
    peers = [peer for station in told for peer in station['peers']]
    drops = {}
    for drop in (drop for station in told for drop in station['drops']):
        drops[drop['cause']] = drops.get(drop['cause'], 0) + drop['count']
    return {'packets': packets,
            'latency': sum(p['p50'] for p in packets.values()) / len(packets),
            'hops': sum(s['path_hops'] for s in found['streams']) / len(found['streams']),
            'memory': usage.peak_size() / 1e6, 'memory_planned': sum(
                station['memory_size'] for station in told) / 1e6,
            'lost': sum(p['lost'] for p in packets.values()),
            'copies': sum(p['replicated'] for p in peers), 'served': sum(
                p['served'] for p in peers), 'retried': sum(p['retried'] for p in peers),
            'drops': drops}


def case_run(placing, case, plan):
    quiet = machine.conditions(0.2)
    found = PLACINGS[placing](streams_of(case), plan.seconds)
    # Passively a frame is copied only if it waits for its acknowledgement when the period ends.
    if (case == NONE and found['copies']) or (CASES[case][1] == 'active' and not found['copies']):
        raise Fault(f"{found['copies']} copies were made")
    return {**found, 'cpu_above': found['cpu'] - found['cpu_idle'], 'machine': quiet}


def order_of(cases, turn):
    """Each turn begins elsewhere, and every other goes the other way round."""
    start = turn * 2 % len(cases)
    turned = cases[start:] + cases[:start]
    return turned[::-1] if turn % 2 else turned


def turns(wanted, plan):
    """(placing, case) -> figures or a fault of each turn."""
    runs = {}
    for turn in range(plan.turns):
        for placing in PLACINGS:
            cases = [c for c in CASES if f'daem/{placing}/{c}' in wanted]
            for case in order_of(cases, turn) if cases else []:
                name = f'daem/{placing}/{case}'
                say(f'{name}, turn {turn + 1} of {plan.turns}')
                runs.setdefault((placing, case), []).append(
                    attempt(name, case_run, placing, case, plan))
    return runs


# ---- what is made of it ----------------------------------------------------------------------

def packet_result(name, found, packet):
    mine = [f['packets'][packet] for f in found]
    middle = {key: median([m[key] for m in mine]) for key in SHARES}
    return {'name': f'{name}/{packet}', 'unit': 'us', 'hops': median([f['hops'] for f in found]),
            'what': f'one way, packets of {PACKETS[packet][0]} bytes of all sensors',
            'median': middle['p50'], **middle, 'max': max(m['max'] for m in mine),
            'medians': [m['p50'] for m in mine],
            **{key: sum(m[key] for m in mine) for key in COUNTS},
            'percentiles': [[SHARES[key], middle[key]] for key in SHARES]}


def figure_result(name, found, figure):
    what = {'latency': 'mean of the three packets\' medians', 'cpu': 'of a core',
            'memory': 'peak resident size, all processes'}[figure]
    result = {'name': f'{name}/{figure}', 'unit': UNITS[figure], 'what': what,
              'median': median([f[figure] for f in found]), 'medians': [f[figure] for f in found]}
    more = {'latency': ('hops', 'lost', 'copies', 'served', 'retried', 'drops'),
            'cpu': ('cpu_idle',), 'memory': ('memory_planned',)}[figure]
    return {**result, **{key: [f[key] for f in found] for key in more}}


def paper_of(case, key):
    """The paper's figure, of Table I; None: it has none."""
    if case not in TABLE_I:
        return None
    _, latency_ms, cpu_s, size_mb = TABLE_I[case]
    return {**{k: {'unit': 'ms', 'value': v} for k, v in latency_ms.items()},
            'latency': {'unit': 'ms', 'value': sum(latency_ms.values()) / 3},
            'cpu': {'unit': 's', 'value': cpu_s}, 'memory': {'unit': 'MB', 'value': size_mb}}[key]


def case_results(placing, case, runs):
    name, found = f'daem/{placing}/{case}', good(runs)
    if not found:
        return [why_not(name, runs)]
    results = [packet_result(name, found, packet) for packet in PACKETS] + \
              [figure_result(name, found, figure) for figure in UNITS]
    for result in results:
        result.update(repetitions=len(found), machine=[f['machine'] for f in found],
                      paper=paper_of(case, result['name'].rsplit('/', 1)[1]))
    return results


def ratio_result(placing, name, runs):
    """Turn by turn; None: one of the two has no figures."""
    figure, case, base, paper, goal = RATIOS[name]
    pairs = [(a[figure], b[figure]) for a, b in zip(runs.get((placing, case), []),
                                                    runs.get((placing, base), []))
             if isinstance(a, dict) and isinstance(b, dict) and b[figure] > 0]
    if not pairs:
        return None
    ratios = [a / b for a, b in pairs]
    return {'name': f'daem/{placing}/{name}', 'unit': 'x', 'median': median(ratios),
            'what': f'{figure}: {case} to {base}, in the same turn', 'medians': ratios,
            'least': min(ratios), 'max': max(ratios), 'goal': goal,
            'paper': {'unit': 'x', 'value': paper} if paper else None}


def ratios_print(ratios):
    print(f"{'ratio':44} {'ours':>6} {'of the turns':>13} {'paper':>6} {'goal':>8}")
    for r in ratios:
        line = f"{r['name']:44} {r['median']:6.2f} {r['least']:6.2f}-{r['max']:<6.2f}"
        if r['goal']:
            line += f" {r['paper']['value']:6.2f}  <= {r['goal']:.2f}"
            line += '  missed' if r['median'] > r['goal'] else ''
        print(line)


def others_share(found):
    """Of the core that lost most to others just before the run, per cent."""
    measured = found['machine']['measured']
    return 100 * max(g['lost_share'] for g in measured['gaps']) if measured else 0


def doubts(placing, found):
    """What makes these figures say less than they seem to, a line each."""
    lines = []
    room = 100 * len(os.sched_getaffinity(0))
    full = [case for case, runs in found.items()
            if placing == 'tree' and median([f['cpu'] for f in runs]) > FULL_SHARE * room]
    if full:
        line = f"{placing}: {', '.join(full)} took all of {room} %, and cannot be told apart by CPU"
        if NONE in found:
            most = room / median([f['cpu'] for f in found[NONE]])
            line += f'; none could have taken more than {most:.2f} times that of {NONE}'
        lines.append(line)
    busy = [case for case, runs in found.items() if max(map(others_share, runs)) > OTHERS_MAX]
    if busy:
        lines.append(f"{placing}: others had more than {OTHERS_MAX} % of a core before runs of "
                     f"{', '.join(busy)}: ratios with these are about the others as well")
    return lines


def counts_text(runs):
    """Hops of the paths, frames the client lost, copies made, what others had of the machine."""
    return f"{median([f['hops'] for f in runs]):5.2f} {sum(f['lost'] for f in runs):5} " \
           f"{sum(f['copies'] for f in runs):8} {max(map(others_share, runs)):8.1f}"


def table_i_print(placing, found):
    cpu = 'busy' if placing == 'process' else 'CPU'
    print(f"\nTable I, {placing}: one way\n{'':5} {'packet':7} {'median us':>10} {'p99 us':>9} "
          f"{'paper ms':>9} {cpu + ' %':>8} {'at rest %':>9} {'paper s':>8} {'MB':>7} "
          f"{'planned':>8} {'paper MB':>8} {'hops':>5} {'lost':>5} {'copies':>8} "
          f"{'others %':>8}")
    for case, (label, latency_ms, cpu_s, size_mb) in TABLE_I.items():
        runs = found.get(case)
        for packet in PACKETS if runs else []:
            p50, p99 = (median([f['packets'][packet][k] for f in runs]) for k in ('p50', 'p99'))
            line = f"{label:5} {packet:7} {report.number(p50):>10} {report.number(p99):>9} " \
                   f"{latency_ms[packet]:9.2f} "
            if label:
                middle = [median([f[key] for f in runs])
                          for key in ('cpu', 'cpu_idle', 'memory', 'memory_planned')]
                line += f"{middle[0]:8.2f} {middle[1]:9.2f} {cpu_s:8.2f} {middle[2]:7.1f} " \
                        f"{middle[3]:8.1f} {size_mb:8.2f} {counts_text(runs)}"
            print(line.rstrip())
            label = ''


def table_iii_print(placing, found):
    print(f"\nTable III, {placing}, without faults (the paper's: one fault, at level 0, 1, 2)\n"
          f"{'':15} {'mean of medians us':>18} {'to none':>8} {'p99 us':>9} "
          f"{'paper ms':>17} {'to none':>17} {'hops':>5} {'lost':>5} {'copies':>8} "
          f"{'others %':>8}")
    for case, (label, latency_ms) in TABLE_III.items():
        runs = found.get(case)
        if not runs:
            continue
        mine = median([f['latency'] for f in runs])
        base = median([f['latency'] for f in found[NONE]]) if NONE in found else 0
        p99 = median([max(p['p99'] for p in f['packets'].values()) for f in runs])
        print(f"{label:15} {report.number(mine):>18} "
              f"{format(mine / base, '.2f') if base else '-':>8} {report.number(p99):>9}",
              ' '.join(format(ms, '5.2f') for ms in latency_ms),
              ' '.join(format(a / b, '5.2f') for a, b in zip(latency_ms, TABLE_III[NONE][1])),
              counts_text(runs))


def run(wanted, options):
    runs = turns(wanted, Plan(options))
    results = [r for (placing, case), all_turns in runs.items()
               for r in case_results(placing, case, all_turns)]
    ratios = [ratio_result(placing, name, runs) for placing in PLACINGS for name in RATIOS]
    ratios = [r for r in ratios if r]
    ratios_print(ratios)
    for placing in PLACINGS:
        found = {case: good(all_turns) for (where, case), all_turns in runs.items()
                 if where == placing and good(all_turns)}
        if found:
            table_i_print(placing, found)
            table_iii_print(placing, found)
            print(*doubts(placing, found), sep='\n', flush=True)
    for result in results:
        if 'error' in result:
            report.line(result)
    return ratios + results
