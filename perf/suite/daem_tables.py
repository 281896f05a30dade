"""daem's tables for people: ratios first, then I to IV, the paper's figures beside ours."""
import os

from suite import report
from suite.daem_cases import (ACTIVE, CASES, FAULTS, LEVELS, NONE, PACKETS, TABLE_I, TABLE_II,
                              TABLE_III, TABLE_IV)
from suite.tools import median

# Of the machine: so much is all of it. Per cent of a core: so much for others disturbs.
FULL_SHARE = 0.9
OTHERS_MAX = 5
# While it is measured; this suite's own looks, and what the kernel does for nobody, are within.
OTHERS_DURING_MAX = 20


def middle(runs, key):
    return median([f[key] for f in runs])


def ratios_print(ratios):
    print(f"{'ratio':50} {'ours':>6} {'of the turns':>13} {'paper':>6} {'goal':>8}")
    for r in ratios:
        line = f"{r['name']:50} {r['median']:6.2f} {r['least']:6.2f}-{r['max']:<6.2f}"
        line += f" {r['paper']['value']:6.2f}" if r['paper'] else ''
        if r['goal']:
            line += f"  <= {r['goal']:.2f}" + ('  missed' if r['median'] > r['goal'] else '')
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
            if placing == 'tree' and middle(runs, 'cpu') > FULL_SHARE * room]
    if full:
        line = f"{placing}: {', '.join(full)} took all of {room} %, and cannot be told apart by CPU"
        if NONE in found:
            line += f"; none could have taken more than {room / middle(found[NONE], 'cpu'):.2f} " \
                    f'times that of {NONE}'
        lines.append(line)
    busy = [case for case, runs in found.items() if max(map(others_share, runs)) > OTHERS_MAX]
    if busy:
        lines.append(f"{placing}: others had more than {OTHERS_MAX} % of a core before runs of "
                     f"{', '.join(busy)}: ratios with these are about the others as well")
    return lines


def counts_text(runs):
    """Hops of the paths, frames the client lost, copies made, what others had of the machine."""
    return f"{middle(runs, 'hops'):5.2f} {sum(f['lost'] for f in runs):5} " \
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
                cpu, idle, memory, planned = (
                    middle(runs, key) for key in ('cpu', 'cpu_idle', 'memory', 'memory_planned'))
                line += f"{cpu:8.2f} {idle:9.2f} {cpu_s:8.2f} {memory:7.1f} " \
                        f"{planned:8.1f} {size_mb:8.2f} {counts_text(runs)}"
            print(line.rstrip())
            label = ''


def p99_of(runs):
    return median([max(p['p99'] for p in f['packets'].values()) for f in runs])


def table_iii_print(placing, found):
    print(f"\nTable III, {placing}, without faults (the paper's: one fault, at level 0, 1, 2)\n"
          f"{'':15} {'mean of medians us':>18} {'to none':>8} {'p99 us':>9} "
          f"{'paper ms':>17} {'to none':>17} {'hops':>5} {'lost':>5} {'copies':>8} "
          f"{'others %':>8}")
    for case, (label, latency) in TABLE_III.items():
        runs = found.get(case)
        if not runs:
            continue
        mine = middle(runs, 'latency')
        base = middle(found[NONE], 'latency') if NONE in found else 0
        print(f"{label:15} {report.number(mine):>18} "
              f"{format(mine / base, '.2f') if base else '-':>8} {report.number(p99_of(runs)):>9}",
              ' '.join(format(ms, '5.2f') for ms, _ in latency),
              ' '.join(format(a / b, '5.2f')
                       for (a, _), (b, _) in zip(latency, TABLE_III[NONE][1])),
              counts_text(runs))


# ---- with faults: found is (placing, case) -> runs --------------------------------------------

LOSSES = ['lost', 'with_sensor', 'refused', 'again', 'silent']
LOSSES_HEAD = f"{'sent':>7} {'lost':>5} {'sensor':>6} {'refused':>7} {'twice':>5} {'silent':>6} " \
              f"{'others %':>8}"


def losses_text(runs):
    sums = [sum(f['losses'][key] for f in runs) for key in LOSSES]
    return f"{sum(f['sent'] for f in runs):7} {sums[0]:5} {sums[1]:6} {sums[2]:7} {sums[3]:5} " \
           f"{sums[4]:6} {max(f['others'] for f in runs):8.0f}"


def latency_text(runs):
    """Medians; mean and standard deviation; the tail."""
    longest = max(p['max'] for f in runs for p in f['packets'].values())
    return f"{report.number(middle(runs, 'latency')):>9} " \
           f"{middle(runs, 'mean') / 1e3:8.2f} {middle(runs, 'jitter') / 1e3:8.2f} " \
           f'{p99_of(runs) / 1e3:8.2f} {longest / 1e3:8.1f}'


