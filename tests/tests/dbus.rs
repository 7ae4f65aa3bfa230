//! `org.jitctl.Jit1` on the system bus of a booted host: what it gives to whom, and that it harms nobody.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::grants::{elevate, elevate_as};
use jit_tests::{Host, Output, Release};

const SECOND: Duration = Duration::from_secs(1);

/// A client of the bus that keeps its connection: `listen FILE` subscribes, writes what it hears; `many` leaves calls open, and
/// ends when those that are too many were refused; `flood` sends what is as long as the bus lets through.
const CLIENT: &str = r#"
import os, socket, struct, sys
def text(s): return struct.pack("<I", len(s)) + s.encode() + b"\0"
def pad(b, n): return b + b"\0" * (-len(b) % n)
class Bus:
    def __init__(self):
        self.socket, self.serial = socket.socket(socket.AF_UNIX), 0
        self.socket.connect("/run/dbus/system_bus_socket")
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        assert self.socket.recv(200).startswith(b"OK ")
        self.socket.sendall(b"BEGIN\r\n")
        self.send("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", b"")
        assert self.hear()[0] == 2
    def send(self, to, path, interface, member, signature, body, kind=1):
        self.serial += 1
        fields = b""
        for code, of, value in [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", to)]:
            fields = pad(fields, 8) + bytes([code, 1]) + of.encode() + b"\0" + text(value)
        if signature:
            fields = pad(fields, 8) + bytes([8, 1]) + b"g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
        head = b"l" + bytes([kind]) + b"\0\1" + struct.pack("<III", len(body), self.serial, len(fields))
        self.socket.sendall(pad(head + fields, 8) + body)
    def jit(self, member, signature="a{sv}", body=b"\0" * 8):
        self.send("org.jitctl.Jit1", "/org/jitctl/Jit1", "org.jitctl.Jit1.Manager", member, signature, body)
    def exactly(self, n):
        got = b""
        while len(got) < n:
            more = self.socket.recv(n - len(got))
            assert more, "the bus hung up"
            got += more
        return got
    def hear(self):
        head = self.exactly(16)
        body, _, fields = struct.unpack("<III", head[4:])
        return head[1], self.exactly(fields + -fields % 8 + body)
bus = Bus()
if sys.argv[1] == "listen":
    out = open(sys.argv[2], "w", buffering=1)
    bus.jit("Subscribe")
    while True:
        kind, rest = bus.hear()
        if kind == 2: print("subscribed", file=out)
        elif kind == 4 and b"Changed\0" in rest: print("changed", file=out)
        elif kind == 3: print("refused", rest, file=out)
elif sys.argv[1] == "many":
    bus.send("org.jitctl.Jit1", "/org/jitctl/Jit1", "org.jitctl.Jit1.Manager", "Changed", "", b"", kind=4)
    while True:
        kind, rest = bus.hear()
        if kind == 3: break
    assert b"AccessDenied" in rest, rest
    for _ in range(40):
        bus.jit("Status")
    for n in range(36):
        kind, rest = bus.hear()
        assert kind == 3 and b"Error.Busy" in rest, (n, kind, rest)
else:
    long = 31 << 20
    for _ in range(20):
        bus.jit("Status", "ay", struct.pack("<I", long) + b"\0" * long)
    bus.jit("Status")
    while True:
        kind, rest = bus.hear()
        if kind == 2 and b"eligible" in rest: break
"#;

/// A call of the manager's.
fn call(host: &Host, user: &str, rest: &str) -> Output {
    let call = "busctl --system --json=short call org.jitctl.Jit1 /org/jitctl/Jit1 org.jitctl.Jit1.Manager";
    host.run_as(user, &format!("{call} {rest}"))
}

#[test]
fn the_bus_shows_everyone_his_own_and_gives_back_his_own() {
    his_own(Release::Bookworm);
}

#[test]
fn the_bus_does_so_on_debian_13() {
    his_own(Release::Trixie);
}

fn his_own(release: Release) {
    let host = Host::ready_on(release);
    let others = Bystanders::start(&host, Duration::from_millis(100));
    let grant = elevate_as(&host, "alice", "--for 10m --ticket OPS-1");
    host.wait_for(
        "the name",
        10 * SECOND,
        "busctl --system status org.jitctl.Jit1",
    );

    let own = call(&host, "alice", "ListGrants 'a{sv}' 0").ok().json();
    let shown = &own["data"][0][0];
    assert_eq!(shown["id"]["data"], grant.id.as_str(), "{own}");
    assert_eq!(shown["login"]["data"], "alice");
    assert_eq!(shown["ticket"]["data"], "OPS-1");
    assert_eq!(shown["ends_at_usec"]["type"], "t");
    let status = call(&host, "bob", "Status 'a{sv}' 0").ok().json();
    assert_eq!(status["data"][0]["login"]["data"], "bob");
    assert_eq!(
        status["data"][0]["health"]["data"]["agent"], "ok",
        "{status}"
    );

    // Of others, bob learns nothing and changes nothing.
    for method in ["ListGrants", "ListRequests"] {
        let said = call(&host, "bob", &format!("{method} 'a{{sv}}' 0")).ok();
        assert_eq!(said.json()["data"][0], serde_json::json!([]), "{said}");
        call(&host, "bob", &format!("{method} 'a{{sv}}' 1 all b true"))
            .refused()
            .says("only root")
            .hides(&grant.id);
    }
    call(&host, "bob", &format!("Drop 'sa{{sv}}' {} 0", grant.id))
        .refused()
        .says("not yours");
    call(&host, "alice", "ListGrants 'a{sv}' 1 al b true")
        .refused()
        .says("known options: all");
    let all = call(&host, "root", "ListGrants 'a{sv}' 1 all b true").ok();
    all.says(&grant.id);
    host.run_as("bob", "busctl --system call org.freedesktop.DBus / org.freedesktop.DBus RequestName su org.jitctl.Jit1 6")
        .refused();
    host.run_as("bob", "busctl --system call org.jitctl.Jit1 /org/jitctl/Jit1 org.freedesktop.DBus.Properties GetAll s org.jitctl.Jit1.Manager")
        .refused();

    // What is described is what is there.
    host.write(
        "/root/same.py",
        r#"
import subprocess, xml.etree.ElementTree as xml
def of(text):
    for i in xml.fromstring(text).iter("interface"):
        if i.get("name") == "org.jitctl.Jit1.Manager":
            return [(m.tag, m.get("name"), [tuple(sorted(a.items())) for a in m.iter("arg")]) for m in i if m.tag != "annotation"]
live = subprocess.run(["busctl", "--xml-interface", "introspect", "org.jitctl.Jit1", "/org/jitctl/Jit1"], stdout=subprocess.PIPE, check=True)
shipped = open("/usr/share/dbus-1/interfaces/org.jitctl.Jit1.xml").read()
assert of(live.stdout.decode()) == of(shipped) != None, live.stdout
"#,
    );
    host.run(&["python3", "/root/same.py"]).ok();

    // Each hears of his own alone.
    host.write("/usr/local/lib/client.py", CLIENT);
    for user in ["alice", "bob"] {
        let unit = format!("--unit=ear-{user}");
        let file = format!("/tmp/ear.{user}");
        host.run(&[
            "systemd-run",
            "--quiet",
            "--uid",
            user,
            &unit,
            "python3",
            "/usr/local/lib/client.py",
            "listen",
            &file,
        ])
        .ok();
        host.wait_for(
            "the subscription",
            10 * SECOND,
            &format!("grep -x subscribed {file}"),
        );
    }

    // A rule of polkit's can say no, and nothing more.
    let rule = "/etc/polkit-1/rules.d/10-no.rules";
    host.write(
        rule,
        r#"polkit.addRule(function(a, s) {
    if (a.id == "org.jitctl.Jit1.drop" && s.user == "alice") { return polkit.Result.NO; }
    if (a.id == "org.jitctl.Jit1.drop" && s.user == "bob") { return polkit.Result.YES; }
});
"#,
    );
    host.run(&["chmod", "644", rule]).ok();
    let drop = format!("Drop 'sa{{sv}}' {} 0", grant.id);
    host.run(&["systemctl", "restart", "polkit"]).ok();
    call(&host, "alice", &drop)
        .refused()
        .says("polkit does not authorize");
    call(&host, "bob", &drop).refused().says("not yours");
    host.run_as("alice", "sudo -n true").ok();
    host.run(&["rm", rule]).ok();
    host.run(&["systemctl", "restart", "polkit"]).ok();
    call(&host, "alice", &drop).ok().says(&grant.id);
    host.run_as("alice", "jitctl status").exits(6);
    host.run_as("alice", "sudo -n true").refused();
    host.wait_for(
        "alice hears of it",
        5 * SECOND,
        "grep -x changed /tmp/ear.alice",
    );
    host.sh("grep -v -x subscribed /tmp/ear.bob").exits(1);
    others.noticed_nothing();
}

