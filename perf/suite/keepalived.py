"""Debian's keepalived as a yardstick of fail-over: two routers, each in a network namespace, that
hold a virtual address by VRRP (version 3, RFC 5798), an echo at that address in each, and a client
that sends it a request each millisecond.

What it is set to, for it to do its best: no preemption (who comes back takes nothing over); the
highest priority that is no owner's, for the least skew; its own real-time rank; the address goes
from the namespace with the processes that are killed, which a dead router would take along.
A master is missed after three intervals of its advertisements; 10 ms is the shortest there is.
"""
import os
import shutil
import signal
import subprocess
import time

from suite import network
from suite.deliveries import Deliveries
from suite.network import Fault, Lan, Missing, Processes
from suite.tools import program

ADDRESS = '10.9.6.100'
# name: seconds between advertisements, the shortest that there is and keepalived's own choice
ADVERTS = {'10ms': 0.01, '100ms': 0.1, '1s': 1}
PRIORITY = 254
RANK = 50
INTERVAL_US = 1000
START_SECONDS = 30
LOOK_SECONDS = 0.05
ROUTERS = 2


def configuration(interface, advert_s):
    return (f'global_defs {{\n  router_id {interface}\n  vrrp_version 3\n'
            f'  vrrp_rt_priority {RANK}\n}}\n'
            f'vrrp_instance gap {{\n  state BACKUP\n  nopreempt\n  interface {interface}\n'
            f'  virtual_router_id 51\n  priority {PRIORITY}\n  advert_int {advert_s}\n'
            f'  virtual_ipaddress {{\n    {ADDRESS}/24\n  }}\n}}\n')


def needed():
    """Raises Missing where it cannot run."""
    if not shutil.which('keepalived', path=os.environ.get('PATH', '') + ':/usr/sbin'):
        raise Missing('keepalived is not installed')


class Pair:
    """with Pair('10ms'): routers, and a client whose requests are answered."""

    def __init__(self, advert):
        needed()
        self.advert_s = ADVERTS[advert]
        self.lan = Lan(ROUTERS + 1, addresses=True, bridge=True)
        self.processes, self.client = Processes(), None
        self.lives = [0] * ROUTERS
        self.daemons = [None] * ROUTERS

    def __enter__(self):
        self.lan.__enter__()
        try:
            self.processes.__enter__()
            for index in range(ROUTERS):
                self.start(index)
            self.wait_ready()
            self.client = Deliveries(self.processes, 'client', self.lan.inside(ROUTERS), RANK,
                                     'ask', ADDRESS, INTERVAL_US)
            self.client.wait_flow(time.monotonic_ns(), START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.client:
            self.client.close()
        self.processes.__exit__()
        self.lan.__exit__()

    def name(self, index):
        return f'keepalived {index + 1}.{self.lives[index]}'

    def start(self, index):
        self.lives[index] += 1
        inside, folder = self.lan.inside(index), self.processes.folder
        file = self.processes.write(f'{index}.conf', configuration(self.lan.interface(index),
                                                                   self.advert_s))
        pids = [f'--{what}={folder}/{index}.{what}' for what in ('pid', 'vrrp_pid')]
        self.processes.start(f'echo {index + 1}.{self.lives[index]}',
                             [*inside, program('perf/perron-gap'), '--priority', str(RANK),
                              'answer', ADDRESS])
        self.daemons[index] = self.processes.start(self.name(index), [
            *inside, 'keepalived', '--dont-fork', '--log-console', '--no-syslog', '--log-detail',
            '--vrrp', f'--use-file={file}', *pids])

    def entered(self, index, state):
        """How often it came to that state in its present life."""
        return self.processes.words(self.name(index)).count(f'Entering {state} STATE')

    def changes(self):
        return sum(self.entered(i, state) for i in range(ROUTERS) for state in ('MASTER', 'BACKUP'))

    def holds(self, index):
        told = subprocess.run(['ip', '-n', self.lan.namespace(index), '-o', 'addr'], text=True,
                              capture_output=True)
        return f' {ADDRESS}/' in told.stdout

    def alive(self):
        for index, process in enumerate(self.daemons):
            if process and process.poll() is not None:
                said = self.processes.words(self.name(index)).strip().splitlines() or ['no word']
                raise Fault(f'{self.name(index)} has ended: {said[-1]}')

    def wait_ready(self):
        """Until one is the master and the other waits: which one is the master."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.alive()
            holders = [i for i in range(ROUTERS) if self.holds(i)]
            others = [i for i in range(ROUTERS) if i not in holders]
            if len(holders) == 1 and all(self.entered(i, 'BACKUP') for i in others):
                return holders[0]
            time.sleep(LOOK_SECONDS)
        raise Fault(f'no master after {START_SECONDS} s, or two')

    def kill(self, index):
        """All of a router at once, kill -9; when that was."""
        told = subprocess.run(['ip', 'netns', 'pids', self.lan.namespace(index)], text=True,
                              capture_output=True)
        # A child that outlives its parent ends in order, and tells: so it goes first.
        pids = sorted(map(int, told.stdout.split()), reverse=True)
        at_ns = time.monotonic_ns()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        network.run('ip', '-n', self.lan.namespace(index), 'addr', 'del', ADDRESS + '/24', 'dev',
                    self.lan.interface(index))
        self.daemons[index].wait()
        self.daemons[index] = None
        return at_ns
