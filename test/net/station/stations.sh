#!/bin/bash
# Stations as a person runs them: they join over a virtual wire, a killed one comes back, and bad
# input is refused with one line.
# Usage: stations.sh PERROND PERRON. Needs root (else 77); works in namespaces that it makes.
# shellcheck disable=SC2317,SC2086,SC2015,SC2206,SC2016
set -u
perrond=$1 perron=$2
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
command -v ip >/dev/null || { echo "needs iproute2"; exit 77; }
a=ps-a-$$ b=ps-b-$$ failed=0 pids=()
dir=$(mktemp -d /tmp/perron-stations-XXXXXX)

clean()
{
	for p in "${pids[@]}"; do kill -9 "$p"; done
	wait
	ip netns del $a
	ip netns del $b
	rm -rf "$dir" /var/run/dpdk/perron-ps-?-$$
} 2>/dev/null
trap clean EXIT
ip netns add $a && ip netns add $b && ip link add v0 netns $a type veth peer name v1 netns $b ||
	{ echo "cannot make namespaces"; exit 77; }
for n in $a $b; do ip -n $n link set lo up; done
ip -n $a link set v0 up
ip -n $b link set v1 up

# descriptor NAME ADDRESS INTERFACE PEERS [SENSORS [LCORES]]: a station of the overlay.
descriptor()
{
	cat <<-END
	overlay:
	  portal: [{peer: 1, address: 10.9.1.1}, {peer: 2, address: 10.9.1.2}]
	station:
	  name: $1
	  address: $2/24
	  socket: $dir/$1.sock
	  idle: backoff
	  huge_pages: no
	  lcores: ${6:-auto}
	port:
	  driver: af_packet
	  interface: $3
	peers: [$4]
	END
	[ -z "${5:-}" ] || echo "sensors: [$5]"
}
# The second one's peers live on a lcore each, and only the first lcore has the port.
two_lcores=auto
[ "$(nproc)" -lt 2 ] || two_lcores='[0, 1]'
descriptor ps-a-$$ 10.9.1.1 v0 '{id: 1}, {id: 3}' >"$dir/a.yaml"
descriptor ps-b-$$ 10.9.1.2 v1 '{id: 2}, {id: 4}' \
	'{name: syn, peer: 4, driver: synthetic}' "$two_lcores" >"$dir/b.yaml"

# start NAMESPACE FILE LOG: sets pid.
start()
{
	ip netns exec $1 "$perrond" -- --config "$2" >"$3" 2>&1 &
	pid=$!
	pids+=($pid)
}

# Waits up to 20 s for a line of a log.
says()
{
	for _ in $(seq 200); do
		grep -q "$2" "$1" && return
		sleep 0.1
	done
	tail -20 "$1"
	return 1
}

check()
{
	if "${@:2}" >"$dir/out" 2>&1; then
		echo "ok    $1"
	else
		echo "FAIL  $1"
		tail -20 "$dir/out"
		failed=1
	fi
}

# refused STATUS TEXT COMMAND...: ends with that status and one line that has the text.
refused()
{
	local want=$1 text=$2
	timeout 20 "${@:3}" >"$dir/refused" 2>&1
	local status=$?
	cat "$dir/refused"
	[ $status -eq "$want" ] || { echo "status $status, expected $want"; return 1; }
	grep '^perrond: ' "$dir/refused" | grep -q -- "$text" || { echo "no '$text'"; return 1; }
	[ "$(grep -c '^perrond: ' "$dir/refused")" -eq 1 ]
}
ended() { wait "$1"; [ $? -eq "$2" ]; }
gone() { [ ! -e "$1" ]; }
alive() { kill -0 "$1"; }

start $a "$dir/a.yaml" "$dir/a.log"; pid_a=$pid
start $b "$dir/b.yaml" "$dir/b.log"; pid_b=$pid
check "the first station joins" says "$dir/a.log" "all 2 peers joined"
check "the second station joins" says "$dir/b.log" "all 2 peers joined"
check "the command line sees both peers" \
	bash -c "'$perron' peers --socket '$dir/ps-a-$$.sock' | grep -c joined | grep -qx 2"
check "a running station is not started twice" refused 1 "" \
	ip netns exec $a "$perrond" -- --config "$dir/a.yaml"
check "and goes on" alive $pid_a

descriptor ps-c-$$ 10.9.1.3 v1 '{id: 3}' >"$dir/c.yaml"
kill -TERM $pid_b
check "TERM ends a station in order" ended $pid_b 0
check "its socket is gone" gone "$dir/ps-b-$$.sock"
ip -n $b addr flush dev v1

check "a second peer 3 is refused by the overlay" refused 3 "peer 3 was refused" \
	ip netns exec $b "$perrond" -- --config "$dir/c.yaml"

start $b "$dir/b.yaml" "$dir/b2.log"; pid_b=$pid
check "a stopped station comes back" says "$dir/b2.log" "all 2 peers joined"
kill -KILL $pid_b
wait $pid_b 2>/dev/null
check "the other one notices" says "$dir/a.log" "link to .* is down"
start $b "$dir/b.yaml" "$dir/b3.log"; pid_b=$pid
check "a killed station comes back" says "$dir/b3.log" "all 2 peers joined"
kill -TERM $pid_a $pid_b
check "both end in order" ended $pid_a 0
check "both end in order, too" ended $pid_b 0

# bad WHAT TEXT EXPRESSION: sed's expression over the first station's descriptor makes it bad.
bad()
{
	sed "$3" "$dir/a.yaml" >"$dir/bad.yaml"
	check "$1" refused 1 "$2" ip netns exec $a "$perrond" -- --config "$dir/bad.yaml"
	check "$1: nothing is left" gone "$dir/ps-a-$$.sock"
}
bad "an unknown key" "unknown key" 's/^station:/station:\n  colour: red/'
bad "an ill-typed key" "'idle'" 's/idle: backoff/idle: sometimes/'
bad "a missing interface" "no-such0" 's/interface: v0/interface: no-such0/'
bad "a core that does not exist" "999" \
	's/lcores: auto/lcores: [999]/'
bad "an address that the portal does not give" "address" \
	's/address: 10.9.1.1.24/address: 10.9.1.7\/24/'
bad "an unknown driver" "af_pocket" 's/af_packet/af_pocket/'
bad "too little memory" "memory" \
	's/huge_pages: no/huge_pages: no\n  memory: 16MB/'
bad "a missing tty" "no-such-tty" \
	'$a sensors: [{name: gps, peer: 3, driver: serial, device: /dev/no-such-tty}]'
if [ "$(cat /proc/sys/vm/nr_hugepages)" -eq 0 ]; then
	bad "missing huge pages" "huge" 's/huge_pages: no/huge_pages: required/'
fi
check "a missing file" refused 1 "no-such.yaml" "$perrond" -- --config "$dir/no-such.yaml"
check "an unknown option" bash -c "! '$perrond' -- --nonsense"
check "no descriptor" refused 2 "config" "$perrond"
check "--check of a good one starts nothing" \
	ip netns exec $a "$perrond" -- --config "$dir/a.yaml" --check
check "--version" bash -c "'$perrond' --version | grep -q '^perrond '"
exit $failed
