"""What was sent, delivered and lost, in frames; docs/demo.md defines each figure.

Two witnesses that know nothing of each other: the origin stations' counters and the sequences that
the client saw. Beside them the sources' own numbers, which every synthetic message carries.
"""
import os
import platform


# A sequence's upper half is its origin's life.
LIFE_BITS = 32


class Account:
    """One stream's."""

    def __init__(self, sensor):
        self.sensor = sensor
        self.origin_last = 0      # highest sequence that the origin gave out, when last asked
        self.origin_is_gone = False
        self.driver_messages = None
        self.driver = {}

    def look(self, station):
        """
        Asks a station of the sensor's. The driver first: what it counts is offered afterwards.
        The one that publishes it gives its last sequence.
        """
        driver = [row for row in station.rows_surely('sensors')
                  if row['sensor'] == self.sensor.name]
        last = [row['sequence'] for row in station.rows_surely('streams')
                if row['role'] == 'origin' and row['class'] == self.sensor.traffic and
                row['sensor'] == self.sensor.name]
        self.origin_last = max([self.origin_last, *last])
        if last and driver:
            self.driver = driver[0]

    def close(self, seen):
        """`seen`: the client's last word on the stream."""
        first, last, missing = seen['first'], seen['last'], seen['counters_missing']
        end = max(self.origin_last, last)
        sent = end - first + 1 if first else 0
        if first >> LIFE_BITS != end >> LIFE_BITS:
            sent = seen['frames'] + missing  # its numbers began anew: the source's own are left
        return {
            'sensor': self.sensor.name, 'peers': list(self.sensor.peers),
            'class': self.sensor.traffic,
            'sent': sent, 'delivered': seen['frames'],
            'lost': max(sent - seen['frames'], missing - self.refused()),
            'messages': seen['messages'],
            'duplicates_delivered': seen['duplicates_delivered'],
            'corrupted': seen['corrupted'],
            'source_numbers_missing': missing,
            'refused_by_origin': self.driver.get('would_block', 0),
            'missed_by_driver': self.driver.get('missed', 0),
            'latency_us': {k: seen['latency_us'][k] for k in ('p50', 'p99', 'p999', 'max')},
            'origin_sequence': self.origin_last, 'client_sequence': last,
            'origin_is_gone': self.origin_is_gone,
        }

    def refused(self):
        """Messages that never became frames: no room for them, or the driver was late."""
        return self.driver.get('would_block', 0) + self.driver.get('missed', 0)

    def drained(self, seen):
        return seen['last'] >= self.origin_last

    def faults(self, closed, look_again):
        """What cannot be, if both witnesses are right. `look_again`: the origin's last sequence,
        asked after the client's last word."""
        found = []
        if closed['client_sequence'] > look_again and not self.origin_is_gone:
            found.append(f'{self.sensor.name}: the client saw sequence '
                         f'{closed["client_sequence"]}, its origin gave out {look_again}')
        if closed['sent'] == closed['delivered'] and \
                closed['source_numbers_missing'] > self.refused():
            found.append(f'{self.sensor.name}: no frame is missing, but '
                         f'{closed["source_numbers_missing"]} messages of the source are')
        return found


def drops_add(into, rows):
    for row in rows:
        into[row['cause']] = into.get(row['cause'], 0) + row['count']


def machine(port, huge):
    cpu = 'unknown'
    with open('/proc/cpuinfo', encoding='ascii', errors='replace') as f:
        for line in f:
            if line.startswith('model name'):
                cpu = line.split(':', 1)[1].strip()
                break
    with open('/proc/meminfo', encoding='ascii') as f:
        memory_kb = int(f.readline().split()[1])
    return {'cpu': cpu, 'cores': len(os.sched_getaffinity(0)), 'memory_mb': memory_kb // 1024,
            'kernel': platform.release(), 'port': port, 'huge_pages': huge,
            'load': os.getloadavg()[0]}
