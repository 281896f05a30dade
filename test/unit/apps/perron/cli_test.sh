#!/bin/bash
# The command line against a fake station: usage: cli_test.sh PERRON FAKE_STATION SOURCE_DIRECTORY
perron=$(realpath "$1") fake=$(realpath "$2") source=$3
here=$(mktemp -d) failed=0 station=''
export PERRON_RUN_DIRECTORY=$here/run LC_ALL=C.UTF-8
trap 'exec 3>&-; [ -z "$station" ] || wait "$station"; rm -rf "$here"' EXIT

# expect WHAT EXIT-CODE COMMAND...: runs it; its output is then in $out and $err
expect()
{
	local what=$1 code=$2
	shift 2
	"$@" >"$here/out" 2>"$here/err" </dev/null
	local got=$?
	out=$(cat "$here/out") err=$(cat "$here/err")
	[ "$got" -eq "$code" ] || fail "$what: exit $got instead of $code" "$out" "$err"
}

fail() { echo "FAILED: $1"; shift; printf '%s\n' "$@"; failed=1; }
has() { [[ $1 == *"$2"* ]] || fail "missing: $2" "$1"; }
is() { [ "$1" = "$2" ] || fail "expected:" "$2" "but got:" "$1"; }

start() # NAME [PEERS [GROWTH]]
{
	mkfifo "$here/in" "$here/ready"
	"$fake" "$PERRON_RUN_DIRECTORY/$1.sock" "${@:2}" <"$here/in" >"$here/ready" &
	station=$!
	exec 3>"$here/in"
	read -r _ <"$here/ready"
	rm "$here/in" "$here/ready"
}

stop() { exec 3>&-; wait "$station"; station=''; }

