"""The lines of a perron-gap as they come: when which number was delivered, by which way."""
import bisect
import time

from suite.network import Fault
from suite.tools import program


class Deliveries:
    """What a client has had delivered; times are nanoseconds of CLOCK_MONOTONIC."""

    def __init__(self, processes, name, inside, priority, *words):
        self.processes, self.name = processes, name
        processes.start(name, [*inside, program('perf/perron-gap'), '--priority', str(priority),
                               *map(str, words)], apart=True)
        self.file = open(processes.path(name, 'out'), encoding='utf-8')
        self.text = ''
        self.at_ns, self.numbers, self.made_ns = [], [], []
        self.seen, self.twice_ns = set(), []
        self.path, self.state = [], None

    def close(self):
        self.file.close()

    def read(self):
        """Takes what came since the last call."""
        self.text += self.file.read()
        *lines, self.text = self.text.split('\n')
        for line in lines:
            kind, *words = line.split()
            if kind == 's':
                self.state = [int(word) for word in words]
            elif kind == 'd':
                self.take(*[int(word) for word in words])

    def take(self, at_ns, number, made_ns, *peers):
        if number in self.seen:
            self.twice_ns.append(at_ns)
        self.seen.add(number)
        self.at_ns.append(at_ns)
        self.numbers.append(number)
        self.made_ns.append(made_ns)
        self.path = list(peers)

    def announced(self):
        """Frames of which Perron has said that they will not come, as the client last told."""
        return self.state[3] if self.state else 0

    def alive(self):
        for name, process in self.processes.running:
            if name == self.name and process.poll() is not None:
                said = self.processes.words(name).strip().splitlines() or ['no word']
                raise Fault(f'{name} has ended: {said[-1]}')

    def made_since(self, since_ns):
        """When the first that was made after that was delivered; None: not yet."""
        for i in range(bisect.bisect_right(self.at_ns, since_ns), len(self.at_ns)):
            if self.made_ns[i] > since_ns:
                return self.at_ns[i]
        return None

    def wait_flow(self, since_ns, seconds):
        """Until something made after since_ns is delivered: when that was."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.alive()
            self.read()
            found = self.made_since(since_ns)
            if found:
                return found
            time.sleep(0.02)
        raise Fault(f'{self.name}: nothing is delivered for {seconds} s')

    def span(self, from_ns, to_ns):
        return bisect.bisect_right(self.at_ns, from_ns), bisect.bisect_right(self.at_ns, to_ns)

    def silence(self, begins, ends):
        """The longest that began and ended in these times, (from, to): its length, and its end."""
        first, last = self.span(*ends)
        found = [(self.at_ns[i] - self.at_ns[i - 1], self.at_ns[i])
                 for i in range(max(first, 1), last) if begins[0] < self.at_ns[i - 1] <= begins[1]]
        if not found:
            raise Fault(f'{self.name}: nothing was delivered in {(ends[1] - ends[0]) / 1e6:.0f} ms')
        return max(found)

    def silence_ms(self, from_ns, to_ns):
        """The longest that ended in that time."""
        return self.silence((0, to_ns), (from_ns, to_ns))[0] / 1e6

    def silences(self, from_ns, to_ns, least_ns):
        """Those of that time that were as long: when each began, since from_ns, and its length."""
        first, end = self.span(from_ns, to_ns)
        return [((self.at_ns[i - 1] - from_ns) / 1e6, (self.at_ns[i] - self.at_ns[i - 1]) / 1e6)
                for i in range(max(first, 1), end)
                if self.at_ns[i] - self.at_ns[i - 1] >= least_ns]

    def account(self, from_ns, to_ns):
        """How many numbers of that time were not delivered, and how many more than once."""
        first, end = self.span(from_ns, to_ns)
        if first == 0 or first == end:
            return {'sent': 0, 'lost': 0, 'duplicates': 0}
        before, last = self.numbers[first - 1], max(self.numbers[first:end])
        lost = sum(number not in self.seen for number in range(before + 1, last + 1))
        return {'sent': last - before, 'lost': lost,
                'duplicates': sum(from_ns < at <= to_ns for at in self.twice_ns)}
