//! Each rule sees its fault, and a sound host has none.

use super::look::{Sight, UNITS};
use super::*;
use crate::accounts::Standing;
use crate::block;
use crate::facts::{Plugin, Version};
use crate::files::{Content, Owner};
use crate::sudoers::Scan;
use crate::sudos::{Installed, What};
use wire::cli::{Health, Level as L, Part};

const CONF: &str = "\
Plugin jit_approval /usr/libexec/jit/sudo_jit.so
Plugin jit_audit /usr/libexec/jit/sudo_jit.so
Plugin sudoers_audit sudoers.so sudoers_file=/etc/jit/sudoers
Plugin sudoers_policy sudoers.so sudoers_file=/etc/jit/sudoers
Plugin sudoers_io sudoers.so
Set group_source dynamic
";
const PAM: &str = "\
auth [success=done cred_expired=die default=ignore] pam_jit.so
@include common-auth
account required pam_jit.so
@include common-account
";

fn content(text: &str, mode: u32) -> Content {
    Content {
        bytes: text.as_bytes().to_vec(),
        owner: Owner {
            mode,
            uid: 0,
            gid: 0,
        },
    }
}

fn part(level: L) -> Part {
    Part {
        level,
        note: Some("because".to_owned()),
    }
}

fn sound() -> Sight {
    Sight {
        root: true,
        root_uid: 0,
        sudos: vec![Installed {
            path: "/usr/bin/sudo",
            what: What::Classic(Version(1, 9, 17, 2)),
        }],
        holes: Vec::new(),
        rs: rs::Files {
            pam: [Ok(None), Ok(None)],
            copy: Ok(()),
            sudoers: Ok(None),
            wanted: None,
            judged: None,
        },
        su: su::Files {
            pam: [Ok(Some(content(SU, 0o644))), Ok(Some(content(SU_L, 0o644)))],
        },
        conf: Ok(Some(content(CONF, 0o644))),
        plugin: Plugin::Good,
        sudoers: Ok(Some(content("@include /etc/sudoers\n", 0o440))),
        sudoers_template: Ok(Some(content("@include /etc/sudoers\n", 0o644))),
        visudo: Some(Ok(())),
        pam: Ok(Some(content(PAM, 0o644))),
        pam_module: true,
        manifest: Ok(Some(content("{}", 0o600))),
        unconfirmed: Ok(None),
        jit_end: true,
        nsswitch: Ok(Some(content("group: files systemd\n", 0o644))),
        policy: Ok(None),
        rules: Scan::default(),
        standing: Vec::new(),
        other_doors: Vec::new(),
        ways_to_root: Some(vec!["root has a password".to_owned()]),
        units: UNITS
            .into_iter()
            .map(|u| (u, "enabled".to_owned()))
            .collect(),
        health: Ok(Health {
            agent: part(L::Ok),
            link: part(L::Ok),
            issuer: part(L::Ok),
            clock: part(L::Ok),
            log: part(L::Ok),
        }),
    }
}

fn found(change: impl FnOnce(&mut Sight)) -> Vec<(Level, &'static str)> {
    let mut sight = sound();
    change(&mut sight);
    rules::judge(&sight)
        .iter()
        .map(|f| (f.level, f.id))
        .collect()
}

#[test]
fn a_sound_host_has_no_finding() {
    assert_eq!(rules::judge(&sound()), []);
    assert_eq!(exit(&[]), Exit::Ok);
}

#[test]
fn the_sample_policy_is_said_to_be_one() {
    let sample = include_str!("../../../packaging/etc/policy/roles.toml");
    let with = |text: &str| found(|s| s.policy = Ok(Some(content(text, 0o644))));
    assert_eq!(with(sample), [(Level::Note, "policy-free-roles")]);
    assert_eq!(
        with(&sample.replace("auth = \"none\"", "auth = \"password\"")),
        []
    );
    assert_eq!(with("x"), [(Level::Warning, "policy-unusable")]);
}

