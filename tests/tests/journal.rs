//! The journal of a host in use: what it says, that root cannot change it by mistake, and that every change is named.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_tests::grants::{elevate, records};
use jit_tests::{Host, Shell};
use journal::{Entry, render_line};
use serde_json::Value;

const DIR: &str = "/var/log/jit/journal";
const HEAD: &str = "/var/lib/jit/journal.head";

/// A path of the host as this machine sees it.
fn outside(host: &Host, path: &str) -> PathBuf {
    Path::new(&format!("/proc/{}/root", host.init())).join(path.trim_start_matches('/'))
}

/// The entries as they lie on disk, read without jitctl.
fn entries(host: &Host) -> Vec<Entry> {
    let read = journal::read(&outside(host, DIR));
    read.map(|entry| entry.unwrap()).collect()
}

fn quiet_end(host: &Host, grant: &str) {
    host.wait_record("the proof", |r| r["type"] == "proof" && r["grant"] == grant);
}

/// In journald and in rsyslog's file: one line a record, no more and no less, and nothing torn apart.
#[track_caller]
fn each_is_a_line_of_syslog(host: &Host) {
    let expected: Vec<String> = entries(host).iter().map(|e| render_line(&e.json)).collect();
    host.run(&["journalctl", "--sync"]).ok();
    let show = "journalctl --boot --no-pager -t jit-agent -o json";
    let told: Vec<Value> = host
        .sh(show)
        .ok()
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &told {
        assert_eq!(line["_UID"], "0", "{line}");
        assert_eq!(line["SYSLOG_FACILITY"], "10", "{line}");
    }
    // Each has its fields, and journald explains it.
    for entry in entries(host) {
        let record: Value = serde_json::from_str(&entry.json).unwrap();
        let index = entry.index.to_string();
        let found = told.iter().find(|line| line["JIT_INDEX"] == index.as_str());
        let line = found.unwrap_or_else(|| panic!("no entry {index} in journald"));
        assert_eq!(line["JIT_TYPE"], record["type"], "{line}");
        assert_eq!(line["JIT_LOGIN"], record["login"], "{line}");
        assert_eq!(
            line["MESSAGE_ID"].as_str().map(str::len),
            Some(32),
            "{line}"
        );
    }
    host.sh(
        "journalctl --boot --no-pager -x JIT_TYPE=start | grep -q 'Subject: jit-agent started'",
    )
    .ok();
    let messages: Vec<&str> = told
        .iter()
        .map(|line| line["MESSAGE"].as_str().unwrap())
        .collect();
    let mut missing: Vec<&str> = expected.iter().map(String::as_str).collect();
    let mut more = Vec::new();
    for message in messages {
        match missing.iter().position(|line| *line == message) {
            Some(at) => drop(missing.remove(at)),
            // What is wrong with the journal itself is told beside it.
            None if message.starts_with("jit journal: ") => {}
            None => more.push(message),
        }
    }
    assert!(
        missing.is_empty() && more.is_empty(),
        "missing: {missing:#?}\nmore: {more:#?}"
    );
    host.wait_for(
        "rsyslog's file",
        Duration::from_secs(5),
        &format!(
            "test $(grep -c ' jit-agent\\[' /var/log/auth.log) -ge {}",
            expected.len()
        ),
    );
    let file = host.read("/var/log/auth.log");
    for line in &expected {
        let whole = file.lines().any(|l| l.ends_with(line.as_str()));
        assert!(whole, "{line}\n{file}");
    }
}

