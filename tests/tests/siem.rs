//! Receivers of syslog, which are real ones (rsyslog over TCP, TLS and RELP; syslog-ng over TCP and TLS), get every record of
//! the journal, whatever becomes of their connections; and whoever owns the link can hide nothing from them unseen.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod impostor;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::thread;
use std::time::{Duration, Instant};

use impostor::Link;
use jit_tests::Host;
use jit_tests::grants::{elevate, records};
use serde_json::Value;
use wire::link::{Down, Up};

/// A program that receives, and how it is reached.
struct Program {
    host: fn() -> Host,
    /// Each a service beside the others: its name, its inputs, its configuration.
    services: &'static [(&'static str, &'static str, &'static str)],
    /// How to start one, of this `NAME`.
    start: &'static str,
    /// Name, transport, port, format.
    inputs: &'static [(&'static str, &'static str, u16, &'static str)],
}

const RSYSLOG: Program = Program {
    host: Host::ready_with_receivers,
    // Half a second is what one takes to start.
    services: &[
        ("siem", "plain,counted", RSYSLOG_OPEN),
        ("siem2", "secret,both", RSYSLOG_TLS),
    ],
    start: "/usr/sbin/rsyslogd -n -f /etc/NAME.conf -i /run/NAME.pid",
    inputs: &[
        ("plain", "tcp", 10514, "json"),
        ("secret", "tls", 6514, "ocsf"),
        ("counted", "relp", 20514, "ocsf"),
        ("both", "relp-tls", 20515, "json"),
    ],
};

const SYSLOG_NG: Program = Program {
    host: Host::ready_with_syslog_ng,
    services: &[("siem", "plain,secret", SYSLOG_NG_CONF)],
    start: "/usr/sbin/syslog-ng -F --no-caps -f /etc/NAME.conf -p /run/NAME.pid -R /var/lib/siem/persist -c /run/NAME.ctl",
    inputs: &[
        ("plain", "tcp", 10514, "json"),
        ("secret", "tls", 6514, "ocsf"),
    ],
};

/// A receiver's syslog-ng beside the host's own: one file for each input, a JSON object a line.
const SYSLOG_NG_CONF: &str = r#"@version: 3.38
options { keep-hostname(yes); use-dns(no); log-msg-size(1048576); stats-freq(0); };
template line { template("$(format-json host=$HOST app=$PROGRAM msgid=$MSGID severity=$LEVEL_NUM time=$ISODATE data=$SDATA msg=$MESSAGE)\n"); };
source plain { syslog(transport("tcp") port(10514)); };
source secret { syslog(transport("tls") port(6514) tls(key-file("/root/tls/siem.key") cert-file("/root/tls/siem.pem")
    ca-file("/root/tls/ca.pem") peer-verify(required-trusted) trusted-dn("CN=web1"))); };
destination plain { file("/var/log/siem/plain" template(line)); };
destination secret { file("/var/log/siem/secret" template(line)); };
log { source(plain); destination(plain); };
log { source(secret); destination(secret); };
"#;

/// What a receiver's rsyslog beside the host's own writes: one file for each input, a JSON object a line.
const RSYSLOG_LINE: &str = r#"
template(name="line" type="list") {
    constant(value="{") property(name="hostname" outname="host" format="jsonf")
    constant(value=",") property(name="app-name" outname="app" format="jsonf")
    constant(value=",") property(name="msgid" outname="msgid" format="jsonf")
    constant(value=",") property(name="syslogpriority" outname="severity" format="jsonf")
    constant(value=",") property(name="timereported" outname="time" dateFormat="rfc3339" format="jsonf")
    constant(value=",") property(name="structured-data" outname="data" format="jsonf")
    constant(value=",") property(name="msg" outname="msg" format="jsonf")
    constant(value="}\n")
}
"#;

const RSYSLOG_OPEN: &str = r#"
global(workDirectory="/var/lib/siem" maxMessageSize="1m")
module(load="imtcp")
module(load="imrelp")
include(file="/etc/siem-line.conf")
ruleset(name="plain") { action(type="omfile" file="/var/log/siem/plain" template="line") }
ruleset(name="counted") { action(type="omfile" file="/var/log/siem/counted" template="line") }
input(type="imtcp" port="10514" ruleset="plain")
input(type="imrelp" port="20514" ruleset="counted" maxDataSize="1m")
"#;

const RSYSLOG_TLS: &str = r#"
global(workDirectory="/var/lib/siem" maxMessageSize="1m"
    defaultNetstreamDriverCAFile="/root/tls/ca.pem"
    defaultNetstreamDriverCertFile="/root/tls/siem.pem" defaultNetstreamDriverKeyFile="/root/tls/siem.key")