#[test]
fn each_wiring_fault_is_found_by_its_name() {
    type Change = fn(&mut Sight);
    let cases: [(&str, Change); 26] = [
        ("sudo-conf-missing", |s| s.conf = Ok(None)),
        ("sudo-conf-unreadable", |s| {
            s.conf = Err("x is a symbolic link".to_owned())
        }),
        ("sudo-conf-ignored", |s| {
            s.conf = Ok(Some(content(CONF, 0o664)))
        }),
        ("sudo-conf-not-wired", |s| {
            s.conf = Ok(Some(content("# stock\n", 0o644)))
        }),
        ("sudo-conf-line-missing", |s| {
            s.conf = Ok(Some(content(
                &CONF.replacen("jit_approval", "jit_other", 1),
                0o644,
            )));
        }),
        ("sudo-conf-order", |s| {
            let (ours, theirs) = CONF.split_at(CONF.find("Plugin sudoers_audit").unwrap());
            s.conf = Ok(Some(content(&format!("{theirs}{ours}"), 0o644)));
        }),
        ("sudo-conf-sudoers-file", |s| {
            s.conf = Ok(Some(content(
                &CONF.replacen(" sudoers_file=/etc/jit/sudoers", "", 1),
                0o644,
            )));
        }),
        ("sudo-conf-group-source", |s| {
            s.conf = Ok(Some(content(
                &format!("{CONF}Set group_source adaptive\n"),
                0o644,
            )));
        }),
        ("plugin-missing", |s| s.plugin = Plugin::Missing),
        ("plugin-unsafe", |s| {
            s.plugin = Plugin::Unsafe("x".to_owned())
        }),
        ("plugin-symbol", |s| s.plugin = Plugin::Lacks("jit_audit")),
        ("sudoers-missing", |s| s.sudoers = Ok(None)),
        ("sudoers-mode", |s| {
            s.sudoers = Ok(Some(content("@include /etc/sudoers\n", 0o666)))
        }),
        ("sudoers-edited", |s| {
            s.sudoers = Ok(Some(content("@include /etc/sudoers\nbob ALL=ALL\n", 0o440)));
        }),
        ("sudoers-syntax", |s| {
            s.visudo = Some(Err("line 3".to_owned()))
        }),
        ("pam-module-missing", |s| s.pam_module = false),
        ("pam-service-missing", |s| s.pam = Ok(None)),
        ("pam-service-mode", |s| {
            s.pam = Ok(Some(content(PAM, 0o646)))
        }),
        ("pam-service-order", |s| {
            let forgiving = PAM.replace("account required", "account [success=ok default=ignore]");
            s.pam = Ok(Some(content(&forgiving, 0o644)));
        }),
        ("nsswitch-group", |s| {
            s.nsswitch = Ok(Some(content("group: files\n", 0o644)))
        }),
        ("jit-end-missing", |s| s.jit_end = false),
        ("no-way-to-root", |s| s.ways_to_root = Some(Vec::new())),
        ("unit-not-enabled", |s| s.units[5].1 = "disabled".to_owned()),
        ("unit-missing", |s| s.units[4].1 = "not-found".to_owned()),
        ("unit-masked", |s| s.units[0].1 = "masked".to_owned()),
        ("agent-unreachable", |s| {
            s.health = Err("jit-agent is not running".to_owned())
        }),
    ];
    for (id, change) in cases {
        assert_eq!(found(change), [(Level::Fault, id)]);
    }
}

#[test]
fn ill_health_of_the_host_is_a_fault_and_of_the_network_a_note() {
    let health = |change: fn(&mut Health)| {
        found(|s| {
            let Ok(health) = &mut s.health else { return };
            change(health);
        })
    };
    assert_eq!(
        health(|h| h.log = part(L::Down)),
        [(Level::Fault, "log-health")]
    );
    assert_eq!(
        health(|h| h.clock = part(L::Degraded)),
        [(Level::Warning, "clock-health")]
    );
    assert_eq!(
        health(|h| h.link = part(L::Down)),
        [(Level::Note, "link-health")]
    );
    assert_eq!(
        health(|h| h.issuer = part(L::Down)),
        [(Level::Note, "issuer-health")]
    );
}

#[test]
fn an_unwired_host_has_notes_only() {
    let fresh = |s: &mut Sight| {
        s.conf = Ok(Some(content("# stock\n", 0o644)));
        s.sudoers = Ok(None);
        s.visudo = None;
        s.pam = Ok(None);
        s.manifest = Ok(None);
        s.units[0].1 = "disabled".to_owned();
        s.health = Err("jit-agent is not running".to_owned());
        s.ways_to_root = Some(Vec::new());
    };
    assert_eq!(found(fresh), [(Level::Note, "not-set-up")]);
}

