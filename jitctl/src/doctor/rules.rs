//! The rules of doctor: from what was seen to findings. Pure.

use super::look::{Seen, Sight};
use super::pam;
use super::rs;
use super::su;
use super::{Finding, Level};
use crate::facts::{self, JIT_END, OLDEST_SUDO, PAM_SERVICE, POLICY, Plugin, SUDO_CONF};
use crate::show;
use crate::sudoconf::{self, Gap, PLUGIN, SUDOERS};
use crate::sudos::{self, What};
use wire::cli::Level as Health;
use wire::wiring::{self, DIR, Part, TEMPLATES};

pub(super) const REWIRE: &str = "jitctl setup sudo";
pub(super) const REINSTALL: &str = "Install the package jit-agent again.";

pub(super) struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, id: &'static str, message: impl Into<String>, fix: &str) {
        self.0.push(Finding {
            id,
            level,
            message: message.into(),
            fix: (!fix.is_empty()).then(|| fix.to_owned()),
        });
    }

    pub(super) fn fault(&mut self, id: &'static str, message: impl Into<String>, fix: &str) {
        self.add(Level::Fault, id, message, fix);
    }

    pub(super) fn warning(&mut self, id: &'static str, message: impl Into<String>, fix: &str) {
        self.add(Level::Warning, id, message, fix);
    }

    pub(super) fn note(&mut self, id: &'static str, message: impl Into<String>, fix: &str) {
        self.add(Level::Note, id, message, fix);
    }
}

pub fn judge(sight: &Sight) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    if is_set_up(sight) {
        // Where setup wired su alone, sudo is as it was.
        let su_alone = su::is_set_up(sight) && !sudo_is_set_up(sight);
        if !su_alone && (sudos::classic(&sight.sudos).is_some() || !sight.rs.wired()) {
            sudo_conf(sight, &mut found);
            plugin(sight, &mut found);
            sudoers(sight, &mut found);
            pam_service(sight, &mut found);
        }
        if !su_alone {
            rs::rules(sight, &mut found);
        }
        su::rules(sight, &mut found);
        the_rest_of_the_wiring(sight, &mut found);
        units(sight, &mut found);
        health(sight, &mut found);
        policy(sight, &mut found);
    } else {
        found.note(
            "not-set-up",
            "This host is not wired: jit changes nothing on it and gives no right.",
            "jitctl setup local",
        );
    }
    sudo_itself(sight, &mut found);
    others(sight, &mut found);
    if !sight.root {
        found.note(
            "not-root",
            "Not everything can be seen without root.",
            "sudo jitctl doctor",
        );
    }
    found.0
}

/// Any trace of a setup; then what is missing is a fault.
fn is_set_up(sight: &Sight) -> bool {
    matches!(sight.manifest, Ok(Some(_))) || sudo_is_set_up(sight) || sight.su.wired()
}

/// The same of sudo alone.
fn sudo_is_set_up(sight: &Sight) -> bool {
    let wired = |conf: &Seen| matches!(conf, Ok(Some(c)) if !sudoconf::gaps(&c.text()).contains(&Gap::NotWired));
    su::recorded(sight, Part::Sudo)
        || !matches!(sight.sudoers, Ok(None))
        || wired(&sight.conf)
        || sight.rs.wired()
}

