#!/usr/bin/env python3
"""The demo's own arithmetic and its descriptors; no network. usage: demo_test.py TOP PERRON"""
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
TOP, PERRON = sys.argv[1:3]
sys.path.insert(0, f'{TOP}/apps/demo')

import line
import screen
import tally


class FakeStation:
    """Answers with the rows that it was given."""

    def __init__(self, sequence, driver=None):
        self.told = {'streams': [{'sensor': 'help-point', 'class': 'alarm', 'role': 'origin',
                                  'sequence': sequence},
                                 {'sensor': 'help-point', 'class': 'alarm', 'role': 'relay',
                                  'sequence': 9 ** 9},
                                 {'sensor': 'help-point', 'class': 'normal', 'role': 'origin',
                                  'sequence': 9 ** 9}],
                     'sensors': [{'sensor': 'help-point', **(driver or {})}]}

    def rows_surely(self, command):
        return self.told[command]


def seen(first, last, frames, missing=0):
    return {'first': first, 'last': last, 'frames': frames, 'messages': frames,
            'duplicates_delivered': 0, 'corrupted': 0, 'counters_missing': missing,
            'latency_us': {'p50': 1, 'p99': 2, 'p999': 3, 'max': 4}}


def account():
    return tally.Account(next(s for s in line.sensors('/tty') if s.name == 'help-point'))


class Accounts(unittest.TestCase):
    def test_all_that_the_origin_gave_out_and_the_client_saw(self):
        a = account()
        a.look(FakeStation(1099))
        closed = a.close(seen(1000, 1099, 100))
        self.assertEqual((closed['sent'], closed['delivered'], closed['lost']), (100, 100, 0))
        self.assertEqual(a.faults(closed, 1099), [])

    def test_a_frame_that_did_not_come_is_lost(self):
        a = account()
        a.look(FakeStation(1099))
        self.assertEqual(a.close(seen(1000, 1099, 97))['lost'], 3)

    def test_the_tail_that_did_not_come_is_lost(self):
        a = account()
        a.look(FakeStation(1099))
        self.assertFalse(a.drained(seen(1000, 1089, 90)))
        self.assertEqual(a.close(seen(1000, 1089, 90))['lost'], 10)

    def test_what_came_after_the_origin_was_asked_is_sent_too(self):
        a = account()
        a.look(FakeStation(1099))
        closed = a.close(seen(1000, 1101, 102))
        self.assertEqual((closed['sent'], closed['lost']), (102, 0))
        self.assertEqual(a.faults(closed, 1105), [])

    def test_a_frame_that_its_origin_never_gave_out_is_a_fault(self):
        a = account()
        a.look(FakeStation(1099))
        closed = a.close(seen(1000, 1101, 102))
        self.assertEqual(len(a.faults(closed, 1100)), 1)

    def test_a_source_whose_messages_vanish_before_the_origin_is_a_fault(self):
        a = account()
        a.look(FakeStation(1099))
        closed = a.close(seen(1000, 1099, 100, missing=2))
        self.assertEqual(len(a.faults(closed, 1099)), 1)

    def test_what_the_driver_counted_as_refused_is_none(self):
        a = account()
        a.look(FakeStation(1099, {'would_block': 1, 'missed': 1}))
        closed = a.close(seen(1000, 1099, 100, missing=2))
        self.assertEqual(a.faults(closed, 1099), [])

    def test_a_stream_that_never_began_has_sent_nothing(self):
        self.assertEqual(account().close(seen(0, 0, 0))['sent'], 0)

    def test_drops_are_summed_by_cause(self):
        into = {}
        tally.drops_add(into, [{'cause': 'early', 'count': 2}, {'cause': 'early', 'count': 3}])
        self.assertEqual(into, {'early': 5})


class Line(unittest.TestCase):
    def test_eight_sensors_on_the_lowest_cells(self):
        sensors = line.sensors('/tty')
        self.assertEqual(len({s.name for s in sensors}), 8)
        self.assertEqual({p for s in sensors for p in s.peers}, set(range(7, 15)))
        self.assertEqual({line.cell_of(p).count('.') for s in sensors for p in s.peers}, {2})
        for sensor in sensors:
            self.assertEqual(len({line.cell_of(p) for p in sensor.peers}), 1)
        self.assertEqual({s.traffic for s in sensors}, {'alarm', 'critical', 'normal'})

    def test_perron_takes_every_descriptor(self):
        with tempfile.TemporaryDirectory() as directory:
            for port in ('af_packet', 'af_xdp'):
                for peer in line.PEERS:
                    path = f'{directory}/{peer}.yaml'
                    own = [s for s in line.sensors('/dev') if peer in s.peers]
                    with open(path, 'w', encoding='utf-8') as f:
                        f.write(line.descriptor(peer, f'd1-{peer}', '/run/x.sock', port, True,
                                                own))
                    done = subprocess.run([PERRON, 'config', 'check', path], text=True,
                                          capture_output=True)
                    self.assertEqual(done.returncode, 0, done.stderr)


class Screen(unittest.TestCase):
    def test_the_tree_has_each_peer_under_its_cell(self):
        text = screen.tree_lines({'0#1': (1, None, True), '0.0#1': (3, 1, True),
                                  '0.0.1#2': (9, 3, False)}, {9: 'help-point'})
        self.assertEqual([t.strip('│├└─ ') for t in text], [
            '0  (root cell, portal)', '#1 peer 1, coordinator', '0.0',
            '#1 peer 3, parent 1, coordinator', '0.0.1', '#2 peer 9, parent 3  help-point'])


class Options(unittest.TestCase):
    def refused(self, *arguments):
        done = subprocess.run([f'{TOP}/apps/demo/demo', *arguments], text=True,
                              capture_output=True)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_bad_input_gets_one_line(self):
        self.refused('--kill', '15')
        self.refused('--kill', 'all')
        self.refused('--seconds', '0')
        self.refused('--seconds')
        self.refused('--port', 'memif')
        self.refused('--report', '/nonexistent/r.json')
        self.refused('--report', os.path.dirname(TOP))
        self.refused('--unknown')
        self.refused('more')

    def test_help_is_there_for_everybody(self):
        done = subprocess.run([f'{TOP}/apps/demo/demo', '--help'], text=True,
                              capture_output=True, check=True)
        self.assertTrue(done.stdout.startswith('usage: ./run demo'))


unittest.main(argv=sys.argv[:1])