#[test]
fn what_is_not_ours_is_a_warning_or_a_note() {
    let standing = Standing {
        login: "carol".to_owned(),
        place: "/etc/sudoers:5".to_owned(),
        rule: "%sudo ALL=(ALL:ALL) ALL".to_owned(),
        nopasswd: false,
        all: true,
    };
    assert_eq!(
        found(|s| {
            s.holes = vec!["CVE-2025-32462 (x)".to_owned()];
            s.standing = vec![standing];
            s.other_doors = vec!["su", "pkexec"];
            s.rules.skipped = vec!["/etc/sudoers.d/ops.bak".to_owned()];
        }),
        [
            (Level::Warning, "sudo-known-holes"),
            (Level::Warning, "sudoers-skipped-file"),
            (Level::Note, "standing-right"),
            (Level::Note, "other-doors"),
        ]
    );
}

#[test]
fn without_root_what_cannot_be_seen_is_no_fault() {
    assert_eq!(
        found(|s| {
            s.root = false;
            s.sudoers = Err("/etc/jit/sudoers cannot be read".to_owned());
            s.manifest = Err("denied".to_owned());
            s.visudo = None;
            s.ways_to_root = None;
        }),
        [(Level::Note, "not-root")]
    );
}

#[test]
fn text_and_json_of_a_finding_and_the_exit_code() {
    let findings = vec![Finding {
        id: "sudo-conf-order",
        level: Level::Fault,
        message: "wrong\norder".to_owned(),
        fix: Some("jitctl setup sudo".to_owned()),
    }];
    assert_eq!(exit(&findings).code(), 7);
    let text: Vec<String> = lines(&findings).iter().map(Line::plain).collect();
    assert_eq!(
        text,
        [
            "fault   sudo-conf-order: wrong\\norder",
            "        fix: jitctl setup sudo",
            "1 fault, 0 warnings, 0 notes",
        ]
    );
    assert_eq!(
        json(&findings),
        json!({
            "schema_version": 1,
            "ok": false,
            "findings": [{
                "id": "sudo-conf-order",
                "level": "fault",
                "message": "wrong\norder",
                "fix": "jitctl setup sudo",
            }],
        })
    );
}

const RULES: &str = "@include /etc/sudoers\n%jit-admin ALL=(ALL:ALL) NOSETENV: ALL\n";

/// A host with both sudos, both wired.
fn with_sudo_rs(s: &mut Sight) {
    s.sudos.push(Installed {
        path: "/usr/bin/sudo-rs",
        what: What::Rs("sudo-rs 0.2.5".to_owned(), Some(wire::sudo_rs::PROGRAMS[0])),
    });
    let pam = || {
        content(
            &format!("{}@include common-auth\n", block::marked(PAM)),
            0o644,
        )
    };
    s.rs = rs::Files {
        pam: [Ok(Some(pam())), Ok(Some(pam()))],
        copy: Ok(()),
        sudoers: Ok(Some(content(&block::marked(RULES), 0o440))),
        wanted: Some(RULES.to_owned()),
        judged: Some(Ok(())),
    };
}

const SU: &str = "auth sufficient pam_rootok.so\n@include common-auth\n@include common-account\n";
const SU_L: &str = "auth include su\naccount include su\nsession include su\n";

fn with_su(s: &mut Sight) {
    let template = include_str!("../../../packaging/wiring/pam-su");
    s.su.pam[0] = Ok(Some(content(&crate::su::pam(SU, template), 0o644)));
    s.other_doors = vec!["su"];
    let record = r#"{"version":1,"files":[{"path":"/etc/pam.d/su","existed_before":true,"backup":0,"mode":420,"uid":0,"gid":0}]}"#;
    s.manifest = Ok(Some(content(record, 0o600)));
}

