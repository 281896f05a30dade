#!/usr/bin/env python3
"""The rules of the house that a compiler does not hold: usage: structure.py CHECK [ARGUMENT...]

  archives LIB...  pure archives: short list of undefined symbols, no writable data
  headers CC       every header compiles alone, and twice
  arrows           includes run only where the design lets them, and from the top
  functions        under 70 lines, the brace on its own line
  columns [PATH...]  at most 100, but for files that start with one of the paths
  purity           pure sources: few headers, no floating point
  documented       every type and cause of frame.h has its row in docs/protocol.md
  registered       every test/unit/**/*_test.c is in test/unit/meson.build
  self CC          each check above finds the fault it is for

Exit status: 0 sound, 1 faults (one line each), 77 cannot be told here.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Who may include whom: the table of the rooms. A file belongs to the longest room that fits.
ARROWS = {
    'runtime/base': [],
    'overlay': ['runtime/base'],
    'ft': ['overlay', 'runtime/base'],
    'platform': [],
    'runtime': ['platform', 'runtime/base'],
    'drivers': ['runtime', 'platform', 'runtime/base'],
    'apps': ['drivers', 'ft', 'overlay', 'runtime', 'platform', 'runtime/base'],
    'test': ['apps', 'drivers', 'ft', 'overlay', 'runtime', 'platform', 'runtime/base', 'perf'],
    'perf': ['apps', 'drivers', 'ft', 'overlay', 'runtime', 'platform', 'runtime/base', 'test'],
}
# Single headers that a room may have although it may not have their room.
EXCEPTIONS = {'platform': ['runtime/base/assert.h']}

PURE_ROOMS = ['runtime/base', 'overlay', 'ft']
# errno.h for the numbers, assert.h for static_assert: a use of errno or of assert itself would show
# as an undefined symbol.
PURE_HEADERS = {'stdint.h', 'stddef.h', 'stdbool.h', 'string.h', 'limits.h', 'errno.h',
                'assert.h', 'nmmintrin.h'}
PURE_UNDEFINED = re.compile(
    r'(mem(cpy|move|set|cmp|chr)|bcmp|str(len|nlen|cmp|ncmp)|__stack_chk_fail'
    r'|_GLOBAL_OFFSET_TABLE_|perron_assert_failed)$')
# Tables of addresses are written by the loader and read-only from then on: .data.rel.ro is sound.
WRITABLE = re.compile(r'\.(data(?!\.rel\.ro)|bss|tdata|tbss)')

FUNCTION_LINES_MAX = 69
COLUMNS_MAX = 100

PACKAGES = ['libdpdk', 'liburcu-qsbr', 'yaml-0.1', 'jansson', 'ncurses', 'cmocka']


def project_files(top, *endings):
    """Paths from the top, of what is or will be in the project; build directories left out."""
    try:
        text = subprocess.run(['git', '-C', top, 'ls-files', '-co', '--exclude-standard'],
                              capture_output=True, text=True, check=True).stdout
        paths = text.splitlines()
    except (OSError, subprocess.CalledProcessError):
        paths = []
        for folder, folders, names in os.walk(top):
            folders[:] = [f for f in folders if not f.startswith('.') and
                          not os.path.exists(os.path.join(folder, f, 'build.ninja'))]
            paths += [os.path.relpath(os.path.join(folder, n), top) for n in names]
    return sorted(p for p in set(paths) if p.endswith(endings) and
                  os.path.isfile(os.path.join(top, p)))


def read(top, path):
    with open(os.path.join(top, path), encoding='utf-8') as f:
        return f.read()


def room_of(path):
    fits = [r for r in ARROWS if path.startswith(r + '/')]
    return max(fits, key=len) if fits else None


def without_comments(text):
    """The code alone: comments, strings and characters give way to a blank each."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: ' ' + '\n' * m.group().count('\n'), text, flags=re.S)


def includes(text):
    """(line number, '<' or '"', path)"""
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if found:
            yield number, found.group(1), found.group(2)


def check_arrows(top):
    faults = []
    for path in project_files(top, '.c', '.h', '.cc'):
        room = room_of(path)
        if room is None:
            faults.append(f'{path}: in no room of the design')
            continue
        for number, kind, name in includes(read(top, path)):
            if kind == '<' and os.path.isfile(os.path.join(top, name)):
                faults.append(f'{path}:{number}: <{name}> is ours: use quotes')
            if kind == '<':
                continue
            if not os.path.isfile(os.path.join(top, name)):
                faults.append(f'{path}:{number}: "{name}" is no path from the top')
            elif room_of(name) not in ARROWS[room] + [room] and \
                    name not in EXCEPTIONS.get(room, []):
                faults.append(f'{path}:{number}: {room} may not include "{name}"')
    return faults


