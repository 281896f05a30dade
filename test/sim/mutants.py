#!/usr/bin/env python3
"""Breaks the protocol on purpose, and demands that the simulator notices.

usage: mutants.py BUILD TABLE [--seeds N] [--jobs J] [--list] [NAME...]

Each mutant of TABLE (mutants.txt says how it is written) is a text of a source file in place of
another. The mutated file is compiled as the build compiles it, perron-sim is linked anew with it in
place of the original, and run over seeds until a property is violated that the table names. BUILD
is a build directory in which perron-sim is up to date.

Exit status: 0 every mutant was found as expected, 1 one was not, 2 the table or the build is wrong.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

SIM = 'test/sim/perron-sim'
RUN_SECONDS = 60
VIOLATION = re.compile(r'^violation at [0-9.]+ s, step [0-9]+: (([a-z-]+): .*)$', re.M)


def wrong(text):
    print(f'mutants.py: {text}', file=sys.stderr)
    sys.exit(2)


def table_read(path):
    """The mutants, in order: name, file, finds (a set), options, old, new."""
    mutants, mutant, part = [], None, None
    for number, line in enumerate(open(path, encoding='utf-8'), 1):
        word, _, rest = line.rstrip('\n').partition(' ')
        if part and word == 'end' and not rest:
            if not mutant['old'] or not mutant['finds'] or not mutant['file']:
                wrong(f'{path}:{number}: a mutant needs a file, what finds it, and an old text')
            mutants.append(mutant)
            mutant, part = None, None
        elif mutant and word == 'new' and not rest and part == 'old':
            part = 'new'
        elif part:
            mutant[part] += line
        elif word == 'mutant' and rest and not mutant:
            mutant = {'name': rest, 'file': '', 'finds': set(), 'options': [], 'seeds': None,
                      'old': '', 'new': ''}
        elif mutant and word == 'old' and not rest:
            part = 'old'
        elif mutant and word == 'file' and rest:
            mutant['file'] = rest
        elif mutant and word == 'finds' and rest:
            mutant['finds'] = set(rest.split())
        elif mutant and word == 'seeds' and re.fullmatch('[0-9 ]+', rest):
            mutant['seeds'] = [int(seed) for seed in rest.split()]
        elif mutant and word == 'options' and rest:
            mutant['options'] = rest.split()
        elif line.strip() and not line.startswith('#'):
            wrong(f'{path}:{number}: not understood: {line.strip()}')
    if mutant:
        wrong(f'{path}: mutant {mutant["name"]} has no end')
    return mutants


def source_of(build):
    """The build's commands, by source file; and the top of the sources."""
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
        commands = json.load(f)
    with open(os.path.join(build, 'meson-info/meson-info.json'), encoding='utf-8') as f:
        top = json.load(f)['directories']['source']
    return top, commands


def compile_command(build, top, commands, path, source, output):
    wanted = os.path.realpath(os.path.join(top, path))
    for entry in commands:
        of = os.path.realpath(os.path.join(entry['directory'], entry['file']))
        if of != wanted or '.a.p/' not in entry.get('output', ''):
            continue
        words = shlex.split(entry['command'])
        kept, skip = [], False
        for word in words:
            if skip or word in ('-MQ', '-MF', '-o', '-c'):
                skip = not skip and word != '-c'
            elif word not in ('-MD', entry['file']):
                kept.append(word)
        return kept + ['-w', '-c', source, '-o', output]
    wrong(f'{path} is not compiled into a library of {build}')
    return None


def link_command(build, mutant_object, output):
    text = subprocess.run(['ninja', '-C', build, '-t', 'commands', SIM], capture_output=True,
                          text=True, check=True).stdout
    words = shlex.split(text.splitlines()[-1])
    words[words.index('-o') + 1] = output
    # Before the archives: what is defined already is not taken from them.
    first = next(i for i, w in enumerate(words) if w.endswith('.o'))
    return words[:first] + [mutant_object] + words[first:]


def mutated(top, mutant):
    """The mutant's source: its old text has to stand there once."""
    with open(os.path.join(top, mutant['file']), encoding='utf-8') as f:
        text = f.read()
    if text.count(mutant['old']) != 1:
        wrong(f'{mutant["name"]}: its old text stands {text.count(mutant["old"])} times in '
              f'{mutant["file"]}, not once')
    return text.replace(mutant['old'], mutant['new'])


def build_mutant(build, top, commands, mutant, folder):
    stem = os.path.join(folder, mutant['name'])
    with open(stem + '.c', 'w', encoding='utf-8') as f:
        f.write(mutated(top, mutant))
    for command in (compile_command(build, top, commands, mutant['file'], stem + '.c',
                                    stem + '.o'),
                    link_command(build, stem + '.o', stem)):
        done = subprocess.run(command, cwd=build, capture_output=True, text=True, check=False)
        if done.returncode:
            wrong(f'{mutant["name"]} does not build: {done.stderr.strip()[-2000:]}')
    return stem


def violations_of(program, seed, options):
    """Of one run: (property, text) of each. One that hangs or dies is a violation as well."""
    command = [program, '--faults', 'groups', '--seed', str(seed)] + options
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        return [('hang', f'hang: no end in {RUN_SECONDS} s')]
    if done.returncode not in (0, 1):
        return [('crash', f'crash: the simulation ended with {done.returncode}')]
    return [(m.group(2), m.group(1)) for m in VIOLATION.finditer(done.stdout)]


def hunt(program, mutant, seeds, jobs):
    """The first seed that finds it as expected, and how; else (None, what was found instead)."""
    others = {}
    wanted = mutant['seeds'] or list(range(1, seeds + 1))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for first in range(0, len(wanted), jobs):
            batch = wanted[first:first + jobs]
            runs = pool.map(lambda s: violations_of(program, s, mutant['options']), batch)
            for seed, found in zip(batch, runs):
                for what, text in found:
                    if what in mutant['finds']:
                        return seed, text
                    others[what] = others.get(what, 0) + 1
    return None, ', '.join(f'{k} {v}' for k, v in sorted(others.items())) or 'nothing'


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('table')
    parser.add_argument('names', nargs='*')
    parser.add_argument('--seeds', type=int, default=40)
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--list', action='store_true')
    args = parser.parse_intermixed_args()
    mutants = table_read(args.table)
    unknown = set(args.names) - {m['name'] for m in mutants}
    if unknown:
        wrong(f'no such mutant: {", ".join(sorted(unknown))}')
    top, commands = source_of(args.build)
    for mutant in mutants:
        mutated(top, mutant)
    found = count = 0
    for mutant in mutants:
        if args.names and mutant['name'] not in args.names:
            continue
        count += 1
        if args.list:
            print(f'{mutant["name"]}: {mutant["file"]}, found as '
                  f'{" or ".join(sorted(mutant["finds"]))}')
            continue
        with tempfile.TemporaryDirectory() as folder:
            program = build_mutant(args.build, top, commands, mutant, folder)
            seed, text = hunt(program, mutant, args.seeds, args.jobs)
        found += seed is not None
        print(f'mutant {mutant["name"]}: ' +
              (f'seed {seed}: {text}' if seed is not None else
               f'NOT FOUND in {args.seeds} seeds as {" or ".join(sorted(mutant["finds"]))}; '
               f'found: {text}'), flush=True)
    if not args.list:
        print(f'mutants={count} found={found}')
    return 0 if args.list or found == count else 1


if __name__ == '__main__':
    sys.exit(main())
