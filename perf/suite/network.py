"""Network namespaces and processes of this run's own, taken down when it ends.

A run that was killed cannot do that: its processes end with it (PR_SET_PDEATHSIG), and the next run
takes away its namespaces and directories. A run holds a lock on a file named after its process for
as long as it lives, by which the next one knows that it does not.
"""
import atexit
import ctypes
import fcntl
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from suite.tools import say


DPDK_DIRECTORY = '/var/run/dpdk'
RUN_DIRECTORY = '/run/perron-bench'
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)
_lock = None


class Fault(Exception):
    """What went wrong, in one line."""


class Missing(Fault):
    """This machine does not have what it takes."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Fault(f"{' '.join(command)}: {said[0] if said else done.returncode}")


def lock_of(name):
    """Holds the lock of that name; None: somebody else does."""
    fd = os.open(f'{RUN_DIRECTORY}/{name}', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def lock_drop(name, fd):
    try:
        os.unlink(f'{RUN_DIRECTORY}/{name}')
    except FileNotFoundError:
        pass
    os.close(fd)


def claim():
    """Once a run: what killed ones left is taken away, and what this one makes is its own."""
    global _lock
    if _lock is not None:
        return
    os.makedirs(RUN_DIRECTORY, exist_ok=True)
    own = str(os.getpid())
    # One of the same number is dead, or this process would not have it.
    for name in os.listdir(RUN_DIRECTORY):
        fd = lock_of(name) if name.isdigit() else None
        if fd is not None:
            sweep(name)
            lock_drop(name, fd)
    _lock = lock_of(own)
    if _lock is not None:
        atexit.register(lock_drop, own, _lock)


def sweep(pid):
    try:
        names = [n for n in os.listdir('/run/netns') if n.startswith(f'pp{pid}x')]
    except FileNotFoundError:
        names = []
    for name in names:
        empty(name)
        subprocess.run(['ip', 'netns', 'del', name], capture_output=True)
    for path in glob.glob(f'{tempfile.gettempdir()}/perron-bench-{pid}-*'):
        shutil.rmtree(path, ignore_errors=True)
    if names:
        say(f'taken away: what run {pid} left when it was killed')


def empty(namespace):
    """Ends what still runs in a dead run's namespace. A name of ours; nobody else goes there."""
    for _ in range(20):
        told = subprocess.run(['ip', 'netns', 'pids', namespace], text=True, capture_output=True)
        pids = [int(pid) for pid in told.stdout.split()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not pids:
            return
        time.sleep(0.05)


def die_with_parent():
    """In the child, before it becomes the program."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Lan:
    """A veth pair between two namespaces (count 2), or more of them on a bridge."""

    def __init__(self, count, addresses=False, bridge=False):
        if os.geteuid() != 0 or not shutil.which('ip'):
            raise Missing('needs root and iproute2, for network namespaces')
        self.prefix = f'pp{os.getpid()}x'
        self.count = count
        self.addresses = addresses
        self.bridge = bridge or count != 2
        self.made = []

    def namespace(self, index):
        return f'{self.prefix}{index}'

    def inside(self, index):
        """Words before a command that make it run in a namespace."""
        return ['ip', 'netns', 'exec', self.namespace(index)]

    def interface(self, index):
        return f'pv{index}'

    def address(self, index):
        return f'10.9.6.{index + 1}'

    def add(self, name):
        run('ip', 'netns', 'add', name)
        self.made.append(name)
        # No address of the kernel's own on these wires, or it would answer for the station.
        run('ip', 'netns', 'exec', name, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1')
        run('ip', '-n', name, 'link', 'set', 'lo', 'up')

    def up(self, index):
        name, interface = self.namespace(index), self.interface(index)
        if self.addresses:
            run('ip', '-n', name, 'addr', 'add', self.address(index) + '/24', 'dev', interface)
        run('ip', '-n', name, 'link', 'set', interface, 'up')

    def __enter__(self):
        claim()
        try:
            for i in range(self.count):
                self.add(self.namespace(i))
            self.wire()
            for i in range(self.count):
                self.up(i)
        except Fault:
            self.__exit__()
            raise
        return self

    def wire(self):
        if not self.bridge:
            run('ip', 'link', 'add', self.interface(0), 'netns', self.namespace(0), 'type', 'veth',
                'peer', 'name', self.interface(1), 'netns', self.namespace(1))
            return
        bridge = self.prefix + 'lan'
        self.add(bridge)
        run('ip', '-n', bridge, 'link', 'add', 'lan', 'type', 'bridge', 'forward_delay', '0')
        run('ip', '-n', bridge, 'link', 'set', 'lan', 'up')
        for i in range(self.count):
            run('ip', 'link', 'add', self.interface(i), 'netns', self.namespace(i), 'type', 'veth',
                'peer', 'name', f'port{i}', 'netns', bridge)
            run('ip', '-n', bridge, 'link', 'set', f'port{i}', 'master', 'lan', 'up')

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True)
        self.made = []


class Processes:
    """Programs of one run, in a directory of their own; all are ended with it."""

    def __init__(self):
        self.running = []
        self.prefixes = []

    def prefix(self, name):
        """A file prefix for an EAL, which leaves a directory of that name behind."""
        self.prefixes.append(name)
        return name

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix=f'perron-bench-{os.getpid()}-')
        return self

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def start(self, name, command, apart=False):
        """`apart`: its standard output is not among its words, but by itself (see output)."""
        with open(self.path(name, 'log'), 'w', encoding='utf-8') as log, \
                open(self.path(name, 'out') if apart else os.devnull, 'w',
                     encoding='utf-8') as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log,
                                       stdout=out if apart else log, preexec_fn=die_with_parent)
        self.running.append((name, process))
        return process

    def kill(self, name):
        """kill -9, as a fault: it is none of the running any more, and may be started again."""
        process = dict(self.running)[name]
        process.kill()
        process.wait()
        self.running.remove((name, process))

    def path(self, name, kind):
        return os.path.join(self.folder, f'{name}.{kind}')

    def output(self, name):
        with open(self.path(name, 'out'), encoding='utf-8') as f:
            return f.read()

    def words(self, name):
        with open(self.path(name, 'log'), encoding='utf-8') as f:
            return f.read()

    def dead(self):
        """The last words of the first that ended by itself; None: all run."""
        for name, process in self.running:
            if process.poll() is not None:
                lines = self.words(name).strip().splitlines()
                return f"{name}: {lines[-1] if lines else f'status {process.returncode}'}"
        return None

    def __exit__(self, *_):
        for _, process in self.running:
            process.terminate()
        for name, process in self.running:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                say(f'{name} does not end: killed')
                process.kill()
                process.wait()
        for name in self.prefixes:
            shutil.rmtree(os.path.join(DPDK_DIRECTORY, name), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