def check_columns(top, exempt=()):
    faults = []
    for path in project_files(top, '.c', '.h', '.cc', '.py', '.lua', '.sh'):
        for number, line in enumerate(read(top, path).splitlines(), 1):
            columns = len(line.expandtabs(8))
            if columns > COLUMNS_MAX and not path.startswith(tuple(exempt)):
                faults.append(f'{path}:{number}: {columns} columns')
    return faults


def check_functions(top):
    faults = []
    for path in project_files(top, '.c', '.h', '.cc'):
        start = None
        for number, line in enumerate(read(top, path).splitlines(), 1):
            if re.match(r'(?!struct|enum|union|extern|namespace)[A-Za-z_][^=;]*\)\s*\{$', line):
                faults.append(f'{path}:{number}: a function\'s brace has its own line')
            if line == '{':
                start = number
            elif line.startswith('}') and start is not None:
                if number - start + 1 > FUNCTION_LINES_MAX:
                    faults.append(f'{path}:{start}: function of {number - start + 1} lines')
                start = None
    return faults


def check_purity(top):
    faults = []
    for path in project_files(top, '.c', '.h'):
        if room_of(path) not in PURE_ROOMS:
            continue
        text = read(top, path)
        for number, kind, name in includes(text):
            if kind == '<' and name not in PURE_HEADERS:
                faults.append(f'{path}:{number}: <{name}> in pure code')
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            if re.search(r'\b(float|double|_Float\w+)\b|\b\d+\.\d|\b\d+[eE][-+]?\d+\b', line):
                faults.append(f'{path}:{number}: floating point in pure code')
            if re.search(r'\b(_Thread_local|__thread)\b', line):
                faults.append(f'{path}:{number}: a thread\'s variable in pure code')
    return faults


def check_registered(top):
    listed = read(top, 'test/unit/meson.build')
    faults = []
    for path in project_files(top, '_test.c'):
        if not path.startswith('test/unit/'):
            continue
        name = path[len('test/unit/'):-len('_test.c')]
        if f"'{name}'" not in listed:
            faults.append(f"{path}: add to test/unit/meson.build: '{name}'")
    return faults


def check_documented(top):
    codec, page = read(top, 'runtime/base/frame.h'), read(top, 'docs/protocol.md')
    faults = []
    for value, name in re.findall(r'X\(\w+, (\d+), "([\w-]+)"\)', codec):
        if f'\n| {value} | `{name}` |' not in page:
            faults.append(f'docs/protocol.md: 1.2 has no row for type {value}, {name}')
    causes = codec.split('PERRON_DROP_CAUSES(X)', 1)[1].split('enum', 1)[0]
    for name in re.findall(r'X\(\w+, "([\w-]+)"\)', causes):
        if name != 'none' and f'\n| `{name}` |' not in page:
            faults.append(f'docs/protocol.md: 1.6 has no row for cause {name}')
    return faults


def tool(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def archive_symbols(library):
    """Names: (undefined, defined, common), over all objects of the archive."""
    undefined, defined, common = set(), set(), set()
    for line in tool('nm', '--format=posix', library).splitlines():
        fields = line.split()
        if len(fields) < 2 or line.endswith(':'):
            continue
        {'U': undefined, 'w': undefined, 'C': common}.get(fields[1], defined).add(fields[0])
    return undefined, defined, common


def check_archives(libraries):
    faults = []
    all_defined = set().union(*(archive_symbols(lib)[1] for lib in libraries))
    for library in libraries:
        name = os.path.basename(library)
        undefined, defined, common = archive_symbols(library)
        if not any(symbol.startswith('perron_') for symbol in defined):
            faults.append(f'{name}: defines nothing of ours; is it the right archive?')
        for symbol in sorted(undefined - all_defined):
            if not PURE_UNDEFINED.match(symbol):
                faults.append(f'{name}: needs {symbol}, which no pure code may')
        for symbol in sorted(common):
            faults.append(f'{name}: {symbol} is a global variable')
        for line in tool('objdump', '-h', library).splitlines():
            fields = line.split()
            if len(fields) > 2 and WRITABLE.match(fields[1]) and int(fields[2], 16) > 0:
                faults.append(f'{name}: {fields[1]} holds {int(fields[2], 16)} bytes')
    return faults


def package_flags():
    flags = []
    for package in PACKAGES:
        found = subprocess.run(['pkg-config', '--cflags', package], capture_output=True, text=True)
        flags += found.stdout.split()
    return flags


def header_faults(top, compiler, flags, path):
    # Twice, so that a guard that guards nothing shows.
    source = f'#include "{path}"\n#include "{path}"\nextern int perron_not_empty;\n'
    command = compiler + ['-std=gnu17', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wstrict-prototypes',
                          '-Werror', '-I' + top] + flags + ['-fsyntax-only', '-x', 'c', '-']
    done = subprocess.run(command, input=source, capture_output=True, text=True, cwd=top)
    if done.returncode == 0:
        return []
    first = [line for line in done.stderr.splitlines() if 'error' in line] or [done.stderr]
    return [f'{path}: does not compile alone: {first[0]}']


def check_headers(top, compiler):
    """Pure headers without the packages' flags: they must not come to need them."""
    flags = [f.replace('-I', '-isystem', 1) if f.startswith('-I') else f for f in package_flags()]
    plain = ['-msse4.2'] if os.uname().machine == 'x86_64' else []
    faults = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(header_faults, top, compiler,
                            plain if room_of(path) in PURE_ROOMS else plain + flags, path)
                for path in project_files(top, '.h')]
        for job in jobs:
            faults += job.result()
    return faults


