//! How hosts join a fleet without anybody at their console: the Ansible role, run from outside over ssh, and the example for
//! cloud-init, run by cloud-init.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use jit_tests::grants::elevate_as;
use jit_tests::net::{Cable, serve};
use jit_tests::{Host, Output, Release, command, project};

const HUB: &str = "10.77.0.1";
const WEB: &str = "10.77.0.2";
const LIMIT: Duration = Duration::from_secs(400);

/// Everything below /etc with its mode, owner and content, but the files that hold users and groups; and what is installed.
const STATE: &str = "cd /etc && find . ! -name '*passwd*' ! -name '*group*' ! -name '*shadow*' ! -name '*sub[ug]id*' \
    ! -name ld.so.cache -printf '%p %m %U:%G %l ' \\( -type f -exec sh -c 'sha256sum <\"$0\"' {} \\; -o -printf '\\n' \\) | sort; \
    dpkg -l | sha256sum; systemctl list-unit-files 'jit*'; true";

/// What an admin has on his own machine.
struct Controller {
    dir: tempfile::TempDir,
    programs: PathBuf,
    init: u32,
}

impl Controller {
    /// Reaches both hosts from the network of `host`, as carol, by her key.
    fn new(hub: &Host, host: &Host) -> Self {
        let judges = command::must(
            &project::root().join("scripts/judges").display().to_string(),
            &[],
            LIMIT,
        );
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key").display().to_string();
        let args = ["-q", "-t", "ed25519", "-N", "", "-f", &key];
        command::must("ssh-keygen", &args, LIMIT);
        let public = fs::read_to_string(format!("{key}.pub")).unwrap();
        for to in [hub, host] {
            to.sh("install -d -m 700 -o carol /home/carol/.ssh; systemctl start ssh")
                .ok();
            to.write("/home/carol/.ssh/authorized_keys", &public);
        }
        let packages = project::packages();
        let inventory = format!(
            "[issuer]\nhub ansible_host={HUB}\n[fleet]\nweb1 ansible_host={WEB}\n[all:vars]\nansible_user=carol\n\
             ansible_python_interpreter=/usr/bin/python3\njit_package_files={}\n",
            packages[0].parent().unwrap().display()
        );
        fs::write(dir.path().join("inventory"), inventory).unwrap();
        Self {
            programs: Path::new(judges.text()).join("bin"),
            dir,
            init: host.init(),
        }
    }