#[test]
fn what_is_too_long_for_the_bus_to_bring_costs_nobody_anything() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    elevate(&mut alice, "--for 10m");
    host.wait_for(
        "the name",
        10 * SECOND,
        "busctl --system status org.jitctl.Jit1",
    );
    host.write("/usr/local/lib/client.py", CLIENT);
    let size = || {
        let script = "grep VmHWM /proc/$(systemctl show --property=MainPID --value jit-agent)/status | tr -dc 0-9";
        let kib: u64 = host.sh(script).ok().text().parse().unwrap();
        kib
    };
    call(&host, "bob", "Status 'a{sv}' 0").ok();
    let before = size();
    let others = Bystanders::start(&host, Duration::from_millis(100));
    host.run_as("bob", "timeout 60 python3 /usr/local/lib/client.py flood")
        .ok();
    alice.run("sudo -n id -u").ok().says("0");
    let grown = size() - before;
    assert!(grown < 2048, "the agent grew by {grown} KiB");
    others.noticed_nothing();
}

#[test]
fn calls_that_one_user_leaves_open_keep_nobody_else_out() {
    let host = Host::ready();
    host.wait_for(
        "the name",
        10 * SECOND,
        "busctl --system status org.jitctl.Jit1",
    );
    host.write("/usr/local/lib/client.py", CLIENT);
    // Every call of bob's waits for polkit, for as long as it may.
    call(&host, "bob", "Status 'a{sv}' 0").ok();
    host.run(&["pkill", "-STOP", "-x", "polkitd"]).ok();
    let many = "timeout 4 python3 /usr/local/lib/client.py many";
    host.run_as("bob", many).ok();
    // Root is not asked about; alice has places of her own, and waits for polkit alone.
    call(&host, "root", "Status 'a{sv}' 0").ok().says("root");
    let later = "(sleep 0.3; pkill -CONT -x polkitd) & runuser -u alice --";
    let ask = "busctl --system call org.jitctl.Jit1 /org/jitctl/Jit1 org.jitctl.Jit1.Manager Status 'a{sv}' 0";
    host.sh(&format!("{later} {ask}")).ok().says("alice");
    host.run_as("bob", "jitctl status").exits(6);
}
