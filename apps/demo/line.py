"""The demo's line: which stations there are, what each is told, and what hangs on them.

14 stations of one peer each, in 7 cells of 2 on 3 levels. Peers 1 and 2 are the portal; 8 sensors
hang on the lowest cells, each on both peers of its cell. Pure data: nothing here touches the
machine.
"""
import os

CELLS = ['0', '0.0', '0.1', '0.0.0', '0.0.1', '0.1.0', '0.1.1']
CELL_SIZE = 2
PEERS = range(1, len(CELLS) * CELL_SIZE + 1)
PORTAL = [1, 2]

STATION_NET = '10.77.0'      # the LAN of the stations; a station's host number is its peer's id
CLIENT_ADDRESS = '10.77.0.200'
FIELD_NET = '10.78'          # between the evaluator and each station that hears it
TRACK_PORT = 4001
TRACK_CYCLE_MS = 100
TRACK_SPEEDUP = 30           # a train every few seconds

# A frame is at most 1500 bytes of IP: header 72, payload 1400, UDP 8, IP 20.
MTU = 1500

BEAT_INTERVAL = '100ms'
BEAT_TIMEOUT = '1s'          # 14 stations share what may be two busy cores
LEASE = '2s'                 # what a path or a place holds unless it is renewed
BACKOFF_MAX = '200us'
MEMORY = '64MB'
BUFFERS = 2048


class Sensor:
    """
    One source: `kind` is how the client verifies it; `period_ms` its own longest silence; `keys`:
    of its driver at a peer.
    """

    def __init__(self, name, peers, traffic, kind, period_ms, keys):
        self.name, self.peers, self.traffic, self.kind = name, peers, traffic, kind
        self.period_ms, self.keys = period_ms, keys


def synthetic(name, peers, traffic, kind, rate):
    keys = {'driver': 'synthetic', 'type': kind, 'seed': peers[0], 'clock': 'yes'}
    return Sensor(name, peers, traffic, 'synthetic', 1000 / rate, lambda peer: keys)


def tty_of(directory, peer):
    """The path that leads to the terminal of the receiver at a peer."""
    return f'{directory}/gps{peer}'


def field_of(peer):
    """(station, evaluator): addresses on the field bus of a station."""
    return f'{FIELD_NET}.{peer}.1', f'{FIELD_NET}.{peer}.2'


def sensors(directory):
    """`directory`: where the terminals of the receiver are."""
    return [
        Sensor('gps', (7, 8), 'normal', 'nmea', 1000, lambda peer: {
            'driver': 'serial', 'device': tty_of(directory, peer), 'speed': 4800,
            'decoder': 'nmea'}),
        Sensor('axles', (7, 8), 'alarm', 'track', TRACK_CYCLE_MS, lambda peer: {
            'driver': 'track', 'address': field_of(peer)[0], 'port': TRACK_PORT,
            'from': field_of(peer)[1], 'evaluator': 8}),
        synthetic('help-point', (9, 10), 'alarm', 'small', 38),
        synthetic('events', (9, 10), 'critical', 'medium', 25),
        synthetic('camera-a', (11, 12), 'normal', 'large', 24),
        synthetic('intercom', (11, 12), 'critical', 'small', 38),
        synthetic('station-mix', (13, 14), 'normal', 'mixed', 87),
        synthetic('camera-b', (13, 14), 'critical', 'large', 24),
    ]


def cell_of(peer):
    return CELLS[(peer - 1) // CELL_SIZE]


def address_of(peer):
    return f'{STATION_NET}.{peer}'


def cores_of(peer):
    """(housekeeping, worker): stations are dealt out over the cores that this process may use."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[peer % len(cores)], cores[(peer + 1) % len(cores)]


def descriptor(peer, name, socket, port, huge, own_sensors):
    """A station's descriptor, as perron.yaml(5) has it."""
    housekeeping, worker = cores_of(peer)
    lines = ['overlay:', '  portal:']
    lines += [f'  - {{peer: {p}, address: {address_of(p)}}}' for p in PORTAL]
    lines += [f'  depth: {max(c.count(".") for c in CELLS) + 1}', '  span: 2',
              f'  cell_size: {CELL_SIZE}', f'  beat_interval: {BEAT_INTERVAL}',
              f'  beat_timeout: {BEAT_TIMEOUT}', f'  lease: {LEASE}']
    lines += ['station:', f'  name: {name}', f'  address: {address_of(peer)}/24',
              '  idle: backoff', f'  backoff_max: {BACKOFF_MAX}',
              f'  housekeeping_core: {housekeeping}', f'  lcores: {worker}',
              f'  memory: {MEMORY}', f'  huge_pages: {"auto" if huge else "no"}',
              f'  socket: {socket}']
    lines += ['port:', f'  driver: {port}', '  interface: lan0']
    lines += ['limits:', f'  buffers: {BUFFERS}', '  links: 32', '  streams: 32', '  clients: 8',
              '  sensors: 64']
    lines += ['peers:', f'- id: {peer}', f'  cell: {cell_of(peer)}']
    if own_sensors:
        lines.append('sensors:')
    for sensor in own_sensors:
        lines += [f'- name: {sensor.name}', f'  peer: {peer}', f'  class: {sensor.traffic}']
        lines += [f'  {key}: {value}' for key, value in sensor.keys(peer).items()]
    return '\n'.join(lines) + '\n'
