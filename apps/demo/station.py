"""The demo's processes, and what stations say on their command sockets."""
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import lan

PR_SET_PDEATHSIG = 1
# A station that boots listens already, and does not answer yet.
ANSWER_S, FIRST_ANSWER_S = 0.5, 0.03
TRIES = 6  # of what must be known, from a station that a busy machine may hold up
NICE = -10
libc = ctypes.CDLL(None)


def die_with_parent():
    """A demo that is killed takes its processes along; Ctrl-C is the demo's alone."""
    os.setsid()
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.nice(NICE)  # as on an appliance: what else the machine does comes after its stations
    except PermissionError:
        pass


class Process:
    def __init__(self, name, command, log, **streams):
        self.name, self.log = name, log
        with open(log, 'wb') as out:
            streams.setdefault('stdin', subprocess.DEVNULL)
            streams.setdefault('stdout', out)
            self.process = subprocess.Popen(command, stderr=out, preexec_fn=die_with_parent,
                                            **streams)

    def alive(self):
        return self.process.poll() is None

    def last_words(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            lines = [line.strip() for line in f if line.strip()]
        return lines[-1] if lines else 'it said nothing'

    def kill(self):
        self.process.kill()
        self.process.wait()


def end(processes, patience_s):
    """SIGTERM to all, and SIGKILL to those who do not mind it in time."""
    for process in processes:
        if process.alive():
            process.process.terminate()
    until = time.monotonic() + patience_s
    for process in processes:
        try:
            process.process.wait(max(0.01, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


class Station(Process):
    def __init__(self, peer, name, command, log, path):
        super().__init__(name, command, log)
        self.peer, self.path, self.connection = peer, path, None
        self.replies = {}  # the last one of each command
        self.killed = False

    def ask(self, command):
        """The whole reply of a command, pages put together; None: it does not answer now."""
        try:
            reply = self.exchange({'command': command})
            while reply.get('next') is not None:
                more = self.exchange({'command': command, 'first': reply['next']})
                reply[command] += more[command]
                reply['next'] = more.get('next')
        except (OSError, ValueError, KeyError):
            self.hang_up()
            return None
        self.replies[command] = reply
        return reply

    def rows(self, command):
        """Of a list, as of now; none if the station does not answer in time."""
        reply = self.ask(command)
        return reply[command] if reply else []

    def rows_known(self, command):
        """As of now, or else as last told."""
        self.ask(command)
        return self.replies.get(command, {}).get(command, [])

    def rows_surely(self, command):
        """As of now, with patience."""
        for _ in range(TRIES):
            reply = self.ask(command)
            if reply:
                return reply[command]
        return []

    def exchange(self, request):
        if self.connection is None:
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.settimeout(ANSWER_S if self.replies else FIRST_ANSWER_S)
            self.connection.connect(self.path)
        self.connection.sendall(json.dumps(request).encode() + b'\n')
        data = b''
        while not data.endswith(b'\n'):
            part = self.connection.recv(65536)
            if not part:
                raise OSError('closed')
            data += part
        reply = json.loads(data)
        if not reply.get('ok'):
            raise ValueError(reply.get('error'))
        return reply

    def hang_up(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def kill(self):
        super().kill()
        self.hang_up()
        self.killed = True

    def forget(self):
        """What DPDK leaves for a station that was killed: an empty directory, or its telemetry."""
        self.hang_up()
        shutil.rmtree(f'{lan.DPDK_DIRECTORY}/perron-{self.name}', ignore_errors=True)


class Watch(Process):
    """`perron group watch` of a station: its verdicts, as they come."""

    def __init__(self, command, log):
        super().__init__('watch', command, log, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.data = b''

    def verdicts(self):
        """(neighbour, when by CLOCK_MONOTONIC) of those that came since the last call."""
        self.data += self.process.stdout.read() or b''
        *lines, self.data = self.data.split(b'\n')
        rows = [json.loads(line) for line in lines]
        return [(row['neighbour'], row['at_ns']) for row in rows if row['event'] == 'link-down']


class Client(Process):
    """Its lines of JSON are read as they come; `seen` is the last one."""

    def __init__(self, command, log):
        super().__init__('client', command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.data, self.seen = b'', None

    def read(self):
        """True if there was something new."""
        while True:
            part = self.process.stdout.read(65536)
            if not part:
                break
            self.data += part
        *lines, self.data = self.data.split(b'\n')
        if not lines:
            return False
        self.seen = json.loads(lines[-1])
        return True

    def tell(self, word):
        try:
            self.process.stdin.write(word.encode() + b'\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def stream(self, sensor):
        for stream in self.seen['streams'] if self.seen else []:
            if stream['sensor'] == sensor:
                return stream
        return None

    def finish(self, patience_s):
        """The closing line."""
        self.tell('end')
        until = time.monotonic() + patience_s
        while time.monotonic() < until and not (self.seen and self.seen['final']):
            self.read()
            time.sleep(0.02)
        return self.seen
