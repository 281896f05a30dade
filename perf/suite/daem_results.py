"""daem's results, for the report: a run's figures, the paper's beside them, and ratios of two."""
from suite.daem_cases import (ACTIVE, FAULTS, NONE, PACKETS, PASSIVE, PASSIVE_FAST, TABLE_I,
                              TABLE_II, TABLE_III, usage_sum)
from suite.daem_run import COUNTS
from suite.latency import SHARES, good, why_not
from suite.tools import median

# name: figure, of case, to case; the paper's, what we want at most, or None
RATIOS = {
    'latency-8-to-0': ('latency', ACTIVE, NONE, 2.0, 1.10),
    'cpu-8-to-0': ('cpu', ACTIVE, NONE, 3.1, 1.5),
    'cpu-above-rest-8-to-0': ('cpu_above', ACTIVE, NONE, None, None),
    'memory-8-to-0': ('memory', ACTIVE, NONE, 2.6, 1.5),
    'active-to-passive-1s': ('latency', ACTIVE, PASSIVE, 1.05, 1.05),
    'active-to-passive-100ms': ('latency', ACTIVE, PASSIVE_FAST, 1.05, 1.05),
}
UNITS = {'latency': 'us', 'jitter': 'us', 'cpu': '%', 'memory': 'MB'}
WHAT = {'latency': 'mean of the three packets\' medians', 'cpu': 'of a core',
        'jitter': 'mean of the three packets\' standard deviations',
        'memory': 'peak resident size, all processes'}
# What stands with a figure, of each run; what a placing does not have is left out.
MORE = {'latency': ('mean', 'hops', 'sent', 'lost', 'copies', 'served', 'retried', 'adopted',
                    'drops', 'others', 'faults', 'losses', 'seconds'),
        'jitter': (), 'cpu': ('cpu_idle', 'cpu_levels'),
        'memory': ('memory_planned', 'memory_levels')}


def packet_result(name, found, packet):
    mine = [f['packets'][packet] for f in found]
    middle = {key: median([m[key] for m in mine]) for key in SHARES}
    return {'name': f'{name}/{packet}', 'unit': 'us', 'hops': median([f['hops'] for f in found]),
            'what': f'one way, packets of {PACKETS[packet][0]} bytes of all sensors',
            'median': middle['p50'], **middle, 'max': max(m['max'] for m in mine),
            'mean': median([m['mean'] for m in mine]),
            'deviation': median([m['deviation'] for m in mine]),
            'medians': [m['p50'] for m in mine],
            **{key: sum(m[key] for m in mine) for key in COUNTS},
            'percentiles': [[SHARES[key], middle[key]] for key in SHARES]}


def figure_result(name, found, figure):
    result = {'name': f'{name}/{figure}', 'unit': UNITS[figure], 'what': WHAT[figure],
              'median': median([f[figure] for f in found]), 'medians': [f[figure] for f in found]}
    return {**result, **{key: [f[key] for f in found] for key in MORE[figure] if key in found[0]}}


def paper_with_faults(placing, case):
    """The paper's figures, of Tables II to IV: key -> unit and value."""
    level, count = FAULTS[placing]
    found = {}
    if count == 1 and case in TABLE_III:
        found = {'latency': ('ms', TABLE_III[case][1][level][0]),
                 'jitter': ('ms', TABLE_III[case][1][level][1]),
                 'cpu': ('s', usage_sum(case, level, 0)),
                 'memory': ('MB', usage_sum(case, level, 1))}
    elif case in TABLE_II[level, count]:
        found = dict(zip(('latency', 'jitter'), [('ms', v) for v in TABLE_II[level, count][case]]))
    return found


def paper_without(case):
    """Those of Table I."""
    if case not in TABLE_I:
        return {}
    _, latency_ms, cpu_s, size_mb = TABLE_I[case]
    return {**{packet: ('ms', value) for packet, value in latency_ms.items()},
            'latency': ('ms', sum(latency_ms.values()) / 3), 'cpu': ('s', cpu_s),
            'memory': ('MB', size_mb)}


def case_results(placing, case, runs):
    name, found = f'daem/{placing}/{case}', good(runs)
    if not found:
        return [why_not(name, runs)]
    results = [packet_result(name, found, packet) for packet in PACKETS] + \
              [figure_result(name, found, figure) for figure in UNITS]
    paper = paper_with_faults(placing, case) if placing in FAULTS else paper_without(case)
    for result in results:
        unit, value = paper.get(result['name'].rsplit('/', 1)[1], (None, None))
        result.update(repetitions=len(found), machine=[f['machine'] for f in found],
                      paper={'unit': unit, 'value': value} if unit else None)
    return results


def ratios_of(placing):
    """As RATIOS, for that placing."""
    if placing not in FAULTS:
        return RATIOS
    level, count = FAULTS[placing]
    with_faults = TABLE_II[level, count]
    ratios = {f'{key}-8-to-0': (key, ACTIVE, NONE, with_faults[ACTIVE][i] / with_faults[NONE][i],
                                None) for i, key in enumerate(('latency', 'jitter'))}
    if count > 1:
        return ratios
    for i, key in enumerate(('cpu', 'memory')):
        for case, word in ((NONE, '8-to-0'), (PASSIVE, 'active-to-passive-1s')):
            paper = usage_sum(ACTIVE, level, i) / usage_sum(case, level, i)
            ratios[f'{key}-{word}'] = (key, ACTIVE, case, paper, None)
    for case, word in ((PASSIVE, '1s'), (PASSIVE_FAST, '100ms')):
        paper = TABLE_III[ACTIVE][1][level][0] / TABLE_III[case][1][level][0]
        ratios[f'latency-active-to-passive-{word}'] = ('latency', ACTIVE, case, paper, None)
    return ratios


def ratio_result(placing, name, runs):
    """Turn by turn; None: one of the two has no figures."""
    figure, case, base, paper, goal = ratios_of(placing)[name]
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
