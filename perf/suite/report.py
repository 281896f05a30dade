"""Results: a line each on standard output, and the JSON file."""
import json
import sys
import time


def number(value):
    return f'{value:.4g}' if value < 10000 else f'{value:.0f}'


def line(result, width=34):
    """name, median, spread, tail, ratio"""
    if 'error' in result:
        what = 'skip' if result.get('skipped') else 'FAIL'
        print(f"{result['name']:{width}} {what}: {result['error']}", flush=True)
        return
    text = f"{result['name']:{width}} {number(result['median']):>8} {result['unit']:3}"
    for key, label, columns in (('p99', 'p99', 8), ('p999', 'p99.9', 8), ('max', 'max', 9)):
        if key in result:
            text += f' {label} {number(result[key]):>{columns}}'
    if 'ratio' in result:
        text += f"  {result['ratio']:.2f} x {result['yardstick']['name']}"
    print(text, flush=True)


def write(path, state, results):
    with open(path, 'w', encoding='utf-8') as f:
        json.dump({'machine': state, 'at': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
                   'command': ['./run', 'bench'] + sys.argv[1:], 'results': results}, f, indent=1)
        f.write('\n')


def status(results):
    if any('error' in r and not r.get('skipped') for r in results):
        return 1
    return 0 if any('error' not in r for r in results) else 77
