//! The life of the packages on a host where a grant lives and people call sudo all the time: installed, upgraded, downgraded, cut
//! off in each of their scripts, removed, purged, and installed anew.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_tests::bystanders::Bystanders;
use jit_tests::{Host, Release, command, grants, project};

const SUDO_WORKS: &str = "sudo -n true && runuser -u carol -- sudo -n true";
const LIMIT: Duration = Duration::from_secs(60);

/// Said by a script of the package at its start and at its end: where the test left word to, it and dpkg die there.
const KILLABLE: &str = r#"
die_at() { if [ -e "/run/die-at-$1" ]; then rm "/run/die-at-$1"; kill -KILL "$PPID" "$$"; fi; }
die_at "SCRIPT-$1-start"
trap "die_at SCRIPT-$1-end" EXIT
"#;

/// The package of the agent as a later version, whose scripts can be killed.
#[track_caller]
fn later(dir: &Path) -> PathBuf {
    let built = project::packages();
    let built = built
        .iter()
        .find(|p| p.display().to_string().contains("/jit-agent_"));
    let tree = dir.join("tree").display().to_string();
    command::must(
        "dpkg-deb",
        &["-R", &built.unwrap().display().to_string(), &tree],
        LIMIT,
    );
    let at = |name: &str| Path::new(&tree).join("DEBIAN").join(name);
    let edit = |name: &str, change: &dyn Fn(String) -> String| {
        fs::write(at(name), change(fs::read_to_string(at(name)).unwrap())).unwrap();
    };
    edit("control", &|text| {
        text.replace("\nVersion: ", "\nVersion: 9.")
    });
    for script in ["preinst", "postinst", "prerm", "postrm"] {
        let lines = KILLABLE.replace("SCRIPT", script);
        edit(script, &|text| {
            text.replacen("\nset -e\n", &format!("\nset -e\n{lines}"), 1)
        });
        assert!(fs::read_to_string(at(script)).unwrap().contains("die_at"));
    }
    let package = dir.join("later.deb");
    let args = [
        "--root-owner-group",
        "-Znone",
        "-b",
        &tree,
        &package.display().to_string(),
    ];
    command::must("dpkg-deb", &args, LIMIT);
    package
}

/// dpkg and a script of the package die at that point, and nobody's sudo with them.
#[track_caller]
fn dies(host: &Host, point: &str, command: &str) {
    host.sh(&format!("touch /run/die-at-{point}; {command}"))
        .exits(137);
    host.sh(&format!("test ! -e /run/die-at-{point} && {SUDO_WORKS}"))
        .ok();
}

fn life(release: Release) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::boot(release, false);
    host.run(&["mkdir", "/root/packages"]).ok();
    host.copy_in(&later(dir.path()), "/root/later.deb");
    let others = Bystanders::start(&host, Duration::ZERO);
    host.install();
    host.set_up();
    let alice = |script: &str| host.run_as("alice", script);
    alice("jitctl elevate --for 10m --reason test").ok();
    let held = || grants::Grant::read(&grants::list(&alice("jitctl status --json").ok())[0]);
    let grant = held();
    let holder = Bystanders::holder(&host, Duration::from_millis(50));
    let version = |wanted: &str| {
        let shown = host
            .sh("dpkg-query -W -f '${Version} ${db:Status-Status}' jit-agent")
            .ok();
        assert!(
            shown.text().starts_with(wanted) && shown.text().ends_with(" installed"),
            "{shown}"
        );
    };

    // Up, once more the same, refused where the older one could not read the state, down where it can.
    for _ in 0..2 {
        host.run(&["dpkg", "--install", "/root/later.deb"]).ok();
        version("9.");
    }
    let older = "dpkg --install /root/packages/jit-agent_*.deb";
    host.sh("echo 3 >/var/lib/jit/format").ok();
    host.sh(older)
        .refused()
        .says("has format 3, of a newer version");
    version("9.");
    host.sh("echo 2 >/var/lib/jit/format").ok();
    host.sh(older).ok();
    version("0.");

    // Killed in each script of an upgrade, and gone on from there.
    host.run(&["dpkg", "--install", "/root/later.deb"]).ok();
    let upgrade = "dpkg --install /root/later.deb";
    for script in [
        "prerm-upgrade",
        "preinst-upgrade",
        "postrm-upgrade",
        "postinst-configure",
    ] {
        for end in ["start", "end"] {
            dies(&host, &format!("{script}-{end}"), upgrade);
        }
    }
    host.run(&["dpkg", "--configure", "--pending"]).ok();
    host.sh(upgrade).ok();
    version("9.");
    holder.noticed_nothing();
    let kept = held();
    assert_eq!((kept.id, kept.ends_at), (grant.id, grant.ends_at));

    // Killed in each script of a removal, and removed from there.
    for script in ["prerm-remove", "postrm-remove"] {
        for end in ["start", "end"] {
            dies(&host, &format!("{script}-{end}"), "dpkg --remove jit-agent");
        }
    }
    host.sh("dpkg --remove jit-agent; test ! -e /usr/libexec/jit && ! grep -q jit /etc/sudo.conf")
        .ok();
    alice("sudo -n id").refused().hides("uid=0");
    assert_eq!(host.sh("id -nG alice").ok().text(), "alice jit-eligible");
    for end in ["start", "end"] {
        dies(
            &host,
            &format!("postrm-purge-{end}"),
            "dpkg --purge jit-agent",
        );
    }
    host.sh("dpkg --purge jit-agent jit-issuer jitctl; test ! -e /var/lib/jit")
        .ok();

    // From the start.
    host.sh("dpkg --install /root/packages/*.deb").ok();
    host.set_up();
    alice("jitctl elevate --for 1m --reason test").ok();
    alice("sudo -n id -u").ok().says("0");
    others.noticed_nothing();
    host.run(&["systemctl", "is-system-running"]).ok();
}

#[test]
fn packages_come_and_go_on_debian_12_while_people_call_sudo() {
    life(Release::Bookworm);
}

#[test]
fn packages_come_and_go_on_debian_13_while_people_call_sudo() {
    life(Release::Trixie);
}
