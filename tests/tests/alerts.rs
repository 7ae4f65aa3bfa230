//! What needs somebody's eye is told by every way that there is: a record, a severity in the local log, a signal on the bus, a
//! number for a collector.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::Duration;

use jit_tests::Host;
use jit_tests::grants::elevate;

const METRICS: &str = "/run/jit/metrics/jit.prom";
const SOON: Duration = Duration::from_secs(5);

/// Root's ear on the bus: subscribes, then a line `KIND CODE INDEX` for each `Alert`.
const EAR: &str = r#"
import socket, struct
bus = socket.socket(socket.AF_UNIX)
bus.connect("/run/dbus/system_bus_socket")
bus.sendall(b"\0AUTH EXTERNAL 30\r\n")
assert bus.recv(200).startswith(b"OK ")
bus.sendall(b"BEGIN\r\n")
serial = 0
def text(value): return struct.pack("<I", len(value)) + value.encode() + b"\0"
def pad(data, n): return data + b"\0" * (-len(data) % n)
def call(to, path, interface, member, signature, body):
    global serial
    serial += 1
    fields = b""
    for code, kind, value in [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", to)]:
        fields = pad(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + text(value)
    if signature:
        fields = pad(fields, 8) + bytes([8, 1]) + b"g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    head = b"l\1\0\1" + struct.pack("<III", len(body), serial, len(fields))
    bus.sendall(pad(head + fields, 8) + body)
def exactly(n):
    got = b""
    while len(got) < n:
        more = bus.recv(n - len(got))
        assert more
        got += more
    return got
call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", b"")
call("org.jitctl.Jit1", "/org/jitctl/Jit1", "org.jitctl.Jit1.Manager", "Subscribe", "a{sv}", b"\0" * 8)
out = open("/root/heard", "w", buffering=1)
while True:
    head = exactly(16)
    size, _, fields = struct.unpack("<III", head[4:])
    rest = exactly(fields + -fields % 8 + size)
    if head[1] == 2: print("answer", file=out)
    if head[1] == 4 and b"Alert\0" in rest:
        body, at, words = rest[len(rest) - size:], 0, []
        for _ in range(2):
            at += -at % 4
            length = struct.unpack_from("<I", body, at)[0]
            words.append(body[at + 4:at + 4 + length].decode())
            at += 5 + length
        print(*words, struct.unpack_from("<Q", body, at + -at % 8)[0], file=out)
"#;

/// Every way tells of the newest record of this type and code.
#[track_caller]
fn told(host: &Host, kind: &str, code: &str, priority: &str) -> u64 {
    let found = host.wait_record(&format!("{kind} {code}"), |r| {
        r["type"] == kind && r["detail"]["code"].as_str().unwrap_or_default() == code
    });
    let index = found["index"].as_u64().unwrap();
    host.wait_for(
        "the local log",
        SOON,
        &format!("journalctl --sync; journalctl -q -o json JIT_INDEX={index} | grep -q '\"PRIORITY\":\"{priority}\"'"),
    );
    let signal = if code.is_empty() {
        format!("{kind}  {index}")
    } else {
        format!("{kind} {code} {index}")
    };
    host.wait_for(
        "the signal",
        SOON,
        &format!("grep -qx '{signal}' /root/heard"),
    );
    index
}

#[track_caller]
fn number(host: &Host, line: &str) {
    host.wait_for("the number", SOON, &format!("grep -qx '{line}' {METRICS}"));
}

#[test]
fn what_needs_an_eye_is_told_by_every_way() {
    let host = Host::ready();
    host.write("/root/ear.py", EAR);
    host.sh("systemd-run -q --unit ear python3 /root/ear.py")
        .ok();
    // To its greeting, and to its subscription.
    host.wait_for(
        "the subscription",
        SOON,
        "test $(grep -cx answer /root/heard) = 2",
    );
    // For everybody's eyes, and of nobody in particular.
    host.wait_for("the numbers", SOON, &format!("test -s {METRICS}"));
    host.run(&["stat", "-c", "%a %U", METRICS])
        .ok()
        .says("644 root");
    number(&host, "jit_journal_writable 1");
    number(&host, "jit_link_connected 1");

    let mut alice = host.shell("alice");
    elevate(&mut alice, "--role logs --for 1h");
    number(&host, "jit_grants 1");
    host.run_as("bob", "jitctl elevate --reason 'let me in'")
        .exits(3);
    told(&host, "refused", "", "4");
    // A code as codes are, and none of this host's.
    alice
        .run("echo AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-E4BAG | jitctl breakglass --reason fire")
        .exits(3);
    told(&host, "breakglass", "", "1");
    // A flood: from some point on it is only counted, and that is told.
    host.run_as(
        "bob",
        "for i in $(seq 120); do jitctl elevate --reason no; done >/dev/null 2>&1; true",
    )
    .ok();
    told(&host, "alert", "burst", "4");
}