/// A few people use the host: a grant with uses, a refused command, a refused request, an end.
fn a_day(host: &Host, alice: &mut Shell) {
    let grant = elevate(alice, "--for 1h --ticket OPS-7");
    alice.run("cd /tmp; sudo -n -u bob id -un").ok().says("bob");
    alice
        .run("sudo -n printf '%s|' one $'two\\nlines' $'\\xff\\xfe' '' >/dev/null")
        .ok();
    alice.run("sudo -n false").exits(1);
    alice.run("sudo -n -l").ok();
    host.run_as("bob", "jitctl elevate --reason 'let me in'")
        .exits(3);
    alice.run("jitctl drop").ok();
    alice.run("sudo -n id").refused();
    quiet_end(host, &grant.id);
    // The refusal of the last command comes a moment after sudo's end.
    host.wait_record("the refusal", |r| {
        r["command"][0] == "sudo" && r["type"] == "refused"
    });
}

#[test]
#[allow(clippy::too_many_lines)]
fn every_use_and_refusal_is_a_record_and_a_line_of_syslog() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    a_day(&host, &mut alice);

    // One object a line, numbered without gaps, the same as on disk.
    let shown = records(&host);
    let stored = entries(&host);
    assert_eq!(shown.len(), stored.len());
    for (at, (shown, stored)) in shown.iter().zip(&stored).enumerate() {
        assert_eq!(shown["index"], at, "{shown}");
        assert_eq!(shown["schema_version"], 1, "{shown}");
        let mut bare = shown.clone();
        let members = bare.as_object_mut().unwrap();
        members.remove("index");
        members.remove("schema_version");
        assert_eq!(bare, serde_json::from_str::<Value>(&stored.json).unwrap());
        let time = shown["time"].as_str().unwrap();
        let form: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(form, "0000-00-00T00:00:00.000Z", "{shown}");
    }
    let of_type = |kind: &str| {
        shown
            .iter()
            .filter(|r| r["type"] == kind)
            .collect::<Vec<_>>()
    };
    for kind in [
        "start", "enrol", "request", "grant", "use", "close", "list", "refused", "end", "proof",
    ] {
        assert!(!of_type(kind).is_empty(), "no {kind} record");
    }

    // A use names everything: who, by which grant for what, and the whole command in its own bytes.
    let [asked] = of_type("request")[..] else {
        panic!("{:?}", of_type("request"))
    };
    let uses = of_type("use");
    assert_eq!(uses.len(), 3, "{uses:?}");
    for record in &uses {
        for (name, value) in [
            ("grant", &of_type("grant")[0]["grant"]),
            ("request", &asked["request"]),
            ("role", &"admin".into()),
            ("login", &"alice".into()),
            ("uid", &1001.into()),
            ("auid", &1001.into()),
            ("decision", &"allow".into()),
            ("reason", &"the test".into()),
            ("ticket", &"OPS-7".into()),
        ] {
            assert_eq!(&record[name], value, "{name}: {record}");
        }
        assert!(record["session"].is_u64(), "{record}");
        assert!(
            record["tty"].as_str().unwrap().starts_with("/dev/pts/"),
            "{record}"
        );
    }
    assert_eq!(
        uses[0]["command"],
        serde_json::json!(["/usr/bin/id", "-un"])
    );
    assert_eq!(uses[0]["runas"], "bob");
    let words =
        serde_json::json!(["/usr/bin/printf", "%s|", "one", "two\nlines", {"hex": "fffe"}, ""]);
    assert_eq!(uses[1]["command"], words);
    assert_eq!(of_type("close").len(), 3);
    let refused = of_type("refused");
    let bobs = refused.iter().find(|r| r["login"] == "bob").unwrap();
    assert_eq!(bobs["reason"], "let me in");
    assert!(
        bobs["detail"]["why"]
            .as_str()
            .unwrap()
            .contains("jit-eligible"),
        "{bobs}"
    );
    let ends = of_type("end");
    assert_eq!(ends[0]["detail"]["cause"], "dropped");

    each_is_a_line_of_syslog(&host);

    // Only segments lie there, for root alone, and root's slips do not change them.
    let names: Vec<String> = host
        .run(&["ls", "-A", DIR])
        .ok()
        .stdout
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(
        names.iter().all(|n| n.ends_with(".seg")) && !names.is_empty(),
        "{names:?}"
    );
    host.run(&["stat", "-c", "%a %U", DIR])
        .ok()
        .says("700 root");
    host.run_as("alice", &format!("ls {DIR}")).refused();
    host.run_as("alice", "jitctl log show").exits(3);
    let file = format!("{DIR}/{}", names[0]);
    let flags = host.run(&["lsattr", &file]).ok();
    assert!(
        flags.text().split(' ').next().unwrap().contains('a'),
        "{flags}"
    );
    for slip in [
        format!("echo x >{file}"),
        format!("truncate -s 10 {file}"),
        format!("rm -f {file}"),
        format!("mv {file} {file}.old"),
        format!("ln {file} /root/link"),
        format!("sed -i s/alice/carol/ {file}"),
        format!("python3 -c 'open(\"{file}\", \"r+b\").write(b\"x\")'"),
        format!("chmod 0666 {file}"),
    ] {
        host.sh(&slip).refused().says("not permitted");
    }
    host.run(&["jitctl", "log", "verify"])
        .ok()
        .says("No fault.");
}