LATENCY_HEAD = f"{'medians us':>9} {'mean ms':>7} {'+- ms':>8} {'p99 ms':>8} {'max ms':>8}"


def table_ii_print(found):
    print(f"\nTable II, tree: one way with so many stations killed, at a level\n"
          f"{'level':5} {'faults':>6} {'':4} {LATENCY_HEAD} {'paper ms':>12} {LOSSES_HEAD}")
    for placing, (level, count) in FAULTS.items():
        for case in (NONE, ACTIVE):
            runs = found.get((placing, case))
            if not runs:
                continue
            ms, jitter = TABLE_II[level, count][case]
            print(f'{level:5} {count:6} {TABLE_I[case][0]:4} {latency_text(runs)} '
                  f'{ms:5.2f} +- {jitter:.2f} {losses_text(runs)}')
    runs = [f for mine in found.values() for f in mine]
    lost = sum(f['losses']['lost'] for f in runs) / max(sum(f['sent'] for f in runs), 1)
    print(f"lost of all that was sent, with those of Table III: {100 * lost:.2f} % (the paper's: "
          'around 1 %)')


def one_fault(level):
    return f'faults/{level}-1'


def table_iii_faults_print(found):
    print(f"\nTable III, tree, with one fault\n{'level':5} {'':15} {LATENCY_HEAD} {'to none':>7} "
          f"{'paper ms':>12} {'to none':>7} {'copies':>7} {LOSSES_HEAD}")
    for level in LEVELS:
        base = found.get((one_fault(level), NONE))
        for case, (label, latency) in TABLE_III.items():
            runs = found.get((one_fault(level), case))
            if not runs:
                continue
            to_none = f"{middle(runs, 'latency') / middle(base, 'latency'):.2f}" if base else '-'
            ms, jitter = latency[level]
            print(f'{level:5} {label:15} {latency_text(runs)} {to_none:>7} {ms:5.2f} +- '
                  f'{jitter:.2f} {ms / TABLE_III[NONE][1][level][0]:7.2f} '
                  f"{sum(f['copies'] for f in runs):7} {losses_text(runs)}")


def usage_text(mine, paper, none, none_paper):
    """Of each level's peers, and of all: ours, and of all to none; the same of the paper's."""
    ours, theirs = mine + [sum(mine)], list(paper) + [sum(paper)]
    ratio = f'{sum(mine) / sum(none):.2f}' if none and sum(none) else '-'
    return ' '.join(f'{v:6.1f}' for v in ours) + f' {ratio:>7} | ' + \
           ' '.join(f'{v:6.1f}' for v in theirs) + f' {sum(paper) / sum(none_paper):7.2f}'


def levels_of(runs, key):
    return [median([f[key][level] for f in runs]) for level in LEVELS]


def table_iv_print(found):
    head = ' '.join(f'{word:>6}' for word in ('at 0', 'at 1', 'at 2', 'all')) + '  to none'
    for key, unit, what in (('cpu_levels', 0, "CPU, % of a core (the paper's: s)"),
                            ('memory_levels', 1, 'memory, MB')):
        print(f'\nTable IV, tree, with one fault: {what}, of the peers at each level\n'
              f"{'fault':5} {'':15} {head} | {head} (paper)")
        for level in LEVELS:
            base = found.get((one_fault(level), NONE))
            for case, (label, _) in TABLE_III.items():
                runs = found.get((one_fault(level), case))
                if runs:
                    paper, none = ([row[unit] for row in TABLE_IV[c][level]] for c in (case, NONE))
                    print(f'{level:5} {label:15}', usage_text(
                        levels_of(runs, key), paper, base and levels_of(base, key), none))


def listed(found, value, least):
    """Names of those whose value is above, with it."""
    values = {f'{placing[len("faults/"):]}/{case}': value(runs)
              for (placing, case), runs in found.items()}
    return ', '.join(f'{name} ({v:.0f})' for name, v in values.items() if v > least)


def doubts_with_faults(found):
    """As doubts, of all of them."""
    room = 100 * len(os.sched_getaffinity(0))
    full = listed(found, lambda runs: middle(runs, 'cpu'), FULL_SHARE * room)
    busy = listed(found, lambda runs: max(f['others'] for f in runs), OTHERS_DURING_MAX)
    lines = []
    if full:
        lines.append(f'faults: took all of {room} %, and cannot be told apart by CPU: {full}')
    if busy:
        lines.append(f'faults: others had more than {OTHERS_DURING_MAX} % of a core meanwhile, so '
                     f'that latency, losses and CPU are about them as well: {busy}')
    return lines


def faults_print(found):
    """Tables II to IV, as far as there are runs of them."""
    if not found:
        return
    table_ii_print(found)
    if any(placing.endswith('-1') for placing, _ in found):
        table_iii_faults_print(found)
        table_iv_print(found)
    print('', *doubts_with_faults(found), sep='\n', flush=True)