module(load="imtcp")
module(load="imrelp" tls.tlslib="gnutls")
include(file="/etc/siem-line.conf")
ruleset(name="secret") { action(type="omfile" file="/var/log/siem/secret" template="line") }
ruleset(name="both") { action(type="omfile" file="/var/log/siem/both" template="line") }
input(type="imtcp" port="6514" ruleset="secret" streamDriver.name="gtls" streamDriver.mode="1"
    streamDriver.authMode="x509/name" permittedPeer="web1")
input(type="imrelp" port="20515" ruleset="both" maxDataSize="1m" tls="on" tls.caCert="/root/tls/ca.pem"
    tls.myCert="/root/tls/siem.pem" tls.myPrivKey="/root/tls/siem.key" tls.authMode="name" tls.permittedPeer="web1")
"#;

/// When each message came, in seconds, its type, and its text.
const IDLE: &str = r#"
global(workDirectory="/var/lib/siem" maxMessageSize="1m")
module(load="imrelp")
template(name="line" type="string" string="[%timegenerated:::date-unixtimestamp%, \"%msgid%\", %msg%]\n")
ruleset(name="idle") { action(type="omfile" file="/var/log/siem/idle" template="line") }
input(type="imrelp" port="20514" ruleset="idle" maxDataSize="1m")
"#;

/// An authority, a certificate for the receiver, one for this host.
const CERTIFICATES: &str = r#"set -e
mkdir -p /root/tls /var/log/siem /var/lib/siem
cd /root/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2 2>/dev/null
for name in siem web1; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name 2>/dev/null
    printf 'subjectAltName=DNS:%s\nbasicConstraints=CA:FALSE\n' $name >$name.ext
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2 -extfile $name.ext 2>/dev/null
done
install -g jit-link -m 0640 web1.key web1.pem ca.pem /etc/jit/
echo 127.0.0.1 siem >>/etc/hosts
"#;

fn receivers(program: &Program) -> Host {
    let host = (program.host)();
    host.sh(CERTIFICATES).ok();
    host.write("/etc/siem-line.conf", RSYSLOG_LINE);
    for (name, _, config) in program.services {
        host.write(&format!("/etc/{name}.conf"), config);
        let start = program.start.replace("NAME", name);
        host.write(
            &format!("/etc/systemd/system/{name}.service"),
            &format!("[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={start}\n"),
        );
    }
    let mut config = String::new();
    for (name, transport, port, format) in program.inputs {
        let tls = if transport.contains("tls") {
            "ca = \"/etc/jit/ca.pem\"\ncertificate = \"/etc/jit/web1.pem\"\nkey = \"/etc/jit/web1.key\"\n"
        } else {
            ""
        };
        config += &format!(
            "[receiver.{name}]\naddress = \"siem:{port}\"\ntransport = \"{transport}\"\n\
             format = \"{format}\"\nsettle_s = 10\n{tls}"
        );
    }
    host.write("/etc/jit/link.toml", &config);
    host
}

/// What one receiver has of the log, in the order in which it came: index and line. Checkpoints apart.
fn got(host: &Host, name: &str) -> (Vec<(u64, Value)>, Vec<Value>) {
    let (mut lines, mut checkpoints) = (Vec::new(), Vec::new());
    let text = host
        .sh(&format!("cat /var/log/siem/{name} || true"))
        .ok()
        .stdout;
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let data = line["data"].as_str().unwrap();
        assert!(data.starts_with("[jit@32473 origin=\"jit/"), "{line}");
        let param = |name: &str| {
            let (_, rest) = data.split_once(&format!(" {name}=\""))?;
            rest.split_once('"')?.0.parse::<u64>().ok()
        };
        match param("index") {
            Some(index) => lines.push((index, line)),
            None => {
                assert_eq!(line["msgid"], "checkpoint", "{line}");
                assert!(param("next").is_some(), "{line}");
                checkpoints.push(line);
            }
        }
    }
    (lines, checkpoints)
}

/// What a message says that the journal says.
fn record_of(line: &Value, format: &str) -> Value {
    let mut body: Value = serde_json::from_str(line["msg"].as_str().unwrap().trim_start()).unwrap();
    if format == "ocsf" {
        assert_eq!(body["metadata"]["version"], "1.8.0");
        assert_eq!(
            body["type_uid"].as_u64().unwrap(),
            body["class_uid"].as_u64().unwrap() * 100 + body["activity_id"].as_u64().unwrap()
        );
        return serde_json::from_str(body["raw_data"].as_str().unwrap()).unwrap();
    }
    let members = body.as_object_mut().unwrap();
    assert!(
        members
            .remove("origin")
            .unwrap()
            .as_str()
            .unwrap()
            .starts_with("jit/")
    );
    members.remove("index").unwrap();
    body
}

