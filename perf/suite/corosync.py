"""Corosync's closed process groups, measured: N daemons, each in a network namespace of its own on
a bridge, with a /run, /dev/shm and /var/lib/corosync of its own, and in each a perron-cpg.

libqb, by which a client reaches its daemon, knows sockets by name in the network namespace and
rings of memory in /dev/shm: a client therefore enters both namespaces of its daemon. All mounts are
in the daemon's mount namespace and end with it.

The token time-out is what the configuration says and no more (token_coefficient 0; by itself
corosync adds 650 ms for each member beyond two). No encryption.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from suite.network import Fault, Lan, Missing, Processes
from suite.tools import program

SIZE = 200
# A sender's messages under way: of 16, 64, 256 and 1024 the one with the best rate.
WINDOW = 256
# The faster of the two here, by a third in latency and more in rate; knet is corosync's own choice.
TRANSPORTS = ['udpu', 'knet']
TRANSPORT = 'udpu'
TOKENS_MS = [50, 100, 250, 500, 1000]
# Latency and rate: no false change of view shall disturb them.
LOAD_TOKEN_MS = 1000
TOGETHER_SECONDS = 30
# From a kill: the token, 1.2 of it for consensus, and then it is overdue.
CHANGE_SECONDS = 15
CLIENT_SECONDS = 45
# What corosync asks of its own parameters: a retransmission is 30 ms after a token at least.
RETRANSMIT_MS_MIN = 30

PRIVATE = ['/dev/shm', '/run', '/var/lib/corosync']
SHELL = ' && '.join(f'mount -t tmpfs -o size=256m private {path}' for path in PRIVATE) + \
        ' && exec corosync -f -c "$0"'


def configuration(addresses, token_ms, transport):
    retransmits = max(1, min(4, int(token_ms / RETRANSMIT_MS_MIN - 0.2)))
    nodes = ''.join(f'  node {{\n    nodeid: {i + 1}\n    name: member{i + 1}\n'
                    f'    ring0_addr: {address}\n  }}\n' for i, address in enumerate(addresses))
    return (f'totem {{\n  version: 2\n  cluster_name: perron\n  transport: {transport}\n'
            f'  crypto_cipher: none\n  crypto_hash: none\n  token: {token_ms}\n'
            f'  token_coefficient: 0\n'
            f'  token_retransmits_before_loss_const: {retransmits}\n}}\n'
            f'logging {{\n  to_stderr: yes\n  to_syslog: no\n  to_logfile: no\n}}\n'
            f'nodelist {{\n{nodes}}}\n')


def needed():
    """Raises Missing where it cannot run."""
    if not shutil.which('corosync', path=os.environ.get('PATH', '') + ':/usr/sbin'):
        raise Missing('corosync is not installed')
    if not program('perf/perron-cpg'):
        raise Missing('perron-cpg is not built: libcpg-dev was not there')


class Cluster:
    """with Cluster(count, token_ms): daemons that start to find each other."""

    def __init__(self, count, token_ms, transport=TRANSPORT):
        needed()
        self.count, self.token_ms, self.transport = count, token_ms, transport
        self.lan = Lan(count, addresses=True, bridge=True)
        self.processes = Processes()
        self.daemons, self.watchers = {}, {}

    def __enter__(self):
        self.lan.__enter__()
        try:
            self.processes.__enter__()
            self.file = self.processes.write('corosync.conf', configuration(
                [self.lan.address(i) for i in range(self.count)], self.token_ms, self.transport))
            for i in range(self.count):
                self.daemon_start(i)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Killed: a daemon that ends in order waits for the others, and none is to be saved.
        for process in [*self.watchers.values(), *self.daemons.values()]:
            process.kill()
        self.processes.__exit__()
        self.lan.__exit__()

    def daemon_start(self, index):
        self.daemons[index] = self.processes.start(f'daemon {index + 1}', [
            *self.lan.inside(index), 'unshare', '--mount', '--propagation', 'private',
            'sh', '-c', SHELL, self.file])

    def client(self, index, *words):
        """The words of a perron-cpg beside a daemon."""
        return ['nsenter', '--target', str(self.daemons[index].pid), '--mount', '--net',
                program('perf/perron-cpg'), *map(str, words)]

    def alive(self):
        for index, process in self.daemons.items():
            if process.poll() is not None:
                lines = self.processes.words(f'daemon {index + 1}').strip().splitlines()
                raise Fault(f"corosync {index + 1}: {lines[-1] if lines else 'ended'}")

    def ready(self):
        """Until each shell has become a daemon: from then on the mounts are its own."""
        until = time.monotonic() + TOGETHER_SECONDS
        for process in self.daemons.values():
            while True:
                self.alive()
                with open(f'/proc/{process.pid}/comm', encoding='utf-8') as f:
                    if f.read().strip() == 'corosync':
                        break
                if time.monotonic() > until:
                    raise Fault('corosync does not start')
                time.sleep(0.02)

    def load(self, *words):
        """A perron-cpg of these words at each member, until all end: what each reports."""
        self.ready()
        for i in range(self.count):
            self.processes.start(f'load {i + 1}', self.client(i, *words))
        running = self.processes.running[-self.count:]
        until = time.monotonic() + CLIENT_SECONDS + float(words[4])
        for name, process in running:
            try:
                process.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise Fault(f'{name} of {words[0]} does not end') from None
            finally:
                self.alive()
        said = [self.processes.words(name).strip().splitlines() for name, _ in running]
        for (name, process), lines in zip(running, said):
            if process.returncode:
                raise Fault(f"{name}: {lines[-1] if lines else f'status {process.returncode}'}")
        return [json.loads(lines[-1]) for lines in said]

    # ---- views -------------------------------------------------------------------------------

    def watch(self, index):
        self.watchers[index] = self.processes.start(f'watch {index + 1}',
                                                    self.client(index, 'watch'))

    def views(self, index):
        """Changes that a member's watcher has seen: (when, members)."""
        text = self.processes.words(f'watch {index + 1}')
        return [(one['at_ns'], one['members']) for one in map(
            json.loads, re.findall(r'^\{.*\}$', text, re.M))]

    def together(self):
        """Until the last view of each is all."""
        everyone = list(range(1, self.count + 1))
        until = time.monotonic() + TOGETHER_SECONDS
        while True:
            self.alive()
            seen = [self.views(i) for i in range(self.count)]
            if all(v and sorted(v[-1][1]) == everyone for v in seen):
                return
            if time.monotonic() > until:
                raise Fault(f'{self.count} members are not together in {TOGETHER_SECONDS} s')
            time.sleep(0.02)

    def changes(self):
        return sum(len(self.views(i)) for i in range(self.count))

    def kill(self, victim):
        """kill -9 of a daemon and its client: ms until each survivor has a view without it."""
        survivors = [i for i in range(self.count) if i != victim]
        killed_ns = time.monotonic_ns()
        for process in (self.daemons.pop(victim), self.watchers.pop(victim)):
            process.send_signal(signal.SIGKILL)
            process.wait()
        until = time.monotonic() + CHANGE_SECONDS
        while True:
            self.alive()
            after = {i: [(at, members) for at, members in self.views(i)
                         if at > killed_ns and victim + 1 not in members] for i in survivors}
            if all(after.values()):
                break
            if time.monotonic() > until:
                raise Fault(f'no change of view within {CHANGE_SECONDS} s of a kill')
            time.sleep(0.01)
        expelled = sum(len(views[0][1]) != len(survivors) for views in after.values())
        return [(views[0][0] - killed_ns) / 1e6 for views in after.values()], expelled

    def revive(self, victim):
        self.daemon_start(victim)
        self.ready()
        self.watch(victim)
        self.together()


