"""Network namespaces and processes of this run's own, taken down when it ends."""
import os
import shutil
import subprocess
import tempfile

from suite.tools import say


DPDK_DIRECTORY = '/var/run/dpdk'


class Fault(Exception):
    """What went wrong, in one line."""


class Missing(Fault):
    """This machine does not have what it takes."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Fault(f"{' '.join(command)}: {said[0] if said else done.returncode}")


class Lan:
    """A veth pair between two namespaces (count 2), or more of them on a bridge."""

    def __init__(self, count, addresses=False):
        if os.geteuid() != 0 or not shutil.which('ip'):
            raise Missing('needs root and iproute2, for network namespaces')
        self.prefix = f'pp{os.getpid()}x'
        self.count = count
        self.addresses = addresses
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
        if self.count == 2:
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
        self.folder = tempfile.mkdtemp(prefix='perron-bench-')
        return self

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def start(self, name, command):
        log = open(os.path.join(self.folder, name + '.log'), 'w', encoding='utf-8')
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.running.append((name, process))
        return process

    def words(self, name):
        with open(os.path.join(self.folder, name + '.log'), encoding='utf-8') as f:
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
