// A guest's side of DHCP and DNS, in nothing but Python, for the lab's image has no client.

/**
 * `lease.py NAME [RENEW]`: asks on eth0 for a lease, as NAME, takes the address and the route, and prints what it was told.
 */
export const LEASE = String.raw`import os, random, socket, struct, subprocess, sys
def mac(dev):
    return bytes.fromhex(open(f"/sys/class/net/{dev}/address").read().strip().replace(":", ""))
me, name = mac("eth0"), sys.argv[1].encode()
xid = random.getrandbits(32)
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
wire.setsockopt(socket.SOL_SOCKET, 25, b"eth0\0")
wire.bind(("0.0.0.0", 68))
wire.settimeout(3)
def message(kind, more=b""):
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, xid, 0, 0x8000) + bytes(16) + me + bytes(10 + 192)
    options = b"\x63\x82\x53\x63\x35\x01" + bytes([kind]) + b"\x37\x06" + bytes([1, 3, 6, 15, 26, 51])
    return head + options + b"\x0c" + bytes([len(name)]) + name + more + b"\xff"
def ask(kind, answer, more=b""):
    for tries in range(8):
        wire.sendto(message(kind, more), ("255.255.255.255", 67))
        try:
            while True:
                data = wire.recv(2000)
                options, at = {}, 240
                while at < len(data) and data[at] != 255:
                    if data[at] == 0:
                        at += 1
                        continue
                    options[data[at]] = data[at + 2:at + 2 + data[at + 1]]
                    at += 2 + data[at + 1]
                if data[4:8] == struct.pack("!I", xid) and options.get(53) in (bytes([answer]), b"\x06"):
                    return socket.inet_ntoa(data[16:20]), options
        except socket.timeout:
            pass
    sys.exit("no answer")
offered, options = ask(1, 2)
given, options = ask(3, 5, b"\x32\x04" + socket.inet_aton(offered) + b"\x36\x04" + options[54])
if options[53] == b"\x06":
    sys.exit("refused")
length = bin(struct.unpack("!I", options[1])[0]).count("1")
text = lambda code: socket.inet_ntoa(options[code][:4]) if code in options else "-"
subprocess.run(["ip", "-4", "addr", "flush", "dev", "eth0"], check=True)
subprocess.run(["ip", "addr", "add", f"{given}/{length}", "dev", "eth0"], check=True)
if 3 in options:
    subprocess.run(["ip", "route", "replace", "default", "via", text(3)], check=True)
mtu = struct.unpack("!H", options[26])[0] if 26 in options else "-"
domain = options[15].decode() if 15 in options else "-"
print(f"{given}/{length} router {text(3)} dns {text(6)} domain {domain} mtu {mtu}")
`;

/** `ask.py SERVER NAME [TYPE]`: prints the addresses that SERVER says of NAME, or why it has none. */
export const ASK = String.raw`import random, socket, struct, sys
server, name = sys.argv[1], sys.argv[2]
kind = {"A": 1, "PTR": 12, "AAAA": 28}[sys.argv[3] if len(sys.argv) > 3 else "A"]
number = random.getrandbits(16)
labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"
wire = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
wire.settimeout(5)
wire.connect((server, 53))
wire.send(struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + struct.pack("!HH", kind, 1))
data = wire.recv(2000)
code, count = data[3] & 15, struct.unpack("!H", data[6:8])[0]
if code:
    print({2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(code, code))
def skip(at):
    while data[at]:
        if data[at] >= 192:
            return at + 2
        at += 1 + data[at]
    return at + 1
def read(at):
    out = []
    while data[at]:
        if data[at] >= 192:
            at = (data[at] & 63) << 8 | data[at + 1]
            continue
        out.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(out)
at = 12 + len(labels) + 4
found = []
for n in range(count):
    at = skip(at)
    what, _, _, size = struct.unpack("!HHIH", data[at:at + 10])
    at += 10
    if what in (1, 28):
        found.append(socket.inet_ntop(socket.AF_INET if what == 1 else socket.AF_INET6, data[at:at + size]))
    if what == 12:
        found.append(read(at))
    at += size
print("\n".join(sorted(found)))
`;
