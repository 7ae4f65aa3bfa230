//! What doctor sees of the host.

use super::{known, rs, su};
use crate::accounts::{Standing, ways_to_root};
use crate::agent::Agent;
use crate::facts::{self, Plugin};
use crate::files::{self, Content, Place};
use crate::program;
use crate::sudo_rs::{PAM_COPY, PAM_FILES, SUDOERS_RS};
use crate::sudoconf::SUDOERS;
use crate::sudoers::Scan;
use crate::sudos::{self, Installed};
use std::path::Path;
use wire::cli::{Health, Reply, Request};
use wire::wiring;

const SYSTEMCTL: &str = "/usr/bin/systemctl";
pub const UNITS: [&str; 6] = [
    "jit-agent.service",
    "jit-agent.socket",
    "jit-gate.socket",
    "jit-link.socket",
    "jit-link.service",
    "jit-reconcile.service",
];

/// Programs beside sudo that lead to root.
const OTHER_DOORS: [&str; 4] = ["su", "pkexec", "run0", "doas"];

/// A file: there, not there, or why it cannot be told.
pub type Seen = Result<Option<Content>, String>;

#[derive(Clone, Debug)]
pub struct Sight {
    /// Only root sees everything.
    pub root: bool,
    /// The uid that counts as root.
    pub root_uid: u32,
    pub sudos: Vec<Installed>,
    /// Known holes that classic sudo has, one phrase each.
    pub holes: Vec<String>,
    pub rs: rs::Files,
    pub su: su::Files,
    pub conf: Seen,
    pub plugin: Plugin,
    pub sudoers: Seen,
    pub sudoers_template: Seen,
    /// What `visudo -c` says of `/etc/jit/sudoers`; `None` when not asked.
    pub visudo: Option<Result<(), String>>,
    pub pam: Seen,
    pub pam_module: bool,
    pub manifest: Seen,
    /// Marks a setup that nobody has confirmed, and names the time of its revert.
    pub unconfirmed: Seen,
    pub jit_end: bool,
    pub nsswitch: Seen,
    /// Of an issuer on this box.
    pub policy: Seen,
    pub rules: Scan,
    pub standing: Vec<Standing>,
    /// Those of [`OTHER_DOORS`] that are installed.
    pub other_doors: Vec<&'static str>,
    /// `None` when not root.
    pub ways_to_root: Option<Vec<String>>,
    /// Unit and what `systemctl is-enabled` says.
    pub units: Vec<(&'static str, String)>,
    pub health: Result<Health, String>,
}

pub fn look(place: &Place, agent: &Agent) -> Sight {
    let root = nix::unistd::geteuid().is_root();
    let rules = facts::sudoers(place);
    // Without a list of accounts there are no standing rights to show; units and files still matter.
    let accounts = facts::accounts().unwrap_or_default();
    let admins = accounts.admins(&rules);
    let seen = |path: &str| files::read(&place.at(path));
    let sudoers = seen(SUDOERS);
    let sudos = sudos::installed(place);
    let visudo = (root && matches!(sudoers, Ok(Some(_)))).then(|| facts::visudo(SUDOERS));
    Sight {
        root,
        root_uid: place.uid,
        holes: sudos::classic(&sudos).map_or_else(Vec::new, |(path, version)| {
            known::holes(version, package_of(path).as_deref(), at_least)
        }),
        rs: rs_files(place, agent, &sudos, root),
        su: su::Files {
            pam: crate::su::SU_FILES.map(seen),
        },
        sudos,
        conf: seen(facts::SUDO_CONF),
        plugin: facts::plugin(place),
        sudoers,
        sudoers_template: seen(&format!("{}/sudoers", wiring::TEMPLATES)),
        visudo,
        pam: seen(facts::PAM_SERVICE),
        pam_module: facts::pam_module(place),
        manifest: seen(&format!("{}/{}", wiring::DIR, wiring::MANIFEST)),
        unconfirmed: seen(&format!("{}/{}", wiring::DIR, wiring::UNCONFIRMED)),
        jit_end: place.at(facts::JIT_END).is_file(),
        nsswitch: seen(facts::NSSWITCH),
        policy: seen(facts::POLICY),
        standing: accounts.standing(&rules),
        other_doors: OTHER_DOORS
            .into_iter()
            .filter(|name| place.at(&format!("/usr/bin/{name}")).exists())
            .collect(),
        ways_to_root: root.then(|| ways_to_root(&facts::root_facts(place), &admins)),
        rules,
        units: UNITS
            .into_iter()
            .map(|unit| (unit, enabled(unit)))
            .collect(),
        health: health(agent),
    }
}

fn rs_files(place: &Place, agent: &Agent, sudos: &[Installed], root: bool) -> rs::Files {
    let seen = |path: &str| files::read(&place.at(path));
    let sudoers = seen(SUDOERS_RS);
    let template = seen(&format!("{}/sudoers-rs", wiring::TEMPLATES));
    let program = sudos::rs(sudos)
        .filter(|_| root)
        .map(|(_, program)| program);
    let roles = match program.map(|_| agent.ask(&Request::Roles)) {
        Some(Ok(Reply::Roles { roles })) => Some(roles),
        _ => None,
    };
    rs::Files {
        pam: PAM_FILES.map(seen),
        copy: rs::copy(&place.at(PAM_COPY), place.uid),
        wanted: roles.and_then(|roles| rs::wanted(&sudoers, &template, &roles)),
        judged: program
            .filter(|_| matches!(sudoers, Ok(Some(_))))
            .map(|program| sudos::visudo_rs(program, Path::new(SUDOERS_RS))),
        sudoers,
    }
}

/// Version of the Debian package that owns a program; `None` elsewhere.
fn package_of(path: &str) -> Option<String> {
    let package = if path.ends_with(".ws") {
        "sudo"
    } else {
        "sudo,sudo-ldap"
    };
    let names: Vec<&str> = package.split(',').collect();
    let args = [&["-W", "-f", "${db:Status-Abbrev}${Version}\n"][..], &names].concat();
    let ended = program::run("/usr/bin/dpkg-query", &args, facts::LOOK).ok()?;
    let version = |l: &str| l.strip_prefix("ii ").map(|v| v.trim().to_owned());
    ended.out.lines().find_map(version)
}

/// Is this package version the other or later, by dpkg's rules?
fn at_least(version: &str, other: &str) -> bool {
    let args = ["--compare-versions", version, "ge", other];
    program::run("/usr/bin/dpkg", &args, facts::LOOK).is_ok_and(|e| e.ok())
}

/// systemctl(1): `enabled`, `static`, `masked`, `disabled`, `not-found`, …
fn enabled(unit: &str) -> String {
    program::run(SYSTEMCTL, &["is-enabled", unit], facts::LOOK).map_or_else(
        |why| why,
        |ended| match ended.out.trim() {
            "" => "not-found".to_owned(),
            state => state.to_owned(),
        },
    )
}

fn health(agent: &Agent) -> Result<Health, String> {
    match agent.ask(&Request::Status { all: false }) {
        Ok(Reply::Status(status)) => Ok(status.health),
        Ok(_) => Err("jit-agent's answer does not fit the question".to_owned()),
        Err(failure) => Err(failure.message.trim_end_matches('.').to_owned()),
    }
}
