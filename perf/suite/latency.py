"""One-way latency through stations: perron-latency, mode by mode, beside bare round trips.

Each mode is run several times, in turn with its yardstick: a set-up anew each time. All streams of
a mode flow at once, at rates that have no common beat; a traced one tells the hops' shares, and the
others are not traced: what they measure has no clock reads in between.
"""
from suite import machine, report, stations, yardstick
from suite.network import Fault, Missing
from suite.tools import median, program, say

# name in the results, class, bytes, messages a second
STREAMS = [
    ('418/alarm', 'alarm', 418, 4001),
    ('418/critical', 'critical', 418, 499),
    ('418/normal', 'normal', 418, 503),
    ('1024/alarm', 'alarm', 1024, 509),
    ('4180/alarm', 'alarm', 4180, 211),
]
TRACED = ('traced/418/alarm', 'alarm', 418, 307)
# mode: how it is run, its yardstick
MODES = {
    'process': (stations.in_process, 'ring'),
    'memif': (stations.over_memif, 'memif'),
    'af_xdp': (lambda *a: stations.over_wire('af_xdp', *a), 'af_xdp'),
    'af_packet': (lambda *a: stations.over_wire('af_packet', *a), 'af_packet'),
    'tree': (stations.tree, 'af_packet'),
}
YARDSTICKS = ['ring', 'memif', 'af_xdp', 'af_packet', 'udp_poll', 'udp_block']
HOPS = 3
SHARES = {'p50': 0.5, 'p90': 0.9, 'p99': 0.99, 'p999': 0.999, 'p9999': 0.9999}


def names():
    if not program('perf/perron-latency'):
        return []
    return [f'latency/{mode}/{s[0]}' for mode in MODES for s in STREAMS] + \
           [f'yardstick/{y}' for y in YARDSTICKS]


def streams_of(mode, wanted):
    """What is to flow in a mode, the traced one with it; empty: nothing is wanted of the mode."""
    mine = [s for s in STREAMS if f'latency/{mode}/{s[0]}' in wanted]
    if not mine:
        return []
    return [{'name': s[0], 'class': s[1], 'size': s[2], 'rate': s[3], 'traced': s is TRACED}
            for s in mine + [TRACED]]


def mode_run(mode, wanted, seconds, warm):
    """One run: stream -> its figures; all have what the station said of itself."""
    quiet = machine.conditions(0.2)
    found = MODES[mode][0](streams_of(mode, wanted), seconds, warm)
    for stream in found['streams']:
        stream['machine'] = quiet
        stream['cores'] = found['cores']
        stream['drops'] = found['drops']
    return {s['stream']: s for s in found['streams']}


def attempt(what, function, *words):
    try:
        return function(*words)
    except (Fault, OSError, ValueError, TimeoutError) as fault:
        say(f'{what}: {fault}')
        return fault


def turns(wanted, options):
    """All runs, a mode and its yardstick in turn: name -> list of figures or of faults."""
    seconds, warm = (2, 1) if options.quick else (8, 1)
    repetitions = 1 if options.quick else min(options.repetitions, 3)
    modes = [m for m in MODES if streams_of(m, wanted)]
    sticks = [y for y in YARDSTICKS if f'yardstick/{y}' in wanted or
              y in {MODES[m][1] for m in modes}]
    runs = {}
    for turn in range(repetitions):
        for mode in modes:
            say(f'latency: {mode}, run {turn + 1} of {repetitions}')
            runs.setdefault(mode, []).append(
                attempt(mode, mode_run, mode, wanted, seconds, warm))
        for stick in sticks:
            say(f'yardstick: {stick}, run {turn + 1} of {repetitions}')
            runs.setdefault(f'yardstick/{stick}', []).append(
                attempt(stick, yardstick.measure, stick, 2 if options.quick else 4, options))
    return runs


def good(runs):
    return [r for r in runs if isinstance(r, dict)]


def why_not(name, runs):
    """A result without figures. What cannot run on this machine is skipped, not failed."""
    return {'name': name, 'unit': 'us', 'error': str(runs[0]),
            'skipped': isinstance(runs[0], Missing)}


def yardstick_result(name, runs):
    if not good(runs):
        return why_not(name, runs)
    medians = [r['p50'] for r in good(runs)]
    return {'name': name, 'unit': 'us', 'what': 'round trip of 418 bytes',
            'median': median(medians), 'p99': median([r['p99'] for r in good(runs)]),
            'p999': median([r['p999'] for r in good(runs)]),
            'max': max(r['max'] for r in good(runs)),
            'samples': sum(r['samples'] for r in good(runs)),
            'lost': sum(r['lost'] for r in good(runs)), 'repetitions': len(good(runs)),
            'medians': medians}


def hops_of(traced):
    """Medians of each share, hop by hop, of the run in the middle."""
    middle = sorted(traced, key=lambda t: t['latency_us']['p50'])[len(traced) // 2]
    return [{'peer': h['peer'], **{k: v for k, v in h.items() if k.endswith('_us')}}
            for h in middle['hops']]


def compare(result, name, runs, sticks):
    """Three hops against three bare crossings, run by run: half a round trip each."""
    pairs = [(a['latency_us']['p50'], HOPS * b['p50'] / 2) for a, b in zip(runs, sticks)
             if isinstance(b, dict) and b['p50'] > 0]
    if not pairs:
        return
    ratios = [a / b for a, b in pairs]
    result['yardstick'] = {'name': name, 'what': '3 crossings: 1.5 round trips of 418 bytes',
                           'median': median([b for _, b in pairs])}
    result['ratio'] = median(ratios)
    result['ratio_spread'] = [min(ratios), max(ratios)]


def latency_result(mode, stream, runs):
    name = f'latency/{mode}/{stream}'
    found = [r[stream] for r in good(runs[mode])]
    if not found:
        return why_not(name, runs[mode])
    latency = [f['latency_us'] for f in found]
    middle = {k: median([x[k] for x in latency]) for k in SHARES}
    result = {
        'name': name, 'unit': 'us', 'what': 'one way, from the source that made it to the client',
        'hops': found[0]['path_hops'], 'median': middle['p50'], 'p90': middle['p90'],
        'p99': middle['p99'], 'p999': middle['p999'], 'p9999': middle['p9999'],
        'max': max(x['max'] for x in latency), 'samples': sum(f['samples'] for f in found),
        'sent': sum(f['sent'] for f in found), 'lost': sum(f['lost'] for f in found),
        'duplicates': sum(f['duplicates'] for f in found), 'repetitions': len(found),
        'medians': [x['p50'] for x in latency],
        'machine': [f['machine'] for f in found],
        'from_due': {k: median([f['latency_from_due_us'][k] for f in found])
                     for k in list(SHARES) + ['max']},
        'percentiles': [[SHARES[k], middle[k]] for k in SHARES],
        'cores': found[-1]['cores'], 'drops': found[-1]['drops'],
    }
    traced = [r[TRACED[0]] for r in good(runs[mode])]
    if stream == '418/alarm':
        result['traced'] = {'median': median([t['latency_us']['p50'] for t in traced]),
                            'hops': hops_of(traced)}
        stick = MODES[mode][1]
        compare(result, f'yardstick/{stick}', found, runs.get(f'yardstick/{stick}', []))
    return result


def run(wanted, options):
    runs = turns(wanted, options)
    results = [latency_result(mode, s[0], runs) for mode in MODES for s in STREAMS
               if f'latency/{mode}/{s[0]}' in wanted]
    results += [yardstick_result(name, runs[name]) for name in runs if '/' in name]
    for result in results:
        report.line(result)
    return results
