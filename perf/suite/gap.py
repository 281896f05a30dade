"""Fail-over: how long a client gets nothing when a peer of its stream's path is killed with -9.

Stations of a peer each, in network namespaces, on a bridge: a root cell, a cell below it and one
below that, of N peers each. A sensor at a peer of the lowest cell makes a frame each millisecond
(perron-latency); a client on a host without DPDK follows it through libperron, replicated actively
(perron-gap). The station of one peer is killed, is started again 5 s after the stream flows, and
when it has joined the next is.

N/root    the path's peer of the root cell, at which the client is subscribed
N/middle  the path's peer of the cell between
N/beside  a sibling of the sensor's peer: no frame passes it, but it holds copies

The gap is the longest time between two deliveries at the client that ended after the kill and began
before a second had passed; `later` is the longest that began after that, `return` the longest that
ended after the station was started again. A stream without a fault has 1 ms. Lost and duplicates
are by the sensor's own numbers: also what its peer did not take from it, as frames that nobody
acknowledged filled its window, is lost (`announced`: of which Perron said that they will not come).
`verdict` is from the kill to the first peer's verdict that it is gone, `recovery` from that to the
end of the gap, `view` to the last view of its cell without it, `steady` to the end of the last
silence of 10 ms that began within a second: what a sibling holds may come before the way is there.

Before all kills it is watched for verdicts and changes of view without a cause, half of the time
idle and half with two busy loops a core, and for how long the client was silent then.

Stations and client have SCHED_FIFO, and detectors the fast setting of ./run bench detector with
beats of 4 ms; the client gives a station up after the shortest time that libperron takes.

The yardstick is keepalived: two routers hold a virtual address by VRRP, a client sends a request
each millisecond to an echo there, and the master is killed with -9, echo and all. Perron is held
against the shortest interval of advertisements at which no router took over for no reason.
"""
import os
import random
import time

from suite import cells, detector, keepalived, machine, network, report
from suite.deliveries import Deliveries
from suite.latency import attempt, good, why_not
from suite.network import Fault, Lan, Missing
from suite.tools import median, program, say

SIZES = [2, 3]
# A station takes a quarter of a core while it beats each 2 ms. What has SCHED_FIFO is stopped for
# 50 ms where it takes 95 % of one, and then all stations of that core are missed.
STATIONS_A_CORE = 3
LEVELS = ['root', 'middle', 'beside']
CELLS = ['0', '0.0', '0.0.0']
SENSOR = 'gap'
MESSAGE_SIZE = 418
RATE = 1000
RANK = 50
# The fast setting of ./run bench detector but for its beats: six stations that beat each 2 ms take
# 160 % of two cores, and miss each other for it.
DETECTOR = {**detector.FAST, 'interval': '4ms'}
# libperron takes no less (options.lost_ms).
LOST_MS = 600
LEASE_SECONDS = 2
# What a kill or a return set off has shown by then: leases have run out twice.
SETTLE_SECONDS = 2 * LEASE_SECONDS + 1
START_SECONDS = 60
FLOW_SECONDS = 30
# Of what was made so long after a kill nothing passed who was killed.
SURE_NS = 5000000
# A silence that begins later has another cause than that nobody was there.
AROUND_NS = 1000000000
# Shorter ones are the machine's own.
SILENCE_NS = 10000000
# A machine that others use has as long ones by itself.
UNREST_NS = 100000000
GOAL_MS = 35
CLIENT_ID = 1 << 31
LOSSES = ['lost', 'duplicates', 'return_lost', 'return_duplicates']


def names():
    if not program('perf/perron-gap') or not program('perf/perron-latency'):
        return []
    return [f'gap/{size}/{level}' for size in SIZES for level in LEVELS] + \
           [f'yardstick/keepalived/{advert}' for advert in keepalived.ADVERTS]


class Plan:
    def __init__(self, options):
        self.turns = 1 if options.quick else min(options.repetitions, 2)
        self.kills = options.kills or (1 if options.quick else 5)
        # Half of it idle, half under load; all turns together watch for so long.
        self.watch_seconds = max(options.watch / 2 / self.turns, 1) if not options.quick else 2