#[test]
fn rsyslog_gets_every_record_across_restarts_and_nothing_in_one_forges_anything() {
    let host = every_record_arrives(&RSYSLOG);
    probes_come_back(&host);
}

/// `jitctl simulate --siem`: how long the way is, and that it is broken.
fn probes_come_back(host: &Host) {
    let simulate = "jitctl simulate --siem --json --count 2";
    let files = "--from /var/log/siem/counted --from /var/log/siem/plain";
    let all = host
        .sh(&format!("{simulate} --within 40s {files}"))
        .ok()
        .json();
    assert_eq!(all["ok"], true, "{all}");
    let came = |name: &str| {
        let ways = all["ways"].as_array().unwrap();
        let way = ways.iter().find(|w| w["name"] == name).unwrap();
        let came = way["came_after_ms"].as_array().unwrap();
        assert_eq!(came.len(), 2, "{all}");
        came[1].as_u64().unwrap()
    };
    // What answers has answered when it is in its file; the others only settle later.
    assert!(
        came("counted") < 5_000 && came("/var/log/siem/counted") < 5_000,
        "{all}"
    );
    assert!(
        came("/var/log/siem/plain") < 5_000 && came("plain") >= 5_000,
        "{all}"
    );
    println!("{all}");
    let index = all["probes"][0]["index"].as_u64().unwrap();
    let said = host.wait_record("the probe", |r| r["index"] == index);
    assert_eq!(said["type"], "probe", "{said}");
    host.run_as("alice", "jitctl simulate --siem").exits(3);
    host.run(&["jitctl", "simulate"]).exits(2);
    host.run(&["systemctl", "stop", "siem", "siem2"]).ok();
    let broken = host.sh(&format!("{simulate} --within 2s")).exits(7).json();
    assert_eq!(broken["ok"], false, "{broken}");
    assert_eq!(
        broken["ways"][0]["came_after_ms"],
        serde_json::json!([]),
        "{broken}"
    );
}

#[test]
fn syslog_ng_gets_every_record_across_restarts_and_nothing_in_one_forges_anything() {
    every_record_arrives(&SYSLOG_NG);
}

