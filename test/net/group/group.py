#!/usr/bin/env python3
"""Four stations are one cell: usage: group.py BUILD-DIRECTORY

They form one view, and multicast in it by each service; one is killed, and the others install the
view without it, each after a transitional one; it comes back in a new incarnation; one leaves in
order; and nothing is left behind. Then one station that hosts four peers. Needs root, else 77.
"""
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
os.environ['PERRON_BUILD'] = os.path.abspath(sys.argv[1])
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../perf'))

from suite import cells  # noqa: E402
from suite.network import DPDK_DIRECTORY, Fault, Missing  # noqa: E402

COUNT = 4
VICTIM = 2  # index; its peer is one more
SERVICES = ['fifo', 'causal', 'agreed', 'safe']
failed = []


def check(what, good, detail=''):
    print('ok   ' if good else 'FAIL ', what, '' if good else detail, flush=True)
    if not good:
        failed.append(what)


class Watch:
    """What a station's `group watch` says, line by line, with the process behind it."""

    def __init__(self, cell, index):
        self.process, self.events = cell.watch(index), []
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        self.ready.wait(10)

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            self.ready.set()
        self.ready.set()

    def end(self):
        self.process.terminate()
        self.thread.join(10)
        return self.process.wait()

    def kinds(self):
        return [e['event'] for e in self.events]

    def views_without(self, peer):
        return [e for e in self.events if e['event'] == 'view' and
                peer not in [m['peer'] for m in e['members']]]


def multicast(cell, members):
    for figures in cell.bench('--service', 'all', '--seconds', '1', '--period', '5ms',
                              '--senders', 'all'):
        what = figures['service']
        check(f'{what}: all that was sent came back',
              all(p['own'] == p['sent'] > 0 for p in figures['peers']), figures)
        check(f'{what}: every member has delivered the same number',
              {p['messages'] for p in figures['peers']} == {figures['sent']}, figures)
        check(f'{what}: the figures are of {members} members',
              figures['members'] == members and figures['views'] == 0, figures)


def orderings(cell):
    for mode in ('sequencer', 'token'):
        figures = cell.bench('--mode', mode, '--seconds', '1', '--period', '5ms')[0]
        sender = next(p for p in figures['peers'] if p['sends'])
        check(f'{mode}: what was sent was ordered', sender['own'] == sender['sent'] > 0, figures)


def kill_one(cell, before):
    """A killed member is left out by all, as one view, with the verdict before it."""
    victim = VICTIM + 1
    watches = [Watch(cell, i) for i in range(COUNT) if i != VICTIM]
    killed_ns = cell.kill(VICTIM)
    cell.wait_view(COUNT - 1, 30)
    time.sleep(0.5)
    check('who watches is ended in order', [w.end() for w in watches] == [0] * len(watches))
    check('each was told how it is first', all(w.kinds()[0] == 'now' for w in watches))
    check('the verdict has its evidence', all(
        any(e['event'] == 'link-down' and e['neighbour'] == victim and e['cell'] == '0' and
            e['silence_ns'] >= e['expected_ns'] for e in w.events) for w in watches),
        [w.events for w in watches])
    views = [w.views_without(victim) for w in watches]
    check('each installs a view without it', all(views), [w.kinds() for w in watches])
    if not all(views):
        return
    check('which is the same', len({(v[-1]['view'], v[-1]['leader']) for v in views}) == 1, views)
    check('after a transitional one', all('transitional' in w.kinds() for w in watches))
    after_ms = [(v[0]['at_ns'] - killed_ns) / 1e6 for v in views]
    print('      views', ', '.join(f'{ms:.1f}' for ms in after_ms), 'ms after the kill')
    check('the moment is of this machine\'s clock', all(0 < ms < 30000 for ms in after_ms))
    check('it is heard of after that', all(v[0]['heard_ns'] >= v[0]['at_ns'] for v in views))
    lives = {m['peer']: m['incarnation'] for m in before}
    check('survivors are who they were', all(
        m['incarnation'] == lives[m['peer']] for m in views[0][-1]['members']))


def restart_it(cell, before):
    cell.start(VICTIM)
    members = {m['peer']: m for m in cell.wait_view()}
    was = {m['peer']: m for m in before}[VICTIM + 1]
    check('a restarted one is a member again, in a new incarnation',
          members[VICTIM + 1]['incarnation'] > was['incarnation'], members)


def leave_one(cell):
    cell.kill(VICTIM, signal.SIGTERM)
    cell.wait_view(COUNT - 1, 30)
    check('one that leaves in order is left out', True)
    row = cell.groups(0)[0]
    check('the others go on', row['state'] == 'operational' and row['pending'] == 0, row)


def leftovers(prefix):
    """Namespaces and directories of ours that are still there."""
    names = subprocess.run(['ip', 'netns'], capture_output=True, text=True).stdout
    left = [n for n in names.split() if n.startswith(prefix)]
    return left + [d for d in os.listdir(DPDK_DIRECTORY)
                   if d.startswith('perron-cell-') and d.endswith(f'-{os.getpid()}')]


def several():
    with cells.stations(COUNT) as cell:
        prefix = cell.lan.prefix
        members = cell.wait_view()
        check('four stations form one view', [m['peer'] for m in members] == [1, 2, 3, 4], members)
        multicast(cell, COUNT)
        orderings(cell)
        kill_one(cell, members)
        restart_it(cell, members)
        multicast(cell, COUNT)
        leave_one(cell)
    check('nothing is left behind', not leftovers(prefix), leftovers(prefix))


def one():
    with cells.one_process(COUNT) as cell:
        cell.wait_view()
        check('four peers of one station form one view', True)
        multicast(cell, COUNT)


def main():
    try:
        several()
        one()
    except Missing as missing:
        print(missing)
        return 77
    except Fault as fault:
        check('the run', False, fault)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