#[test]
fn a_log_that_is_being_written_is_whole_at_every_moment() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    let mut other = host.shell("alice");
    elevate(&mut alice, "--for 1h");
    for shell in [&mut alice, &mut other] {
        shell.send("while [ ! -e /tmp/stop ]; do sudo -n true || echo no; done; echo all done\n");
    }
    let mut sizes: BTreeSet<u64> = BTreeSet::new();
    // So long that the tree below has a full tile, however slowly the calls come.
    let mut looks = 0;
    while looks < 40 || sizes.last() <= Some(&256) {
        looks += 1;
        assert!(looks < 1_000, "the log does not grow: {sizes:?}");
        let report = host.run(&["jitctl", "log", "verify", "--json"]).ok().json();
        assert_eq!(report["ok"], true, "{report}");
        sizes.insert(report["entries"].as_u64().unwrap());
        host.run(&["jitctl", "log", "show", "--json"]).ok();
        assert!(report["sealed"].as_u64() > Some(2), "{report}");
    }
    // For programs of other people, from the same living log.
    let made = host.run(&["jitctl", "log", "export", "/root/tree", "--json"]);
    let made = made.ok().json();
    let note = host.read("/root/tree/checkpoint");
    assert_eq!(made["checkpoint"], note.as_str());
    assert!(
        note.starts_with("jit/") && note.contains("/epoch/"),
        "{note}"
    );
    let leaf = host.read("/root/tree/tile/entries/000");
    assert!(leaf.contains("\"type\":\"start\""), "{leaf}");
    host.run(&["jitctl", "log", "export", "/root/tree"])
        .exits(2);
    let proof = host.run(&["jitctl", "log", "prove", "1"]).ok();
    assert!(
        proof
            .stdout
            .starts_with("c2sp.org/tlog-proof@v1\nindex 1\n")
    );
    host.run(&["jitctl", "log", "prove", "999999"]).exits(2);
    // Records by what they are; a follower sees what comes; a receiver's copy agrees until someone changes it.
    let found = host.run(&[
        "jitctl", "log", "search", "--type", "grant", "--user", "alice", "--since", "1h", "--json",
    ]);
    assert_eq!(found.ok().stdout.lines().count(), 1);
    host.sh("timeout 20 jitctl log tail -n 0 -f --json | head -n 3 >/tmp/tail; test $(wc -l </tmp/tail) = 3").ok();
    host.sh("jitctl log show --json | head -n 9 >/root/siem.json; jitctl log verify --against /root/siem.json").ok().says("9 records of the receiver");
    host.sh(
        "sed -i '3s/\"boot_ns\":/&9/' /root/siem.json; jitctl log verify --against /root/siem.json",
    )
    .exits(7)
    .says("entry 2: the receiver has another content");
    host.run(&["touch", "/tmp/stop"]).ok();
    for shell in [&mut alice, &mut other] {
        let said = shell.expect("all done\n");
        assert!(!said.contains("no\n"), "{said}");
    }
    assert!(sizes.len() > 20, "it did not grow meanwhile: {sizes:?}");
}

