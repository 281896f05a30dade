"""Group communication: Perron's beside Corosync's closed process groups, in turn in one run.

For each number of members, turn by turn, set up anew each time:

latency/ORDER/closed  one sender, 200 bytes, the next once the one before has come back to it
latency/ORDER/paced   the same, one a millisecond
latency/ORDER/all     each member sends one a millisecond
latency/sequencer, latency/token  what these orders would take, made of FIFO multicast: not taken
rate/K                K senders send what flow control takes; messages a second at the slowest
view-change           kill -9 of a member, until the last of the others has its new view

Latency is from before the sender's call to its own delivery; ORDER is agreed or safe (all have it
before one delivers it). CPG has no safe order: Perron's is held against CPG's agreed one. Its time
to the new view follows its token time-out: Perron is held against the shortest at which no view
changed for no reason in this run, idle and under load.
"""
import json
import os
import random
import subprocess
import time

from suite import cells, corosync, detector, machine, report
from suite.latency import attempt, good, why_not
from suite.network import Fault, Missing
from suite.tools import median, program, say

MEMBERS = [2, 3, 4, 8]
MEMBERS_MAX = 16
# At this number of members Corosync changes views at every token time-out, else at few.
ALL_TOKENS_MEMBERS = 4
FEW_TOKENS_MS = [50, 100, 500]
PACE_US = 1000
YARDSTICK_WATCH_SECONDS = 30
YARDSTICK_KILLS = 5
# The fast setting of ./run bench detector but for its floor, which is above what a host holds a
# virtual CPU back: as low as no view changes for no reason in ten minutes, idle and under load.
DETECTOR = {**detector.FAST, 'timeout_min': '25ms'}
# Of what a station said of changes that nobody caused so much is kept.
EVIDENCE_MAX = 64
# An integrator's choice where cores are shared and answers are waited for: see perron.yaml(5).
BACKOFF_MAX = '10us'
# scene: order or none, its words
LATENCY = {
    'latency/agreed/closed': ('agreed', 1, 0),
    'latency/agreed/paced': ('agreed', 1, PACE_US),
    'latency/agreed/all': ('agreed', None, PACE_US),
    'latency/safe/closed': ('safe', 1, 0),
    'latency/safe/paced': ('safe', 1, PACE_US),
    'latency/sequencer/paced': ('sequencer', 1, PACE_US),
    'latency/token/paced': ('token', 1, PACE_US),
}
# Those that were not taken, made of FIFO multicast.
ORDERINGS = ['sequencer', 'token']
RATE = {'rate/1': 1, 'rate/3': 3}
SCENES = [*LATENCY, *RATE, 'view-change']
SHARES = {'p50': 0.5, 'p90': 0.9, 'p99': 0.99, 'p999': 0.999, 'p9999': 0.9999}

_members = MEMBERS


def configure(options):
    """Before names: which numbers of members there are."""
    global _members
    _members = options.members or MEMBERS


def scenes_of(count):
    return [s for s in SCENES if s not in RATE or RATE[s] <= count]


def names():
    return [f'group/{n}/{scene}' for n in _members for scene in scenes_of(n)]


class Plan:
    def __init__(self, options):
        self.turns = 1 if options.quick else min(options.repetitions, 3)
        self.seconds = options.seconds or (1 if options.quick else 2)
        self.kills = options.kills or (1 if options.quick else 2)
        # Half of it idle, half under load; all turns together watch for so long.
        self.watch_seconds = max(options.watch / 2 / self.turns, 1)
        # The yardstick is not held to more than it takes to tell one token from the next.
        self.yardstick_watch_seconds = min(self.watch_seconds, YARDSTICK_WATCH_SECONDS)
        self.yardstick_kills = min(self.kills, YARDSTICK_KILLS)
        self.transport = options.transport


# ---- the two sides: figures of a scene, or a fault -------------------------------------------

def percentiles(of, count):
    return {'samples': count, **{key: of[name] / 1e3 for key, name in
                                 (('p50', 'p50'), ('p90', 'p90'), ('p99', 'p99'),
                                  ('p999', 'p999'), ('p9999', 'max'), ('max', 'max'))}}


