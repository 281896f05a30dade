#!/usr/bin/env python3
"""What people and strangers do to a station, and what they get: usage: people.py PERROND PERRON

A station with both root peers, one below it with a sensor, one that waits for a root that is not
there, and a host with kernel UDP alone, in network namespaces on one bridge. Clients ask for what
there is not; the host sends frames that no peer would. Each refusal is one line, each frame is
counted by its cause, and nothing else changes. Needs root, else 77.
"""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

STATION, BELOW, WAITING = '10.9.3.1', '10.9.3.2', '10.9.3.3'
NOBODY, HOST = '10.9.3.77', '10.9.3.200'
PORT = 7400
BEAT, DATA, ACK, JOIN, SUBSCRIBE = 1, 2, 4, 22, 28
ALARM, OVERLAY = 0, 3
COPIES = 5  # of each bad frame

DESCRIPTOR = '''
overlay:
  portal: [%(portal)s]
station:
  name: %(name)s
  address: %(address)s/24
  socket: %(directory)s/%(name)s.sock
  idle: backoff
  huge_pages: %(huge)s
port: {driver: af_packet, interface: eth1}
peers: [%(peers)s]
'''


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def frame(payload=b'', good_head=True, good_payload=True, **fields):
    """A sound frame of a peer that nobody knows, but for what `fields` say."""
    h = dict(version=1, type=BEAT, traffic=ALARM, flags=0, overlay=1, source=900, life=1,
             destination=1, destination_life=0, stream=0, length=len(payload), index=0, count=1,
             sequence=0, origin=0, deadline=0, link=0, ack=0, reserved=0)
    assert set(fields) <= set(h)
    h.update(fields)
    head = struct.pack('>BBBBIIIIIIHBBQQIII', h['version'], h['type'], h['traffic'], h['flags'],
                       h['overlay'], h['source'], h['life'], h['destination'],
                       h['destination_life'], h['stream'], h['length'], h['index'], h['count'],
                       h['sequence'], h['origin'], h['deadline'], h['link'], h['ack'])
    checks = [crc32c(head) ^ (not good_head), crc32c(payload) ^ (not good_payload), h['reserved']]
    return head + struct.pack('>III', *checks) + payload


# What is sent, by which class's port, and the cause that it must be counted by.
HOSTILE = [
    ('an empty datagram', b'', ALARM, 'truncated'),
    ('a byte', b'\x01', ALARM, 'truncated'),
    ('71 bytes of a header', frame()[:71], ALARM, 'truncated'),
    ('a payload cut short', frame(b'x' * 100)[:-1], ALARM, 'truncated'),
    ('another version', frame(version=2), ALARM, 'version'),
    ('version 0', bytes(72), ALARM, 'version'),
    ('text', b'\x01' + b'GET / HTTP/1.1\r\n' * 6, ALARM,
     ('header-check', 'destination')),
    ('a damaged header', frame(good_head=False), ALARM, 'header-check'),
    ('a damaged payload', frame(b'x', good_payload=False), ALARM, 'payload-check'),
    ('an unknown type', frame(type=99), ALARM, 'type'),
    ('an unknown class', frame(traffic=4), ALARM, 'class'),
    ('a class by another port', frame(traffic=OVERLAY), ALARM, 'class'),
    ('unknown flags', frame(flags=0x80), ALARM, 'flags'),
    ('a reserved word', frame(reserved=1), ALARM, 'flags'),
    ('more than its length', frame() + b'x', ALARM, 'length'),
    ('a length over the bound', frame(length=1401), ALARM, 'length'),
    ('a fragment beyond its count', frame(index=1), ALARM, 'fragment'),
    ('no fragment at all', frame(count=0), ALARM, 'fragment'),
    ('another overlay', frame(overlay=2), ALARM, 'overlay'),
    ('another peer', frame(destination=77), ALARM, 'destination'),
    ('an earlier life', frame(destination_life=1), ALARM, 'incarnation'),
    ('a stranger', frame(link=1), ALARM, 'stranger'),
    ('a stranger with data', frame(b'x' * 1400, type=DATA, link=1, sequence=1 << 63), ALARM,
     'stranger'),
    ('nobody', frame(source=0), ALARM, 'stranger'),
    ('the peer itself', frame(source=1, link=1), ALARM, 'stranger'),
    ('a neighbour in a life that is over', frame(source=2, link=1), ALARM, 'incarnation'),
    ('a join that does not decode', frame(b'\xff' * 3, type=JOIN, traffic=OVERLAY), OVERLAY,
     ('malformed', 'stranger')),
    ('a subscription that does not decode',
     frame(b'\xff' * 9, type=SUBSCRIBE, traffic=OVERLAY, source=0x80000001), OVERLAY, 'malformed'),
    ('another port', b'x', 9999 - PORT, 'not-ours'),
]