# ---- each check finds its fault ---------------------------------------------------------------

SOUND = {
    'runtime/base/a.h': '#ifndef A\n#define A\n#include <stdint.h>\nstruct a {\n\tuint8_t b;\n};\n'
                        '#endif\n',
    'runtime/base/frame.h': '#ifndef F\n#define F\n#define T(X) X(BEAT, 1, "beat")\n'
                            '#define PERRON_DROP_CAUSES(X) X(NONE, "none") X(LATE, "too-late")\n'
                            'enum b { B };\n#endif\n',
    'docs/protocol.md': '\n| 1 | `beat` |\n| `too-late` |\n',
    'runtime/base/assert.h': '#ifndef B\n#define B\n#endif\n',
    'overlay/a.c': '#include "runtime/base/a.h"\n/* 1.5 of a double */\nint perron_a(void)\n{\n'
                   '\treturn 0;\n}\n',
    'platform/a.c': '#include "runtime/base/assert.h"\n#include <stdio.h>\ndouble perron_b(void)\n'
                    '{\n\treturn 0.5;\n}\n',
    'test/unit/overlay/a_test.c': '#include "runtime/base/a.h"\n',
    'test/unit/meson.build': "unit_tests += {'overlay/a': [overlay_dep]}\n",
}

# check, file, its text, and what the fault must say
FAULTS = [
    (check_arrows, 'runtime/base/b.c', '#include "overlay/b.h"\n', 'may not include'),
    (check_arrows, 'overlay/b.c', '#include "platform/b.h"\n', 'may not include'),
    (check_arrows, 'runtime/b.c', '#include "drivers/b.h"\n', 'may not include'),
    (check_arrows, 'drivers/b.c', '  #  include "apps/b.h"\n', 'may not include'),
    (check_arrows, 'platform/b.c', '#include "runtime/base/a.h"\n', 'may not include'),
    (check_arrows, 'runtime/base/b.c', '#include "a.h"\n', 'no path from the top'),
    (check_arrows, 'overlay/b.c', '#include <runtime/base/a.h>\n', 'use quotes'),
    (check_arrows, 'attic/b.c', '', 'in no room'),
    (check_functions, 'apps/b.c', 'int b(void)\n{\n' + '\tb();\n' * 68 + '}\n', 'of 70 lines'),
    (check_columns, 'apps/b.c', '\t' * 12 + 'abcde\n', '101 columns'),
    (check_functions, 'apps/b.c', 'int b(void) {\n}\n', 'own line'),
    (check_purity, 'ft/b.c', '#include <time.h>\n', '<time.h>'),
    (check_purity, 'overlay/b.h', '#include <stdio.h>\n', '<stdio.h>'),
    (check_purity, 'overlay/b.h', '#include <pthread.h>\n', '<pthread.h>'),
    (check_purity, 'runtime/base/b.c', '#include <rte_mbuf.h>\n', '<rte_mbuf.h>'),
    (check_purity, 'runtime/base/b.c', '#include <urcu/qsbr.h>\n', '<urcu/qsbr.h>'),
    (check_purity, 'runtime/base/b.c', 'static double b;\n', 'floating point'),
    (check_purity, 'runtime/base/b.c', 'int b = 2 * 1.5;\n', 'floating point'),
    (check_purity, 'runtime/base/b.c', 'static _Thread_local int b;\n', 'variable'),
    (check_documented, 'docs/protocol.md', '\n| `too-late` |\n', 'type 1, beat'),
    (check_documented, 'docs/protocol.md', '\n| 1 | `beat` |\n', 'cause too-late'),
    (check_registered, 'test/unit/ft/b_test.c', '', 'add to test/unit/meson.build'),
]

