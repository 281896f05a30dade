"""What processes use, as the kernel tells: looked at while they run. Who ends keeps its last."""
import bisect
import os
import time

OTHERS = 'others'
TICKS = os.sysconf('SC_CLK_TCK')


def cpu_seconds(pid):
    """User and system time; None: it is gone."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
            words = f.read().rsplit(')', 1)[1].split()
    except (OSError, IndexError):
        return None
    return (int(words[11]) + int(words[12])) / TICKS


def machine_seconds():
    """All that the machine's cores worked until now."""
    with open('/proc/stat', encoding='utf-8') as f:
        words = f.readline().split()
    # user, nice, system, and after idle and iowait: irq, softirq, steal.
    return sum(int(words[i]) for i in (1, 2, 3, 6, 7, 8)) / TICKS


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
    """Of processes in groups: of a group, or of all (None)."""

    def __init__(self):
        self.group = {}
        self.cpu = {}
        self.peak = {}
        self.times_ns = []
        self.looks = []  # group -> CPU seconds until then

    def add(self, pid, group):
        self.group[pid] = group
        self.cpu[pid] = 0.0
        self.peak[pid] = 0

    def look(self):
        sums = dict.fromkeys(self.group.values(), 0.0)
        for pid, group in self.group.items():
            self.cpu[pid] = cpu_seconds(pid) or self.cpu[pid]
            self.peak[pid] = max(self.peak[pid], peak_size(pid) or 0)
            sums[group] += self.cpu[pid]
        # By CLOCK_MONOTONIC, as stations tell their times.
        self.times_ns.append(time.monotonic_ns())
        all_s = sum(sums.values())
        self.looks.append({**sums, None: all_s, OTHERS: machine_seconds() - all_s})

    def at(self, time_ns, group):
        """CPU seconds until then, between two looks in proportion."""
        after = bisect.bisect_left(self.times_ns, time_ns)
        if after in (0, len(self.times_ns)):
            return self.looks[max(after - 1, 0)].get(group, 0.0)
        before_ns, after_ns = self.times_ns[after - 1:after + 1]
        before, there = (look.get(group, 0.0) for look in self.looks[after - 1:after + 1])
        return before + (there - before) * (time_ns - before_ns) / (after_ns - before_ns)

    def share(self, from_ns, to_ns, group=None):
        """CPU time of the time from then to then; above 1 with several cores."""
        spent = self.at(to_ns, group) - self.at(from_ns, group)
        return spent * 1e9 / (to_ns - from_ns)

    def others_share(self, from_ns, to_ns):
        """What the machine did in that time beside these processes; as `share`."""
        return self.share(from_ns, to_ns, OTHERS)

    def peak_size(self, group=None):
        return sum(size for pid, size in self.peak.items() if group in (None, self.group[pid]))
