"""The demo's network: a bridge in a namespace of its own, and a namespace for each host on it.

    host A [lan0] ---- [port] bridge [port] ---- [lan0] host B ...

A station's `lan0` has no address of the kernel's: the station answers ARP and ICMP for its own, and
the kernel of its namespace, which sees each frame too (af_packet), takes none of them for its own
and answers none, least of all with "port unreachable".

Names carry the demo's process id, so that demos can run side by side. A demo holds a lock on its
directory for as long as it lives, by which the next one knows what a killed demo left behind.
"""
import ctypes
import fcntl
import glob
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

RUN_DIRECTORY = '/run/perron-demo'
PREFIX = 'perron-demo-'
DPDK_DIRECTORY = '/var/run/dpdk'
CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
# ethtool's commands that switch off what would leave a frame unfinished on a virtual wire: its
# checksum not filled in, or several frames as one.
ETHTOOL_OFF = {'tx checksum': 0x17, 'rx checksum': 0x15, 'scatter': 0x19, 'tso': 0x1f,
               'gso': 0x24, 'gro': 0x2c}

libc = ctypes.CDLL(None, use_errno=True)


class Fault(Exception):
    """One line for the person who started the demo."""


def run(*command, text=None):
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Fault(f'{" ".join(command)}: {said[0] if said else done.returncode}')
    return done.stdout


class Inside:
    """with Inside(namespace): this thread stands in it."""

    def __init__(self, namespace):
        self.path = f'/run/netns/{namespace}'

    def __enter__(self):
        self.home = os.open('/proc/self/ns/net', os.O_RDONLY)
        self.set(os.open(self.path, os.O_RDONLY), True)

    def __exit__(self, *_):
        self.set(self.home, True)

    @staticmethod
    def set(fd, close):
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise Fault(f'setns: {os.strerror(ctypes.get_errno())}')
        if close:
            os.close(fd)


def offloads_off(interface):
    """In the namespace where the caller stands. What a driver cannot switch it has not."""
    value = ctypes.create_string_buffer(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in ETHTOOL_OFF.values():
            value.raw = struct.pack('II', command, 0)
            request = struct.pack('16sP', interface.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(s, SIOCETHTOOL, request.ljust(40, b'\0'))
            except OSError:
                pass


class Lan:
    def __init__(self, mtu):
        self.mtu, self.name, self.hosts, self.ports = mtu, f'{PREFIX}{os.getpid()}', [], 0
        self.directory = f'{RUN_DIRECTORY}/{os.getpid()}'
        self.lock = None

    def namespace(self, host):
        return f'{self.name}-{host}'

    def open(self):
        sweep()
        os.makedirs(self.directory)
        self.lock = lock_of(self.directory)
        self.add('bridge')
        self.batch('bridge', ['link add lan type bridge forward_delay 0 mcast_snooping 0',
                              'link set lan addrgenmode none up'])

    def add(self, host):
        run('ip', 'netns', 'add', self.namespace(host))
        self.hosts.append(host)
        self.batch(host, ['link set lo up'])

    def batch(self, host, lines):
        run('ip', '-n', self.namespace(host), '-batch', '-', text='\n'.join(lines) + '\n')

    def wire(self, host, interface, other, other_interface):
        """A veth pair between two hosts."""
        pair = f'link add {interface} mtu {self.mtu} type veth peer name {other_interface} ' \
               f'mtu {self.mtu} netns {self.namespace(other)}'
        self.batch(host, [pair, f'link set {interface} addrgenmode none up'])
        self.batch(other, [f'link set {other_interface} addrgenmode none up'])
        for end, name in ((host, interface), (other, other_interface)):
            with Inside(self.namespace(end)):
                offloads_off(name)

    def attach(self, host):
        """Puts a host on the bridge, by its interface lan0."""
        self.add(host)
        self.ports += 1
        port = f'port{self.ports}'
        self.wire(host, 'lan0', 'bridge', port)
        self.batch('bridge', [f'link set {port} master lan'])

    def address(self, host, interface, address):
        self.batch(host, [f'addr add {address}/24 dev {interface}'])

    def inside(self, host, *command):
        return ['ip', 'netns', 'exec', self.namespace(host), *command]

    def counter(self, host, protocol, name):
        """One of the kernel's own counters there, such as Icmp OutDestUnreachs."""
        with Inside(self.namespace(host)):
            rows = [line.split() for line in open('/proc/thread-self/net/snmp', encoding='ascii')]
        names, values = [row for row in rows if row[0] == protocol + ':']
        return int(values[names.index(name)])

    def close(self):
        for host in self.hosts:
            subprocess.run(['ip', 'netns', 'del', self.namespace(host)], capture_output=True)
        self.hosts = []
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None
            shutil.rmtree(self.directory, ignore_errors=True)


def station_name(pid, peer):
    """A station's own name, under which DPDK keeps its telemetry socket."""
    return f'd{pid}-{peer}'


def lock_of(directory):
    """Holds the directory's lock; None: somebody else does."""
    fd = os.open(f'{directory}/lock', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def sweep():
    """Takes away what demos left that were killed: processes, namespaces, directories."""
    try:
        left = os.listdir(RUN_DIRECTORY)
    except FileNotFoundError:
        left = []
    for pid in left:
        directory = f'{RUN_DIRECTORY}/{pid}'
        lock = lock_of(directory) if pid.isdigit() else None
        if lock is None:
            continue
        for name in namespaces(f'{PREFIX}{pid}-'):
            empty(name)
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True)
        for path in [directory, *glob.glob(f'{DPDK_DIRECTORY}/perron-{station_name(pid, "*")}')]:
            shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def namespaces(prefix):
    try:
        return sorted(n for n in os.listdir('/run/netns') if n.startswith(prefix))
    except FileNotFoundError:
        return []


def empty(namespace):
    """Ends what still runs in a dead demo's namespace. A name of ours; nobody else goes there."""
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
