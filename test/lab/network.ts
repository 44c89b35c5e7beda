// Networks that tests build on the host, and what they do with packets there, as shell text.

/**
 * A shell function: lan NAME CARD MAC NET NODE... builds a switch in a namespace of its own, nodes on it (NAME-NODE, with
 * NET.NODE/24), and a cable to a card of the host, with an address of its own, or udev gives it another one seconds later.
 */
export const lan = `
lan() {
  name=$1 card=$2 mac=$3 net=$4
  shift 4
  ip netns add "$name"
  ip -n "$name" link add name switch type bridge
  ip -n "$name" link set dev switch up
  ip link add name "$card" address "$mac" type veth peer name uplink netns "$name"
  ip -n "$name" link set dev uplink master switch up
  ip link set dev "$card" up
  for last in "$@"; do
    ip netns add "$name-$last"
    ip -n "$name-$last" link add name eth0 type veth peer name "port$last" netns "$name"
    ip -n "$name" link set dev "port$last" master switch up
    ip -n "$name-$last" link set dev lo up
    ip -n "$name-$last" link set dev eth0 up
    ip -n "$name-$last" addr add "$net.$last/24" dev eth0
  done
}
`;

/** One ping, one answer; two seconds are much under emulation. */
export function ping(node: string, target: string): string {
  return `ip netns exec ${node} ping -n -q -c 1 -W 2 ${target} > /dev/null 2>&1`;
}

/** Shell functions around tcpdump: begin NODE DEVICE FILTER (NODE is - for the host), finish NODE prints what was seen. */
export const capture = `
begin() {
  mkdir -p /run/capture
  enter=
  [ "$1" = - ] || enter="ip netns exec $1"
  $enter tcpdump -nn -l --immediate-mode -i "$2" "$3" > "/run/capture/$1" 2> "/run/capture/$1.log" &
  echo $! > "/run/capture/$1.pid"
  tries=0
  until grep -q 'listening on' "/run/capture/$1.log"; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "/run/capture/$1.log"; exit 1; }
    sleep 0.1
  done
}
finish() {
  pid=$(cat "/run/capture/$1.pid")
  sleep 0.3 # what passed a moment ago is still on its way to tcpdump
  kill "$pid"
  wait "$pid" || :
  sed "/^$/d; s/^/$1: /" "/run/capture/$1"
  rm -f "/run/capture/$1" "/run/capture/$1.log" "/run/capture/$1.pid"
}
`;
