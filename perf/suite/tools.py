"""Where the built programs are, and how progress is said."""
import os
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('PERRON_BUILD', os.path.join(TOP, 'build'))
START = time.monotonic()


def program(path):
    """A built program's path; None: not built."""
    full = os.path.join(BUILD, path)
    return full if os.access(full, os.X_OK) else None


def say(text):
    seconds = int(time.monotonic() - START)
    print(f'[{seconds // 60:2d}:{seconds % 60:02d}] {text}', file=sys.stderr, flush=True)


def output(command, **options):
    """Standard output of a command, or '' where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        lines = (done.stderr.strip() or f'status {done.returncode}').splitlines()
        say(f'{os.path.basename(command[0])}: {lines[-1]}')
        return ''
    return done.stdout


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
