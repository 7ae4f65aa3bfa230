//! What the host is like, as `setup` and `doctor` need it. Gathering is here; judging is pure and elsewhere.

use crate::accounts::{Accounts, RootFacts};
use crate::elf;
use crate::files::{self, Content, Place};
use crate::program;
use crate::sudoconf::PLUGIN;
use crate::sudoers::{self, Scan, Source};
use std::time::Duration;

pub const SUDO_CONF: &str = "/etc/sudo.conf";
pub const PAM_SERVICE: &str = "/etc/pam.d/sudo-jit";
pub const NSSWITCH: &str = "/etc/nsswitch.conf";
pub const JIT_END: &str = "/usr/libexec/jit/jit-end";
/// Of an issuer on this box.
pub const POLICY: &str = "/etc/jit/policy/roles.toml";
/// `noninteractive_auth` came with it (sudoers(5)); the plugin needs 1.9.4.
pub const OLDEST_SUDO: Version = Version(1, 9, 10, 0);
const VISUDO: &str = "/usr/sbin/visudo";

/// For programs that only look.
pub const LOOK: Duration = Duration::from_secs(10);
/// A plugin larger than this is none of ours.
const PLUGIN_MAX: u64 = 64 << 20;

/// `1.9.13p3` as four numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32, pub u32);

impl Version {
    pub fn parse(text: &str) -> Option<Version> {
        let (plain, patch) = text.split_once('p').unwrap_or((text, "0"));
        let mut parts = plain.split('.').map(str::parse);
        let version = Version(
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next().unwrap_or(Ok(0)).ok()?,
            patch.parse().ok()?,
        );
        parts.next().is_none().then_some(version)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)?;
        if self.3 > 0 {
            write!(f, "p{}", self.3)
        } else {
            Ok(())
        }
    }
}

/// What `visudo` says of a file of sudoers with all that it includes.
///
/// # Errors
/// Its first line, without the full stop.
pub fn visudo(path: &str) -> Result<(), String> {
    judged(VISUDO, path)
}

/// The same by another judge.
///
/// # Errors
/// As [`visudo`].
pub fn judged(visudo: &str, path: &str) -> Result<(), String> {
    let ended = program::run(visudo, &["-c", "-f", path], LOOK)?;
    if ended.ok() {
        Ok(())
    } else {
        Err(ended.first_line().to_owned())
    }
}

/// What a program called sudo says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sudo {
    Classic(Version),
    /// sudo-rs loads no plugins.
    Rs(String),
    /// It does not say what it is.
    Unknown(String),
}

/// `sudo -V`, first line.
pub fn sudo_of(version_text: &str) -> Sudo {
    let first = version_text.lines().next().unwrap_or("");
    if first.starts_with("sudo-rs") {
        return Sudo::Rs(first.to_owned());
    }
    first
        .strip_prefix("Sudo version ")
        .and_then(|v| Version::parse(v.trim()))
        .map_or_else(|| Sudo::Unknown(first.to_owned()), Sudo::Classic)
}

pub fn sudo(path: &str) -> Sudo {
    match program::run(path, &["-V"], LOOK) {
        // sudo-rs before 0.2.7 says it on stderr.
        Ok(ended) if ended.out.is_empty() => sudo_of(&ended.err),
        Ok(ended) => sudo_of(&ended.out),
        Err(error) => Sudo::Unknown(error),
    }
}

/// The plugin file as sudo and we need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plugin {
    Good,
    Missing,
    /// A sentence without the full stop: not root's, writable, unreadable.
    Unsafe(String),
    /// A symbol that `/etc/sudo.conf` names is not in it; sudo would refuse to run for everyone.
    Lacks(&'static str),
}

pub fn plugin(place: &Place) -> Plugin {
    let path = place.at(PLUGIN);
    let content = match files::read_up_to(&path, PLUGIN_MAX) {
        Ok(None) => return Plugin::Missing,
        Ok(Some(content)) => content,
        Err(why) => return Plugin::Unsafe(why),
    };
    if let Some(loose) = files::loose(&path, place.uid) {
        return Plugin::Unsafe(format!(
            "{} can be changed by others than root",
            loose.display()
        ));
    }
    let names = elf::exported(&content.bytes).unwrap_or_default();
    ["jit_approval", "jit_audit", "group_plugin"]
        .into_iter()
        .find(|s| names.iter().all(|n| n != s))
        .map_or(Plugin::Good, Plugin::Lacks)
}

/// Directories that PAM implementations of Debian and of the RPM world load modules from.
pub fn pam_module(place: &Place) -> bool {
    let mut dirs = vec![
        "/usr/lib64/security".to_owned(),
        "/lib64/security".to_owned(),
        "/usr/lib/security".to_owned(),
        "/lib/security".to_owned(),
    ];
    for above in ["/usr/lib", "/lib"] {
        dirs.extend(
            files::names(&place.at(above))
                .into_iter()
                .filter(|n| n.contains("-linux-"))
                .map(|n| format!("{above}/{n}/security")),
        );
    }
    dirs.iter()
        .any(|dir| place.at(&format!("{dir}/pam_jit.so")).is_file())
}

