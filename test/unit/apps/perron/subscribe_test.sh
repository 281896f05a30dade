#!/bin/bash
# perron subscribe, linked with a libperron that needs no network: usage: subscribe_test.sh PERRON
perron=$(realpath "$1") failed=0
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

expect() # WHAT EXIT-CODE ARGUMENTS...
{
	local what=$1 code=$2 got
	shift 2
	timeout 20 "$perron" subscribe "$@" >"$here/out" 2>"$here/err" </dev/null
	got=$?
	out=$(tr -d '\0' <"$here/out") err=$(cat "$here/err")
	[ "$got" -eq "$code" ] || fail "$what: exit $got instead of $code" "$out" "$err"
}
fail() { echo "FAILED: $1"; shift; printf '%s\n' "$@"; failed=1; }
is() { [ "$1" = "$2" ] || fail "expected:" "$2" "but got:" "$1"; }
has() { [[ $1 == *"$2"* ]] || fail "missing: $2" "$1"; }
ways=(--portal 10.0.0.1:7400 --overlay 3)

expect 'help' 0 --help
has "$out" 'usage: perron subscribe SENSOR'
expect 'text' 0 gps/roof "${ways[@]}" --count 2 --class alarm
# shellcheck disable=SC2016 # the $ is the message's own
is "$out" '1  12.5 us  5 B  $GP..
2  12.5 us  5 B  late  $GP..'
is "$err" '2 messages, 2 frames: 0 lost, 1 late, 0 duplicates dropped; 3 hops'
expect 'class' 0 gps/roof "${ways[@]}" --count 1 --class critical --output none
is "$out" ''
has "$err" '4 hops'
expect 'hex' 0 gps/roof "${ways[@]}" --count 1 --output hex
is "$out" '1  12.5 us  5 B  24475000ff'
expect 'raw' 0 gps/roof "${ways[@]}" --count 3 --output raw
is "$(od -An -tx1 "$here/out" | tr -d ' \n')" 24475000ff24475000ff24475000ff
expect 'JSON' 0 gps/roof "${ways[@]}" --count 1 --json
has "$out" '{"sensor":"gps/roof","sequence":1,"size":5,'
has "$out" '"latency_ns":12500,"lost_before":0,"late":false,"hops":0,"hex":"24475000ff"}'
has "$out" '{"summary":{"messages":1,'
expect 'seconds' 0 gps/roof "${ways[@]}" --seconds 1 --output none
has "$err" 'messages'
expect 'a bound that cannot be kept' 1 track "${ways[@]}" --latency-max 1.5ms
is "$err" 'perron: the bound of 1500 us is too short'
expect 'unknown sensor' 1 nobody "${ways[@]}"
is "$err" 'perron: no sensor of that name'
expect 'bad portal' 1 gps/roof --portal nowhere
has "$err" 'asked for nowhere'
expect 'no portal' 2 gps/roof
has "$err" 'expected: perron subscribe SENSOR --portal ADDRESS'
expect 'no sensor' 2 "${ways[@]}"
expect 'class that is none' 2 gps/roof "${ways[@]}" --class loud
is "$err" "perron: --class is 'loud'; expected one of alarm|critical|normal"
expect 'latency that is none' 2 gps/roof "${ways[@]}" --latency-max 20
has "$err" "--latency-max is '20'; expected a duration"
"$perron" subscribe gps/roof "${ways[@]}" >/dev/full 2>"$here/err" && fail 'a full disk is no failure'

exit $failed
