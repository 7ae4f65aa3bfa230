//! What one `sudo` of a managed user costs is counted, so that nothing heavy slips into its path: system calls do not
//! depend on how busy the machine is. The times are in docs/performance.md.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use jit_tests::grants::elevate;
use jit_tests::{Host, count};

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
    let of_sudo = |user| count::of_command(&host, user, &["sudo", "-n", "true"], 0);
    // Carol is a standing admin: the plugins look at her once and let her go.
    let standing = of_sudo("carol").calls;
    let managed = of_sudo("alice");
    let more = managed.calls.saturating_sub(standing);
    assert!(
        more <= SUDO,
        "a managed sudo makes {more} system calls more than the {standing} of a standing admin's; {SUDO} were enough\n{}",
        managed.table
    );

    let agent = count::of_agent(&host, || {
        for _ in 0..USES {
            alice.run("sudo -n true").ok();
        }
    });
    let of_one = agent.calls / USES;
    println!(
        "a use costs {more} system calls more than {standing} in sudo, and {of_one} in the agent"
    );
    assert!(
        of_one <= AGENT,
        "the agent makes {of_one} system calls for a use; {AGENT} were enough\n{}",
        agent.table
    );
}
