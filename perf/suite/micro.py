"""The micro-benchmarks: perron-micro, on Google Benchmark."""
import json
import os
import re
import subprocess
import tempfile

from suite import report
from suite.tools import median, output, program, say

SUFFIX = '/manual_time'
_names = None


def names():
    global _names
    if _names is None:
        tool = program('perf/perron-micro')
        text = output([tool, '--benchmark_list_tests=true']) if tool else ''
        _names = [line.strip()[:-len(SUFFIX)] for line in text.splitlines()
                  if line.strip().endswith(SUFFIX)]
    return _names


def yardsticks(wanted):
    """What wanted is compared with is measured in the same run: known from a run of no length."""
    group = sorted({name.split('/')[0] for name in wanted})
    text = output([program('perf/perron-micro'), '--benchmark_min_time=0.000001',
                   '--benchmark_format=json', f"--benchmark_filter=^({'|'.join(group)})/"])
    found = {}
    for one in json.loads(text)['benchmarks'] if text else []:
        if one.get('label'):
            found[one['name'][:-len(SUFFIX)]] = one['label']
    return found


def measure(wanted, options):
    """All repetitions of each: name -> list of what Google Benchmark reports."""
    pattern = '^(' + '|'.join(re.escape(n + SUFFIX) for n in wanted) + ')$'
    repetitions = max(2, options.repetitions)  # fewer are not mixed
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'out.json')
        command = [program('perf/perron-micro'), f'--benchmark_filter={pattern}',
                   f'--benchmark_repetitions={repetitions}',
                   '--benchmark_enable_random_interleaving=true',
                   f'--benchmark_min_time={0.01 if options.quick else 0.1}',
                   f'--benchmark_out={out}', '--benchmark_out_format=json']
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True)
        if not os.path.exists(out):
            say(f'perron-micro: {done.stderr.strip()}')
            return {}
        with open(out, encoding='utf-8') as f:
            runs = json.load(f)['benchmarks']
    found = {}
    for one in runs:
        if one['run_type'] == 'iteration':
            found.setdefault(one['run_name'][:-len(SUFFIX)], []).append(one)
    return found


def result_of(name, runs, unit='ns'):
    bad = [r['error_message'] for r in runs if r.get('error_occurred')]
    if bad:
        return {'name': name, 'unit': unit, 'error': bad[0]}
    medians = [r['p50'] for r in runs]
    middle = median(medians)
    return {
        'name': name,
        'unit': unit,
        'median': middle,
        'p99': median([r['p99'] for r in runs]),
        'p999': median([r['p999'] for r in runs]),
        'max': max(r['max'] for r in runs),
        'mean': median([r['real_time'] for r in runs]),
        'rate': round(1e9 / middle) if middle else None,
        'batch': int(runs[0]['batch']),
        'repetitions': len(runs),
        'operations': sum(r['iterations'] for r in runs),
        'spread': [min(medians), max(medians)],
    }


def compare(result, yardstick, runs, yard_runs):
    """Repetition by repetition: both were measured within one run of the suite."""
    pairs = [(a['p50'], b['p50']) for a, b in zip(runs, yard_runs)
             if not a.get('error_occurred') and not b.get('error_occurred') and b['p50'] > 0]
    if not pairs or 'error' in result:
        return
    ratios = [a / b for a, b in pairs]
    result['yardstick'] = {'name': yardstick, 'median': median([b for _, b in pairs])}
    result['ratio'] = median(ratios)
    result['ratio_spread'] = [min(ratios), max(ratios)]


def run(wanted, options):
    pairs = yardsticks(wanted)
    all_names = wanted + sorted({pairs[n] for n in wanted if n in pairs} - set(wanted))
    say(f'micro: {len(all_names)} benchmarks, {max(2, options.repetitions)} repetitions, mixed')
    found = measure(all_names, options)
    results = []
    for name in all_names:
        runs = found.get(name)
        if not runs:
            results.append({'name': name, 'unit': 'ns', 'error': 'did not run'})
        else:
            results.append(result_of(name, runs))
            if pairs.get(name) in found:
                compare(results[-1], pairs[name], runs, found[pairs[name]])
        report.line(results[-1])
    return results