# an object of an archive, and what the fault must say
ARCHIVE_FAULTS = [
    ('int perron_b;', '.bss'),
    ('int perron_b = 7;', '.data'),
    ('int perron_b(void); int perron_b(void) { static int calls; return ++calls; }', '.bss'),
    ('__thread int perron_b = 1;', '.tdata'),
    ('__attribute__((common)) int perron_b;', 'global variable'),
    ('#include <stdlib.h>\nvoid *perron_b(void); void *perron_b(void) { return malloc(7); }',
     'needs malloc'),
    ('#include <time.h>\nlong perron_b(void); long perron_b(void) { return time(0); }',
     'needs time'),
    ('int perron_up(void); int perron_b(void); int perron_b(void) { return perron_up(); }',
     'needs perron_up'),
]

SOUND_OBJECT = ('static const char *const names[] = {"a", "b"};\n'
                'const char *perron_s(int i); const char *perron_s(int i) { return names[i]; }\n')


def write(top, path, text):
    os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
    with open(os.path.join(top, path), 'w', encoding='utf-8') as f:
        f.write(text)


def archive_make(top, compiler, text):
    write(top, 'object.c', text)
    subprocess.run(compiler + ['-O1', '-fPIC', '-c', top + '/object.c', '-o', top + '/object.o'],
                   check=True)
    if os.path.exists(top + '/libx.a'):
        os.remove(top + '/libx.a')
    tool('ar', 'crs', top + '/libx.a', top + '/object.o')
    return top + '/libx.a'


def expect(what, faults, words):
    """words None: sound"""
    if words is None:
        return [f'{what}: a fault where there is none: {f}' for f in faults]
    if not any(words in fault for fault in faults):
        return [f'{what}: not found: {words}; but: {faults}']
    return []


def self_sources(top):
    faults = []
    for path, text in SOUND.items():
        write(top, path, text)
    for path in ['overlay/b.h', 'platform/b.h', 'drivers/b.h', 'apps/b.h']:
        write(top, path, '')
    for check in (check_arrows, check_columns, check_functions, check_purity,
                  check_documented, check_registered):
        faults += expect(check.__name__, check(top), None)
    for check, path, text, words in FAULTS:
        write(top, path, text)
        faults += expect(f'{check.__name__} of {path}', check(top), words)
        os.remove(os.path.join(top, path))
        if path.endswith('b.h') or path in SOUND:
            write(top, path, SOUND.get(path, ''))
    return faults


def self_headers(top, compiler):
    faults = expect('headers', check_headers(top, compiler), None)
    write(top, 'overlay/lone.h', 'uint32_t perron_lone(void);\n')
    faults += expect('headers', check_headers(top, compiler), 'overlay/lone.h: does not compile')
    write(top, 'overlay/lone.h', 'struct lone {\n\tint a;\n};\n')
    faults += expect('headers', check_headers(top, compiler), 'redefinition')
    return faults


def check_self(compiler):
    with tempfile.TemporaryDirectory() as top:
        faults = self_sources(top) + self_headers(top, compiler)
        sound = archive_make(top, compiler, SOUND_OBJECT)
        faults += expect('archives', check_archives([sound]), None)
        for text, words in ARCHIVE_FAULTS:
            faults += expect('archives', check_archives([archive_make(top, compiler, text)]), words)
        return faults


def main(arguments):
    checks = {
        'archives': lambda rest: check_archives(rest),
        'headers': lambda rest: check_headers(TOP, rest),
        'arrows': lambda rest: check_arrows(TOP),
        'columns': lambda rest: check_columns(TOP, rest),
        'functions': lambda rest: check_functions(TOP),
        'purity': lambda rest: check_purity(TOP),
        'documented': lambda rest: check_documented(TOP),
        'registered': lambda rest: check_registered(TOP),
        'self': lambda rest: check_self(rest),
    }
    if not arguments or arguments[0] not in checks:
        print(__doc__, file=sys.stderr)
        return 2
    faults = checks[arguments[0]](arguments[1:])
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