class World:
    def __init__(self, perrond, perron):
        self.perrond, self.perron = perrond, perron
        self.id = 'pp%d' % os.getpid()
        self.directory = tempfile.mkdtemp(prefix='perron-people-')
        self.running, self.namespaces, self.failed = [], [], 0

    def name(self, host):
        return '%s-%s' % (self.id, host)

    def lay(self):
        self.ip('netns', 'add', self.name('sw'))
        self.namespaces.append(self.name('sw'))
        self.ip('-n', self.name('sw'), 'link', 'add', 'br0', 'type', 'bridge')
        self.ip('-n', self.name('sw'), 'link', 'set', 'br0', 'up')
        for host in ('station', 'below', 'waiting', 'host'):
            self.ip('netns', 'add', self.name(host))
            self.namespaces.append(self.name(host))
            self.ip('link', 'add', host, 'netns', self.name('sw'), 'type', 'veth', 'peer',
                    'name', 'eth1', 'netns', self.name(host))
            self.ip('-n', self.name('sw'), 'link', 'set', host, 'master', 'br0', 'up')
            self.ip('-n', self.name(host), 'link', 'set', 'eth1', 'up')
        self.ip('-n', self.name('host'), 'addr', 'add', HOST + '/24', 'dev', 'eth1')

    @staticmethod
    def ip(*arguments):
        subprocess.run(('ip',) + arguments, check=True, stdout=subprocess.DEVNULL)

    def clean(self):
        for process in self.running:
            process.kill()
            process.wait()
        for namespace in reversed(self.namespaces):
            subprocess.run(['ip', 'netns', 'del', namespace], check=False)
        for host in ('station', 'below', 'waiting', 'second'):
            shutil.rmtree('/var/run/dpdk/perron-' + self.name(host), ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def check(self, what, good, shown=''):
        print('%s  %s' % ('ok  ' if good else 'FAIL', what))
        if not good:
            print('      ' + str(shown).replace('\n', '\n      '))
            self.failed += 1

    def descriptor(self, host, address, portal, peers, more='', huge='no'):
        path = '%s/%s.yaml' % (self.directory, host)
        with open(path, 'w', encoding='ascii') as f:
            f.write(DESCRIPTOR % dict(name=self.name(host), directory=self.directory, huge=huge,
                                      address=address, portal=portal, peers=peers) + more)
        return path

    def inside(self, host, *command):
        return ('ip', 'netns', 'exec', self.name(host)) + command

    def start(self, host, path):
        log = open(path + '.log', 'wb')
        self.running.append(subprocess.Popen(
            self.inside(host, self.perrond, '--', '--config', path), stdout=log, stderr=log))
        return self.running[-1]

    def ask(self, what, host='station'):
        socket_path = '%s/%s.sock' % (self.directory, self.name(host))
        reply = subprocess.run([self.perron, what, '--json', '--socket', socket_path],
                               capture_output=True, text=True, check=False, timeout=10)
        return json.loads(reply.stdout) if reply.returncode == 0 else None

    def wait(self, ready, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if ready():
                return True
            time.sleep(0.1)
        return False

    def subscribe(self, *arguments, environment=None):
        return subprocess.run(
            self.inside('host', self.perron, 'subscribe') + arguments, capture_output=True,
            text=True, check=False, timeout=30, env=dict(os.environ, **(environment or {})))

    def refused(self, what, text, *arguments):
        """One line that has the text, no output, status 1."""
        got = self.subscribe(*arguments)
        self.check(what, got.returncode == 1 and not got.stdout and text in got.stderr and
                   len(got.stderr.splitlines()) == 1, got)

    def drops(self):
        sums = {}
        for row in self.ask('drops')['drops']:
            sums[row['cause']] = sums.get(row['cause'], 0) + row['count']
        return sums

    def state(self):
        """All that a frame from outside may not change."""
        links = [[l['neighbour'], l['incarnation'], l['address'], l['role'], l['state'],
                  l['verdicts']] for p in self.ask('peers')['peers'] for l in p['links']]
        peers = [[p[k] for k in ('peer', 'incarnation', 'position', 'state', 'parent', 'joins')]
                 for p in self.ask('peers')['peers']]
        streams = [s.get('sensor') for s in self.ask('streams')['streams']]
        return self.ask('tree')['tree'], peers, links, streams


def clients(w):
    portal = ('--portal', STATION)
    got = w.subscribe('syn', '--class', 'alarm', '--latency-max', '20ms', '--count', '3', *portal)
    w.check('a kernel host follows a sensor', got.returncode == 0 and
            len(got.stdout.splitlines()) == 3, got)
    got = w.subscribe('syn', '--count', '1', environment={'PERRON_PORTAL': STATION})
    w.check('the portal may stand in the environment', got.returncode == 0, got)
    got = w.subscribe('syn')
    w.check('without a portal nothing is asked', got.returncode == 2 and
            '--portal' in got.stderr and len(got.stderr.splitlines()) == 1, got)
    w.refused('an unknown sensor', 'no sensor of that name', 'no-such', *portal)
    w.refused('an impossible latency', 'cannot be kept', 'syn', '--latency-max', '1us', *portal)
    w.refused('an address where nobody is', 'no station answered', 'syn', '--portal', NOBODY)
    w.refused('another overlay', 'overlay id', 'syn', '--overlay', '7', *portal)
    w.refused('a station that has not joined', 'join', 'syn', '--portal', WAITING)
    w.check('that station still waits', w.ask('status', 'waiting')['joined'] == 0)


def hostile(w):
    """Each bad frame, COPIES times: counted as often, by its cause, and by no other."""
    before, sent = w.state(), {}
    for what, data, offset, causes in HOSTILE:
        causes = (causes,) if isinstance(causes, str) else causes
        first = w.drops()
        done = subprocess.run(w.inside('host', sys.executable, __file__, '--send', STATION,
                                       str(PORT + offset), str(COPIES), data.hex()),
                              check=False)
        assert done.returncode == 0

        def grown():
            now = w.drops()
            return {c: now[c] - first.get(c, 0) for c in now
                    if now[c] != first.get(c, 0) and c not in ('no-subscriber', 'unresolved')}
        counted = w.wait(lambda: sum(grown().get(c, 0) for c in causes) >= COPIES, 3)
        got = grown()
        w.check('%s: %s' % (what, ' or '.join(causes)), counted and
                sum(got.values()) == COPIES, got)
        sent[what] = got
    w.check('they changed nothing', w.state() == before, (before, w.state()))
    got = w.subscribe('syn', '--count', '3', '--portal', STATION)
    w.check('streams go on', got.returncode == 0, got)


def errors(got):
    return [line for line in got.stderr.splitlines() if line.startswith('perrond: ')]


def stations(w):
    """A second holder of an id, and a machine without huge pages."""
    second = w.descriptor('second', WAITING, '{peer: 1, address: %s}, {peer: 2, address: %s}' %
                          (STATION, STATION), '{id: 3}')
    got = subprocess.run(w.inside('waiting', w.perrond, '--', '--config', second),
                         capture_output=True, text=True, check=False, timeout=30)
    told = errors(got)
    w.check('a second peer 3 is refused', got.returncode == 3 and len(told) == 1 and
            'peer 3' in told[0], got)
    w.check('and leaves no socket', not os.path.exists(
        '%s/%s.sock' % (w.directory, w.name('second'))))
    w.check('the first one goes on', all(p['joined'] for p in w.ask('peers', 'below')['peers']))
    pages = w.descriptor('second', WAITING, '{peer: 1, address: %s}' % WAITING, '{id: 1}',
                         huge='required')
    without = ('d=/sys/kernel/mm/hugepages; mount -t tmpfs none $d && mkdir $d/hugepages-2048kB &&'
               ' for f in nr free resv surplus; do echo 0 >$d/hugepages-2048kB/${f}_hugepages;'
               ' done; exec "$@"')
    got = subprocess.run(w.inside('waiting', 'unshare', '-m', 'sh', '-c', without, 'sh', w.perrond,
                                  '--', '--config', pages),
                         capture_output=True, text=True, check=False, timeout=30)
    told = errors(got)
    w.check('no huge pages where they are required', got.returncode == 1 and len(told) == 1 and
            'nr_hugepages' in told[0], got)


def work(w):
    w.lay()
    here = '{peer: 1, address: %s}, {peer: 2, address: %s}' % (STATION, STATION)
    path = w.descriptor('station', STATION, here, '{id: 1}, {id: 2}')
    w.start('station', path)
    below = w.descriptor('below', BELOW, here, '{id: 3}',
                         'sensors: [{name: syn, peer: 3, driver: synthetic}]\n')
    w.start('below', below)
    waits = w.descriptor('waiting', WAITING, '{peer: 1, address: %s}' % NOBODY, '{id: 9}')
    waiting = w.start('waiting', waits)
    w.check('the station joins', w.wait(lambda: (w.ask('status') or {}).get('joined') == 2),
            open(path + '.log', encoding='utf-8').read())
    w.check('the one below it joins', w.wait(
        lambda: (w.ask('status', 'below') or {}).get('joined') == 1),
            open(below + '.log', encoding='utf-8').read())
    w.check('the other one waits', w.wait(lambda: w.ask('status', 'waiting')),
            open(waits + '.log', encoding='utf-8').read())
    clients(w)
    waiting.send_signal(signal.SIGTERM)
    w.check('one that never joined ends in order', waiting.wait(20) == 0)
    hostile(w)
    stations(w)


def main():
    if sys.argv[1] == '--send':
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(int(sys.argv[4])):
                s.sendto(bytes.fromhex(sys.argv[5]), (sys.argv[2], int(sys.argv[3])))
        return 0
    if os.geteuid() != 0 or not shutil.which('ip'):
        print('needs root and iproute2')
        return 77
    w = World(sys.argv[1], sys.argv[2])
    try:
        work(w)
    finally:
        w.clean()
    return 1 if w.failed else 0


sys.exit(main())