    /// Runs the example playbook, and returns what it said and how many tasks changed something on each host.
    #[track_caller]
    fn play(&self, options: &[&str]) -> (Output, Vec<u32>) {
        let said = self.try_play(options).ok();
        let changed = said
            .stdout
            .lines()
            .filter_map(|line| {
                line.split_once("changed=")?
                    .1
                    .split(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        (said, changed)
    }

    /// The same for both kinds of hosts at the same time, where neither needs the other.
    #[track_caller]
    fn play_apart(&self, options: &[&str]) -> [(Output, Vec<u32>); 2] {
        thread::scope(|scope| {
            let one =
                |hosts| scope.spawn(move || self.play(&[options, &["--limit", hosts]].concat()));
            ["issuer", "fleet"]
                .map(one)
                .map(|play| play.join().unwrap())
        })
    }

    #[track_caller]
    fn try_play(&self, options: &[&str]) -> Output {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let mut ansible = Command::new("nsenter");
        ansible
            .args(["--net", "--target", &self.init.to_string(), "--"])
            .arg(self.programs.join("ansible-playbook"))
            .args(["-i", &at("inventory"), "--private-key", &at("key")])
            .args(options)
            .arg(project::root().join("packaging/ansible/site.yml"))
            .env("ANSIBLE_HOST_KEY_CHECKING", "false")
            .env("ANSIBLE_PIPELINING", "true")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_LOCAL_TEMP", at("tmp"))
            .env("ANSIBLE_HOME", at("home"))
            .env(
                "ANSIBLE_SSH_ARGS",
                "-o ControlMaster=auto -o ControlPersist=10s -o UserKnownHostsFile=/dev/null",
            );
        command::run(
            &mut ansible,
            &format!("ansible-playbook {options:?}"),
            LIMIT,
        )
    }
}

/// Alice has a right when she asked for it, and not before.
#[track_caller]
fn elevates(host: &Host) {
    host.run_as("alice", "sudo -n id")
        .refused()
        .says("no active grant");
    elevate_as(host, "alice", "--for 5m");
    host.run_as("alice", "sudo -n id -u").ok().says("0");
}

#[test]
fn the_role_sets_up_a_fleet_changes_nothing_twice_and_removes_it_again() {
    // The issuer's box is a Debian 12, the fleet a Debian 13.
    let (hub, host) = thread::scope(|scope| {
        let hub = scope.spawn(|| Host::with_more(Release::Bookworm));
        let host = Host::with_more(Release::Trixie);
        (hub.join().unwrap(), host)
    });
    let _cable = Cable::plug((&hub, HUB), (&host, WEB));
    let controller = Controller::new(&hub, &host);

    // On hosts that know nothing of it yet, a look changes nothing.
    let before = host.sh(STATE).ok().stdout;
    controller.play_apart(&["--check", "--diff"]);
    assert_eq!(host.sh(STATE).ok().stdout, before);

    // The issuer's box serves its fleet.
    hub.install();
    serve(&hub, HUB, None);
    let wanted = controller.dir.path().join("wanted.yml");
    fs::write(
        &wanted,
        "jit_eligible: [alice]\njit_settings:\n  agent.toml.d/60-site.toml: |\n    warn_before_s = [300]\n",
    )
    .unwrap();
    let wanted = format!("@{}", wanted.display());
    let wanted = ["-e", wanted.as_str()];
    let (said, changed) = controller.play(&wanted);
    assert!(
        changed.len() == 2 && changed.iter().all(|n| *n > 2),
        "{said}"
    );
    for box_ in [&hub, &host] {
        // Confirmed, or it would be gone in ten minutes.
        box_.sh("test ! -e /var/lib/jit/wiring/unconfirmed && jitctl doctor")
            .ok();
        box_.sh("jitctl config show --origin | grep warn_before_s")
            .ok()
            .says("60-site.toml");
        elevates(box_);
    }
    hub.run(&["jit-issuer", "host", "ls"])
        .ok()
        .says("web1\tenrolled");

    // Once more: nothing.
    for (said, changed) in controller.play_apart(&wanted) {
        assert_eq!(changed, [0], "{said}");
    }

    // A setting with a fault is never put in place.
    let bad = [
        "-e",
        "{jit_settings: {ceiling.toml: 'max_duration_s = true'}}",
        "--limit",
        "fleet",
    ];
    let mut refused = Vec::from(wanted);
    refused.extend(bad);
    let settings = host.read("/etc/jit/ceiling.toml");
    controller
        .try_play(&refused)
        .refused()
        .says("max_duration_s");
    assert_eq!(host.read("/etc/jit/ceiling.toml"), settings);

    // Gone, while her grant lives, and sudo is what it was.
    host.run_as("alice", "sudo -n id -u").ok();
    controller.play(&["-e", "jit_state=absent jit_purge=true", "--limit", "fleet"]);
    assert_eq!(host.sh(STATE).ok().stdout, before);
    host.run_as("alice", "sudo -n id").refused().hides("jit");
    host.sh("sudo -n true && runuser -u carol -- sudo -n true")
        .ok();
    let (said, changed) =
        controller.play(&["-e", "jit_state=absent jit_purge=true", "--limit", "fleet"]);
    assert_eq!(changed, [0], "{said}");
}

/// `packaging/cloud-init/user-data.yaml` as somebody fills it in.
fn user_data(token: &str) -> String {
    let example =
        fs::read_to_string(project::root().join("packaging/cloud-init/user-data.yaml")).unwrap();
    let (before, rest) = example.split_once("      key: |\n").unwrap();
    let (_, after) = rest
        .split_once("-----END PGP PUBLIC KEY BLOCK-----\n")
        .unwrap();
    let filled = format!("{before}{after}")
        .replace(
            "deb [signed-by=$KEY_FILE] https://packages.example.org/debian stable main",
            "deb [trusted=yes] file:/srv/jit ./",
        )
        .replace("siem.example.org", "127.0.0.1")
        .replace("relp-tls", "tcp")
        .replace("jit-enrol-1.TOKEN", token);
    assert!(filled.contains(token) && filled.contains("file:/srv/jit"));
    filled
}

#[test]
fn cloud_init_enrols_a_host_at_its_first_boot_on_debian_12() {
    cloud_init(Release::Bookworm);
}

#[test]
fn cloud_init_enrols_a_host_at_its_first_boot_on_debian_13() {
    cloud_init(Release::Trixie);
}

fn cloud_init(release: Release) {
    let (hub, host) = thread::scope(|scope| {
        let hub = scope.spawn(Host::installed);
        let host = Host::with_more(release);
        (hub.join().unwrap(), host)
    });
    let _cable = Cable::plug((&hub, HUB), (&host, WEB));
    serve(&hub, HUB, None);
    let token = hub
        .run(&[
            "jit-issuer",
            "enrol-token",
            "--host",
            "web1",
            "--for",
            "10m",
        ])
        .ok();

    // A repository, and nothing else for apt to ask.
    host.bring(&project::packages());
    let dir = project::packages()[0]
        .parent()
        .unwrap()
        .display()
        .to_string();
    let index = command::must(
        "sh",
        &["-c", &format!("cd {dir} && dpkg-scanpackages .")],
        LIMIT,
    );
    host.sh("mv /root/packages /srv/jit; rm /etc/apt/sources.list")
        .ok();
    host.write("/srv/jit/Packages", &index.stdout);
    host.write(
        "/etc/rsyslog.d/siem.conf",
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"6514\")\n",
    );
    host.sh("systemctl restart rsyslog").ok();
    let seed = "/var/lib/cloud/seed/nocloud";
    host.sh(&format!("mkdir -p {seed}")).ok();
    host.write(
        &format!("{seed}/meta-data"),
        "instance-id: i-1\nlocal-hostname: testhost\n",
    );
    let example = project::root().join("packaging/cloud-init/user-data.yaml");
    host.copy_in(&example, "/root/example.yaml");
    host.write(&format!("{seed}/user-data"), &user_data(token.text()));
    for file in ["/root/example.yaml", &format!("{seed}/user-data")] {
        host.run(&["cloud-init", "schema", "--config-file", file])
            .ok()
            .says("Valid");
    }

    // What its units do at a boot. What it cannot do without disks and a network is no matter of ours.
    let stages = "cloud-init init --local; cloud-init init; cloud-init modules --mode=config; cloud-init modules --mode=final";
    host.run_for(&["bash", "-c", stages], LIMIT);
    let said = host.read("/var/log/cloud-init-output.log");
    assert!(said.contains("tested: `sudo -n true` as root"), "{said}");
    host.sh("test ! -e /etc/jit/enrol-token && jitctl doctor")
        .ok();
    host.run(&["jitctl", "config", "show", "--origin"])
        .ok()
        .says("60-site.toml");
    hub.run(&["jit-issuer", "host", "ls"])
        .ok()
        .says("web1\tenrolled");
    elevates(&host);
}
