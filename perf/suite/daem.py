"""Paper 000's tables of latency, jitter and resources (DAEM), by our own figures.

As in the paper: 14 peers in 7 cells of 2, three levels; 8 sensors, one at each peer of the lowest
cells; a client at the root that asks for all. A sensor sends 38 packets a second of 418 bytes, 25
of 1024 and 24 of 4180, each size as a stream of its own. Of a replicated stream each packet goes to
all siblings in every cell on its way.

process     all peers, sensors and the client on one spinning lcore
tree        14 stations of a peer each, a network namespace each; they back off when idle
faults/L-N  tree, and N stations of level L (0 root, 1, 2 leaves) are killed (kill -9), at random
            times and chosen at random, but for the client's

0-of-8 to 8-of-8  so many sensors replicated actively (Table I: 0/8, 1/7, 4/4, 8/0)
passive-PERIOD    all of them passively (Table III, with 0-of-8 for none and 8-of-8 for active)

Faults: Table II is 0-of-8 and 8-of-8 of each faults/L-N, Tables III and IV are all policies of
faults/L-1. As in the paper stations stay dead, and a cell may go whole; with --restart they are
started again after 2 s. The second fault of level 0 wants that: its cell is the client's station
and one other. A leaf's sensor dies with its station. Messages are waited for until 10 s after the
measured time, and those that have not come by then told apart:

lost     a holder survived: sequences that are missing before others that came, or that a station
         which lived on had seen
sensor   made last by a sensor that died, and no living station saw it; whether a sibling held a
         copy that nobody took over is not known, and it is counted here
refused  by the origin: too much was unacknowledged, or it was started again and not yet asked
twice    delivered another time; silent: streams of which nothing came at all

CPU is what the 14 processes took while it was measured (utime and stime), in per cent of a core. A
lcore that spins takes all of its core whatever it does, and one that sleeps in between is measured
with its waking: so in one process it is the share of time in turns that had work. At rest is before
the client asks for anything. Memory is the sum of the processes' peak resident sizes; who is killed
counts until then. +- is the standard deviation of all messages, as jitter. Cases are run in turn,
in another order each turn, and ratios are of runs of one turn.

Unless told: two turns of 4 s a case, one with faults; of Table II's, 3 at level 1 and 2, 3, 5, 6
and 7 at level 2 are left out (name them, or --full). --quick: one turn of 2 s a case; --full: five
of 15 s, three with faults. --seed N chooses other stations and times.
"""
import random

from suite import daem_results, daem_tables, report
from suite.daem_cases import CASES, FAULTS, PLACINGS, cases_of
from suite.daem_faults import is_possible
from suite.daem_run import case_run
from suite.latency import attempt, good
from suite.tools import program, say

# Of Table II, unless more is asked for.
FAULTS_FEW = ['faults/0-1', 'faults/1-1', 'faults/1-2', 'faults/1-4', 'faults/2-1', 'faults/2-4',
              'faults/2-8']


def names():
    if not program('perf/perron-latency'):
        return []
    return [f'daem/{placing}/{case}' for placing in PLACINGS for case in cases_of(placing)]


class Plan:
    def __init__(self, options):
        self.turns = 1 if options.quick else 5 if options.full else 2
        self.fault_turns = 3 if options.full else 1
        self.seconds = options.seconds or (2 if options.quick else 15 if options.full else 4)
        self.restart = options.restart
        self.seed = random.randrange(10 ** 6) if options.seed is None else options.seed
        self.full = options.full
        self.named = options.only.split(',')

    def turns_of(self, placing):
        return self.fault_turns if placing in FAULTS else self.turns

    def has(self, placing):
        """Whether it is run, if a case of it is wanted."""
        if placing not in FAULTS:
            return True
        named = any(name.startswith(f'daem/{placing}') for name in self.named)
        possible = is_possible(*FAULTS[placing], self.restart)
        if named and not possible:
            say(f'daem/{placing}: not without --restart: the only other station of the cell is the '
                "client's")
        return possible and (self.full or named or placing in FAULTS_FEW)


def order_of(cases, turn):
    """Each turn begins elsewhere, and every other goes the other way round."""
    start = turn * 2 % len(cases)
    turned = cases[start:] + cases[:start]
    return turned[::-1] if turn % 2 else turned


def turns(wanted, plan):
    """(placing, case) -> figures or a fault of each turn."""
    runs = {}
    placings = [p for p in PLACINGS if any(f'daem/{p}/{c}' in wanted for c in CASES)]
    placings = [p for p in placings if plan.has(p)]
    for turn in range(max(plan.turns, plan.fault_turns)):
        for placing in placings:
            if turn >= plan.turns_of(placing):
                continue
            cases = [c for c in cases_of(placing) if f'daem/{placing}/{c}' in wanted]
            for case in order_of(cases, turn):
                name = f'daem/{placing}/{case}'
                say(f'{name}, turn {turn + 1} of {plan.turns_of(placing)}')
                runs.setdefault((placing, case), []).append(
                    attempt(name, case_run, placing, case, plan, turn))
    return runs


def run(wanted, options):
    plan = Plan(options)
    say(f'daem: --seed {plan.seed}')
    runs = turns(wanted, plan)
    results = [r for (placing, case), all_turns in runs.items()
               for r in daem_results.case_results(placing, case, all_turns)]
    ratios = [daem_results.ratio_result(placing, name, runs)
              for placing in PLACINGS for name in daem_results.ratios_of(placing)]
    ratios = [r for r in ratios if r]
    daem_tables.ratios_print(ratios)
    found = {key: good(all_turns) for key, all_turns in runs.items() if good(all_turns)}
    for placing in ('process', 'tree'):
        mine = {case: found[placing, case] for case in CASES if (placing, case) in found}
        if mine:
            daem_tables.table_i_print(placing, mine)
            daem_tables.table_iii_print(placing, mine)
            print(*daem_tables.doubts(placing, mine), sep='\n', flush=True)
    daem_tables.faults_print({key: mine for key, mine in found.items() if key[0] in FAULTS})
    for result in results:
        result['seed'] = plan.seed
        if 'error' in result:
            report.line(result)
    return ratios + results