# without a station
expect 'no arguments' 2 "$perron"
expect 'help' 0 "$perron" help
has "$out" 'checks a descriptor'
expect 'version' 0 "$perron" --version
[[ $out =~ ^perron\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "no version: $out"
for subcommand in status tree peers streams sensors cores drops group top config; do
	expect "$subcommand --help" 0 "$perron" $subcommand --help
	has "$out" "usage: perron $subcommand"
done
expect 'unknown subcommand' 2 "$perron" frobnicate
has "$err" "no subcommand 'frobnicate'"
expect 'unknown option' 2 "$perron" status --loud
expect 'stray argument' 2 "$perron" status alpha
expect 'no station' 3 "$perron" status
has "$err" 'no station runs here'
has "$err" 'perrond -- --config STATION.yaml'
expect 'no such station' 3 "$perron" status --station beta
has "$err" "no station runs at $PERRON_RUN_DIRECTORY/beta.sock"

# with one
start alpha
expect 'status' 0 "$perron" status
has "$out" 'station     alpha: running for 1h02m'
has "$out" 'peers       1 of 2 joined'
has "$out" 'dropped frames 4'
expect 'status by name' 0 "$perron" status --station alpha
expect 'status by path' 0 "$perron" status --socket "$PERRON_RUN_DIRECTORY/alpha.sock" --json
has "$out" '{"ok":true,"station":"alpha"'
expect 'tree' 0 "$perron" tree
is "$out" "0  (root cell)
│  0#0  peer 1  10.0.0.1  coordinator  here
│  0#1  peer 2  10.0.0.2
├─ 0.0
│  │  0.0#0  peer 10  10.0.0.10  coordinator  1 sensor
│  └─ 0.0.1
│        0.0.1#0  peer 12  10.0.0.12  coordinator  3 sensors  LOST
└─ 0.1
      0.1#0  peer 11  10.0.0.11  coordinator  2 sensors
without a position: peer 13 (10.0.0.13)"
LC_ALL=C expect 'plain tree' 0 "$perron" tree
has "$out" '|- 0.0'
expect 'peers' 0 "$perron" peers
has "$out" 'peer 2 suspected 101 1.0s ago (silence): silent for 251ms, expected within 250ms,'
has "$out" 'accrual'
expect 'drops' 0 "$perron" drops
is "$out" "FRAMES  CAUSE         PEER  STREAM
     3  header-check     -       -
     1  deadline         1    4660"
expect 'cores' 0 "$perron" cores
has "$out" '12.3%'
[[ $out =~ STALLED\ +STALLS.*yes\ +2 ]] || fail 'a stalled core is not shown' "$out"
expect 'streams' 0 "$perron" streams
has "$out" 'gps/roof  alarm  relay'
expect 'sensors' 0 "$perron" sensors
has "$out" 'gps/roof reads 41.1490000 N'
has "$out" 'track: bad ? byte'
for subcommand in status tree peers streams sensors cores drops; do
	expect "$subcommand --json" 0 "$perron" $subcommand --json
	[ "$(wc -l <"$here/out")" -eq 1 ] || fail "$subcommand --json is not one line"
done
expect 'top until it is ended' 0 timeout --preserve-status -s TERM 4 "$perron" top
has "$out" 'station     alpha'
expect 'top of counters that stand still' 0 "$perron" top --count 1
has "$out" 'per second  messages 0.0    frames 0.0    dropped frames 0.0'
expect 'a count of another subcommand' 2 "$perron" status --count 1
has "$err" '--count is an option of top'
expect 'no count' 2 "$perron" top --count few
has "$err" '--count few: expected a number from 1'
expect 'a full disk' 1 bash -c "'$perron' status >/dev/full"
"$fake" "$PERRON_RUN_DIRECTORY/alpha.sock" </dev/null 2>"$here/err" && fail 'a second station started'
has "$(cat "$here/err")" 'another perrond runs: pid'

# groups
expect 'group show' 0 "$perron" group show
has "$out" "CELL  PEER  STATE        VIEW  MEMBERS  COORDINATOR  PENDING  UNSTABLE  SENT"
has "$out" "0        1  operational  7@2         2            1        1         2     6"
has "$out" "0.1      3  gather       1@3         1            3"
has "$out" "-        4  none         -           0            -"
has "$out" "CELL  VIEW  SLOT  MEMBER  INCARNATION  LIFE  COORDINATES
0     7@2      1       1            7     0  yes
0     7@2      2       2            9     3  no
0.1   1@3      1       3            4     0  yes"
expect 'group show of a cell' 0 "$perron" group show 0.1
[[ $out != *7@2* ]] || fail 'another cell is shown' "$out"
expect 'group show as JSON' 0 "$perron" group show 0.1 --json
is "$(wc -l <"$here/out")" 1
is "$(grep -o '"state":' "$here/out" | wc -l)" 1
expect 'a cell that is not here' 1 "$perron" group show 0.0
has "$err" 'no peer of this station is in cell 0.0; perron group show lists their cells'
for cell in 1 0.x 0..1 0.; do
	expect "no cell: $cell" 2 "$perron" group show $cell
	has "$err" "'$cell' is no cell; expected one such as 0 or 0.1"
done
expect 'no verb' 2 "$perron" group
has "$err" 'expected: perron group show|watch [CELL]'

# watched FILE ROWS ARGUMENT...: watches until as many events came as rows are published
watched()
{
	local file=$1 rows=$2
	shift 2
	"$perron" group watch "$@" >"$file" 2>&1 &
	local watcher=$!
	for _ in $(seq 100); do
		grep -q now "$file" && break
		sleep 0.05
	done
	printf '%s' "$rows" >&3
	wait $watcher || fail "group watch $*: exit $?"
}
watched "$here/watched" 0123 --count 4
out=$(cat "$here/watched")
has "$out" '  0  peer 1  now 7@2: 1#1/7+0 2#2/9+3, 1 coordinates, operational'
has "$out" '  -  peer 4  now no view, none'
has "$out" '  0  peer 1  link to 2 is down: silent for 251ms, expected within 250ms, own longest gap 80us'
has "$out" '  0  peer 1  transitional 7@2: 1#1/7+0 2#2/9+3'
has "$out" '  0  peer 1  view 7@2: 1#1/7+0 2#2/9+3, 1 coordinates'
has "$out" '  -  peer 1  link to 101 is down: silent for 251ms, expected within 250ms, own longest gap 80us, one way'
grep -Evq '^([0-9]{2}:){2}[0-9]{2}\.[0-9]{6}  |^-  -  peer 4' "$here/watched" &&
	fail 'a line without its time' "$out"
watched "$here/watched" 3012 0 --json --count 3
is "$(grep -c '"event":"now"' "$here/watched")" 2
is "$(grep -c '"event":"link-down"' "$here/watched")" 1
has "$(tail -n 1 "$here/watched")" '"at_ns":1000000000,"heard_ns":1000200000,"peer":1,"cell":"0","view":7,"leader":2'
expect 'a watch that is ended' 0 timeout --preserve-status -s TERM 1 "$perron" group watch 0.0
has "$err" 'no peer of this station is in cell 0.0 yet'

# a load
expect 'bench' 0 "$perron" bench group --seconds 1 --senders all
has "$err" 'perron: latency of agreed, 200 bytes, cell 0: 0 of 1 s'
has "$out" 'latency of agreed, 200 bytes, cell 0 of 2 members'
has "$out" 'PEER  SENT  BLOCKED   P50   P90   P99  P99.9   MAX  DELIVERED  PER SECOND  MB/S'
has "$out" '   1  1000        3  51us  62us  73us   84us  95us       1001        1000   0.2'
has "$out" '   2  1000        3  51us  62us  73us   84us  95us       1001         500   0.1'
expect 'bench as JSON' 0 "$perron" bench group --seconds 1 --service fifo,safe --json
is "$(wc -l <"$here/out")" 2
has "$out" '"service":"fifo"'
has "$out" '"messages_per_s":500'
has "$out" '"latency_ns":{"p50":51000,"p90":62000,"p99":73000,"p999":84000,"max":95000,"count":1000}'
expect 'bench of another ordering' 0 "$perron" bench group --seconds 1 --mode token --service safe --json
has "$out" '"mode":"token","service":"fifo"'
expect 'a run that fails' 1 "$perron" bench group --seconds 1 --mode rate
has "$err" 'the run at peer 1 ended early: it broke'
expect 'a run that is refused' 1 "$perron" bench group --size 31000
has "$err" "'size' is too much; expected less"
expect 'a sender that is not there' 1 "$perron" bench group --senders 1,3
has "$err" 'peer 3 is not in cell 0 at the stations that were named; name its station, too'
expect 'a cell of one' 1 "$perron" bench group --cell 0.1
has "$err" 'peer 3 is alone in its view of cell 0.1'
expect 'a cell of none' 1 "$perron" bench group --cell 0.0
has "$err" 'no peer of the stations is in a view of cell 0.0; see perron group show'
expect 'no benchmark' 2 "$perron" bench
expect 'no service' 2 "$perron" bench group --service fifo,slow
has "$err" "expected of fifo, causal, agreed and safe, or all"
expect 'no period' 2 "$perron" bench group --period soon
has "$err" "--period is 'soon'; expected a duration"
expect 'no senders' 2 "$perron" bench group --senders some
expect 'bench --help' 0 "$perron" help bench
has "$out" 'usage: perron bench group'

# completion
complete_words()
{
	PATH=$here/bin:$PATH bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _perron
		printf "%s\n" "${COMPREPLY[@]}"' - "$source/apps/perron/completion/perron" "$@"
}
mkdir "$here/bin" && ln -s "$perron" "$here/bin/perron"
is "$(complete_words perron st)" $'status\nstreams'
is "$(complete_words perron status --j)" '--json'
is "$(complete_words perron status --station '')" 'alpha'
is "$(complete_words perron subscribe '' | grep -v -- --)" $'gps/roof\ntrack'
is "$(complete_words perron subscribe gps/roof --class a)" 'alarm'
is "$(complete_words perron config s)" 'show-effective'
is "$(complete_words perron group s)" 'show'
is "$(complete_words perron group watch 0)" $'0\n0.1'
is "$(complete_words perron bench g)" 'group'
is "$(complete_words perron bench group --mode s)" 'sequencer'
is "$(complete_words perron bench group --service s)" 'safe'
stop
[ ! -e "$PERRON_RUN_DIRECTORY/alpha.sock" ] || fail 'the socket was left behind'

# pages
start many 300
expect 'all pages' 0 "$perron" peers --json
is "$(grep -o '"joined_after_ns"' "$here/out" | wc -l)" 300
stop

# rates: the last sensor's and the last cause's counters grow, and stand first then
start busy 2 1000
expect 'top twice' 0 "$perron" top --count 2
is "$(grep -c '^station' "$here/out")" 2
expect 'top once' 0 "$perron" top --count 1
[[ $out =~ messages\ [1-9][0-9]*\.[0-9]\ +frames\ [1-9][0-9]*\.[0-9]\ +dropped\ frames\ [1-9] ]] ||
	fail 'no rates' "$out"
[[ $out =~ 'PER SECOND  SENSOR'.*[1-9][0-9]*\.[0-9]\ +track\ .*\ 0\.0\ +gps/roof ]] ||
	fail 'sensors are not sorted by rate' "$out"
[[ $out =~ [1-9][0-9]*\.[0-9]\ +[0-9]+\ +deadline.*\ 0\.0\ +3\ +header-check ]] ||
	fail 'drops are not sorted by rate' "$out"
expect 'top as JSON' 0 "$perron" top --count 2 --json
is "$(wc -l <"$here/out")" 2
is "$(grep -c '"rates":{"messages":[1-9]' "$here/out")" 2
is "$(grep -o '"per_second":' "$here/out" | wc -l)" 12
stop

# descriptors
cat >"$here/s.yaml" <<END
overlay:
  portal: [{peer: 1, address: 10.0.0.1}]
station: {name: alpha, address: 10.0.0.1/24}
peers: [{id: 1}]
END
expect 'config check' 0 "$perron" config check "$here/s.yaml"
has "$out" 'good: station alpha, 1 peers'
expect 'config show-effective' 0 "$perron" config show-effective "$here/s.yaml"
has "$out" "name: alpha"
has "$out" "# from $here/s.yaml:3"
has "$out" '# default'
echo 'sensors: [{name: a, peer: 1, driver: seral}]' >>"$here/s.yaml"
expect 'unknown sensor driver' 1 "$perron" config check "$here/s.yaml"
is "$err" "$here/s.yaml:5:38: unknown driver 'seral'; expected 'serial' (did you mean it?)"
expect 'the same as JSON' 1 "$perron" config check "$here/s.yaml" --json
has "$out" '"ok":false'
expect 'no file' 1 "$perron" config check "$here/none.yaml"
expect 'no action' 2 "$perron" config

# every cause of a drop is explained
mapfile -t causes < <(sed -n '/define PERRON_DROP_CAUSES/,/^enum/s/.*X([A-Z_]*, "\([a-z-]*\)").*/\1/p' \
	"$source/runtime/base/frame.h")
[ ${#causes[@]} -gt 30 ] || fail "only ${#causes[@]} causes of drops found"
for cause in "${causes[@]}"; do
	[ "$cause" = none ] || grep -q "\`$cause\`" "$source/docs/operations.md" ||
		fail "docs/operations.md does not explain the drop '$cause'"
done

exit $failed
