"""What the person at the demo sees: lines with the time, the tree, the table."""
import sys
import time

COLUMNS = ['sensor', 'peer', 'class', 'by way of', 'messages', '/s', 'KB/s', 'p50 us', 'p99 us',
           'max us', 'lost', '']


class Screen:
    def __init__(self, clock_s, out=sys.stdout):
        self.clock_s, self.out = clock_s, out
        self.live = out.isatty()
        self.height = 0  # lines of the table that stand there to be drawn over
        self.told_s = 0.0

    def say(self, text):
        self.clear()
        now = self.clock_s()
        print(f'[{int(now // 60):2d}:{now % 60:05.2f}] {text}', file=self.out, flush=True)

    def plain(self, text):
        self.clear()
        print(text, file=self.out, flush=True)

    def clear(self):
        if self.height:
            self.out.write(f'\033[{self.height}A\033[J')
            self.height = 0

    def table(self, rows, summary):
        """Drawn over on a terminal; elsewhere one line a second."""
        if not self.live:
            if time.monotonic() - self.told_s >= 1:
                self.told_s = time.monotonic()
                self.say(summary)
            return
        self.clear()
        lines = table_lines(rows) + [summary]
        self.out.write('\n'.join(lines) + '\n')
        self.out.flush()
        self.height = len(lines)


def table_lines(rows):
    cells = [COLUMNS] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    left = {0, 2, 3, 11}
    return ['  ' + '  '.join(cell.ljust(widths[i]) if i in left else cell.rjust(widths[i])
                             for i, cell in enumerate(row)).rstrip() for row in cells]


def tree_lines(members, notes):
    """members: position -> (peer, parent, coordinator); notes: peer -> text."""
    cells = {}
    for position, member in members.items():
        cell, place = position.split('#')
        cells.setdefault(cell, []).append((int(place), *member))
    lines = []

    def draw(cell, indent, branch):
        lines.append(indent + branch + cell + ('  (root cell, portal)' if cell == '0' else ''))
        inner = indent + {'': '', '├─ ': '│  ', '└─ ': '   '}[branch]
        below = sorted(c for c in cells if c.rpartition('.')[0] == cell)
        for place, peer, parent, coordinator in sorted(cells.get(cell, [])):
            text = f'#{place} peer {peer}'
            text += f', parent {parent}' if parent else ''
            text += ', coordinator' if coordinator else ''
            text += f'  {notes[peer]}' if peer in notes else ''
            lines.append(inner + ('│    ' if below else '     ') + text)
        for child in below:
            draw(child, inner, '└─ ' if child == below[-1] else '├─ ')

    roots = sorted(c for c in cells if not c.rpartition('.')[0] in cells)
    for root in roots:
        draw(root, '', '')
    return lines
