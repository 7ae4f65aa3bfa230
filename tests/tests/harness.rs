//! The harness itself: a host boots, obeys, reboots, and leaves nothing behind.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::panic;
use std::time::Duration;

use jit_tests::Host;

#[test]
fn a_host_runs_commands_as_root_and_as_people() {
    let host = Host::plain();
    assert_eq!(host.run(&["id", "-u"]).ok().text(), "0");
    assert_eq!(
        host.run_as("alice", "id -un; pwd; exit 7").exits(7).stdout,
        "alice\n/home/alice\n"
    );
    host.sh("echo out; echo err >&2; kill -TERM $$")
        .exits(143)
        .says("out")
        .says("err");
    host.run_as("carol", "sudo -n id -u").ok().says("0");
    host.run_as("bob", "sudo -n id -u")
        .refused()
        .says("a password is required");
    // To the host, commands from outside belong to a service.
    assert_eq!(
        host.read("/proc/self/cgroup").lines().last(),
        Some("0::/system.slice/test-driver.service")
    );
}

#[test]
fn a_shell_is_a_login_that_stays_open() {
    let host = Host::plain();
    let mut alice = host.shell("alice");
    alice.run("tty").ok().says("/dev/pts/");
    alice.run("cat /proc/self/loginuid").ok().says("1001");
    alice
        .run("cat /proc/self/cgroup")
        .ok()
        .says("/user.slice/user-1001.slice/session-");
    alice.run("cd /tmp; secret=kept; false").exits(1);
    assert_eq!(alice.run("pwd; echo $secret").ok().stdout, "/tmp\nkept\n");
    // A group given now is not in the kernel's list of the open shell.
    host.run(&["usermod", "-aG", "adm", "alice"]).ok();
    alice.run("id -nG").ok().hides("adm");
    alice.run("id -nG alice").ok().says("adm");

    let mut dave = host.shell("dave");
    dave.send("sudo id -u\n");
    dave.expect("password for dave: ");
    dave.send("dave-secret\n");
    assert!(dave.prompt().contains("\n0\n"));
    dave.send("sleep 1000\n");
    host.wait_for(
        "it sleeps",
        Duration::from_secs(5),
        "pgrep -u dave -x sleep",
    );
    dave.send("\x03");
    dave.prompt();
    dave.run("true").ok();

    host.run(&["loginctl", "terminate-user", "alice"]).ok();
    alice.wait_closed(Duration::from_secs(5));
}

#[test]
fn flags_and_files_survive_a_reboot_and_a_power_cut() {
    let mut host = Host::plain();
    let id = host.read("/etc/machine-id");
    host.sh("echo one >/var/log/kept; chattr +a /var/log/kept")
        .ok();
    let boot = host.read("/proc/sys/kernel/random/boot_id");
    host.reboot();
    assert_eq!(host.read("/etc/machine-id"), id);
    assert_ne!(host.read("/proc/sys/kernel/random/boot_id"), boot);
    host.sh("echo two >>/var/log/kept").ok();
    host.sh("echo three >/var/log/kept")
        .refused()
        .says("not permitted");
    host.kill();
    host.start();
    assert_eq!(host.read("/var/log/kept"), "one\ntwo\n");
}

#[test]
fn files_go_in_as_they_are() {
    let host = Host::plain();
    let text = "a 'quoted' $line\n\\ and more";
    host.write("/etc/made", text);
    assert_eq!(host.read("/etc/made"), text);
}

#[test]
fn two_hosts_know_nothing_of_each_other() {
    let (one, two) = (Host::plain(), Host::plain());
    one.sh("touch /etc/here; systemd-run --unit=only-here sleep 1000")
        .ok();
    two.sh("test -e /etc/here").refused();
    two.sh("systemctl is-active only-here").refused();
    assert_ne!(one.read("/etc/machine-id"), two.read("/etc/machine-id"));
}

#[test]
#[should_panic(expected = "no end within 300ms")]
fn a_command_that_hangs_fails_the_test() {
    let host = Host::plain();
    host.run_for(&["sleep", "1000"], Duration::from_millis(300));
}

#[test]
fn a_failing_test_leaves_nothing_behind() {
    let failed = panic::catch_unwind(|| {
        let host = Host::plain();
        host.sh("chattr +a /var/log/dpkg.log; setsid sleep 4242 >/dev/null 2>&1 &")
            .ok();
        let name = host.machine_name();
        assert!(!alive_in(&name).is_empty());
        panic::panic_any(name);
    });
    let name = *failed.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(alive_in(&name), Vec::<String>::new());
    assert!(
        !fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(&format!("/{name}/"))
    );
    assert!(!fs::exists(jit_tests::project::cache().join("run").join(name)).unwrap());
}

/// The processes of this machine that run in the cgroup of the host `name`. A killed one may await its parent's
/// notice as a zombie.
fn alive_in(name: &str) -> Vec<String> {
    let read = |process: &fs::DirEntry, file: &str| {
        fs::read_to_string(process.path().join(file)).unwrap_or_default()
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let inside = processes.filter(|p| read(p, "cgroup").contains(&format!("/jit-tests.{name}/")));
    inside
        .map(|p| read(&p, "status"))
        .filter(|s| !s.is_empty() && !s.contains("State:\tZ"))
        .collect()
}