# ---- what is measured ------------------------------------------------------------------------

def in_us(histogram):
    """Of a histogram as perron-cpg prints it."""
    return {'samples': histogram['samples'],
            **{key[:-3]: value / 1000 for key, value in histogram.items() if key.endswith('_ns')}}


def merged(reports, key):
    """Of several members: the middle of their percentiles, the largest of their maxima."""
    found = sorted((in_us(r[key]) for r in reports if r[key]['samples']), key=lambda f: f['p50'])
    if not found:
        return None
    return {**found[len(found) // 2], 'max': max(f['max'] for f in found),
            'samples': sum(f['samples'] for f in found)}


def latency(cluster, senders, seconds, interval_us):
    """us, from before the call to the sender's own delivery."""
    reports = cluster.load('latency', cluster.count, senders, SIZE, seconds, interval_us)
    own = merged([r for r in reports if r['sends']], 'self')
    if not own:
        raise Fault('nothing was delivered')
    return {**own, 'others': merged(reports, 'others'),
            'changes': max(r['changes'] for r in reports)}


def rate(cluster, senders, seconds):
    """Messages a second at the slowest member, of a fixed time that is the same for all."""
    reports = cluster.load('rate', cluster.count, senders, SIZE, seconds, WINDOW)
    each = [r['within'] / r['seconds'] for r in reports]
    return {'rate': min(each), 'each': each, 'refused': sum(r['refused'] for r in reports),
            'window': WINDOW, 'latency': merged([r for r in reports if r['sends']], 'self'),
            'others': merged(reports, 'others'), 'changes': max(r['changes'] for r in reports)}


def view_change(count, token_ms, kills, watch_seconds, transport=TRANSPORT):
    """
    ms from kill -9 to the last survivor's new view, for each kill, member after member; before it,
    how many views changed for no reason: idle, and with a sender that sends what it can.
    """
    with Cluster(count, token_ms, transport) as cluster:
        cluster.ready()
        for i in range(count):
            cluster.watch(i)
        cluster.together()
        before = cluster.changes()
        time.sleep(watch_seconds)
        idle = cluster.changes() - before
        cluster.load('rate', count, 1, SIZE, watch_seconds, WINDOW)
        loaded = cluster.changes() - before - idle
        cluster.together()
        last, expelled = [], 0
        for turn in range(kills):
            victim = turn % count
            times, wrong = cluster.kill(victim)
            last.append(max(times))
            expelled += wrong
            cluster.revive(victim)
        return {'kills_ms': last, 'token_ms': token_ms, 'watch_seconds': watch_seconds,
                'false_idle': idle, 'false_loaded': loaded, 'expelled': expelled}
