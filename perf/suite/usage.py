"""What processes use, as the kernel tells: looked at while they run."""
import bisect
import os
import time

TICKS = os.sysconf('SC_CLK_TCK')


def cpu_seconds(pid):
    """User and system time; None: it is gone."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
            words = f.read().rsplit(')', 1)[1].split()
    except (OSError, IndexError):
        return None
    return (int(words[11]) + int(words[12])) / TICKS


def peak_size(pid):
    """Bytes; None: it is gone, or about to be."""
    try:
        with open(f'/proc/{pid}/status', encoding='utf-8') as f:
            for line in f:
                if line.startswith('VmHWM:'):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class Usage:
    def __init__(self, pids):
        self.cpu = dict.fromkeys(pids, 0.0)
        self.peak = dict.fromkeys(pids, 0)
        self.times_ns = []
        self.sums = []

    def look(self):
        for pid in self.cpu:
            self.cpu[pid] = cpu_seconds(pid) or self.cpu[pid]
            self.peak[pid] = max(self.peak[pid], peak_size(pid) or 0)
        # By CLOCK_MONOTONIC, as stations tell their times.
        self.times_ns.append(time.monotonic_ns())
        self.sums.append(sum(self.cpu.values()))

    def at(self, time_ns):
        """CPU seconds of all until then, between two looks in proportion."""
        after = bisect.bisect_left(self.times_ns, time_ns)
        if after in (0, len(self.times_ns)):
            return self.sums[max(after - 1, 0)]
        before_ns, after_ns = self.times_ns[after - 1:after + 1]
        before, there = self.sums[after - 1:after + 1]
        return before + (there - before) * (time_ns - before_ns) / (after_ns - before_ns)

    def share(self, from_ns, to_ns):
        """CPU time of all, of the time from then to then; above 1 with several cores."""
        return (self.at(to_ns) - self.at(from_ns)) * 1e9 / (to_ns - from_ns)

    def peak_size(self):
        return sum(self.peak.values())