/// The journal of a host, opened for a root who clears flags. Each change is put back by [`Log::restore`].
struct Log<'a> {
    host: &'a Host,
    dir: PathBuf,
    head: PathBuf,
    kept: Vec<(String, Vec<u8>)>,
    kept_head: Vec<u8>,
}

impl<'a> Log<'a> {
    /// Nothing writes from now on but the test.
    fn of(host: &'a Host) -> Self {
        let (dir, head) = (outside(host, DIR), outside(host, HEAD));
        let mut kept = Vec::new();
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            kept.push((name, fs::read(path).unwrap()));
        }
        kept.sort();
        let kept_head = fs::read(&head).unwrap();
        Self {
            host,
            dir,
            head,
            kept,
            kept_head,
        }
    }

    fn unlock(&self) {
        self.host.sh(&format!("chattr -i -a {DIR}/*")).ok();
    }

    /// As the journal leaves them: the last one may grow, the others nothing.
    fn lock(&self) {
        self.host
            .sh(&format!("cd {DIR}; last=$(ls | tail -1); for f in *; do if [ $f = $last ]; then chattr +a $f; else chattr +i $f; fi; done"))
            .ok();
    }

    fn restore(&self) {
        self.unlock();
        for entry in fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !self.kept.iter().any(|(kept, _)| *kept == name) {
                fs::remove_file(path).unwrap();
            }
        }
        for (name, bytes) in &self.kept {
            // In place where it still is: the agent has it open.
            fs::write(self.dir.join(name), bytes).unwrap();
        }
        fs::write(&self.head, &self.kept_head).unwrap();
        self.lock();
        self.host.run(&["jitctl", "log", "verify"]).ok();
    }

    /// The frames of one segment: the header, then its entries.
    fn frames(&self, segment: usize) -> (Range<usize>, Vec<Range<usize>>) {
        let (name, bytes) = &self.kept[segment];
        let read = journal::read(&self.dir).map(|e| e.unwrap());
        let starts: Vec<usize> = read
            .filter(|e| e.file == *name)
            .map(|e| usize::try_from(e.offset).unwrap())
            .collect();
        let ends = starts[1..].iter().copied().chain([bytes.len()]);
        let frames = starts
            .iter()
            .copied()
            .zip(ends)
            .map(|(a, b)| a..b)
            .collect();
        (0..starts[0], frames)
    }

    /// Puts other bytes in the place of a segment's, and lets jitctl look.
    #[track_caller]
    fn with(&self, segment: usize, bytes: &[u8]) -> Vec<Value> {
        self.unlock();
        fs::write(self.dir.join(&self.kept[segment].0), bytes).unwrap();
        self.lock();
        self.faults()
    }

    /// What `log verify` finds; it must exit with 7, and `log show` must not pass over it either.
    #[track_caller]
    fn faults(&self) -> Vec<Value> {
        let report = self
            .host
            .run(&["jitctl", "log", "verify", "--json"])
            .exits(7)
            .json();
        assert_eq!(report["ok"], false);
        let faults = report["faults"].as_array().unwrap().clone();
        let text = self.host.run(&["jitctl", "log", "verify"]).exits(7);
        for fault in &faults {
            text.clone().says(fault["message"].as_str().unwrap());
        }
        faults
    }
}

/// Kind and first entry of each fault.
fn named(faults: &[Value]) -> Vec<(&str, Option<u64>)> {
    let pair = |f: &Value| f["index"].as_u64();
    faults
        .iter()
        .map(|f| (f["kind"].as_str().unwrap(), pair(f)))
        .collect()
}

fn pieces(bytes: &[u8], head: &Range<usize>, frames: &[Range<usize>], order: &[usize]) -> Vec<u8> {
    let mut made = bytes[head.clone()].to_vec();
    for at in order {
        made.extend_from_slice(&bytes[frames[*at].clone()]);
    }
    made
}

