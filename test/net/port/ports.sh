#!/bin/bash
# Each port against its counterpart: a kernel host that pings, or another process.
# Usage: ports.sh PORT_HOST. Needs root (else 77); works in namespaces that it makes and takes away.
# shellcheck disable=SC2317 # functions are called by name, through check and trap
set -u
host=$1
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
if ! command -v ip >/dev/null || ! command -v ping >/dev/null; then
	echo "needs iproute2, iputils-ping"
	exit 77
fi
a=pp-a-$$ b=pp-b-$$ failed=0 pids=()
dir=$(mktemp -d /tmp/perron-ports-XXXXXX)
core=$(($(nproc) > 1))

clean()
{
	for p in "${pids[@]}"; do kill -9 "$p"; done
	wait
	ip netns del "$a"
	ip netns del "$b"
	rm -rf "$dir" "/var/run/dpdk/perron-a-$$" "/var/run/dpdk/perron-b-$$"
} 2>/dev/null
trap clean EXIT
if ! ip netns add "$a" || ! ip netns add "$b" ||
	! ip link add v0 netns "$a" type veth peer name v1 netns "$b"; then
	echo "cannot make namespaces"
	exit 77
fi
ip -n "$a" link set v0 up
ip -n "$b" link set v1 up
ip -n "$b" addr add 10.9.0.2/24 dev v1

eal=(--no-huge --no-shconf -m 96)
a() { exec ip netns exec "$a" "$host" "$@" -- "${eal[@]}" --file-prefix=perron-a-$$; }
b() { exec ip netns exec "$b" "$host" "$@" -- "${eal[@]}" --file-prefix=perron-b-$$; }

# Runs a station in the background and waits until it says that it is ready.
station()
{
	: >"$dir/log"
	(a 10.9.0.1/24 echo seconds=60 core=0 "$@" >"$dir/log" 2>&1) &
	pid=$!
	pids+=("$pid")
	for _ in $(seq 150); do
		grep -q ready "$dir/log" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	cat "$dir/log"
	return 1
}

stop()
{
	kill "$1" "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	pids=()
}

check()
{
	if "${@:2}" >"$dir/out" 2>&1; then
		echo "ok    $1"
	else
		echo "FAIL  $1"
		tail -15 "$dir/out"
		failed=1
	fi
}

pinged() { ip netns exec "$1" ping -c 3 -i 0.2 -W 5 10.9.0.1; }
# What ARP told the kernel.
resolved() { ip -n "$1" neigh show 10.9.0.1 | tee /dev/stderr | grep -q lladdr; }
answered() { (b 10.9.0.2/24 ping 10.9.0.1 seconds=20 core="$core" count=100 "$@"); }
gone() { [ ! -e "$1" ]; }

for driver in af_packet af_xdp; do
	ip -n "$b" neigh flush all
	station driver="$driver" interface=v0
	check "$driver answers a kernel's ping" pinged "$b"
	check "$driver answers ARP" resolved "$b"
	stop -KILL
	station driver="$driver" interface=v0
	check "$driver starts again after kill -9" pinged "$b"
	stop -TERM
done

ip -n "$b" addr flush dev v1
for driver in af_packet af_xdp; do
	station driver="$driver" interface=v0
	check "$driver to $driver" answered driver="$driver" interface=v1
	check "$driver to $driver, chained" answered driver="$driver" interface=v1 chained=yes
	check "$driver to $driver, largest" answered driver="$driver" interface=v1 size=1472
	stop -TERM
done

taken() { grep -q "^port_host: port 0 (af_xdp): cannot have queue 0 of v0" "$dir/second"; }
station driver=af_xdp interface=v0
(exec ip netns exec "$a" "$host" 10.9.0.3/24 echo seconds=1 core="$core" driver=af_xdp \
	interface=v0 -- "${eal[@]}" --file-prefix=perron-b-$$) >"$dir/second" 2>&1
check "af_xdp on a queue that is taken says so" taken
stop -TERM

# The kernel of the station's own namespace; the lcore sleeps until it is woken.
for sleep in no yes; do
	options=(driver=tap interface=perron0)
	[ $sleep = yes ] && options+=(sleep=yes)
	station "${options[@]}"
	ip -n "$a" addr add 10.9.0.2/24 dev perron0
	ip -n "$a" link set perron0 up
	check "tap answers a kernel's ping (sleeps: $sleep)" pinged "$a"
	stop -KILL
	check "tap goes with its station" ip netns exec "$a" test ! -e /sys/class/net/perron0
done

memif=(driver=memif socket="$dir/memif")
for extra in "" queues=4; do
	station "${memif[@]}" role=server $extra
	check "memif to memif $extra" answered "${memif[@]}" role=client $extra
	check "memif to memif $extra, chained" answered "${memif[@]}" role=client chained=yes $extra
	stop -TERM
	check "memif's socket goes with its server" gone "$dir/memif"
done
station "${memif[@]}" role=server
stop -KILL
station "${memif[@]}" role=server
check "memif starts again after kill -9" answered "${memif[@]}" role=client
stop -TERM
(answered "${memif[@]}" role=client) >"$dir/early" 2>&1 &
early=$!
sleep 1
station "${memif[@]}" role=server
check "a memif client may be first" wait "$early"
stop -TERM

refused()
{
	answered "${@:2}" >"$dir/refusal" 2>&1 && return 1
	cat "$dir/refusal"
	grep -q "^port_host: .*$1" "$dir/refusal"
}
check "zero copy without huge pages is refused" refused "zero_copy needs huge pages" \
	"${memif[@]}" role=client zero_copy=yes
check "a missing interface is named" refused "interface no-such does not exist" \
	driver=af_packet interface=no-such
ip -n "$b" link set v1 down
check "an interface that is down is named" refused "ip link set v1 up" driver=af_xdp interface=v1
ip -n "$b" link set v1 up mtu 1400
check "too small an MTU is named" refused "mtu 1500" driver=af_packet interface=v1
exit $failed
