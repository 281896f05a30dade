#!/usr/bin/env python3
"""Has tshark read the golden frames through docs/perron.lua and compares every field.

The frames are made here once more, by a codec that shares nothing with the one in C: header, bytes
and dissector must agree. Exit status 77: tshark is not installed, or has no Lua.
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LUA = os.path.join(TOP, 'docs/perron.lua')
GOLDEN = os.path.join(TOP, 'test/unit/runtime/base/frame_golden.h')
GROUP_GOLDEN = os.path.join(TOP, 'test/unit/ft/group_golden.h')
CODEC = os.path.join(TOP, 'runtime/base/frame.h')

FIELDS = ['type', 'class', 'flags', 'overlay', 'source', 'source_incarnation', 'destination',
          'destination_incarnation', 'stream', 'length', 'fragment_index', 'fragment_count',
          'sequence', 'origin_ns', 'deadline_us', 'link_sequence', 'link_ack']
CHECKS = ['header_check.good', 'payload_check.good']
TRACE = ['peer', 'received_ns', 'step_ns', 'transmitted_ns']
GROUP_HEAD = ['kind', 'flags', 'members', 'index', 'cell', 'view', 'leader', 'leader_incarnation']
GROUP = GROUP_HEAD + ['life', 'number', 'slot', 'count', 'peer', 'incarnation', 'mask', 'first',
                      'sequence', 'clock', 'received', 'past', 'stable', 'missing', 'size',
                      'service', 'item', 'piece', 'pieces', 'light']
GROUP_KINDS = ['hello', 'leave', 'state', 'refuse', 'commit', 'ready', 'data', 'status', 'nack']
HEADER_SIZE, TRACE_SIZE, TRACE_RECORD_SIZE = 72, 204, 20


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def goldens():
    """[(name, {field: value}, bytes)]"""
    found = []
    table = read(GOLDEN).split('goldens[] = {', 1)[1]
    for part in re.findall(r'\.name = "(.*?)",\s*\.header = \{(.*?)\},\s*\.hex = (.*?),\n', table,
                           re.S):
        header = dict.fromkeys(FIELDS, 0)
        for field, value in re.findall(r'\.(\w+) = (?:UINT64_C\()?(\w+)', part[1]):
            header[field] = int(value, 0)
        found.append((part[0], header, bytes.fromhex(''.join(re.findall(r'"(\w+)"', part[2])))))
    return found


def encoded(h, payload):
    start = struct.pack('>4B7I', 1, h['type'], h['class'], h['flags'], h['overlay'], h['source'],
                        h['source_incarnation'], h['destination'], h['destination_incarnation'],
                        h['stream'], 0)[:28]
    start += struct.pack('>HBBQQIII', h['length'], h['fragment_index'], h['fragment_count'],
                         h['sequence'], h['origin_ns'], h['deadline_us'], h['link_sequence'],
                         h['link_ack'])
    checked = payload[TRACE_SIZE if h['flags'] & 1 else 0:]
    return start + struct.pack('>III', crc32c(start), crc32c(checked), 0) + payload


def pcap_of(frames):
    """Raw IPv4; frames: [(UDP port, bytes)]"""
    out = struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)
    for number, (port, data) in enumerate(frames):
        udp = struct.pack('>HHHH', port, port, 8 + len(data), 0) + data
        ip = struct.pack('>BBHHHBBHII', 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0,
                         0x0a000001, 0x0a000002)
        out += struct.pack('<IIII', number, 0, len(ip + udp), len(ip + udp)) + ip + udp
    return out


def tshark(frames, fields, *options):
    """A list a frame, of a list a field, of its values"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'frames.pcap')
        with open(path, 'wb') as f:
            f.write(pcap_of(frames))
        command = ['tshark', '-n', '-X', 'lua_script:' + LUA, '-r', path, '-T', 'fields',
                   '-E', 'separator=|', '-E', 'aggregator=,', *options]
        for field in fields:
            command += ['-e', field]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or 'rror' in done.stderr:
        sys.exit(f'tshark: status {done.returncode}: {done.stderr}')
    return [[cell.split(',') if cell else [] for cell in line.split('|')]
            for line in done.stdout.splitlines()]


def number(text):
    return {'True': 1, 'False': 0}.get(text) if text in ('True', 'False') else int(text, 0)


def differs(what, got, expected):
    return [] if got == expected else [f'{what}: {got}, expected {expected}']


def trace_of(data):
    count = data[HEADER_SIZE]
    return [struct.unpack_from('>IQII', data, HEADER_SIZE + 4 + i * TRACE_RECORD_SIZE)
            for i in range(count)]


def golden_faults(table):
    names = ['perron.' + f for f in FIELDS + CHECKS] + ['perron.trace.' + f for f in TRACE]
    rows = tshark([(7400 + h['class'], data) for _, h, data in table], names)
    faults = differs('frames', len(rows), len(table))
    for (name, header, data), row in zip(table, rows):
        faults += differs(f'{name}: bytes', data.hex(), encoded(header, data[HEADER_SIZE:]).hex())
        values = [[number(v) for v in cell] for cell in row]
        for field, value in zip(FIELDS, values):
            faults += differs(f'{name}: {field}', value, [header[field]])
        faults += differs(f'{name}: checks', values[len(FIELDS):len(FIELDS) + 2], [[1], [1]])
        hops = trace_of(data) if header['flags'] & 1 else []
        faults += differs(f'{name}: trace', list(zip(*values[len(FIELDS) + 2:])), hops)
    return faults