#[test]
fn su_is_no_way_past_jit_once_it_is_wired_and_each_fault_there_has_its_name() {
    assert_eq!(found(with_su), [(Level::Note, "gate")]);
    let alone = found(|s| {
        with_su(s);
        s.conf = Ok(None);
        s.sudoers = Ok(None);
        s.pam = Ok(None);
        s.plugin = Plugin::Missing;
    });
    assert_eq!(alone, [(Level::Note, "gate")], "sudo is as it was");
    type Change = fn(&mut Sight, String);
    let cases: [(&str, Change); 7] = [
        ("pam-copy", |s, _| {
            s.rs.copy = Err("the file is missing".to_owned())
        }),
        ("pam-su-missing", |s, _| s.su.pam[0] = Ok(None)),
        ("pam-su-unreadable", |s, _| {
            s.su.pam[1] = Err("a link".to_owned())
        }),
        ("pam-su-mode", |s, text| {
            s.su.pam[0] = Ok(Some(content(&text, 0o666)))
        }),
        ("pam-su-not-wired", |s, _| {
            s.su.pam[0] = Ok(Some(content(SU, 0o644)))
        }),
        ("pam-su-order", |s, text| {
            let text = format!("auth sufficient pam_rootok.so\n{text}");
            s.su.pam[0] = Ok(Some(content(&text, 0o644)));
        }),
        ("pam-su-not-wired", |s, _| {
            let own = format!("auth sufficient pam_rootok.so\n{SU_L}");
            s.su.pam[1] = Ok(Some(content(&own, 0o644)));
        }),
    ];
    for (id, change) in cases {
        let faults: Vec<_> = found(|s| {
            with_su(s);
            let text = s.su.pam[0].clone().unwrap().unwrap().text();
            change(s, text);
        })
        .into_iter()
        .filter(|(level, _)| *level != Level::Note)
        .collect();
        assert_eq!(faults, [(Level::Fault, id)]);
    }
}

#[test]
fn both_sudos_wired_are_two_notes_that_name_the_gates() {
    let both = found(with_sudo_rs);
    assert_eq!(both, [(Level::Note, "gate"), (Level::Note, "gate")]);
}

#[test]
fn each_fault_of_the_wiring_of_sudo_rs_is_found_by_its_name() {
    type Change = fn(&mut Sight);
    let cases: [(&str, Change); 9] = [
        ("pam-copy", |s| {
            s.rs.copy = Err("the file is missing".to_owned())
        }),
        ("pam-sudo-missing", |s| s.rs.pam[1] = Ok(None)),
        ("pam-sudo-unreadable", |s| {
            s.rs.pam[0] = Err("a link".to_owned())
        }),
        ("pam-sudo-mode", |s| {
            s.rs.pam[0] = Ok(Some(content(&block::marked(PAM), 0o666)));
        }),
        ("pam-sudo-order", |s| {
            let text = format!("auth sufficient pam_permit.so\n{}", block::marked(PAM));
            s.rs.pam[0] = Ok(Some(content(&text, 0o644)));
        }),
        ("sudoers-rs-missing", |s| s.rs.sudoers = Ok(None)),
        ("sudoers-rs-mode", |s| {
            s.rs.sudoers = Ok(Some(content(&block::marked(RULES), 0o666)));
        }),
        ("sudoers-rs-not-wired", |s| {
            s.rs.sudoers = Ok(Some(content("@include /etc/sudoers\n", 0o440)));
        }),
        ("sudoers-rs-syntax", |s| {
            s.rs.judged = Some(Err("line 3".to_owned()))
        }),
    ];
    for (id, change) in cases {
        let faults: Vec<_> = found(|s| {
            with_sudo_rs(s);
            change(s);
        })
        .into_iter()
        .filter(|(level, _)| *level != Level::Note)
        .collect();
        assert_eq!(faults, [(Level::Fault, id)]);
    }
    let outdated = found(|s| {
        with_sudo_rs(s);
        s.rs.wanted = Some(RULES.replace("admin", "ops"));
        s.rules.nonunix = vec!["/etc/sudoers:3: %:x ALL=ALL".to_owned()];
    });
    assert_eq!(outdated[0], (Level::Warning, "sudoers-rs-outdated"));
    assert_eq!(outdated[1], (Level::Warning, "sudo-rs-nonunix-group"));
    let unwired = found(|s| {
        with_sudo_rs(s);
        s.rs.pam = [Ok(None), Ok(None)];
        s.rs.sudoers = Ok(None);
    });
    assert_eq!(unwired, [(Level::Fault, "sudo-rs-not-wired")]);
    let elsewhere = found(|s| {
        with_sudo_rs(s);
        s.sudos[1].what = What::Rs("sudo-rs 0.2.5".to_owned(), None);
    });
    assert_eq!(elsewhere, [(Level::Fault, "sudo-rs-place")]);
}

#[test]
fn sudo_rs_alone_needs_no_file_of_classic_sudo() {
    let alone = found(|s| {
        with_sudo_rs(s);
        s.sudos.remove(0);
        s.conf = Ok(None);
        s.sudoers = Ok(None);
        s.pam = Ok(None);
        s.plugin = Plugin::Missing;
    });
    assert_eq!(alone, [(Level::Note, "gate")]);
}
