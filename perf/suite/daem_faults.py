"""Stations that are killed while it is measured, and what became of the messages.

The account (perf/latency/latency.h) is a file that all stations map: what a sensor made is known to
the end, also of one whose station was killed. Of messages that never came, so many are

lost         by sequences that the client did not get though later ones came, or that a station
             which lived on had seen: a holder survived
with_sensor  made last by a sensor that died with its station, and seen by no station that lived on
             (a copy that a sibling holds and never takes over would be here as well)
refused      by the origin: too much was unacknowledged; or its station was started again, and
             nobody had asked yet
"""
import random
import struct
import time

from suite import stations
from suite.daem_cases import CLIENT_PEER
from suite.network import Fault

# The account: when it was begun to measure; a row for each stream, of its name and what was made.
HEADER, ROW, ROW_COUNT = struct.Struct('Q'), struct.Struct('32sQ'), 32
# None before every stream was measured.
FIRST_S = 0.4
RESTART_S = 2
# A station boots and joins in less; then it can be killed another time.
BACK_S = 4


class Account:
    def __init__(self, processes, streams):
        rows = [ROW.pack(s['name'].encode(), 0) for s in streams]
        rows += [ROW.pack(b'', 0)] * (ROW_COUNT - len(rows))
        self.path = processes.path('account', 'bin')
        with open(self.path, 'wb') as f:
            f.write(HEADER.pack(0) + b''.join(rows))

    def read(self):
        with open(self.path, 'rb') as f:
            return f.read()

    def from_ns(self):
        """CLOCK_MONOTONIC; 0: it is not measured yet."""
        return HEADER.unpack_from(self.read())[0]

    def made(self):
        """stream -> number of the last message"""
        return {name.rstrip(b'\0').decode(): made
                for name, made in ROW.iter_unpack(self.read()[HEADER.size:]) if made}


def station_name(peer):
    return f'station of peer {peer}'


def peer_of(stream):
    """Of its sensor."""
    return int(stream.rsplit('.', 1)[1])


def victims_of(level):
    """Not the client's own station: with it the client would die."""
    return [p for p in stations.PEERS if stations.level(p) == level and p != CLIENT_PEER]


def is_possible(level, count, restart):
    """Who is dead can be killed again only if it is started again."""
    return restart or count <= len(victims_of(level))


def seconds_least(level, count):
    """So that there is time between two faults of one station."""
    lives = -(-count // len(victims_of(level)))
    return lives * (RESTART_S + BACK_S) if lives > 1 else 0


def plan_of(level, count, seconds, seed):
    """[(seconds since it is measured, what, peer)]: each fault in its part of the time."""
    chance = random.Random(seed)
    victims = chance.sample(victims_of(level), len(victims_of(level)))
    again = count > len(victims)
    return [(max(FIRST_S, seconds * (i + (0.1 if again else chance.uniform(0.1, 0.6))) / count),
             'kill', victims[i % len(victims)]) for i in range(count)]


class Faults:
    """Carries a plan out, as it comes to be looked at."""

    def __init__(self, processes, account, commands, plan, restart):
        self.processes, self.account, self.commands = processes, account, commands
        self.left = list(plan)
        self.restart = restart
        self.done = []
        self.last_made = {}  # stream -> numbers of the last messages, of each of its deaths

    def turn(self, usage):
        from_ns = self.account.from_ns()
        while from_ns and self.left and self.since(from_ns) >= self.left[0][0]:
            planned, what, peer = self.left.pop(0)
            getattr(self, what)(peer, usage)
            at = self.since(from_ns)
            if what == 'kill' and self.restart:
                self.left = sorted(self.left + [(at + RESTART_S, 'start', peer)])
            self.done.append({'what': what, 'peer': peer, 'at_s': round(at, 3),
                              'late_s': round(at - planned, 3)})

    @staticmethod
    def since(from_ns):
        return (time.monotonic_ns() - from_ns) / 1e9

    def kill(self, peer, usage):
        usage.look()
        self.processes.kill(station_name(peer))
        for stream, made in self.account.made().items():
            if peer_of(stream) == peer:
                self.last_made.setdefault(stream, []).append(made)

    def start(self, peer, usage):
        name = station_name(peer)
        process = self.processes.start(name, self.commands[name], apart=True)
        usage.add(process.pid, stations.level(peer))

    def started(self):
        """Names of stations that were started again."""
        return {station_name(event['peer']) for event in self.done if event['what'] == 'start'}

    def check(self, seconds):
        """`seconds`: for so long was measured."""
        late = [event['at_s'] for event in self.done
                if event['what'] == 'kill' and event['at_s'] > seconds]
        if late or any(what == 'kill' for _, what, _ in self.left):
            raise Fault('a fault came when it was not measured any more: the machine is too busy')


def highest(told):
    """(stream, life of its origin) -> the highest sequence that a station saw that lived on."""
    seen = {}
    for stream, sequence in (row for station in told for row in station['seen']):
        key = stream, sequence >> 32
        seen[key] = max(seen.get(key, 0), sequence)
    return seen


def break_split(number, missing, held, last_made):
    """Messages missing after that number: lost, with their sensor, refused."""
    dead = max([last - number for last in last_made if 0 < last - number <= missing], default=0)
    lost = min(held, missing)
    with_sensor = max(dead - lost, 0)
    return lost, with_sensor, missing - lost - with_sensor


def losses(found, told, last_made):
    """Messages of all streams that never came, and why; those that came twice."""
    seen = highest(told)
    sums = {'lost': 0, 'with_sensor': 0, 'refused': 0, 'again': 0, 'silent': 0}
    for s in found['streams']:
        sums['silent'] += not s['samples']
        sums['again'] += s['again']
        sums['lost'] += s['messages_lost']
        sums['refused'] += s['refused']
        for sequence, number, missing in s['breaks'] if s['samples'] else []:
            held = seen.get((s['stream_id'], sequence >> 32), 0) - sequence
            split = break_split(number, missing, max(held, 0) // s['fragments'],
                                last_made.get(s['stream'], []))
            for key, count in zip(('lost', 'with_sensor', 'refused'), split):
                sums[key] += count
    missing = sum(s['sent'] - s['samples'] for s in found['streams'])
    if missing != sums['lost'] + sums['with_sensor'] + sums['refused']:
        raise Fault(f'{missing} messages are missing, which the reasons do not add up to: {sums}')
    return sums
