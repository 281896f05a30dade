#!/bin/bash
# The whole demo, short: nothing lost, a station killed, and nothing left behind.
# Usage: demo.sh TOP BUILD. Needs root and namespaces (else 77).
# shellcheck disable=SC2317 # check calls them
set -u
top=$1 failed=0
export PERRON_BUILD=$2
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
{ command -v ip && unshare --net true; } >/dev/null 2>&1 ||
	{ echo "needs network namespaces"; exit 77; }
dir=$(mktemp -d /tmp/perron-demo-test-XXXXXX)
trap 'rm -rf "$dir"' EXIT

check()
{
	if "${@:2}" >"$dir/out" 2>&1; then
		echo "ok    $1"
	else
		echo "FAIL  $1"
		tail -40 "$dir/out"
		failed=1
	fi
}

demo() { timeout -s INT 120 "$top/apps/demo/demo" "$@"; }

# holds REPORT CONDITION...: each a Python expression over the report r
holds()
{
	python3 - "$@" <<'END'
import json, sys
r = json.load(open(sys.argv[1]))
wrong = [c for c in sys.argv[2:] if not eval(c)]
for c in wrong:
    print('does not hold:', c)
print(json.dumps(r, indent=1))
sys.exit(bool(wrong))
END
}

# left PID: what the demo of that process id left on this machine
left()
{
	local left
	left=$(find /run/netns /run/perron-demo /var/run/dpdk -mindepth 1 -maxdepth 1 \
		\( -name "perron-demo-$1-*" -o -name "$1" -o -name "perron-d$1-*" \) 2>/dev/null)
	echo "left: ${left:-nothing}"
	[ -z "$left" ]
}

check "nobody killed: runs" demo --seconds 4 --kill none --report "$dir/none.json"
check "nobody killed: 14 peers in 7 cells, all delivered once" holds "$dir/none.json" \
	'(r["stations"], r["cells"], r["peers"], r["sensors"]) == (14, 7, 14, 8)' \
	'r["lost"] == 0 and r["duplicates_delivered"] == 0 and r["corrupted"] == 0' \
	'r["sent"] == r["delivered"] > 500' \
	'len(r["streams"]) == 8 and all(s["delivered"] > 0 for s in r["streams"])' \
	'[*r["latency_us"]] == ["small", "medium", "large"]' \
	'all(0 < h["p50"] <= h["p99"] <= h["p999"] <= h["max"] for h in r["latency_us"].values())' \
	'0 < r["joined_ms"] and 0 < r["first_delivery_ms"] and r["faults"] == []' \
	'isinstance(r["drops"], dict) and r["machine"]["cores"] > 0'

check "whoever is killed: runs" demo --seconds 20 --kill any --report "$dir/any.json"
check "whoever is killed: nothing is lost, nothing comes twice" holds "$dir/any.json" \
	'r["lost"] == 0 and r["duplicates_delivered"] == 0 and r["corrupted"] == 0' \
	'r["peers"] == 14 and len(r["faults"]) >= 2 and r["complaints"] == []' \
	'all(s["delivered"] > 0 and s["source_numbers_missing"] == 0 for s in r["streams"])' \
	'all(f["detection_ms"] > 0 and len(f["gap_ms_by_sensor"]) == 8 for f in r["faults"])'

check "a relay killed: runs" demo --seconds 6 --kill 4 --report "$dir/kill.json"
check "a relay killed: the tree re-forms, every stream goes on" holds "$dir/kill.json" \
	'r["peers"] == 13 and len(r["faults"]) == 1 and r["duplicates_delivered"] == 0' \
	'r["faults"][0]["peer"] == 4 and r["faults"][0]["reformed_ms"] > 0' \
	'r["faults"][0]["killed_at_ms"] > 0 and r["faults"][0]["gap_ms"] >= 0' \
	'len(r["faults"][0]["gap_ms_by_sensor"]) == 8'

nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if nobody test -r "$top/test/data/line.nmea" &&
	nobody test -x "$PERRON_BUILD/apps/perrond/perrond" &&
	nobody unshare --user --map-root-user --mount --net true 2>/dev/null; then
	check "without root: runs" nobody "$top/apps/demo/demo" --seconds 2 --kill none
else
	echo "skip  without root: the tree is not everybody's, or users get no namespaces"
fi

# Ended while stations start, by Ctrl-C and then so that it can clean nothing itself.
"$top/apps/demo/demo" --seconds 60 --kill none >"$dir/int" 2>&1 &
pid=$!
sleep 3
kill -TERM $pid
wait $pid
check "told to stop: nothing is left" left $pid

"$top/apps/demo/demo" --seconds 60 --kill none >"$dir/kill9" 2>&1 &
pid=$!
sleep 3
kill -9 $pid
wait $pid 2>/dev/null
check "killed: the next one runs" demo --seconds 2 --kill none
check "killed: the next one has cleaned up" left $pid
exit $failed