/// nsswitch.conf(5): is `systemd` asked for groups?
pub fn groups_from_systemd(nsswitch: &str) -> bool {
    nsswitch
        .lines()
        .map(|l| l.split('#').next().unwrap_or(""))
        .filter_map(|l| l.split_once(':'))
        .filter(|(database, _)| database.trim() == "group")
        .any(|(_, sources)| sources.split_whitespace().any(|s| s == "systemd"))
}

struct OnDisk<'a>(&'a Place);

impl Source for OnDisk<'_> {
    fn read(&self, path: &str) -> Option<String> {
        // Links are fine here: sudo follows them, and this only looks.
        let real = std::fs::canonicalize(self.0.at(path)).ok()?;
        Some(files::read(&real).ok()??.text())
    }

    fn list(&self, dir: &str) -> Vec<String> {
        files::names(&self.0.at(dir))
    }
}

/// The admin's rules: `/etc/sudoers` and what it includes.
pub fn sudoers(place: &Place) -> Scan {
    sudoers::scan(&OnDisk(place), "/etc/sudoers")
}

/// # Errors
/// A sentence without the full stop.
pub fn accounts() -> Result<Accounts, String> {
    let ask = |database| {
        let ended = program::run("/usr/bin/getent", &[database], LOOK)?;
        if ended.ok() {
            Ok(ended.out)
        } else {
            Err(format!("getent {database}: {}", ended.last_line()))
        }
    };
    Ok(Accounts::parse(&ask("passwd")?, &ask("group")?))
}

pub fn root_facts(place: &Place) -> RootFacts {
    let text = |path: &str| {
        files::read(&place.at(path))
            .ok()
            .flatten()
            .map(|c| c.text())
            .unwrap_or_default()
    };
    let drop_ins = "/etc/ssh/sshd_config.d";
    let mut sshd_config = String::new();
    for name in files::names(&place.at(drop_ins)) {
        if name.ends_with(".conf") {
            sshd_config.push_str(&text(&format!("{drop_ins}/{name}")));
            sshd_config.push('\n');
        }
    }
    sshd_config.push_str(&text("/etc/ssh/sshd_config"));
    RootFacts {
        shadow: text("/etc/shadow"),
        authorized_keys: text("/root/.ssh/authorized_keys"),
        sshd_installed: place.at("/usr/sbin/sshd").exists(),
        sshd_config,
    }
}

/// sudo uses `/etc/sudo.conf` only when root owns it and nobody else can write it; else it warns and goes on
/// without (sudo.conf(5)).
pub fn ignored_by_sudo(conf: &Content, root_uid: u32) -> Option<String> {
    if conf.owner.uid != root_uid {
        Some(format!("{SUDO_CONF} belongs to uid {}", conf.owner.uid))
    } else if conf.owner.mode & 0o022 != 0 {
        Some(format!("{SUDO_CONF} has mode {:04o}", conf.owner.mode))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let v = |t| Version::parse(t).unwrap();
        assert!(v("1.9.5p2") < v("1.9.13p3"));
        assert!(v("1.9.17") < v("1.9.17p1"));
        assert_eq!(v("1.9.13p3").to_string(), "1.9.13p3");
        assert_eq!(v("1.10").to_string(), "1.10.0");
        for bad in ["", "1", "1.9.x", "1.9.1.1", "a.b.c"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_two_sudos_say_who_they_are() {
        assert_eq!(
            sudo_of("Sudo version 1.9.13p3\nConfigure options: x\n"),
            Sudo::Classic(Version(1, 9, 13, 3))
        );
        assert_eq!(
            sudo_of("sudo-rs 0.2.5\n"),
            Sudo::Rs("sudo-rs 0.2.5".to_owned())
        );
        assert_eq!(sudo_of(""), Sudo::Unknown(String::new()));
    }

    #[test]
    fn groups_come_from_systemd_only_when_named() {
        assert!(groups_from_systemd(
            "passwd: files\ngroup:          files systemd\n"
        ));
        assert!(groups_from_systemd(
            "group: files [SUCCESS=merge] systemd # x\n"
        ));
        assert!(!groups_from_systemd(
            "passwd: files systemd\ngroup: files\n"
        ));
        assert!(!groups_from_systemd(
            "group: files # systemd\n#group: systemd\n"
        ));
    }

    #[test]
    fn a_sudo_conf_that_sudo_would_ignore() {
        let with = |mode, uid| Content {
            bytes: Vec::new(),
            owner: crate::files::Owner { mode, uid, gid: 0 },
        };
        assert_eq!(ignored_by_sudo(&with(0o644, 0), 0), None);
        assert!(
            ignored_by_sudo(&with(0o664, 0), 0)
                .unwrap()
                .contains("0664")
        );
        assert!(ignored_by_sudo(&with(0o646, 0), 0).is_some());
        assert!(
            ignored_by_sudo(&with(0o644, 7), 0)
                .unwrap()
                .contains("uid 7")
        );
    }

    #[test]
    fn a_plugin_must_be_there_and_have_its_symbols() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::below(dir.path());
        assert_eq!(plugin(&place), Plugin::Missing);
        std::fs::create_dir_all(place.at("/usr/libexec/jit")).unwrap();
        std::fs::write(place.at(PLUGIN), "not ELF").unwrap();
        assert_eq!(plugin(&place), Plugin::Lacks("jit_approval"));
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(place.at(PLUGIN), std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(plugin(&place), Plugin::Unsafe(_)));
    }
}
