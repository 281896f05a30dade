"""Plots beside the report, by gnuplot."""
import os
import shutil
import subprocess

from suite.tools import say


def gnuplot(path, commands):
    script = f"set terminal pngcairo size 1200,700\nset output '{path}'\n" + commands
    done = subprocess.run(['gnuplot'], input=script, capture_output=True, text=True)
    if done.returncode or not os.path.exists(path):
        say(f'plot: {(done.stderr.strip() or "gnuplot failed").splitlines()[-1]}')
    else:
        say(f'plot: {path}')


def data_block(name, rows):
    return f'${name} << EOD\n' + '\n'.join(' '.join(map(str, row)) for row in rows) + '\nEOD\n'


def title_of(state):
    measured = (state['before'] or {}).get('measured') or {}
    line_ns = measured.get('cache_line_round_trip_ns', '?')
    return f"{state['cpu']}, {state['cores']} cores, kernel {state['kernel']}, " \
           f"cache line {line_ns} ns"


def micro_plot(path, state, results):
    """Median of each, with its spread, on a logarithmic axis."""
    rows = [(i, f"\"{r['name']}\"", r['median'], r['spread'][0], r['spread'][1])
            for i, r in enumerate(results)]
    gnuplot(path, data_block('rows', rows) + f'''
set title "median of an operation, and its spread over repetitions\\n{title_of(state)}" noenhanced
set logscale y
set ylabel "ns"
set grid y
set boxwidth 0.6
set style fill solid 0.5
set xtics rotate by 60 right noenhanced font ",8"
set xrange [-1:{len(rows)}]
unset key
plot $rows using 1:3:xticlabel(2) with boxes, \\
     $rows using 1:3:4:5 with yerrorbars lc black pt 7 ps 0.3
''')


def curves_plot(path, state, title, labelled):
    """Latency by percentile; `labelled`: a result for each label."""
    blocks, curves = '', []
    for i, (label, result) in enumerate(labelled.items()):
        rows = [(1 / (1 - share), value) for share, value in result['percentiles']
                if share < 1 and value > 0]
        blocks += data_block(f'curve{i}', rows)
        curves.append(f'$curve{i} using 1:2 with linespoints title "{label}" noenhanced')
    gnuplot(path, blocks + f'''
set title "{title}\\n{title_of(state)}" noenhanced
set logscale xy
set xlabel "percentile"
set xtics ("50" 2, "90" 10, "99" 100, "99.9" 1000, "99.99" 10000)
set ylabel "us"
set grid
set key outside right top
plot {', '.join(curves)}
''')


def latency_plot(path, state, results):
    """Percentiles of the smallest alarms of each mode; of a single mode, all that it has."""
    if len({r['name'].split('/')[1] for r in results}) > 1:
        results = [r for r in results if r['name'].endswith('/418/alarm')] or results
    curves_plot(path, state, 'one-way latency by percentile',
                {r['name'].replace('latency/', ''): r for r in results})


def daem_plots(base, state, results):
    """For each placing its cases, by the packets of 4180 bytes; those with faults in one plot."""
    placings = {}
    for result in results:
        _, placing, *middle, case, packet = result['name'].split('/')
        if packet == 'large':
            label = '/'.join(middle + [case])
            placings.setdefault(placing, {})[label] = result
    for placing, cases in sorted(placings.items()):
        curves_plot(f'{base}-daem-{placing}.png', state,
                    f'one-way latency of 4180 bytes by percentile, {placing}', cases)


def table_ii_plot(path, state, results):
    """By the number of faults, a panel a level: medians, and what a message took at most."""
    script, drawn = '', ''
    for level in ('0', '1', '2'):
        lines = []
        for case in ('0-of-8', '8-of-8'):
            rows = {'p50': [], 'max': []}
            for r in results:
                _, _, where, of, packet = r['name'].split('/')
                if where.startswith(level + '-') and (of, packet) == (case, 'large'):
                    for key in rows:
                        rows[key].append((int(where[2:]), r[key]))
            for key in rows if rows['p50'] else []:
                name = f'f{len(script)}'
                script += data_block(name, sorted(rows[key]))
                lines.append(f'${name} using 1:2 with linespoints pt 7 title "{case} {key}" '
                             'noenhanced')
        if lines:
            drawn += f'set title "level {level}"\nplot {", ".join(lines)}\n'
    gnuplot(path, script + f'''
set multiplot layout 1,3 title "4180 bytes one way, under faults\\n{title_of(state)}" noenhanced
set xlabel "faults"
set ylabel "us"
set logscale y
set format y "%g"
set xrange [0.5:8.5]
set xtics 1
set grid
set key below vertical
{drawn}unset multiplot
''')


def of_group(result):
    """Side, members and scene of a result's name; None: not of the group suite."""
    words = result['name'].split('/')
    if words[:2] == ['group', 'process']:
        return 'one process', int(words[2]), '/'.join(words[3:])
    if words[0] == 'group':
        return 'perron', int(words[1]), '/'.join(words[2:])
    if words[:2] == ['yardstick', 'corosync']:
        return 'corosync', int(words[2]), '/'.join(words[3:])
    return None


def group_plot(path, state, results):
    """Latency, rate and change of view by members, and each token's change of view."""
    panels = {'latency/agreed/closed': 'us', 'rate/1': '/s', 'view-change': 'ms'}
    script, drawn = '', ''
    for panel, unit in panels.items():
        curves = {}
        for result in results:
            side, count, scene = of_group(result)
            if scene == panel or scene.startswith(panel + '/'):
                label = f"{side}{scene[len(panel):].replace('/', ', token ')}"
                curves.setdefault(label, []).append((count, result['median'], result['max']))
        lines = []
        for label, rows in sorted(curves.items()):
            name = f'g{len(script)}'
            script += data_block(name, sorted(rows))
            lines.append(f'${name} using 1:2 with linespoints pt 7 title "{label}" noenhanced')
        if lines:
            drawn += f'set title "{panel}, {unit}" noenhanced\nplot {", ".join(lines)}\n'
    gnuplot(path, script + f'''
set multiplot layout 1,3 title "group communication, medians\\n{title_of(state)}" noenhanced
set xlabel "members"
set yrange [0:*]
set xrange [1:*]
set offsets 0, 0.5, 0, 0
set grid
set xtics 1
set key below vertical
{drawn}unset multiplot
''')


def write(report_path, state, results):
    if not shutil.which('gnuplot'):
        say('plot: gnuplot is not installed: no plots')
        return
    base = os.path.splitext(report_path)[0]
    good = [r for r in results if 'error' not in r]
    small = [r for r in good if 'spread' in r]
    if small:
        micro_plot(base + '-micro.png', state, small)
    tables = [r for r in good if r.get('percentiles') and r['name'].startswith('daem/')]
    if tables:
        daem_plots(base, state, tables)
    faulty = [r for r in tables if r['name'].startswith('daem/faults/')]
    if faulty:
        table_ii_plot(base + '-daem-table-ii.png', state, faulty)
    curves = [r for r in good if r.get('percentiles') and not of_group(r) and r not in tables]
    if curves:
        latency_plot(base + '-latency.png', state, curves)
    groups = [r for r in good if of_group(r)]
    if groups:
        group_plot(base + '-group.png', state, groups)
