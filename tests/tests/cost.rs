//! What one `sudo` of a managed user costs is counted, so that nothing heavy slips into its path: system calls do not
//! depend on how busy the machine is. The times are in docs/performance.md.
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

/// More than sudo itself makes for the same command: the plugins, PAM's module, their questions to the agent.
const SUDO: u64 = 50;
/// The agent's, for one use from the first question to the record of its end.
const AGENT: u64 = 260;
/// Uses that the agent's calls are counted over.
const USES: u64 = 20;

#[test]
fn one_sudo_makes_few_system_calls() {
    let host = Host::ready();
    let mut alice = host.shell("alice");
    elevate(&mut alice, "--for 5m");
    let of_sudo = |user: &str| {
        let script = format!("strace -f -c -o /run/count -u {user} sudo -n true");
        // What is read for the first time is not counted.
        host.sh(&script).ok();
        host.sh(&script).ok();
        total(&host)
    };
    // Carol is a standing admin: the plugins look at her once and let her go.
    let (standing, _) = of_sudo("carol");
    let (managed, calls) = of_sudo("alice");
    let more = managed.saturating_sub(standing);
    assert!(
        more <= SUDO,
        "a managed sudo makes {more} system calls more than the {standing} of a standing admin's; {SUDO} were enough\n{calls}"
    );

    host.sh("systemd-run --quiet --unit=count strace -f -c -o /run/count -p $(systemctl show -P MainPID jit-agent)")
        .ok();
    host.wait_for(
        "the agent is traced",
        Duration::from_secs(10),
        "grep -q 'TracerPid:.[1-9]' /proc/$(systemctl show -P MainPID jit-agent)/status",
    );
    for _ in 0..USES {
        alice.run("sudo -n true").ok();
    }
    host.run(&["systemctl", "stop", "count"]).ok();
    let (agent, calls) = total(&host);
    let agent = agent / USES;
    println!(
        "a use costs {more} system calls more than {standing} in sudo, and {agent} in the agent"
    );
    assert!(
        agent <= AGENT,
        "the agent makes {agent} system calls for a use; {AGENT} were enough\n{calls}"
    );
}

/// How many calls `strace -c` counted, and its whole table.
fn total(host: &Host) -> (u64, String) {
    let table = host.read("/run/count");
    let line = table.lines().find(|l| l.ends_with(" total"));
    let line = line.unwrap_or_else(|| panic!("no sum in\n{table}"));
    let calls = line.split_whitespace().nth(3);
    (calls.unwrap().parse().unwrap(), table)
}