def perron_load(cell, count, scene, plan):
    """The lone sender is the last member: the first's stamps stand before all others' anyhow."""
    if scene in RATE:
        senders = ','.join(str(count - i) for i in range(RATE[scene]))
        found = cell.bench('--mode', 'rate', '--senders', senders, '--size', str(corosync.SIZE),
                           '--seconds', f'{plan.seconds:.0f}')[0]
        return {'rate': found['messages_per_s'], 'changes': found['views'],
                'each': [peer.get('messages_per_s') for peer in found['peers']]}
    order, senders, interval_us = LATENCY[scene]
    mode = order if order in ORDERINGS else 'latency'
    found = cell.bench('--mode', mode, '--service', 'fifo' if order in ORDERINGS else order,
                       '--senders', str(count) if senders else 'all', '--size',
                       str(corosync.SIZE), '--period', f'{interval_us}us' if interval_us else '0',
                       '--seconds', f'{plan.seconds:.0f}')[0]
    self_delivery, others = found['latency_ns'], found['one_way_ns']
    return {**percentiles(self_delivery, self_delivery['count']), 'changes': found['views'],
            'others': percentiles(others, others['count']) if others['count'] else None}


def view_since(watch, at_ns, members):
    """When a station's first regular view of so many after at_ns was installed; None: not yet."""
    for row in watch.read():
        if row.get('event') == 'view' and row['at_ns'] > at_ns and len(row['members']) == members:
            return row['at_ns']
    return None


def perron_kill(cell, count, victim):
    """ms from the kill to the last survivor's view without the victim."""
    watches = [cells.Watch(cell.watch(i)) for i in range(count) if i != victim]
    try:
        time.sleep(0.5 + random.random() / 10)
        at_ns = cell.kill(victim)
        views, until = [None] * len(watches), time.monotonic() + 20
        while None in views and time.monotonic() < until:
            time.sleep(0.01)
            views = [v or view_since(w, at_ns, count - 1) for v, w in zip(views, watches)]
        if None in views:
            raise Fault('no view without the member that was killed within 20 s')
        return (max(views) - at_ns) / 1e6
    finally:
        for watch in watches:
            watch.end()


def perron_views(cell, count):
    return sum(row['views'] for i in range(count) for row in cell.groups(i))


def perron_watch(cell, count, plan):
    """Views that changed for no reason, idle and under load; and what the stations said of them."""
    watches = [cells.Watch(cell.watch(i)) for i in range(count)]
    try:
        before = perron_views(cell, count)
        time.sleep(plan.watch_seconds)
        idle = perron_views(cell, count) - before
        with detector.Hogs(detector.HOGS_A_CORE * os.cpu_count()):
            time.sleep(plan.watch_seconds)
        loaded = perron_views(cell, count) - before - idle
        said = [row for watch in watches for row in watch.read()
                if row.get('event') in ('link-down', 'view')]
        said.sort(key=lambda row: row.get('at_ns', 0))
        return idle, loaded, said[:EVIDENCE_MAX]
    finally:
        for watch in watches:
            watch.end()


def perron_changes(count, plan):
    """As corosync.view_change."""
    with cells.stations(count, detector=DETECTOR, keys={'scheduling': 'fifo'}) as cell:
        cell.wait_view()
        idle, loaded, said = perron_watch(cell, count, plan)
        last = []
        for turn in range(plan.kills):
            cell.wait_view()
            last.append(perron_kill(cell, count, turn % count))
            cell.start(turn % count)
        return {'kills_ms': last, 'watch_seconds': plan.watch_seconds, 'false_idle': idle,
                'false_loaded': loaded, 'expelled': 0, 'said': said}


def perron_loads(make, count, scenes, plan):
    with make(count, keys={'backoff_max': BACKOFF_MAX}) as cell:
        cell.wait_view()
        return {scene: attempt(f'perron, {scene}', perron_load, cell, count, scene, plan)
                for scene in scenes}


def perron_turn(count, scenes, plan):
    loads = [scene for scene in scenes if scene != 'view-change']
    found = {}
    if loads:
        done = attempt('perron', perron_loads, cells.stations, count, loads, plan)
        found = done if isinstance(done, dict) else dict.fromkeys(loads, done)
    if 'view-change' in scenes:
        found['view-change'] = attempt('perron, view-change', perron_changes, count, plan)
    return found