# ---- Perron's side: a tree of three cells ------------------------------------------------------

def descriptor(tree, size, peer, name):
    allowed = sorted(os.sched_getaffinity(0))
    core, housekeeping = (allowed[(peer + k) % len(allowed)] for k in range(2))
    portal = ', '.join(f'{{peer: {p}, address: {tree.lan.address(p - 1)}}}'
                       for p in range(1, size + 1))
    keys = ''.join(f'  {k}: {v}\n' for k, v in DETECTOR.items())
    return (f'overlay:\n  portal: [{portal}]\n  depth: {len(CELLS)}\n  cell_size: {size}\n'
            f'  lease: {LEASE_SECONDS}s\n'
            f'station:\n  name: {name}\n  address: {tree.lan.address(peer - 1)}/24\n'
            f'  huge_pages: no\n  idle: backoff\n  scheduling: fifo\n  priority: {RANK}\n'
            f'  socket: {cells.socket_of(tree, name)}\n  lcores: [{core}]\n'
            f'  housekeeping_core: {housekeeping}\n  memory: 64MB\n'
            f'port:\n  driver: af_packet\n  interface: {tree.lan.interface(peer - 1)}\n'
            f'detector:\n{keys}peers: [{{id: {peer}, cell: {CELLS[(peer - 1) // size]!r}}}]\n')


def stations_make(tree, size):
    """A station a peer; the sensor's is perron-latency, and has no command socket."""
    made = []
    for peer in range(1, len(CELLS) * size + 1):
        name = f'gap-{peer}-{os.getpid()}'
        tree.processes.prefix('perron-' + name)
        file = tree.processes.write(name + '.yaml', descriptor(tree, size, peer, name))
        source = [program('perf/perron-latency'), '--config', file, '--source',
                  f'{SENSOR},{peer},{MESSAGE_SIZE},{RATE},traced']
        made.append(cells.Station(name, [peer], file, tree.lan.inside(peer - 1),
                                  cells.socket_of(tree, name),
                                  source if peer == (len(CELLS) - 1) * size + 1 else None))
    return made