class Body:
    """What stands behind a group's head, taken off from its front into a list a field"""
    def __init__(self, data):
        self.data, self.values = data, {field: [] for field in GROUP}

    def take(self, layout, *fields):
        """Items of `layout` (struct's letters), one a field; returns the last"""
        layout = '>' + layout
        values = struct.unpack_from(layout, self.data)
        self.data = self.data[struct.calcsize(layout):]
        for field, value in zip(fields, values):
            self.values[field].append(value)
        return values[-1]

    def rows(self, count, *fields):
        for field in fields:
            for _ in range(count):
                self.take('I', field)


def group_values(data):
    """{field: values} of a group's frame, by a reader that shares nothing with the others"""
    b = Body(data)
    b.take('4BQ3I', *GROUP_HEAD)
    kind, members = b.values['kind'][0], b.values['members'][0]
    name = GROUP_KINDS[kind - 1]
    if name == 'hello':
        b.rows(b.take('IIBB', 'life', 'number', 'slot', 'count'), 'peer')
    elif name == 'state':
        for _ in range(b.take('B', 'count')):
            b.take('IIIB', 'peer', 'incarnation', 'life', 'slot')
        b.take('I', 'mask')
        count = b.take('3IB', 'view', 'leader', 'leader_incarnation', 'count')
        b.rows(count, 'received', 'clock', 'stable')
    elif name == 'refuse':
        b.take('I', 'number')
    elif name == 'commit':
        b.take('II', 'first', 'mask')
    elif name == 'status':
        b.take('II', 'clock', 'sequence')
        b.rows(members, 'received')
    elif name == 'nack':
        b.take('II', 'first', 'missing')
    elif name == 'data':
        b.take('II', 'sequence', 'clock')
        b.rows(members, 'received', 'past')
        while b.data:
            b.take('H4B2xI', 'size', 'service', 'item', 'piece', 'pieces', 'light')
            b.data = b.data[b.values['size'][-1]:]
    return b.values, len(b.data)


def group_goldens():
    """[(name, bytes)]"""
    table = read(GROUP_GOLDEN).split('group_goldens[] = {', 1)[1]
    return [(name, bytes.fromhex(''.join(re.findall(r'"(\w+)"', digits))))
            for name, digits in re.findall(r'\.name = "(.*?)",\s*\.hex = (.*?),\n', table, re.S)]


def group_faults():
    header = dict.fromkeys(FIELDS, 1)
    header.update({'type': 5, 'class': 3, 'flags': 0, 'fragment_index': 0})
    table = group_goldens()
    frames = [(7403, encoded({**header, 'length': len(d)}, d)) for _, d in table]
    cut = table[0][1][:-1]
    frames.append((7403, encoded({**header, 'length': len(cut)}, cut)))
    rows = tshark(frames, ['perron.group.' + f for f in GROUP] + ['_ws.expert.message'])
    faults = differs('kinds of group frames', {d[0] for _, d in table},
                     set(range(1, len(GROUP_KINDS) + 1)))
    for (name, data), row in zip(table, rows):
        values, left = group_values(data)
        faults += differs(f'{name}: bytes left over', left, 0)
        for field, cell in zip(GROUP, row):
            faults += differs(f'{name}: {field}', [number(v) for v in cell], values[field])
        faults += differs(f'{name}: expert', row[-1], [])
    return faults + differs('a cut group frame', rows[-1][-1], ['Shorter than it says'])


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def unsound_faults(data):
    """Bad checks and cut frames are shown as such, and other ports are recognized."""
    names = ['perron.' + c for c in CHECKS] + ['_ws.expert.message']
    rows = tshark([(7401, flipped(data, 8 * 20)), (7401, flipped(data, 8 * 100)), (7401, data[:90]),
                   (7401, data[:40]), (9000, data), (9000, flipped(data, 8 * 20))], names)
    good = [[number(v) for v in row[0] + row[1]] for row in rows]
    faults = differs('checks of unsound frames', good, [[0, 1], [1, 0], [1], [], [1, 1], []])
    faults += differs('a cut frame', rows[2][2], ['Shorter than it says'])
    rows = tshark([(9001, flipped(data, 8 * 20))], names, '-o', 'perron.port_base:9000')
    return faults + differs('another port_base', number(rows[0][0][0]), 0)


def name_faults():
    """The dissector's tables are those of frame.h."""
    faults = []
    lua, codec = read(LUA), read(CODEC)
    types = re.findall(r'X\(\w+, (\d+), "([\w-]+)"\)', codec)
    table = re.search(r'local types = \{(.*?)\}', lua, re.S).group(1)
    faults += differs('types', re.findall(r'\[(\d+)\] = "([\w-]+)"', table), types)
    classes = re.search(r'#define PERRON_CLASSES\(X\)(.*?)\nenum', codec, re.S).group(1)
    table = re.search(r'local classes = \{(.*?)\}', lua).group(1)
    return faults + differs('classes', re.findall(r'"(\w+)"', table),
                            re.findall(r'"(\w+)"', classes))


def main():
    if not shutil.which('tshark'):
        return 77
    version = subprocess.run(['tshark', '--version'], capture_output=True, text=True, check=False)
    if not re.search(r'with Lua', version.stdout):
        return 77
    table = goldens()
    if len(table) < 24:
        sys.exit(f'{GOLDEN}: only {len(table)} frames found')
    long = next(data for _, _, data in table if len(data) > 400)
    faults = name_faults() + golden_faults(table) + group_faults() + unsound_faults(long)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
