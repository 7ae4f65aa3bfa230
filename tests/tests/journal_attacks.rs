//! The catalogue of attacks on a host's journal, `tests/attacks/journal`: each is a script that says in its head what it does,
//! where the trick comes from and how it must be named. They run on copies of a log that the real agent wrote, in a
//! booted host with root's rights, while the agent goes on writing; those below `live/` on the living log itself.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use jit_tests::grants::{elevate, records};
use jit_tests::{Host, Shell, project};
use serde_json::Value;

/// What a script's head says.
struct Script {
    name: String,
    by: String,
    named: String,
}

impl Script {
    #[track_caller]
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let says = |word: &str| {
            let mut found = text.lines().filter_map(|line| {
                let rest = line.strip_prefix("# ")?.strip_prefix(word)?;
                Some(rest.strip_prefix(':')?.trim().to_owned())
            });
            found.next().unwrap_or_else(|| panic!("{name}: no {word}"))
        };
        assert!(
            !says("Trick").is_empty() && !says("Source").is_empty(),
            "{name}"
        );
        let (by, named) = (says("Seen by"), says("Named"));
        Self { name, by, named }
    }

    /// All of a folder.
    fn all(folder: &Path) -> Vec<Self> {
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        let is_script = |path: &PathBuf| {
            let runs = path.metadata().unwrap().permissions().mode() & 0o111 != 0;
            runs && path.extension().is_some_and(|e| e == "py" || e == "sh")
        };
        let mut all: Vec<Self> = files.filter(is_script).map(|p| Self::read(&p)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Was it named as its head says, and only so? `shown` is how many records there are.
    fn judge(&self, said: &str, shown: usize) -> Result<(), String> {
        let (expected, report) = said.split_once("\n\n").ok_or("no report")?;
        let mut report = report.lines();
        let (json, code) = (report.next().ok_or("no JSON")?, report.next());
        let found: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let expected: Vec<(&str, Option<u64>)> = expected
            .lines()
            .map(|line| match line.split_once(' ') {
                Some((kind, index)) => (kind, index.parse().ok()),
                None => (line, None),
            })
            .collect();
        let kinds: BTreeSet<&str> = expected.iter().map(|(kind, _)| *kind).collect();
        let head: BTreeSet<&str> = self.named.split(' ').collect();
        check(kinds == head, || format!("it expects {kinds:?}"))?;
        let faults: Vec<&Value> = found["faults"]
            .as_array()
            .ok_or("no faults")?
            .iter()
            .collect();
        match self.by.as_str() {
            "verify" => {
                check(code == Some("7"), || format!("exit {code:?}"))?;
                for (kind, index) in &expected {
                    let is_it = |f: &&&Value| f["kind"] == *kind && covers(f, *index);
                    let missing = || format!("{kind} {index:?} is not named");
                    check(faults.iter().any(|f| is_it(&f)), missing)?;
                }
                let more = faults
                    .iter()
                    .find(|f| !head.contains(f["kind"].as_str().unwrap()));
                check(more.is_none(), || "more is named".to_owned())
            }
            "copy" => {
                check(code == Some("7"), || format!("exit {code:?}"))?;
                check(faults.is_empty(), || "it shows on the host".to_owned())?;
                for (kind, index) in &expected {
                    let told = found["against"][kind].as_array().ok_or("not compared")?;
                    let is_it = |n: &Value| index.is_none_or(|index| *n == index);
                    check(told.iter().any(is_it), || {
                        format!("{kind} {index:?} is not told")
                    })?;
                }
                Ok(())
            }
            "show" => {
                check(faults.is_empty(), || "a fault".to_owned())?;
                check(found["unfinished"].is_object(), || "not told".to_owned())?;
                let now: usize = report.next().and_then(|n| n.parse().ok()).unwrap_or(0);
                check(now == shown, || {
                    format!("{now} records are shown, not {shown}")
                })
            }
            other => Err(format!("unknown witness {other}")),
        }
        .map_err(|why| format!("{why}\n{json}"))
    }
}

fn check(good: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(why()) }
}

/// Is the entry among those that a fault names?
fn covers(fault: &Value, index: Option<u64>) -> bool {
    let Some(index) = index else { return true };
    let first = fault["index"].as_u64();
    let count = fault["count"].as_u64().unwrap_or(0).max(1);
    first.is_some_and(|first| (first..first + count).contains(&index))
}

/// A path of the host as this machine sees it.
fn outside(host: &Host, path: &str) -> PathBuf {
    Path::new(&format!("/proc/{}/root", host.init())).join(path.trim_start_matches('/'))
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_tree(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

/// The log and the agent's state as they are. The head first: it may be older than the log.
fn copy(host: &Host, to: &str) {
    host.sh(&format!(
        "mkdir {to} && cp -a /var/lib/jit {to}/lib && cp -a /var/log/jit/journal {to}/journal"
    ))
    .ok();
}

fn uses(alice: &mut Shell) {
    elevate(alice, "--for 1h");
    alice
        .run("for i in 1 2 3 4 5 6; do sudo -n echo $i; done >/dev/null")
        .ok();
}

/// Uses whose records are longer than an open format's entry, one of them in one commit with a later record: so it does not name
/// the next key. Which uses fall into one commit is for the disk to say.
fn long_uses(host: &Host, alice: &mut Shell) {
    let within_a_commit = |r: &Value| {
        r["command"][1].as_str().is_some_and(|w| w.len() == 70_000) && r["key"].is_null()
    };
    let start = Instant::now();
    while !records(host).iter().any(within_a_commit) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no two uses in one commit"
        );
        alice
            .run("x=$(head -c 70000 /dev/zero | tr '\\0' x); for i in 1 2 3 4 5 6 7 8; do sudo -n true $x & done; wait")
            .ok();
    }
}

