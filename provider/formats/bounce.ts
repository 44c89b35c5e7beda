/**
 * Entering and leaving a VRF takes a link down and up, and the VLANs on top of it, whoever made them: the kernel forgets
 * their IPv6 addresses and their routes, and sets those up that were down.
 */
import type { Step } from "../kind";
import { batch } from "./link";
import { BY_THEMSELVES, LISTING_FLAGS } from "./listed";

/** Steps of `ip` that take links down and up, as `batch` runs them: in one process with which the VLANs on top are as they were. */
export const bounce = (links: readonly string[], steps: readonly Step[]): Step => ({
  argv: ["sh", "-c", BOUNCE, "sh", ...links],
  stdin: batch(steps).stdin,
});

/**
 * Where there is nothing on top, which is nearly always, it costs one process. A loosely bound VLAN stays up by itself; M-DOWN
 * says that a VLAN is down because its link is. Addresses and routes come back as `restoreAddress` and `restoreRoute` have them.
 */
const BOUNCE = `links=" $* "
vlans=$(ip -d -o link show type vlan | grep -v LOOSE_BINDING)
on() {
  echo "$vlans" | while IFS=": @" read -r _ vlan link flags; do
    [ "$link" = "$1" ] || continue
    case $links in *" $vlan "*) continue ;; esac
    echo "$vlan $flags"
    on "$vlan"
  done
}
top=$(for link; do on "$link"; done)
[ "$top" ] || exec ip -force -batch -
states() {
  echo "$top" | while read -r vlan flags _; do
    case $flags in *[\\<,]UP[,\\>]* | *M-DOWN*) ;; *) echo "link set dev $vlan down" ;; esac
  done
}
addresses() {
  echo "$top" | while read -r vlan _; do
    ip -o -6 addr show dev "$vlan" | sed '1!G;h;$!d' | sed -nE "
      / temporary /d; s/^[0-9]+: +[^ ]+ +inet6 //; s/ *\\\\\\\\ +/ /; s/([0-9])sec/\\1/g; s/ *$/ dev $vlan/
      :a; s/ (tentative|dadfailed|deprecated|dynamic|stable-privacy) / /; ta
      /^[^ ]*\\/128 /{ s/ nodad / /; s/^/addr add /; s/$/ nodad/; p; d; }
      / nodad /{ s/^/addr replace /p; d; }
      h; s/^/addr replace /; s/$/ nodad/; p; g; s/^/addr change /p"
  done
}
routes() {
  echo "$top" | while read -r vlan _; do
    ip -N -o "$1" route show table all dev "$vlan" | grep -vE " ${BY_THEMSELVES}( |$)" | sed -E "
      :a; s/ (${LISTING_FLAGS.join("|")})( |$)/ /; ta
      s/([0-9])sec/\\1/g; s/^/route replace /; s/ *$/ dev $vlan/"
  done
}
gateways_last() { echo "$1" | grep -v " via "; echo "$1" | grep " via "; }
back=$(states; addresses) four=$(routes -4) six=$(routes -6)
ip -force -batch -; e=$?
{ echo "$back"; gateways_last "$six"; } | ip -6 -force -batch - || e=$?
gateways_last "$four" | ip -4 -force -batch - || e=$?
exit $e`;
