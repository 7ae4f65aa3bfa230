"""Root's ear on the system bus: subscribes at org.jitctl.Jit1, then a line `KIND CODE INDEX` for each Alert into /root/heard, and `gone`
when the bus says that nobody has that name any more."""
import socket, struct
bus = socket.socket(socket.AF_UNIX)
bus.connect("/run/dbus/system_bus_socket")
bus.sendall(b"\0AUTH EXTERNAL 30\r\n")
assert bus.recv(200).startswith(b"OK ")
bus.sendall(b"BEGIN\r\n")
serial = 0
def text(value): return struct.pack("<I", len(value)) + value.encode() + b"\0"
def pad(data, n): return data + b"\0" * (-len(data) % n)
def call(to, path, interface, member, signature, body, flags=0):
    global serial
    serial += 1
    fields = b""
    for code, kind, value in [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", to)]:
        fields = pad(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + text(value)
    if signature:
        fields = pad(fields, 8) + bytes([8, 1]) + b"g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    head = bytes([108, 1, flags, 1]) + struct.pack("<III", len(body), serial, len(fields))
    bus.sendall(pad(head + fields, 8) + body)
def exactly(n):
    got = b""
    while len(got) < n:
        more = bus.recv(n - len(got))
        assert more
        got += more
    return got
def words(body, count):
    at, got = 0, []
    for _ in range(count):
        at += -at % 4
        length = struct.unpack_from("<I", body, at)[0]
        got.append(body[at + 4:at + 4 + length].decode())
        at += 5 + length
    return got, at
call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", b"")
# Without an answer.
rule = text("type='signal',member='NameOwnerChanged',arg0='org.jitctl.Jit1'")
call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", rule, flags=1)
call("org.jitctl.Jit1", "/org/jitctl/Jit1", "org.jitctl.Jit1.Manager", "Subscribe", "a{sv}", b"\0" * 8)
out = open("/root/heard", "a", buffering=1)
while True:
    head = exactly(16)
    size, _, fields = struct.unpack("<III", head[4:])
    rest = exactly(fields + -fields % 8 + size)
    if head[1] == 2: print("answer", file=out)
    body = rest[len(rest) - size:]
    if head[1] == 4 and b"NameOwnerChanged\0" in rest and words(body, 3)[0][2] == "": print("gone", file=out)
    if head[1] == 4 and b"Alert\0" in rest:
        said, at = words(body, 2)
        print(*said, struct.unpack_from("<Q", body, at + -at % 8)[0], file=out)
