//! How much a right is worth: what one who is asked to approve must see at a glance, and what a host's ceiling must name.

use crate::detail::{AllOr, Detail, Door};

/// Groups that equal root, or read what only root may: a member can become root without sudo.
pub const ROOT_EQUAL: &[&str] = &[
    "root",
    "sudo",
    "wheel",
    "admin",
    "adm",
    "docker",
    "podman",
    "lxd",
    "lxc",
    "incus",
    "incus-admin",
    "libvirt",
    "kvm",
    "disk",
    "shadow",
    "kmem",
    "tape",
    "video",
    "input",
    "staff",
    "systemd-journal",
    "systemd-network",
    "tty",
    "utmp",
    "sys",
    "bin",
    "daemon",
    "mail",
    "backup",
    "operator",
    "empower",
    "netdev",
    "plugdev",
    "jit-eligible",
    "jit-link",
    "jit-issuer",
];

impl Detail {
    /// Why whoever holds this is as good as root; `None` when the right is limited. A limited one may still lead there: a
    /// command that runs as root is only as safe as the command.
    pub fn root_equal(&self) -> Option<String> {
        let as_root = match &self.runas {
            AllOr::All(_) => true,
            AllOr::List(list) => list.iter().any(|user| is_root(user)),
        };
        // Who passes for polkit's administrator may do as root what he likes.
        if self.doors.contains(&Door::Polkit) {
            return Some("polkit takes its holder for an administrator".to_owned());
        }
        if as_root && !self.doors.is_empty() && matches!(self.commands, AllOr::All(_)) {
            return Some("any command as root".to_owned());
        }
        if as_root && !self.doors.is_empty() && self.shell {
            return Some("a shell as root".to_owned());
        }
        let group = |g: &&String| ROOT_EQUAL.contains(&g.as_str());
        self.groups
            .iter()
            .find(group)
            .map(|g| format!("the group {g} equals root"))
    }
}

/// By name or, as sudo(8) has it, by number.
fn is_root(user: &str) -> bool {
    let number = user.strip_prefix('#').map(str::parse::<u32>);
    user == "root" || matches!(number, Some(Ok(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detail::{All, Command, Door};
    use crate::role::Role;

    #[test]
    fn what_equals_root_is_seen() {
        let role: Role = serde_json::from_value(serde_json::json!({
            "doors": ["sudo"], "runas": "ALL", "commands": "ALL", "auth": "none", "record": "none",
            "on_end": "kill", "default_s": 60, "max_s": 60, "max_stale_s": 60,
        }))
        .unwrap();
        let whole = role.expand("admin", "alice", 1000);
        assert_eq!(whole.root_equal().unwrap(), "any command as root");
        let mut some = whole.clone();
        some.commands = AllOr::List(vec![Command {
            path: "/usr/bin/id".to_owned(),
            args: vec![],
        }]);
        assert_eq!(some.root_equal(), None);
        some.shell = true;
        assert_eq!(some.root_equal().unwrap(), "a shell as root");
        some.runas = AllOr::List(vec!["www-data".to_owned()]);
        assert_eq!(some.root_equal(), None);
        some.commands = AllOr::All(All::All);
        assert_eq!(some.root_equal(), None);
        some.groups.push("docker".to_owned());
        assert!(some.root_equal().unwrap().contains("docker"));
        let mut none = whole;
        none.doors.clear();
        assert_eq!(none.root_equal(), None);
        none.doors = vec![Door::Su];
        assert!(none.root_equal().is_some());
        for runas in ["#0", "#00"] {
            none.runas = AllOr::List(vec!["www-data".to_owned(), runas.to_owned()]);
            assert!(none.root_equal().is_some(), "{runas}");
        }
        none.runas = AllOr::List(vec!["www-data".to_owned(), "#33".to_owned()]);
        assert_eq!(none.root_equal(), None);
        none.doors.push(Door::Polkit);
        assert!(none.root_equal().unwrap().contains("polkit"));
    }
}
