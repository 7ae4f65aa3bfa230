//! What tests of the journal's witness share.

use std::time::Duration;

use serde_json::Value;

use crate::net::Cable;
use crate::{Host, Shell};

/// How long anything may take.
pub const SOON: Duration = Duration::from_secs(60);
/// The host and its witness know each other.
pub const WELL: &str =
    "jitctl status --json --all | grep -q '\"log\":\"ok\"' && jitctl log attest >/dev/null";
/// The agent and whatever would start it.
pub const STOP: &str =
    "systemctl stop jit-agent.socket jit-gate.socket jit-link.socket jit-agent.service";
pub const START: &str =
    "systemctl start jit-agent.socket jit-gate.socket jit-link.socket jit-agent.service";

/// A policy of two roles: `admin`, and `strict`, each use of which must be witnessed.
#[must_use]
pub fn policy() -> String {
    let role = |name: &str, more: &str| {
        format!(
            "[roles.{name}]\nmax = \"1h\"\nmax_stale = \"2m\"\ndoors = [\"sudo\"]\nrunas = \"ALL\"\n\
             commands = \"ALL\"\nshell = true\nauth = \"none\"\n{more}"
        )
    };
    format!(
        "default = \"admin\"\n{}{}[[approve]]\nname = \"test\"\nroles = [\"admin\", \"strict\"]\neffect = \"automatic\"\n",
        role("admin", ""),
        role("strict", "witnessed = \"use\"\n")
    )
}

/// What the issuer knows of the host's journal.
#[track_caller]
pub fn witnessed(issuer: &Host) -> Value {
    let hosts = issuer.run(&["jitctl", "hosts", "--json"]).ok().json();
    hosts["hosts"][0]["witnessed"].clone()
}

/// Waits until that holds of what the issuer knows; `expression` is Python about `w`.
#[track_caller]
pub fn wait_witnessed(issuer: &Host, what: &str, expression: &str) {
    let script = format!(
        "jitctl hosts --json | python3 -c 'import json,sys\nw=json.load(sys.stdin)[\"hosts\"][0][\"witnessed\"]\nsys.exit(not ({expression}))'"
    );
    issuer.wait_for(what, SOON, &script);
}

/// The issuer's admin takes the host's log as it is: the next generation begins.
#[track_caller]
pub fn accept_log(issuer: &Host, reason: &str) {
    let program = "jit-issuer host accept-log web1 --reason";
    let argv: Vec<&str> = program.split(' ').chain([reason]).collect();
    issuer.run(&argv).ok();
}

/// A grant that starts in some seconds, without the issuer by then.
#[track_caller]
pub fn starts_unseen(alice: &mut Shell, cable: &Cable<'_>, reason: &str) {
    alice.run(&format!(
        "jitctl elevate --no-wait --for 1m --reason '{reason}' --at \"$(date -u +%FT%TZ --date '4 seconds')\""
    ));
    std::thread::sleep(Duration::from_secs(1));
    cable.cut();
}

/// Waits for a record with these texts.
#[track_caller]
pub fn wait_told(host: &Host, texts: &[&str]) {
    let greps: String = texts.iter().map(|t| format!(" | grep '{t}'")).collect();
    let what = texts.join(", ");
    host.wait_for(
        &what,
        SOON,
        &format!("jitctl log show --json {greps} >/dev/null"),
    );
}