fn sudo_conf(sight: &Sight, found: &mut Findings) {
    let conf = match &sight.conf {
        Ok(Some(conf)) => conf,
        Ok(None) => {
            return found.fault(
                "sudo-conf-missing",
                format!("{SUDO_CONF} is gone: sudo runs without our gates and managed users get nothing."),
                REWIRE,
            );
        }
        Err(why) => return found.fault("sudo-conf-unreadable", format!("{why}."), REWIRE),
    };
    if let Some(ignored) = facts::ignored_by_sudo(conf, sight.root_uid) {
        found.fault(
            "sudo-conf-ignored",
            format!("{ignored}: sudo ignores it and runs without our gates."),
            &format!("chown root:root {SUDO_CONF}; chmod 0644 {SUDO_CONF}"),
        );
    }
    for gap in sudoconf::gaps(&conf.text()) {
        match gap {
            Gap::NotWired => found.fault(
                "sudo-conf-not-wired",
                format!("{SUDO_CONF} has no line of ours (a package may have put its own back): managed users get nothing."),
                REWIRE,
            ),
            Gap::Missing(symbol) => found.fault(
                "sudo-conf-line-missing",
                format!("{SUDO_CONF} has no usable line `Plugin {symbol}`."),
                REWIRE,
            ),
            Gap::Order => found.fault(
                "sudo-conf-order",
                format!("In {SUDO_CONF} our plugins stand behind sudoers: sudo then passes over our gates and says nothing."),
                REWIRE,
            ),
            Gap::OtherSudoers(symbol) => found.fault(
                "sudo-conf-sudoers-file",
                format!("In {SUDO_CONF} the {symbol} in force does not read {SUDOERS}, so our rule is not in force."),
                REWIRE,
            ),
            Gap::GroupSource => found.fault(
                "sudo-conf-group-source",
                format!("{SUDO_CONF} does not say `Set group_source dynamic`: a group taken away goes on counting in open sessions."),
                REWIRE,
            ),
            Gap::Foreign(line) => found.warning(
                "sudo-conf-foreign-plugin",
                format!("{SUDO_CONF} loads another plugin, {line}; nobody tried it beside ours."),
                "Take the line out if it is not needed.",
            ),
        }
    }
}

fn plugin(sight: &Sight, found: &mut Findings) {
    match &sight.plugin {
        Plugin::Good => {}
        Plugin::Missing => found.fault(
            "plugin-missing",
            format!(
                "{PLUGIN} is missing: if {SUDO_CONF} names it, sudo fails for everyone, root too."
            ),
            REINSTALL,
        ),
        Plugin::Unsafe(why) => found.fault(
            "plugin-unsafe",
            format!("{why}; sudo loads it as root whoever wrote it."),
            "chown root:root and chmod go-w what is named; then find out who changed it.",
        ),
        Plugin::Lacks(symbol) => found.fault(
            "plugin-symbol",
            format!(
                "{PLUGIN} has no symbol {symbol}: if {SUDO_CONF} names it, sudo fails for everyone."
            ),
            REINSTALL,
        ),
    }
}

fn sudoers(sight: &Sight, found: &mut Findings) {
    let file = match &sight.sudoers {
        Ok(Some(file)) => file,
        Ok(None) => {
            return found.fault(
                "sudoers-missing",
                format!(
                    "{SUDOERS} is gone: if {SUDO_CONF} names it, sudo fails for everyone but root."
                ),
                REWIRE,
            );
        }
        Err(why) => {
            if sight.root {
                found.fault("sudoers-unreadable", format!("{why}."), REWIRE);
            }
            return;
        }
    };
    if file.owner.uid != sight.root_uid || file.owner.mode & 0o022 != 0 {
        found.fault(
            "sudoers-mode",
            format!(
                "{SUDOERS} has mode {:04o} and uid {}: sudo refuses it, or others write root's rules.",
                file.owner.mode, file.owner.uid
            ),
            &format!("chown root:root {SUDOERS}; chmod 0440 {SUDOERS}"),
        );
    }
    if let Ok(Some(template)) = &sight.sudoers_template
        && template.bytes != file.bytes
    {
        found.fault(
            "sudoers-edited",
            format!("{SUDOERS} is not the file of {TEMPLATES}: it was edited, or belongs to another version."),
            "Rules of your own belong in /etc/sudoers; then: jitctl setup sudo (it keeps the edited copy).",
        );
    }
    if let Some(Err(why)) = &sight.visudo {
        found.fault(
            "sudoers-syntax",
            format!("visudo refuses {SUDOERS} with what it includes: {why}."),
            "visudo -c -f /etc/jit/sudoers",
        );
    }
}