LCORE_KILLS = 60


def process_changes(count, plan):
    """Members of one lcore, one of which is no longer turned (perf/group/lcore.c)."""
    command = program('perf/perron-group-lcore')
    if not command:
        raise Missing('perron-group-lcore is not built')
    seconds = max(1, round(2 * plan.yardstick_watch_seconds))
    done = subprocess.run([command, '--members', str(count), '--watch', str(seconds),
                           '--kills', str(LCORE_KILLS)], text=True,
                          capture_output=True)
    if done.returncode:
        raise Fault((done.stderr.strip().splitlines() or ['no word'])[-1])
    found = json.loads(done.stdout)
    return {'kills_ms': found['kills_ms'], 'watch_seconds': seconds / 2,
            'false_idle': found['false_changes'], 'false_loaded': 0, 'expelled': 0}


def process_turn(count, scenes, plan):
    """The same in one process, on one lcore."""
    loads = [scene for scene in scenes if scene != 'view-change']
    done = attempt('perron in one process', perron_loads, cells.one_process, count, loads, plan) \
        if loads else {}
    found = done if isinstance(done, dict) else dict.fromkeys(loads, done)
    if 'view-change' in scenes:
        found['view-change'] = attempt('perron on one lcore', process_changes, count, plan)
    return found


def nearest_of(scene):
    """CPG knows agreed order alone."""
    for order in ['safe', *ORDERINGS]:
        scene = scene.replace(f'/{order}/', '/agreed/')
    return scene


def corosync_load(cluster, scene, plan):
    if scene in LATENCY:
        _, senders, interval_us = LATENCY[scene]
        return corosync.latency(cluster, senders or cluster.count, plan.seconds, interval_us)
    return corosync.rate(cluster, RATE[scene], plan.seconds)


def corosync_loads(count, scenes, plan):
    with corosync.Cluster(count, corosync.LOAD_TOKEN_MS, plan.transport) as cluster:
        return {scene: attempt(f'corosync, {scene}', corosync_load, cluster, scene, plan)
                for scene in scenes}


def corosync_turn(count, scenes, plan):
    """Scenes as Perron's; a view change each for the token time-outs."""
    nearest = {nearest_of(s) for s in scenes if s != 'view-change'}
    found = {}
    if nearest:
        loads = attempt('corosync', corosync_loads, count, sorted(nearest), plan)
        found = loads if isinstance(loads, dict) else dict.fromkeys(nearest, loads)
    if 'view-change' in scenes:
        for token_ms in corosync.TOKENS_MS if count == ALL_TOKENS_MEMBERS else FEW_TOKENS_MS:
            found[f'view-change/{token_ms}'] = attempt(
                f'corosync, token {token_ms} ms', corosync.view_change, count, token_ms,
                plan.yardstick_kills, plan.yardstick_watch_seconds, plan.transport)
    return found


SIDES = {'corosync': corosync_turn, 'perron': perron_turn, 'process': process_turn}


def turns(wanted, plan):
    """(side, members, scene) -> figures or a fault of each turn."""
    runs = {}
    for turn in range(plan.turns):
        for count in _members:
            scenes = [s for s in scenes_of(count) if f'group/{count}/{s}' in wanted]
            # Who goes first changes, so that neither has the better half of what the machine does.
            for side in sorted(SIDES, reverse=turn % 2 == 1) if scenes else []:
                say(f'group: {side}, {count} members, turn {turn + 1} of {plan.turns}')
                quiet = machine.conditions(0.2)
                for scene, found in SIDES[side](count, scenes, plan).items():
                    if isinstance(found, dict):
                        found['machine'] = quiet
                    runs.setdefault((side, count, scene), []).append(found)
    return runs


# ---- what is made of it ----------------------------------------------------------------------

def latency_result(name, found):
    middle = {key: median([f[key] for f in found]) for key in SHARES}
    result = {'name': name, 'unit': 'us', 'median': middle['p50'], **middle,
              'what': "from before the call to the sender's own delivery",
              'max': max(f['max'] for f in found), 'samples': sum(f['samples'] for f in found),
              'medians': [f['p50'] for f in found],
              'percentiles': [[SHARES[key], middle[key]] for key in SHARES]}
    others = [f['others'] for f in found if f.get('others')]
    if others:
        result['others'] = {key: median([o[key] for o in others]) for key in SHARES}
    return result