#[test]
#[allow(clippy::too_many_lines)]
fn every_change_of_the_log_is_named_with_its_place() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    a_day(&host, &mut alice);
    let log = Log::of(&host);
    let (head, frames) = log.frames(0);
    let bytes = log.kept[0].1.clone();
    let count = frames.len();
    let all: Vec<usize> = (0..count).collect();
    let index = |at: usize| Some(at as u64);
    // A use by alice; the one who wants it gone has become root by it.
    let target = records(&host)
        .iter()
        .position(|r| r["type"] == "use")
        .unwrap();

    // Edited: the login of one record.
    let mut edited = bytes.clone();
    let range = frames[target].clone();
    let place = edited[range.clone()]
        .windows(5)
        .position(|w| w == b"alice")
        .unwrap()
        + range.start;
    edited[place..place + 5].copy_from_slice(b"carol");
    let faults = log.with(0, &edited);
    assert_eq!(named(&faults), [("edited", index(target))], "{faults:?}");
    assert_eq!(faults[0]["offset"], range.start, "{faults:?}");
    assert_eq!(faults[0]["file"], log.kept[0].0.as_str(), "{faults:?}");
    let shown = host.run(&["jitctl", "log", "show"]).exits(7);
    assert!(
        shown.stderr.contains(&format!("entry {target}: edited")),
        "{shown}"
    );
    log.restore();

    // Removed.
    let mut order = all.clone();
    order.remove(target);
    let faults = log.with(0, &pieces(&bytes, &head, &frames, &order));
    assert_eq!(named(&faults), [("removed", index(target))], "{faults:?}");
    log.restore();

    // Two exchanged.
    let mut order = all.clone();
    order.swap(target, target + 1);
    let faults = log.with(0, &pieces(&bytes, &head, &frames, &order));
    assert!(
        named(&faults).contains(&("reordered", index(target + 1)))
            || named(&faults).contains(&("reordered", index(target))),
        "{faults:?}"
    );
    log.restore();

    // One doubled.
    let mut order = all.clone();
    order.insert(target + 1, target);
    let faults = log.with(0, &pieces(&bytes, &head, &frames, &order));
    assert_eq!(
        named(&faults),
        [("duplicated", index(target))],
        "{faults:?}"
    );
    log.restore();

    // The end cut off, at a record and within one.
    let end = frames[count - 3].end;
    for (cut, kind) in [(end, "tail-cut"), (end + 20, "edited")] {
        let faults = log.with(0, &bytes[..cut]);
        assert_eq!(named(&faults), [(kind, index(count - 2))], "{faults:?}");
        assert_eq!(faults[0]["count"], 2, "{faults:?}");
        log.restore();
    }

    // Bytes put between two records, and behind the last as root may without clearing a flag.
    let mut inserted = bytes[..range.start].to_vec();
    inserted.extend_from_slice(b"nothing happened here");
    inserted.extend_from_slice(&bytes[range.start..]);
    let faults = log.with(0, &inserted);
    assert!(
        named(&faults).iter().any(|(kind, _)| *kind == "inserted"),
        "{faults:?}"
    );
    assert!(
        faults.iter().any(|f| f["offset"] == range.start),
        "{faults:?}"
    );
    log.restore();

    // A header, and the head file: another, none.
    let mut other = bytes.clone();
    other[30] ^= 1;
    assert_eq!(named(&log.with(0, &other)), [("header-edited", index(0))]);
    log.restore();
    fs::write(&log.head, vec![7; log.kept_head.len()]).unwrap();
    assert_eq!(named(&log.faults()), [("head-unreadable", None)]);
    log.restore();
    fs::write(log.dir.join("notes.txt"), "x").unwrap();
    assert_eq!(named(&log.faults()), [("foreign-file", None)]);
    log.restore();

    // All of this under a living agent, which goes on writing where it was.
    elevate(&mut alice, "--for 1h");
    alice.run("sudo -n true").ok();
    host.run(&["jitctl", "log", "verify"]).ok();
}