fn pam_service(sight: &Sight, found: &mut Findings) {
    if !sight.pam_module {
        found.fault(
            "pam-module-missing",
            "pam_jit.so is in no PAM module directory: every managed user is refused.",
            REINSTALL,
        );
    }
    let file = match &sight.pam {
        Ok(Some(file)) => file,
        Ok(None) => {
            return found.fault(
                "pam-service-missing",
                format!("{PAM_SERVICE} is gone: PAM falls back to `other`, which may ask nobody."),
                REWIRE,
            );
        }
        Err(why) => return found.fault("pam-service-unreadable", format!("{why}."), REWIRE),
    };
    if file.owner.uid != sight.root_uid || file.owner.mode & 0o022 != 0 {
        found.fault(
            "pam-service-mode",
            format!("{PAM_SERVICE} can be changed by others than root."),
            &format!("chown root:root {PAM_SERVICE}; chmod 0644 {PAM_SERVICE}"),
        );
    }
    for why in pam::faults(&file.text()) {
        found.fault(
            "pam-service-order",
            format!("{PAM_SERVICE}: {why}."),
            REWIRE,
        );
    }
}

fn the_rest_of_the_wiring(sight: &Sight, found: &mut Findings) {
    if !matches!(&sight.nsswitch, Ok(Some(c)) if facts::groups_from_systemd(&c.text())) {
        found.fault(
            "nsswitch-group",
            "The line `group:` of /etc/nsswitch.conf does not name systemd: group memberships of a grant do not count.",
            "Install libnss-systemd and write `group: files systemd` there.",
        );
    }
    if !sight.jit_end {
        found.fault(
            "jit-end-missing",
            format!("{JIT_END} is missing: nothing ends a grant at its deadline."),
            REINSTALL,
        );
    }
    if sight.root && !matches!(sight.manifest, Ok(Some(_))) {
        found.warning(
            "record-missing",
            format!("The record of what setup changed is missing or unreadable in {DIR}: `--undo` cannot restore it."),
            REWIRE,
        );
    }
    if let Ok(Some(mark)) = &sight.unconfirmed {
        found.warning(
            "unconfirmed",
            format!(
                "Nobody has confirmed this wiring: {} put back as it was at {}, or the next boot.",
                match wiring::unconfirmed_part(&mark.text()) {
                    Some(part) => format!("{} is", part.program()),
                    None => "every file is".to_owned(),
                },
                mark.text().lines().next().unwrap_or_default()
            ),
            "jitctl setup confirm",
        );
    }
    if let Some((at, line)) = &sight.rules.group_plugin {
        found.warning(
            "group-plugin-taken",
            format!("{at} names a group plugin of its own ({line}); ours takes its place."),
            "Take the line out.",
        );
    }
    for line in &sight.rules.ours {
        found.warning(
            "jit-in-sudoers",
            format!(
                "{line} names jit outside {SUDOERS}; it counts even when our gates are not loaded."
            ),
            "Take the line out.",
        );
    }
    if sight.ways_to_root.as_ref().is_some_and(Vec::is_empty) {
        found.fault(
            "no-way-to-root",
            "No way to root is left without jit: if it fails, nobody can repair this host.",
            "Set a password for root (`passwd root`) or keep one admin outside jit-eligible.",
        );
    }
}

fn units(sight: &Sight, found: &mut Findings) {
    for (unit, state) in &sight.units {
        if matches!(state.as_str(), "masked" | "masked-runtime") {
            found.fault(
                "unit-masked",
                format!("{unit} is masked and cannot start."),
                &format!("systemctl unmask {unit}"),
            );
        } else if state == "not-found" {
            found.fault(
                "unit-missing",
                format!("{unit} is not installed."),
                REINSTALL,
            );
        } else if !matches!(
            state.as_str(),
            "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated"
        ) {
            found.fault(
                "unit-not-enabled",
                format!("{unit} is {state}: it does not start at boot."),
                &format!("systemctl enable --now {unit}"),
            );
        }
    }
}

