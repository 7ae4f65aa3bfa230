//! What tests of rights share: asking for one, the moment it ends, the records it leaves.

use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::command::must;
use crate::{Host, Output, Shell};

/// A live grant as its holder sees it.
#[derive(Debug, Clone)]
pub struct Grant {
    pub id: String,
    /// Whole seconds: the product rounds down.
    pub ends_at: SystemTime,
}

impl Grant {
    /// From an object of `grants` in `jitctl status --json`.
    #[track_caller]
    pub fn read(shown: &Value) -> Self {
        let text = |name: &str| {
            shown[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name} in {shown}"))
        };
        Self {
            id: text("id").to_owned(),
            ends_at: time(text("ends_at")),
        }
    }
}

/// An RFC 3339 time.
#[track_caller]
pub fn time(text: &str) -> SystemTime {
    let date = must("date", &["+%s", "--date", text], Duration::from_secs(5));
    let seconds = date.text().parse().expect("seconds since 1970");
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Asks in an open shell, as people do, and takes the grant from the status that follows: the one that ends last.
#[track_caller]
pub fn elevate(shell: &mut Shell, options: &str) -> Grant {
    shell
        .run(&format!("jitctl elevate --reason 'the test' {options}"))
        .ok();
    let status = shell.run("jitctl status --json").ok();
    let mut grants: Vec<Grant> = list(&status).iter().map(Grant::read).collect();
    grants.sort_by_key(|g| g.ends_at);
    grants.pop().expect("a live grant")
}

/// Asks as this user without a login, which hosts of Debian 13 have no program for.
#[track_caller]
pub fn elevate_as(host: &Host, user: &str, options: &str) -> Grant {
    let ask = format!("jitctl --json elevate --reason 'the test' {options}");
    Grant::read(&host.run_as(user, &ask).ok().json()["grant"])
}

/// The grants that `jitctl status --json` prints.
#[track_caller]
pub fn list(status: &Output) -> Vec<Value> {
    status.json()["grants"]
        .as_array()
        .unwrap_or_else(|| panic!("no grants\n{status}"))
        .clone()
}

/// Sleeps until that moment of the clock.
pub fn wait_until(when: SystemTime) {
    thread::sleep(
        when.duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO),
    );
}

/// All records of the host's journal, the oldest first.
#[track_caller]
pub fn records(host: &Host) -> Vec<Value> {
    let shown = host.run(&["jitctl", "log", "show", "--json"]).ok();
    let lines = shown.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// Waits for the record that the end of a grant is proven, at most for `limit`, and returns it.
#[track_caller]
pub fn proof(host: &Host, grant: &str, limit: Duration) -> Value {
    let is_it = |r: &&Value| r["type"] == "proof" && r["grant"] == grant;
    let script =
        format!("jitctl log show --json | grep '\"{grant}\"' | grep -q '\"type\":\"proof\"'");
    host.wait_for("the proof is journaled", limit, &script);
    let all = records(host);
    all.iter().find(is_it).expect("the proof").clone()
}

/// Adds to the policy of the host's own issuer, as its admin does, and waits until the agent has it. The first role
/// that the text names must be new.
#[track_caller]
pub fn give_roles(host: &Host, roles: &str) {
    let first = roles
        .split_once("[roles.")
        .and_then(|(_, rest)| rest.split_once(']'))
        .expect("a role")
        .0;
    host.sh(&format!(
        "cat >>/etc/jit/policy/roles.toml <<'END'\n{roles}\nEND\nsystemctl reload jit-issuer"
    ))
    .ok();
    // The groups of the new roles.
    host.run(&["jitctl", "setup", "local"]).ok();
    host.wait_for(
        "the policy arrives",
        Duration::from_secs(5),
        &format!("jitctl log show --json | grep '\"type\":\"policy\"' | grep -q '\"{first}\"'"),
    );
}

/// A user may ask as fast as a test does: sets the limits of the host's own issuer far up, and waits until it runs again.
#[track_caller]
pub fn allow_many_requests(issuer: &Host) {
    issuer.sh("mkdir -p /etc/jit/issuer.toml.d").ok();
    issuer.write(
        "/etc/jit/issuer.toml.d/60-rate.toml",
        "[limits]\nrequests_per_minute = 100000\nrequests_per_minute_of_user = 100000\n",
    );
    issuer.run(&["systemctl", "restart", "jit-issuer"]).ok();
}

/// Waits until the host hears its issuer.
#[track_caller]
pub fn wait_for_issuer(host: &Host) {
    host.wait_for(
        "the issuer is heard",
        Duration::from_secs(20),
        "jitctl status --json | grep -q '\"issuer\":\"ok\"'",
    );
}