/// What a crash leaves, the beginning of a frame, and the agent's way out of it: a new segment.
fn crash(host: &Host) {
    host.sh("cd /var/log/jit/journal; printf '\\377J\\002' >>\"$(ls | tail -n 1)\"")
        .ok();
    host.run(&["systemctl", "kill", "-s", "KILL", "jit-agent"])
        .ok();
    host.wait_for(
        "the agent is back",
        Duration::from_secs(10),
        "jitctl status --json | grep -q '\"agent\":\"ok\"'",
    );
}

#[test]
fn every_attack_is_named_and_an_untouched_log_never() {
    let (host, other) = thread::scope(|scope| {
        let other = scope.spawn(Host::ready);
        (Host::ready(), other.join().unwrap())
    });
    let folder = project::root().join("tests/attacks/journal");
    let scripts = Script::all(&folder);
    assert!(scripts.len() >= 40, "{}", scripts.len());
    copy_tree(&folder, &outside(&host, "/root/attacks"));

    // A log of three segments; an earlier copy of it; another host's.
    let mut alice = host.shell("alice");
    uses(&mut alice);
    long_uses(&host, &mut alice);
    crash(&host);
    uses(&mut alice);
    crash(&host);
    uses(&mut alice);
    copy(&host, "/root/old");
    uses(&mut alice);
    copy(&host, "/root/good");
    uses(&mut other.shell("alice"));
    copy(&other, "/root/other");
    copy_tree(
        &outside(&other, "/root/other"),
        &outside(&host, "/root/other"),
    );
    drop(other);
    host.sh("jitctl log show --json >/root/siem.json").ok();
    let shown = records(&host).len();

    // While the agent writes.
    alice.send(
        "while [ ! -e /tmp/stop ]; do sudo -n true || echo no; sleep 0.2; done; echo all done\n",
    );
    let start = Instant::now();
    let mut wrong = Vec::new();
    for script in &scripts {
        let said = host.sh(&format!(
            "JIT_LOG=/root/good JIT_SIEM=/root/siem.json JIT_OLD=/root/old JIT_OTHER=/root/other \
             sh /root/attacks/try {}",
            script.name
        ));
        let judged = match said.code {
            0 => script.judge(&said.stdout, shown),
            _ => Err(said.to_string()),
        };
        wrong.extend(judged.err().map(|why| format!("{}: {why}", script.name)));
        host.run(&["jitctl", "log", "verify"])
            .ok()
            .says("No fault.");
    }
    host.run(&["touch", "/tmp/stop"]).ok();
    alice.expect("all done\n");
    println!("{} attacks in {:?}", scripts.len(), start.elapsed());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        scripts.len(),
        wrong.join("\n")
    );
    let _ = host.sh("ls /var/tmp | grep jit-try").refused();

    living(&host, &mut alice, &folder.join("live"));
}

/// Those on the living log: the agent sees each at the next record, gives nothing by it, and says so.
fn living(host: &Host, alice: &mut Shell, folder: &Path) {
    let mut scripts = Script::all(folder);
    // First those that leave no fault.
    scripts.sort_by_key(|script| script.by != "show");
    for script in scripts {
        let path = format!("/root/attacks/live/{}", script.name);
        // A fault that is on record has it exit with 7, and what was removed is no longer shown.
        let newest = |which: &str| -> Value {
            let shown = host.run(&["jitctl", "log", "show", "--json"]).stdout;
            let mut records = shown
                .lines()
                .rev()
                .map(|line| serde_json::from_str(line).unwrap());
            records
                .find(|r: &Value| which.is_empty() || r["type"] == which)
                .unwrap()
        };
        let before = newest("")["index"].as_u64().unwrap();
        if script.by == "show" {
            let text = fs::read_to_string(folder.join(&script.name)).unwrap();
            alice.run(text.lines().last().unwrap()).ok();
            let all = records(host);
            let forged = all.iter().find(|r| r["login"] == "mallory");
            assert!(forged.is_none(), "{}: {forged:?}", script.name);
            let lines = host.run(&["jitctl", "log", "show"]).ok();
            let stray = lines
                .stdout
                .lines()
                .find(|l| !l.trim_start().starts_with(|c: char| c.is_ascii_digit()));
            assert!(
                stray.is_none() && !lines.stdout.contains('\x1b'),
                "{}: {lines}",
                script.name
            );
            host.run(&["jitctl", "log", "verify"]).ok();
            continue;
        }
        host.run(&["sh", &path]).ok();
        let tried = alice.run("sudo -n true");
        assert!(tried.code != 0, "{}: the use was let through", script.name);
        // With the first record after it: that of the refusal.
        host.wait_for(
            "it is told",
            Duration::from_secs(5),
            &format!(
                "jitctl log show --json 2>/dev/null | grep -E '\"type\":\"(alert|recovery)\"' | grep '{}' \
                 | grep -o '\"index\":[0-9]*' | cut -d: -f2 | awk '$1 > {before} {{ told = 1 }} END {{ exit !told }}'",
                script.named
            ),
        );
        host.sh("journalctl --sync; journalctl --boot -p warning -t jit-agent")
            .ok()
            .says(&script.named);
        // For good: the header of the segment that was begun then holds what was found.
        let found = newest("recovery")["detail"]["faults"][0].clone();
        let verified = host.run(&["jitctl", "log", "verify"]).exits(7);
        verified.says(found.as_str().unwrap());
        // Whoever was refused is let in again, now that it is told.
        alice.run("sudo -n true").ok();
    }
}
