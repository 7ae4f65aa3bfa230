//! The units in `systemd/`: how much each is locked in, and that they agree with each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jit_tests::project;

/// Highest exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &[(&str, u32)] = &[
    ("jit-agent.service", 15),
    ("jit-reconcile.service", 15),
    ("jit-link.service", 11),
    ("jit-issuer.service", 11),
    ("jit-setup-revert.service", 15),
    ("jit-prune.service", 11),
];

fn unit(name: &str) -> PathBuf {
    project::root().join("systemd").join(name)
}

#[test]
fn services_are_locked_in() {
    for (name, limit) in EXPOSURE {
        let output = Command::new("systemd-analyze")
            .args([
                "security",
                "--offline=true",
                "--no-pager",
                &format!("--threshold={limit}"),
            ])
            .arg(unit(name))
            .output()
            .expect("systemd-analyze: run scripts/setup-host");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("Overall exposure level"),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.status.success(),
            "{name} is exposed by more than {limit}/10\n{text}"
        );
    }
}

#[test]
fn every_service_has_a_limit() {
    let units = fs::read_dir(project::root().join("systemd")).unwrap();
    let services = units
        .map(|u| u.unwrap().file_name().into_string().unwrap())
        .filter(|u| u.ends_with(".service"));
    for name in services {
        assert!(
            EXPOSURE.iter().any(|(n, _)| *n == name),
            "{name} has no exposure limit in this file"
        );
    }
}

#[test]
fn reconcile_has_the_sandbox_of_the_agent() {
    // What makes one a daemon and the other a step of the boot.
    let own = |line: &&str| {
        ![
            "Type=",
            "ExecStart=",
            "ExecReload=",
            "NotifyAccess=",
            "Watchdog",
            "Restart",
            "RemainAfterExit=",
            "Timeout",
            "OOM",
            "TasksMax=",
            "LimitNOFILE=",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let sandbox = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(unit(name)).unwrap();
        let (_, rest) = text.split_once("\n[Service]\n").unwrap();
        let (section, _) = rest.split_once("\n[Install]\n").unwrap();
        section
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .filter(own)
            .map(str::to_owned)
            .collect()
    };
    let agent = sandbox("jit-agent.service");
    assert!(agent.len() > 20, "{agent:?}");
    assert_eq!(sandbox("jit-reconcile.service"), agent);
}

#[test]
fn no_stop_of_the_agent_ends_grants() {
    let text = fs::read_to_string(unit("jit-agent.service")).unwrap();
    let directives: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(
        !directives.iter().any(|l| l.starts_with("ExecStop")),
        "a restart or an upgrade keeps grants"
    );
    assert!(directives.contains(&"Restart=always"));
}

#[test]
fn sockets_have_the_names_and_modes_that_the_agent_relies_on() {
    for (name, mode) in [("agent", "0666"), ("gate", "0600"), ("link", "0660")] {
        let text = fs::read_to_string(unit(&format!("jit-{name}.socket"))).unwrap();
        for line in [
            format!("ListenStream=/run/jit/{name}.sock"),
            format!("SocketMode={mode}"),
            format!("FileDescriptorName={name}"),
            "Service=jit-agent.service".to_owned(),
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "jit-{name}.socket lacks {line}"
            );
        }
    }
}
