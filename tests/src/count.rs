//! System calls, counted: they do not depend on how busy the machine is.

use std::time::Duration;

use crate::Host;

const FILE: &str = "/run/count";

/// What `strace -c` counted.
pub struct Counted {
    pub calls: u64,
    /// Its whole table.
    pub table: String,
}

/// Of a command of this user with all that it starts. It must end with the code. Counted the second time, so that
/// nothing is read for the first time.
#[track_caller]
pub fn of_command(host: &Host, user: &str, argv: &[&str], code: i32) -> Counted {
    let script = format!(
        "SUDO_EDITOR=/bin/true strace -f -c -o {FILE} -u {user} {}",
        argv.join(" ")
    );
    host.sh(&script).exits(code);
    host.sh(&script).exits(code);
    read(host)
}

/// Of the agent, while something is done.
#[track_caller]
pub fn of_agent(host: &Host, act: impl FnOnce()) -> Counted {
    let script = format!(
        "systemd-run --quiet --collect --unit=count strace -f -c -o {FILE} -p $(systemctl show -P MainPID jit-agent)"
    );
    host.sh(&script).ok();
    host.wait_for(
        "the agent is traced",
        Duration::from_secs(10),
        "grep -q 'TracerPid:.[1-9]' /proc/$(systemctl show -P MainPID jit-agent)/status",
    );
    act();
    host.run(&["systemctl", "stop", "count"]).ok();
    read(host)
}

fn read(host: &Host) -> Counted {
    let table = host.read(FILE);
    let line = table.lines().find(|l| l.ends_with(" total"));
    let line = line.unwrap_or_else(|| panic!("no sum in\n{table}"));
    let calls = line.split_whitespace().nth(3).expect("a sum");
    Counted {
        calls: calls.parse().expect("a number"),
        table,
    }
}