def rate_result(name, found):
    medians = [f['rate'] for f in found]
    return {'name': name, 'unit': '/s', 'what': 'messages delivered, at the slowest member',
            'median': median(medians), 'medians': medians, 'least': min(medians),
            'max': max(medians), 'members': [f.get('each') for f in found]}


def change_result(name, found):
    kills = [ms for f in found for ms in f['kills_ms']]
    result = {'name': name, 'unit': 'ms', 'what': "from kill -9 to the last survivor's new view",
              'median': median(kills), 'max': max(kills), 'kills_ms': kills,
              'medians': [median(f['kills_ms']) for f in found],
              'watched_seconds': sum(2 * f['watch_seconds'] for f in found)}
    for key in ('false_idle', 'false_loaded', 'expelled'):
        result[key] = sum(f[key] for f in found)
    if 'token_ms' in found[0]:
        result['token_ms'] = found[0]['token_ms']
    if any(f.get('said') for f in found):
        result['said'] = [row for f in found for row in f.get('said', [])]
    return result


def result_of(side, count, scene, runs):
    name = {'perron': f'group/{count}/{scene}', 'process': f'group/process/{count}/{scene}'}.get(
        side, f'yardstick/{side}/{count}/{scene}')
    found = good(runs)
    if not found:
        return {**why_not(name, runs), 'unit': {'r': '/s', 'v': 'ms'}.get(scene[0], 'us')}
    make = {'l': latency_result, 'r': rate_result, 'v': change_result}[scene[0]]
    result = make(name, found)
    result['repetitions'] = len(found)
    result['machine'] = [f['machine'] for f in found]
    result['changes'] = sum(f.get('changes', 0) for f in found)
    return result


def steady(results, count):
    """Corosync's change of view at the shortest token that changed nothing for no reason."""
    found = [results[key] for key in results if key[:2] == ('corosync', count)
             and key[2].startswith('view-change') and 'error' not in results[key]
             and not results[key]['false_idle'] + results[key]['false_loaded']]
    return min(found, key=lambda r: r['token_ms'], default=None)


def compare(results):
    """Each of Perron's beside its yardstick, turn by turn."""
    for (side, count, scene), mine in results.items():
        if side == 'corosync':
            continue
        stick = steady(results, count) if scene == 'view-change' else \
            results.get(('corosync', count, nearest_of(scene)))
        if stick is None or 'error' in stick:
            continue
        mine['yardstick'] = {'name': stick['name'], 'what': stick['what'],
                             'median': stick['median']}
        ratios = [a / b for a, b in zip(mine.get('medians', []), stick['medians']) if b > 0]
        if ratios:
            mine['ratio'] = median(ratios)
            mine['ratio_spread'] = [min(ratios), max(ratios)]


def table(results):
    print(f"\n{'members':>7}  {'200 bytes':44} {'perron':>10} {'corosync':>10} {'ratio':>6}")
    for (side, count, scene), mine in results.items():
        if side != 'corosync':
            number = report.number(mine['median']) if 'median' in mine else '-'
            stick = mine.get('yardstick', {}).get('median')
            where = ' (one process)' if side == 'process' else ''
            print(f"{count:7}  {scene + ', ' + mine['unit'] + where:44} {number:>10} "
                  f"{report.number(stick) if stick else '-':>10} "
                  f"{format(mine['ratio'], '.2f') if 'ratio' in mine else '-':>6}")
    why = {r['error'] for r in results.values() if 'error' in r}
    print(*sorted(why), sep='\n', end='\n' if why else '', flush=True)


def run(wanted, options):
    runs = turns(wanted, Plan(options))
    order = [s for scene in SCENES for s in
             [scene, *[f'{scene}/{t}' for t in corosync.TOKENS_MS if scene == 'view-change']]]
    keys = sorted(runs, key=lambda k: (k[1], order.index(k[2]), k[0]))
    results = {key: result_of(*key, runs[key]) for key in keys}
    compare(results)
    for result in results.values():
        if not result.get('skipped'):
            report.line(result, 43)
    table(results)
    return list(results.values())