/// `JIT_SIEM_ROUNDS` sets how often the receivers are restarted under load.
#[allow(clippy::too_many_lines)]
fn every_record_arrives(program: &Program) -> Host {
    let rounds: u64 = env::var("JIT_SIEM_ROUNDS").map_or(100, |n| n.parse().unwrap());
    let host = receivers(program);
    let inputs = program.inputs;
    let last = inputs.last().unwrap().0;
    // The link is there first, and says what it cannot reach.
    host.run(&["systemctl", "restart", "jit-link"]).ok();
    host.wait_for(
        "the note of a receiver that is away",
        Duration::from_secs(10),
        &format!("jitctl doctor | grep -q 'the receiver {last} lacks the last .* records: cannot connect'"),
    );
    let mut start = vec!["systemctl", "start"];
    start.extend(program.services.iter().map(|(name, ..)| name));
    host.run(&start).ok();

    let mut alice = host.shell("alice");
    let grant = elevate(&mut alice, "--for 30m --ticket 'a\"b]c\\\\d'");
    // What a shell may pass: the end of a line, of a parameter, of a message; terminals; another message.
    let hostile = r#"$'x"]\\ \n<14>1 2026-01-01T00:00:00Z evil su - - - root\e[2J\r\u202e\x7f\0'"#;
    alice
        .run(&format!("sudo -n /bin/echo {hostile} >/dev/null"))
        .ok();
    alice
        .run(r#"mkdir -p $'/tmp/q]"\n' && cd $'/tmp/q]"\n' && sudo -n /bin/true; cd"#)
        .ok();
    alice
        .run("sudo -n /bin/echo $(printf 'a%.0s' $(seq 20000)) >/dev/null")
        .ok();

    // Restarted while records come. Whatever comes afterwards begins no earlier than what the agent knew to be there.
    host.write("/root/restarts.py", include_str!("../siem/restarts.py"));
    alice
        .run("(until test -e /tmp/enough; do sudo -n true; sleep 0.1; done) >/dev/null 2>&1 &")
        .ok();
    let start = Instant::now();
    let mut argv = vec!["python3".to_owned(), "/root/restarts.py".to_owned()];
    argv.push(rounds.to_string());
    argv.extend(
        program
            .services
            .iter()
            .map(|(name, of, _)| format!("{name}={of}")),
    );
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let limit = Duration::from_secs(120 + 10 * rounds);
    let said = host.run_for(&argv, limit).ok().stdout;
    host.run(&["touch", "/tmp/enough"]).ok();
    let mut since: BTreeMap<String, Vec<(usize, u64)>> = BTreeMap::new();
    for line in said.lines() {
        let (name, before, kept) = serde_json::from_str(line).unwrap();
        since.entry(name).or_default().push((before, kept));
    }
    let of_each = usize::try_from(rounds).unwrap() / program.services.len();
    assert!(inputs.iter().all(|r| since[r.0].len() >= of_each));
    println!("{rounds} restarts in {:?}", start.elapsed());
    alice.run(&format!("jitctl drop {}", grant.id)).ok();

    // All of it, everywhere.
    let start = Instant::now();
    let all = loop {
        let all = records(&host);
        let last = all.len() as u64;
        let whole = |name: &str| {
            let have: BTreeSet<u64> = got(&host, name).0.iter().map(|(index, _)| *index).collect();
            have.into_iter().eq(0..last)
        };
        if inputs.iter().all(|r| whole(r.0)) {
            break all;
        }
        assert!(
            start.elapsed() < Duration::from_secs(90),
            "not everything arrives"
        );
        thread::sleep(Duration::from_millis(200));
    };
    assert!(all.len() as u64 > rounds, "{}", all.len());
    let moved = since
        .values()
        .all(|kept| kept.iter().any(|(_, kept)| *kept > 0));
    assert!(moved, "{since:?}");
    for (name, _, _, format) in inputs {
        let (lines, checkpoints) = got(&host, name);
        for (index, line) in &lines {
            let Some(have) = all.get(usize::try_from(*index).unwrap()) else {
                continue;
            };
            let mut have = have.clone();
            for own in ["index", "schema_version"] {
                have.as_object_mut().unwrap().remove(own);
            }
            assert_eq!(record_of(line, format), have, "{name}: {line}");
            assert_eq!(line["app"], "jit-agent", "{name}: {line}");
            assert_eq!(line["msgid"], have["type"], "{name}: {line}");
        }
        for (before, kept) in &since[*name] {
            let early = lines[*before..].iter().find(|(index, _)| index < kept);
            assert!(early.is_none(), "{name}: below {kept} comes {early:?}");
        }
        // Signed by this host, and never more than there is.
        let said: Value = serde_json::from_str(
            checkpoints.last().unwrap()["msg"]
                .as_str()
                .unwrap()
                .trim_start(),
        )
        .unwrap();
        assert!(said["next"].as_u64().unwrap() <= all.len() as u64, "{said}");
        assert_eq!(
            said["word"].as_str().unwrap().split('.').count(),
            3,
            "{said}"
        );
    }

    // In the end the agent knows that all of it is there, and says so.
    let next = records(&host).len();
    host.wait_for(
        "the cursors",
        Duration::from_secs(30),
        &format!(
            "test \"$(grep -o ':{next}\\b' /var/lib/jit/receivers.json | wc -l)\" = {}",
            inputs.len()
        ),
    );
    host.run(&["jitctl", "doctor"]).ok().hides("receiver");
    // What a receiver has is compared with the journal.
    host.sh(
        "python3 -c 'import json\nfor l in open(\"/var/log/siem/secret\"):\n d=json.loads(l)\n print(d[\"msg\"])' >/root/ocsf.json \
         && jitctl log verify --against /root/ocsf.json",
    )
    .ok()
    .says("of its checkpoints compared; 0 more");
    host
}

/// What comes each minute is what this is about: it waits for two of them.
#[test]
fn an_idle_host_beats_and_says_each_minute_how_long_its_log_is() {
    let host = Host::ready_with_receivers();
    host.sh("mkdir -p /var/log/siem /var/lib/siem").ok();
    host.write("/etc/siem.conf", IDLE);
    host.sh("systemd-run -q --unit siem /usr/sbin/rsyslogd -n -f /etc/siem.conf -i /run/siem.pid")
        .ok();
    let receiver =
        "[receiver.siem]\naddress = \"127.0.0.1:20514\"\ntransport = \"relp\"\nformat = \"json\"\n";
    host.write("/etc/jit/link.toml", receiver);
    host.run(&["systemctl", "restart", "jit-link"]).ok();
    host.wait_for(
        "the first checkpoint",
        Duration::from_secs(30),
        "grep -q checkpoint /var/log/siem/idle",
    );
    // Nothing happens any more.
    let idle = records(&host).len();
    host.wait_for(
        "two more checkpoints and a heartbeat in two minutes",
        Duration::from_secs(240),
        "test $(grep -c checkpoint /var/log/siem/idle) -ge 3 && grep -q heartbeat /var/log/siem/idle",
    );
    let all = records(&host);
    let beat = all[idle..].iter().position(|r| r["type"] == "heartbeat");
    let beat = idle + beat.expect("a heartbeat");
    let at = |index: usize| all[index]["boot_ns"].as_u64().unwrap() / 1_000_000_000;
    let silence = at(beat) - at(beat - 1);
    // Only for a minute of silence.
    assert!((55..=240).contains(&silence), "after {silence} s: {all:#?}");

    let got = host.read("/var/log/siem/idle");
    let mut checkpoints = Vec::new();
    for line in got.lines() {
        let (when, kind, body): (i64, String, Value) =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if kind == "checkpoint" {
            checkpoints.push((when, body["next"].as_u64().unwrap()));
        }
    }
    println!("a heartbeat after {silence} s; checkpoints {checkpoints:?}");
    for pair in checkpoints.windows(2) {
        let apart = pair[1].0 - pair[0].0;
        assert!(apart <= 100, "{apart} s apart: {checkpoints:?}");
        assert!(pair[0].1 <= pair[1].1, "{checkpoints:?}");
    }
}

#[test]
fn who_owns_the_link_can_neither_rewind_nor_skip_a_receiver() {
    let host = Host::ready();
    host.run(&["systemctl", "mask", "--now", "jit-link"]).ok();
    host.write(
        "/etc/jit/link.toml",
        "[receiver.siem]\naddress = \"siem:1\"\ntransport = \"tcp\"\n",
    );
    let ask = |link: &mut Link, id: u64, again: bool| {
        let receiver = "siem".to_owned();
        assert!(link.up(&Up::Records {
            receiver,
            id,
            again
        }));
        loop {
            match link.down() {
                Down::Records {
                    id: got,
                    records,
                    origin,
                    checkpoint,
                    ..
                } if got == id => {
                    assert!(origin.starts_with("jit/"), "{origin}");
                    let indexes: Vec<u64> = records.iter().map(|r| r.index).collect();
                    return (indexes, checkpoint);
                }
                _ => {}
            }
        }
    };
    let stored = |link: &mut Link, next: u64| {
        let receiver = "siem".to_owned();
        assert!(link.up(&Up::Stored { receiver, next }));
    };
    let (mut link, ..) = Link::connect(&host);
    let (first, checkpoint) = ask(&mut link, 1, true);
    assert_eq!(first[0], 0);
    assert!(checkpoint.is_some());
    let have = *first.last().unwrap() + 1;

    // Never handed over: not believed, and journaled.
    stored(&mut link, have + 1000);
    host.wait_record("the lie", |r| {
        r["type"] == "alert"
            && r["detail"]["why"]
                .as_str()
                .unwrap()
                .contains("it was given those below")
    });
    assert_eq!(ask(&mut link, 2, true).0[0], 0);
    // What was handed over may be called stored, once; back it does not go.
    stored(&mut link, 1);
    assert_eq!(ask(&mut link, 3, true).0[0], 1);
    stored(&mut link, 0);
    assert_eq!(ask(&mut link, 4, true).0[0], 1);
    // Another connection has no part in what this one was given.
    drop(link);
    let (mut link, ..) = Link::connect(&host);
    stored(&mut link, have);
    assert_eq!(ask(&mut link, 1, true).0[0], 1);
    // Only root names receivers.
    let receiver = "mine".to_owned();
    assert!(link.up(&Up::Records {
        receiver,
        id: 9,
        again: true
    }));
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    let (mut link, ..) = Link::connect(&host);
    assert_eq!(ask(&mut link, 1, true).0[0], 1);

    // Set back by whoever is root: all comes once more, with the numbers that it had.
    drop(link);
    host.sh(include_str!("../attacks/journal/link/rewind-the-cursor.sh"))
        .ok();
    let (mut link, ..) = Link::connect(&host);
    let again = ask(&mut link, 1, true).0;
    assert!(again.starts_with(&first), "{again:?}");

    // A forged file costs records that come twice, none that does not come.
    drop(link);
    host.sh(include_str!("../attacks/journal/link/forge-the-cursor.sh"))
        .ok();
    let (mut link, ..) = Link::connect(&host);
    assert_eq!(ask(&mut link, 1, true).0[0], 0);
    host.wait_record("the forged cursor", |r| {
        r["type"] == "alert"
            && r["detail"]["why"]
                .as_str()
                .unwrap()
                .contains("it gets them all again")
    });
}