fn health(sight: &Sight, found: &mut Findings) {
    let health = match &sight.health {
        Ok(health) => health,
        Err(why) => {
            return found.fault(
                "agent-unreachable",
                format!("{why}: managed users are refused."),
                "systemctl status jit-agent.service jit-agent.socket",
            );
        }
    };
    for (name, part) in show::parts(health) {
        let (id, ours) = match name {
            "agent" => ("agent-health", true),
            "clock" => ("clock-health", true),
            "log" => ("log-health", true),
            "link" => ("link-health", false),
            _ => ("issuer-health", false),
        };
        let level = match (part.level, ours) {
            (Health::Ok, _) => continue,
            (Health::Down, true) => Level::Fault,
            (Health::Degraded, true) => Level::Warning,
            // The network comes and goes; the host is sound without.
            (_, false) => Level::Note,
        };
        let why = part.note.as_deref().unwrap_or("no reason is given");
        let fix = match name {
            "link" => "journalctl -u jit-link",
            "issuer" => "journalctl -u jit-link -u jit-issuer",
            _ => "journalctl -u jit-agent",
        };
        found.add(
            level,
            id,
            format!(
                "The {name} is {}: {}.",
                show::level(part.level),
                why.trim_end_matches('.')
            ),
            fix,
        );
    }
}

/// The policy of an issuer on this box; with another issuer there is none to look at.
fn policy(sight: &Sight, found: &mut Findings) {
    let Ok(Some(file)) = &sight.policy else {
        return;
    };
    match ::policy::load(&file.text()) {
        Err(why) => found.warning(
            "policy-unusable",
            format!("{POLICY} cannot be used, so the policy before it stays in force: {why}."),
            "Put it right, then: systemctl reload jit-issuer",
        ),
        Ok(policy) => {
            let free = policy.free_roles();
            if !free.is_empty() {
                found.note(
                    "policy-free-roles",
                    format!(
                        "Everyone in jit-eligible gets {} without anybody being asked and without a password: the sample policy's choice.",
                        free.join(", ")
                    ),
                    &format!("Change {POLICY} before real use, then: systemctl reload jit-issuer"),
                );
            }
        }
    }
}

fn sudo_itself(sight: &Sight, found: &mut Findings) {
    if sight.sudos.is_empty() {
        let (message, fix) = ("No sudo is installed.", "Install sudo.");
        if is_set_up(sight) {
            found.fault("sudo-missing", message, fix);
        } else {
            found.note("sudo-missing", message, fix);
        }
    }
    for sudo in &sight.sudos {
        let path = sudo.path;
        match &sudo.what {
            What::Classic(version) if *version < OLDEST_SUDO => found.fault(
                "sudo-too-old",
                format!("{path} is sudo {version}; jit needs {OLDEST_SUDO} or later."),
                "Install a newer sudo.",
            ),
            What::Unknown(said) => found.warning(
                "sudo-unknown",
                format!("{path} does not say its version: {said}"),
                &format!("{path} -V"),
            ),
            What::Classic(_) | What::Rs(..) => {}
        }
    }
    if !sight.holes.is_empty() {
        found.warning(
            "sudo-known-holes",
            format!("This sudo has {}.", sight.holes.join(", ")),
            "Install your distribution's update of sudo; if it mended this in another version, its security tracker says so.",
        );
    }
}

/// Not ours, but whoever looks after this host wants to know.
fn others(sight: &Sight, found: &mut Findings) {
    for path in &sight.rules.skipped {
        if !path.ends_with("/README") {
            found.warning(
                "sudoers-skipped-file",
                format!("sudo skips {path}: a name there must hold no dot and not end in ~."),
                "Rename it, or remove it.",
            );
        }
    }
    let mut rules: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for standing in &sight.standing {
        match rules
            .iter_mut()
            .find(|(place, ..)| *place == standing.place)
        {
            Some((_, _, logins)) => logins.push(&standing.login),
            None => rules.push((&standing.place, &standing.rule, vec![&standing.login])),
        }
    }
    for (place, rule, logins) in rules {
        let many = if logins.len() > 10 {
            format!(" and {} more", logins.len() - 10)
        } else {
            String::new()
        };
        let shown = logins.get(..10).unwrap_or(&logins).join(", ");
        found.note(
            "standing-right",
            format!("{place} gives a standing right to {shown}{many}: {rule}"),
            "",
        );
    }
    let wired = |name: &&&str| **name == "su" && sight.su.wired();
    let doors = sight.other_doors.iter().filter(|name| !wired(name));
    let doors: Vec<&str> = doors.copied().collect();
    if !doors.is_empty() {
        found.note(
            "other-doors",
            format!(
                "Out of jit's control, root is also reached through {}: they ask for a password or for polkit's consent, never for a grant.",
                doors.join(", ")
            ),
            "",
        );
    }
}