class Tree(cells.Cell):
    """The stations, a client that follows the sensor, and all that the stations told."""

    def __init__(self, size):
        cells.needed()
        super().__init__(size * len(CELLS), Lan(size * len(CELLS) + 1),
                         lambda tree: stations_make(tree, size))
        self.size, self.client = size, None
        self.sensor = (len(CELLS) - 1) * size
        self.watches, self.rows, self.excused = {}, [], []

    def __enter__(self):
        super().__enter__()
        try:
            self.wait_ready()
            for index in self.asked():
                self.watches[index] = cells.Watch(self.watch(index))
            self.client_start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for watch in self.watches.values():
            watch.end()
        self.watches = {}
        if self.client:
            self.client.close()
        super().__exit__()

    def asked(self):
        """Stations that have a command socket."""
        return [i for i in range(self.count) if i != self.sensor]

    def client_start(self):
        network.run('ip', '-n', self.lan.namespace(self.count), 'addr', 'add',
                    self.lan.address(self.count) + '/24', 'dev', self.lan.interface(self.count))
        portals = ','.join(f'{p}@{self.lan.address(p - 1)}' for p in range(1, self.size + 1))
        self.client = Deliveries(self.processes, 'client', self.lan.inside(self.count), RANK,
                                 'follow', portals, SENSOR, 'alarm', 'active', LOST_MS)
        self.client.wait_flow(time.monotonic_ns(), START_SECONDS)

    def joined(self, index):
        answer = self.ask(index, 'peers')
        return answer is not None and all(row['joined'] for row in answer['peers'])

    def complete(self, index):
        """Its cell's view has all."""
        return any(row['state'] == 'operational' and len(row['members']) == self.size
                   for row in self.groups(index))

    def wait_ready(self):
        """Until all have joined, and each cell is in one view."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.check()
            if all(self.joined(i) and self.complete(i) for i in self.asked()):
                return
            time.sleep(0.1)
        without = [i + 1 for i in self.asked() if not self.joined(i) or not self.complete(i)]
        raise Fault(f'peers {without} have not joined after {START_SECONDS} s')

    # ---- what the stations told

    def look(self):
        self.client.read()
        for watch in self.watches.values():
            self.rows += [r for r in watch.read() if r.get('event') in ('view', 'link-down')]

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check()
            self.client.alive()
            self.look()
            time.sleep(0.1)

    def unexplained(self, from_ns, to_ns):
        """Views and verdicts of that time with which no kill has to do; clients' apart."""
        found = {'views': 0, 'verdicts': 0, 'of_client': 0, 'rows': []}
        for row in self.rows:
            at_ns, neighbour = row['at_ns'], row.get('neighbour')
            if not from_ns < at_ns <= to_ns:
                continue
            about = [neighbour, row['peer']] if neighbour else self.members_near(row['peer'])
            if any(a <= at_ns <= b and peer in about for peer, a, b in self.excused):
                continue
            what = 'views' if not neighbour else \
                'of_client' if neighbour & CLIENT_ID else 'verdicts'
            found[what] += 1
            found['rows'].append(row)
        return found

    def members_near(self, peer):
        """All of the peer's cell."""
        first = (peer - 1) // self.size * self.size + 1
        return range(first, first + self.size)

    def settle(self):
        """Until what booting set off is over: how long that took, in seconds."""
        begun = time.monotonic()
        while time.monotonic() < begun + START_SECONDS:
            from_ns = time.monotonic_ns()
            self.wait(SETTLE_SECONDS)
            to_ns = time.monotonic_ns()
            if self.client.silence_ms(from_ns, to_ns) * 1e6 < UNREST_NS and \
                    not self.unexplained(from_ns, to_ns)['rows']:
                break
        return time.monotonic() - begun

    # ---- killing

    def victim_of(self, level):
        """The peer to kill, by the way that the last frame came."""
        cell = {'root': 0, 'middle': 1, 'beside': 2}[level]
        if level == 'beside':
            return self.sensor + 2
        on_path = [p for p in self.client.path if (p - 1) // self.size == cell]
        if not on_path:
            raise Fault(f'the path {self.client.path} has no peer of cell {CELLS[cell]}')
        return on_path[0]

    def verdicts_ms(self, peer, kill_ns, to_ns):
        return sorted((row['at_ns'] - kill_ns) / 1e6 for row in self.rows
                      if row.get('neighbour') == peer and kill_ns < row['at_ns'] <= to_ns)

    def views_ms(self, peer, kill_ns, to_ns):
        """Of each that was in its cell, the first view after it."""
        first = {}
        for row in self.rows:
            if row['event'] == 'view' and kill_ns < row['at_ns'] <= to_ns and \
                    row['peer'] in self.members_near(peer) and row['peer'] != peer:
                first.setdefault(row['peer'], (row['at_ns'] - kill_ns) / 1e6)
        return sorted(first.values())

    def return_of(self, index):
        """Starts it again; when, and when it was ready and what that set off is over."""
        at_ns = time.monotonic_ns()
        self.watches.pop(index).end()
        self.start(index)
        self.wait_ready()
        ready_ns = time.monotonic_ns()
        self.watches[index] = cells.Watch(self.watch(index))
        self.wait(SETTLE_SECONDS)
        return at_ns, ready_ns


def kill_measure(tree, level):
    """One kill, and what came of it."""
    tree.wait(0.5 + random.random() / 10)
    client, peer = tree.client, tree.victim_of(level)
    path = client.path
    kill_ns = tree.kill(peer - 1)
    announced = client.announced()
    client.wait_flow(kill_ns + SURE_NS, FLOW_SECONDS)
    tree.wait(SETTLE_SECONDS)
    new_path = client.path
    return_ns, ready_ns = tree.return_of(peer - 1)
    end_ns = time.monotonic_ns()
    tree.look()
    tree.excused.append((peer, kill_ns, ready_ns))
    verdicts = tree.verdicts_ms(peer, kill_ns, return_ns)
    views = tree.views_ms(peer, kill_ns, return_ns)
    gap = gap_of(client, kill_ns, return_ns, end_ns)
    return {'level': level, 'peer': peer, 'path': path, 'new_path': new_path,
            'path_at_end': client.path, **gap, 'rejoin_s': (ready_ns - return_ns) / 1e9,
            'verdict_ms': verdicts[0] if verdicts else None,
            'verdict_last_ms': verdicts[-1] if verdicts else None,
            'view_ms': views[-1] if views else None,
            'recovery_ms': max(gap['gap_end_ms'] - verdicts[0], 0) if verdicts else None,
            'announced': client.announced() - announced,
            'false': tree.unexplained(kill_ns, end_ns)}


def gap_of(client, kill_ns, return_ns, end_ns):
    """What the client saw of a kill, and of the return."""
    around_ns = kill_ns + AROUND_NS
    gap_ns, gap_end_ns = client.silence((0, around_ns), (kill_ns, return_ns))
    later_ns, _ = client.silence((around_ns, return_ns), (around_ns, return_ns))
    after = client.account(return_ns, end_ns)
    silences = client.silences(kill_ns, end_ns, SILENCE_NS)
    ends_ms = [at + length for at, length in silences if at * 1e6 <= AROUND_NS]
    return {**client.account(kill_ns, return_ns), 'gap_ms': gap_ns / 1e6,
            'gap_end_ms': (gap_end_ns - kill_ns) / 1e6, 'later_ms': later_ns / 1e6,
            'return_ms': client.silence_ms(return_ns, end_ns), 'return_lost': after['lost'],
            'return_duplicates': after['duplicates'], 'at_ns': [kill_ns, return_ns, end_ns],
            'steady_ms': max(ends_ms, default=0), 'silences_ms': silences}


def watch_measure(look, client, seconds):
    """Idle, then loaded: the client's longest silence, and what was lost; nobody is killed."""
    found = {}
    for load in ('idle', 'loaded'):
        hogs = detector.HOGS_A_CORE * os.cpu_count() if load == 'loaded' else 0
        from_ns = time.monotonic_ns()
        with detector.Hogs(hogs):
            look(seconds)
        client.read()
        to_ns = time.monotonic_ns()
        found[load] = {'from_ns': from_ns, 'to_ns': to_ns, 'seconds': (to_ns - from_ns) / 1e9,
                       'quiet_ms': client.silence_ms(from_ns, to_ns),
                       **client.account(from_ns, to_ns)}
    return found


def kills_take(kills, measure):
    """Those that could be measured, and why there are no more."""
    found = []
    for kill in kills:
        one = attempt('kill', measure, kill)
        if not isinstance(one, dict):
            return found, str(one)
        found.append(one)
    return found, None


def perron_turn(size, levels, plan):
    wanted = -(-size * len(CELLS) // STATIONS_A_CORE)
    if len(os.sched_getaffinity(0)) < wanted:
        raise Missing(f'cells of {size} want {wanted} cores')
    with Tree(size) as tree:
        settled_s = tree.settle()
        watched = watch_measure(tree.wait, tree.client, plan.watch_seconds)
        for part in watched.values():
            part['false'] = tree.unexplained(part['from_ns'], part['to_ns'])
        kills, why = kills_take(levels * plan.kills, lambda level: kill_measure(tree, level))
        return {'kills': kills, 'fault': why, 'watched': watched, 'settled_s': settled_s,
                'state': tree.client.state, 'words': tree.processes.words('client')}


# ---- keepalived's side -------------------------------------------------------------------------

def router_kill(pair, _):
    client = pair.client
    time.sleep(0.5 + random.random() / 10)
    master = pair.wait_ready()
    kill_ns = pair.kill(master)
    client.wait_flow(kill_ns + SURE_NS, FLOW_SECONDS)
    time.sleep(SETTLE_SECONDS)
    client.read()
    return_ns = time.monotonic_ns()
    pair.start(master)
    pair.wait_ready()
    time.sleep(SETTLE_SECONDS)
    client.read()
    end_ns = time.monotonic_ns()
    return gap_of(client, kill_ns, return_ns, end_ns)


def keepalived_turn(advert, plan):
    with keepalived.Pair(advert) as pair:
        time.sleep(SETTLE_SECONDS)
        marks = [pair.changes()]

        def look(seconds):
            time.sleep(seconds)
            pair.alive()
            marks.append(pair.changes())

        watched = watch_measure(look, pair.client, plan.watch_seconds)
        for part, before, after in zip(watched.values(), marks, marks[1:]):
            part['false'] = {'views': after - before, 'verdicts': 0, 'of_client': 0, 'rows': []}
        kills, why = kills_take(range(plan.kills), lambda kill: router_kill(pair, kill))
        return {'kills': kills, 'fault': why, 'watched': watched}


def turns(wanted, plan):
    """(side, what) -> figures or a fault of each turn; what is a size or an interval."""
    levels = {size: [v for v in LEVELS if f'gap/{size}/{v}' in wanted] for size in SIZES}
    todo = [('perron', size) for size in SIZES if levels[size]] + \
           [('keepalived', advert) for advert in keepalived.ADVERTS
            if any(levels.values()) or f'yardstick/keepalived/{advert}' in wanted]
    runs = {}
    for turn in range(plan.turns):
        # Who goes first changes, so that neither has the better half of what the machine does.
        for side, what in todo[::-1] if turn % 2 else todo:
            name = f'gap: {side}, {what}'
            say(f'{name}, turn {turn + 1} of {plan.turns}')
            quiet = machine.conditions(0.2)
            words = (perron_turn, what, levels[what]) if side == 'perron' else \
                (keepalived_turn, what)
            found = attempt(name, *words, plan)
            if isinstance(found, dict):
                found['machine'] = quiet
            runs.setdefault((side, what), []).append(found)
    return runs


# ---- what is made of it ------------------------------------------------------------------------

def values_of(kills, key):
    return [kill[key] for kill in kills if kill.get(key) is not None]


def share(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def false_of(found):
    """Sums of what had no cause: while nobody was killed, and beside the kills."""
    sums = {}
    for turn in found:
        parts = {**turn['watched'], 'kills': None}
        for part in parts:
            whole = [turn['watched'][part]['false']] if part != 'kills' else \
                [kill['false'] for kill in turn['kills'] if 'false' in kill]
            for what in ('views', 'verdicts', 'of_client'):
                key = f'{part}_{what}'
                sums[key] = sums.get(key, 0) + sum(one[what] for one in whole)
    return sums


def result_of(name, runs, level=None):
    found = good(runs)
    by_turn = [[k for k in turn['kills'] if level in (None, k.get('level'))] for turn in found]
    kills = [kill for turn in by_turn for kill in turn]
    faults = [turn['fault'] for turn in found if turn['fault']]
    if not kills:
        return {**why_not(name, [r for r in runs if not isinstance(r, dict)] or
                          [Fault((faults or ['nobody was killed'])[0])]), 'unit': 'ms'}
    gaps = values_of(kills, 'gap_ms')
    result = {'name': name, 'unit': 'ms', 'median': median(gaps), 'p99': share(gaps, 0.99),
              'max': max(gaps), 'what': "kill -9 of a path's peer: the client's longest silence",
              'medians': [median(values_of(turn, 'gap_ms')) for turn in by_turn if turn],
              'repetitions': len(found), 'goal': GOAL_MS, 'faults': faults, 'kills': kills,
              **{key: sum(values_of(kills, key)) for key in ['sent'] + LOSSES}}
    for key in ('verdict_ms', 'verdict_last_ms', 'view_ms', 'recovery_ms', 'steady_ms',
                'later_ms', 'return_ms', 'rejoin_s'):
        values = values_of(kills, key)
        result[key] = {'median': median(values), 'max': max(values)} if values else None
    result['false'] = false_of(found)
    result['watched'] = [turn['watched'] for turn in found]
    result['machine'] = [turn['machine'] for turn in found]
    return result


def results_of(runs, wanted):
    """(side, what, level) -> result."""
    made = {}
    for (side, what), found in runs.items():
        if side == 'keepalived':
            made[side, what, None] = result_of(f'yardstick/keepalived/{what}', found)
            continue
        for level in [v for v in LEVELS if f'gap/{what}/{v}' in wanted]:
            made[side, what, level] = result_of(f'gap/{what}/{level}', found, level)
    return made


def steady(results):
    """keepalived at the shortest interval at which nobody took over for no reason."""
    found = [results[key] for key in results if key[0] == 'keepalived'
             and 'error' not in results[key] and not any(results[key]['false'].values())]
    return found[0] if found else None


def compare(results):
    stick = steady(results)
    for (side, _, _), mine in results.items():
        if side == 'keepalived' or 'error' in mine or not stick:
            continue
        mine['yardstick'] = {'name': stick['name'], 'what': stick['what'],
                             'median': stick['median']}
        ratios = [a / b for a, b in zip(mine['medians'], stick['medians'])]
        mine['ratio'] = median(ratios)
        mine['ratio_spread'] = [min(ratios), max(ratios)]


def part(result, key):
    return report.number(result[key]['median']) if result[key] else '-'


def verdict_of(side, result):
    """Of Perron alone: whether the goal is met."""
    if side == 'keepalived':
        return ''
    slow = any(result[key]['median'] > GOAL_MS for key in ('later_ms', 'return_ms'))
    missed = slow or result['median'] > GOAL_MS or any(result[key] for key in LOSSES) or \
        any(result['false'].values())
    return 'missed' if missed else 'kept'


def table(results):
    print(f"\n{'gap, ms':28} {'kills':>5} {'median':>8} {'p99':>8} {'max':>8} {'verdict':>8} "
          f"{'recovery':>8} {'view':>8} {'steady':>8} {'later':>8} {'lost':>6} {'twice':>5} "
          f"{'return':>8} {'lost':>6} {'twice':>5} {'false':>5} "
          f"{'ratio':>6}  goal {GOAL_MS}")
    for (side, _, _), result in results.items():
        if 'error' in result:
            continue
        gaps = ' '.join(f'{report.number(result[key]):>8}' for key in ('median', 'p99', 'max'))
        parts = ' '.join(f'{part(result, key):>8}' for key in
                         ('verdict_ms', 'recovery_ms', 'view_ms', 'steady_ms',
                                                        'later_ms'))
        print(f"{result['name']:28} {len(result['kills']):5} {gaps} {parts} {result['lost']:6} "
              f"{result['duplicates']:5} {part(result, 'return_ms'):>8} {result['return_lost']:6} "
              f"{result['return_duplicates']:5} {sum(result['false'].values()):5} "
              f"{format(result['ratio'], '.2f') if 'ratio' in result else '-':>6}  "
              f"{verdict_of(side, result)}")
        for fault in result['faults']:
            print(f"{'':28} then no more: {fault}")


def watched_print(runs):
    """What a gap is to be read beside: silences while nobody was killed."""
    print()
    for (side, what), found in runs.items():
        for load in ('idle', 'loaded') if good(found) else []:
            parts = [turn['watched'][load] for turn in good(found)]
            print(f"{side} {what}, nobody killed, {load}, {sum(p['seconds'] for p in parts):.0f} s:"
                  f" silent for {max(p['quiet_ms'] for p in parts):.1f} ms at most, lost "
                  f"{sum(p['lost'] for p in parts)} of {sum(p['sent'] for p in parts)}, changes "
                  f"{sum(p['false']['views'] for p in parts)}, verdicts "
                  f"{sum(p['false']['verdicts'] for p in parts)}", flush=True)


def run(wanted, options):
    runs = turns(wanted, Plan(options))
    results = results_of(runs, wanted)
    compare(results)
    for result in results.values():
        report.line(result)
    table(results)
    watched_print(runs)
    return list(results.values())
