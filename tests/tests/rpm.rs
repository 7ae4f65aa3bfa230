//! The .rpms, with their scriptlets, on a booted host: what is true of the .debs is true of them. Debian's rpm has no
//! database of what Debian installed, so dependencies are not looked at here.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::{Host, Release, command, grants, project};

const SUDO_WORKS: &str =
    "sudo -n true && runuser -u carol -- sudo -n true && runuser -u bob -- sh -c '! sudo -n true'";

/// Everything below /etc that no package manager keeps for itself.
const ETC: &str = "cd /etc && find . -path ./jit -prune -o -path ./apparmor.d -prune -o ! -name '*passwd*' ! -name '*group*' ! -name '*shadow*' \
    ! -name '*sub[ug]id*' ! -name ld.so.cache -printf '%p %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum <\"$0\"' {} \\; \
    -o -printf '\\n' \\) | sort";

fn pid(host: &Host) -> String {
    let show = "systemctl show --property=MainPID --value jit-agent";
    host.sh(show).ok().text().to_owned()
}

/// The package of the agent as a later version, of the staging tree that the others were made of.
#[track_caller]
fn later(dir: &Path) -> PathBuf {
    let packages = project::rpms()[0].parent().unwrap().to_owned();
    let mut build = Command::new(project::root().join("scripts/build-rpms"));
    build.arg(packages.with_file_name("stage")).arg(dir);
    build.env("JIT_VERSION", "9.0");
    command::run(&mut build, "build-rpms", Duration::from_secs(300)).ok();
    let built = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.display().to_string().contains("/jit-agent_"));
    built.unwrap()
}

#[test]
fn rpms_come_and_go_on_debian_12_while_a_grant_lives_and_others_call_sudo() {
    life(Release::Bookworm);
}

#[test]
fn rpms_come_and_go_on_debian_13_while_a_grant_lives_and_others_call_sudo() {
    life(Release::Trixie);
}

fn life(release: Release) {
    let dir = tempfile::tempdir().unwrap();
    let later = later(dir.path());
    let host = Host::with_rpm(release);
    host.bring(&project::rpms());
    host.copy_in(&later, "/root/later.rpm");
    let before = host.sh(ETC).ok().stdout;
    let others = Bystanders::start(&host, Duration::from_millis(100));

    host.sh("rpm --install --nodeps /root/packages/*.rpm").ok();
    assert_eq!(host.sh(ETC).ok().stdout, before);
    let states = "systemctl list-unit-files --no-legend 'jit*' | awk '{print $2}' | sort -u";
    assert_eq!(host.sh(states).ok().text(), "disabled\nstatic");
    let running = "systemctl list-units --no-legend 'jit*'";
    assert_eq!(host.sh(running).ok().text(), "");
    host.sh("rpm --verify --nodeps jit-agent jitctl jit-issuer")
        .ok();
    host.sh("getent passwd jit-link jit-issuer; getent group jit-eligible")
        .ok();

    host.set_up();
    let alice = |script: &str| host.run_as("alice", script);
    let grant = grants::elevate_as(&host, "alice", "--for 10m");
    alice("sudo -n id -u").ok().says("0");
    let holder = Bystanders::holder(&host, Duration::from_millis(50));

    // The same version once more, a later one, and down again: each runs what an upgrade runs.
    host.sh("echo '# ours' >>/etc/jit/ceiling.toml").ok();
    let upgrade = "rpm --upgrade --replacepkgs --nodeps";
    let version = |wanted: &str| {
        let shown = "rpm --query --queryformat '%{VERSION}\n' jit-agent; rpm --verify --nodeps --noconfig jit-agent";
        assert_eq!(host.sh(shown).ok().text(), wanted);
        host.sh("tail -1 /etc/jit/ceiling.toml").ok().says("# ours");
        let kept = grants::list(&alice("jitctl status --json").ok());
        assert_eq!(kept.len(), 1);
        let kept = grants::Grant::read(&kept[0]);
        assert_eq!((kept.id, kept.ends_at), (grant.id.clone(), grant.ends_at));
        alice("sudo -n id -u").ok().says("0");
    };
    let older = "rpm --upgrade --oldpackage --nodeps /root/packages/jit-agent_*.rpm";
    let own = project::rpms()[0].display().to_string();
    let own = own.split_once("jit-agent_").unwrap().1;
    let own = own.split_once('-').unwrap().0;
    for (command, wanted) in [
        (format!("{upgrade} /root/packages/*.rpm"), own),
        (format!("{upgrade} /root/later.rpm"), "9.0"),
        (older.to_owned(), own),
        (format!("{upgrade} /root/later.rpm"), "9.0"),
    ] {
        let agent = pid(&host);
        host.sh(&command).ok();
        assert_ne!(pid(&host), agent);
        version(wanted);
    }
    // Down is refused where the older one could not read the state, and then nothing at all is changed.
    let agent = pid(&host);
    for format in ["3", "x", ""] {
        host.sh(&format!("echo {format} >/var/lib/jit/format")).ok();
        host.sh(older).refused().says("of a newer version");
        version("9.0");
    }
    assert_eq!(pid(&host), agent);
    host.sh("echo 2 >/var/lib/jit/format").ok();
    host.sh(older).ok();
    version(own);
    holder.noticed_nothing();

    host.sh("runuser -u alice -- sudo -n sleep 1000 >/dev/null 2>&1 &")
        .ok();
    host.wait_for(
        "root's process",
        Duration::from_secs(10),
        "pgrep -u root -x sleep -a | grep -q 1000",
    );

    // The agent first, while everything else of ours still stands.
    host.sh("rpm --erase --nodeps jit-agent").ok();
    host.sh("! pgrep -u root -x sleep -a | grep 1000").ok();
    host.sh(
        "test ! -e /usr/libexec/jit; ! grep -qs jit /etc/sudo.conf && test ! -e /etc/jit/sudoers",
    )
    .ok();
    alice("sudo -n true").exits(1);
    assert_eq!(host.sh("id -nG alice").ok().text(), "alice jit-eligible");
    host.sh("rpm --erase --nodeps jit-issuer jitctl").ok();
    others.noticed_nothing();
    host.sh(SUDO_WORKS).ok();
    host.sh("ls /var/log/jit/journal/*.seg").ok();
    let left = "rpm -qa 'jit*'; find /usr/bin /usr/lib /usr/libexec /usr/share /etc/systemd -xdev -name '*jit*'";
    assert_eq!(host.sh(left).ok().text(), "");
    host.run(&["systemctl", "is-system-running"]).ok();
}

#[test]
fn an_erasure_that_cannot_unwire_erases_nothing() {
    let host = Host::with_rpm(Release::Bookworm);
    host.bring(&project::rpms());
    host.sh("rpm --install --nodeps /root/packages/*.rpm").ok();
    host.set_up();
    // What setup wrote is known by its manifest; this line is somebody else's, and needs our file as well.
    host.sh("cp /etc/sudo.conf /root/wired; /usr/libexec/jit/jit-end --unwire; cp /root/wired /etc/sudo.conf; cp -a /etc/sudoers /etc/jit/sudoers")
        .ok();
    host.sh("rpm --erase --nodeps jit-agent").refused();
    host.sh("test -e /usr/libexec/jit/sudo_jit.so").ok();
    host.sh("sudo -n true").ok();
    host.sh("rm /etc/sudo.conf && rpm --erase --nodeps jit-agent")
        .ok();
    host.sh(SUDO_WORKS).ok();
}