#[test]
fn a_crash_is_no_fault_and_segments_have_their_places() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    a_day(&host, &mut alice);
    // Somebody looks on, into the second file and the third.
    host.sh("systemd-run -q --unit tail sh -c 'exec jitctl log tail -n 1 --follow --json >/root/tailed'")
        .ok();
    host.wait_for("tail", Duration::from_secs(10), "test -s /root/tailed");
    // What a crash leaves: the beginning of a frame. The agent seals that file and goes on in a new one, twice.
    for _ in 0..2 {
        host.sh(&format!("cd {DIR}; last=$(ls | tail -1); python3 -c 'print(end=\"\\xff\\x4a\\x02\")' | iconv -t latin1 >>$last")).ok();
        host.run(&["systemctl", "kill", "-s", "KILL", "jit-agent"])
            .ok();
        host.wait_for(
            "the agent is back",
            Duration::from_secs(10),
            "jitctl status --json | grep -q '\"agent\":\"ok\"'",
        );
        elevate(&mut alice, "--for 1h");
        alice.run("sudo -n true").ok();
        alice.run("jitctl drop --all").ok();
    }
    let last = records(&host).last().unwrap()["grant"]
        .as_str()
        .map(str::to_owned);
    if let Some(grant) = last {
        quiet_end(&host, &grant);
    }
    each_is_a_line_of_syslog(&host);
    let all = records(&host);
    host.wait_for(
        "tail has the last record",
        Duration::from_secs(10),
        &format!("grep -q '\"index\":{}\\b' /root/tailed", all.len() - 1),
    );
    let tailed = host.read("/root/tailed");
    let tailed: Vec<Value> = tailed
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let from = usize::try_from(tailed[0]["index"].as_u64().unwrap()).unwrap();
    assert_eq!(tailed[..all.len() - from], all[from..]);
    host.run(&["systemctl", "stop", "tail"]).ok();
    let report = host.run(&["jitctl", "log", "verify", "--json"]).ok().json();
    assert_eq!(report["unprotected"], serde_json::json!([]), "{report}");
    assert_eq!(
        records(&host)
            .iter()
            .filter(|r| r["type"] == "recovery")
            .count(),
        2
    );
    let log = Log::of(&host);
    assert_eq!(
        log.kept.len(),
        3,
        "{:?}",
        log.kept.iter().map(|(n, _)| n).collect::<Vec<_>>()
    );
    let first = |segment: usize| log.kept[segment].0[..20].parse::<u64>().ok();
    let path = |segment: usize| log.dir.join(&log.kept[segment].0);

    // Two exchange their names.
    log.unlock();
    fs::rename(path(0), log.dir.join("away")).unwrap();
    fs::rename(path(1), path(0)).unwrap();
    fs::rename(log.dir.join("away"), path(1)).unwrap();
    log.lock();
    let faults = log.faults();
    let renamed = named(&faults)
        .iter()
        .filter(|(kind, _)| *kind == "segment-renamed")
        .count();
    assert_eq!(renamed, 2, "{faults:?}");
    log.restore();

    // One is gone, one is there twice.
    log.unlock();
    fs::remove_file(path(1)).unwrap();
    log.lock();
    let faults = log.faults();
    let gone = faults.iter().find(|f| f["kind"] == "segment-missing");
    let gone = gone.unwrap_or_else(|| panic!("{faults:?}"));
    let size = first(2).unwrap() - first(1).unwrap();
    assert_eq!(gone["index"].as_u64(), first(1), "{faults:?}");
    assert_eq!(gone["count"], size, "{faults:?}");
    log.restore();
    log.unlock();
    let copy = log.kept[1].0.replace(".1.seg", ".9.seg");
    fs::copy(path(1), log.dir.join(&copy)).unwrap();
    log.lock();
    let faults = log.faults();
    assert!(
        named(&faults)
            .iter()
            .any(|(kind, _)| kind.starts_with("segment-")),
        "{faults:?}"
    );
    assert!(
        faults
            .iter()
            .any(|f| f["message"].as_str().unwrap().contains(&copy)),
        "{faults:?}"
    );
    log.restore();
}

