#!/bin/sh
# As much of systemctl as a unit of dnsmasq needs, for hosts in namespaces, which have no systemd.
set -u
state=/run/systemctl
mkdir -p "$state"
file() {
  for folder in /etc/systemd/system /run/systemd/system; do
    [ ! -e "$folder/$1" ] || { echo "$folder/$1"; return; }
  done
}
pid() { command cat "$(sed -n 's/^PIDFile=//p' "$1" 2>/dev/null)" 2>/dev/null; }
alive() { [ -e "$state/$1" ] && kill -0 "$(command cat "$state/$1")" 2>/dev/null; }
verb=$1
shift
for unit; do :; done
case $verb in
show)
  wants=/etc/systemd/system/multi-user.target.wants/$unit
  for word; do
    case $word in
    ActiveState) if alive "$unit"; then echo ActiveState=active; elif [ -e "$state/$unit.failed" ]; then echo ActiveState=failed; else echo ActiveState=inactive; fi ;;
    UnitFileState) if [ -e "$wants" ]; then echo UnitFileState=enabled; else echo UnitFileState=; fi ;;
    MainPID) if alive "$unit"; then echo "MainPID=$(command cat "$state/$unit")"; else echo MainPID=0; fi ;;
    esac
  done
  ;;
enable) mkdir -p /etc/systemd/system/multi-user.target.wants && ln -sf "$(file "$unit")" "/etc/systemd/system/multi-user.target.wants/$unit" ;;
start)
  ! alive "$unit" || exit 0
  path=$(file "$unit")
  [ -n "$path" ] || exit 5
  mkdir -p /var/lib/hostnet "$(dirname "$(sed -n 's/^PIDFile=//p' "$path")")"
  if $(sed -n 's/^ExecStart=//p' "$path"); then pid "$path" >"$state/$unit"; rm -f "$state/$unit.failed"; else : >"$state/$unit.failed"; exit 1; fi
  ;;
stop)
  for unit in $(cd "$state" && ls -d $unit 2>/dev/null); do
    kill "$(command cat "$state/$unit")" 2>/dev/null
    while alive "$unit"; do sleep 0.02; done
    rm -f "$state/$unit"
    rm -rf "/run/${unit%.service}"
  done
  ;;
reset-failed) for unit in $(cd "$state" && ls -d $unit.failed 2>/dev/null); do rm -f "$state/$unit"; done ;;
daemon-reload) ;;
*) echo "systemctl $verb?" >&2; exit 1 ;;
esac