#[test]
fn a_restart_of_the_agent_washes_nothing_clean() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    a_day(&host, &mut alice);
    let log = Log::of(&host);
    let (_, frames) = log.frames(0);
    let bytes = log.kept[0].1.clone();
    let count = frames.len();
    let target = records(&host)
        .iter()
        .position(|r| r["type"] == "use")
        .unwrap();
    let changed_at = records(&host).last().unwrap()["time"]
        .as_str()
        .map(str::to_owned);
    let mut edited = bytes[..frames[count - 2].start].to_vec();
    let range = frames[target].clone();
    let place = edited[range.clone()]
        .windows(5)
        .position(|w| w == b"alice")
        .unwrap()
        + range.start;
    edited[place..place + 5].copy_from_slice(b"carol");
    let before = named(&log.with(0, &edited))
        .iter()
        .map(|(k, i)| ((*k).to_owned(), *i))
        .collect::<Vec<_>>();
    let cut = ("tail-cut".to_owned(), Some(count as u64 - 2));
    assert!(
        before.contains(&("edited".to_owned(), Some(target as u64))) && before.contains(&cut),
        "{before:?}"
    );

    // The agent finds it, says so aloud, and goes on behind what is gone; both stay named for good.
    host.run(&["systemctl", "restart", "jit-agent"]).ok();
    // Nothing begins on it until somebody accepts that another log begins.
    let told = "jitctl status | grep -q 'No grant begins'";
    host.wait_for("its witness", Duration::from_secs(30), told);
    alice
        .run("jitctl elevate --for 1m --reason 'the test'")
        .exits(3)
        .says("accept-log");
    host.sh("jit-issuer host accept-log \"$(jit-issuer host ls | cut -f1)\" --reason 'the test'")
        .ok();
    let well = "! jitctl status | grep -q 'No grant begins'";
    host.wait_for("the next log", Duration::from_secs(30), well);
    for round in 0..2 {
        elevate(&mut alice, "--for 1h");
        alice.run("sudo -n true").ok();
        let faults = log.faults();
        let found = named(&faults);
        assert!(
            found.contains(&("edited", Some(target as u64))),
            "round {round}: {faults:?}"
        );
        let gone = |f: &&Value| {
            let first = f["index"].as_u64().unwrap_or(0);
            let kinds = ["removed", "tail-cut", "noted", "segment-missing"];
            kinds.contains(&f["kind"].as_str().unwrap())
                && first == count as u64 - 2
                && f["count"] == 2
        };
        assert!(faults.iter().any(|f| gone(&f)), "round {round}: {faults:?}");
        host.run(&["systemctl", "restart", "jit-agent"]).ok();
    }
    let shown = host.run(&["jitctl", "log", "show", "--json"]).exits(7);
    let shown: Vec<Value> = shown
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let indexes: Vec<u64> = shown.iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert!(indexes.windows(2).all(|w| w[0] < w[1]), "{indexes:?}");
    assert!(
        !indexes.contains(&(count as u64 - 2)) && indexes.contains(&(count as u64)),
        "{indexes:?}"
    );
    let said = format!("entry {target}: edited");
    let recovery = shown
        .iter()
        .find(|r| r["type"] == "recovery" && r["detail"].to_string().contains(&said))
        .unwrap_or_else(|| panic!("{shown:#?}"));
    // When it was found, not when the agent that found it was started.
    assert!(
        recovery["time"].as_str() > changed_at.as_deref(),
        "{recovery}"
    );
    host.run(&["journalctl", "--boot", "-p", "warning", "-t", "jit-agent"])
        .ok()
        .says("jit journal: ")
        .says(&said);
}
