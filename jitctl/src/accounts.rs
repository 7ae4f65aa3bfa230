//! Who is who on this host, and who has a right to root that does not come from jit. Pure over the texts of
//! `getent` and the files.

use crate::sudoers::Scan;
use wire::nss::ELIGIBLE_GROUP;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub login: String,
    pub uid: u32,
    gid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

/// Someone whom a sudo rule names, outside jit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub login: String,
    pub place: String,
    pub rule: String,
    pub nopasswd: bool,
    pub all: bool,
}

impl Accounts {
    /// `getent passwd` and `getent group`.
    pub fn parse(passwd: &str, group: &str) -> Accounts {
        let users = passwd.lines().filter_map(|line| {
            let f: Vec<&str> = line.split(':').collect();
            Some(User {
                login: (*f.first()?).to_owned(),
                uid: f.get(2)?.parse().ok()?,
                gid: f.get(3)?.parse().ok()?,
            })
        });
        let groups = group.lines().filter_map(|line| {
            let f: Vec<&str> = line.split(':').collect();
            Some(Group {
                name: (*f.first()?).to_owned(),
                gid: f.get(2)?.parse().ok()?,
                members: f
                    .get(3)?
                    .split(',')
                    .filter(|m| !m.is_empty())
                    .map(str::to_owned)
                    .collect(),
            })
        });
        Accounts {
            users: users.collect(),
            groups: groups.collect(),
        }
    }

    /// Listed members and those with it as their primary group.
    pub fn members(&self, group: &str) -> Vec<String> {
        let Some(group) = self
            .groups
            .iter()
            .find(|g| g.name == group || group.strip_prefix('#') == Some(&g.gid.to_string()))
        else {
            return Vec::new();
        };
        let primary = self
            .users
            .iter()
            .filter(|u| u.gid == group.gid)
            .map(|u| u.login.clone());
        let mut all: Vec<String> = group.members.iter().cloned().chain(primary).collect();
        all.sort();
        all.dedup();
        all
    }

    pub fn has_group(&self, name: &str) -> bool {
        self.groups.iter().any(|g| g.name == name)
    }

    fn resolve(&self, scan: &Scan, subject: &str, depth: usize) -> Vec<String> {
        if let Some(group) = subject.strip_prefix('%') {
            return self.members(group);
        }
        if let Some(uid) = subject
            .strip_prefix('#')
            .and_then(|n| n.parse::<u32>().ok())
        {
            let found = self.users.iter().filter(|u| u.uid == uid);
            return found.map(|u| u.login.clone()).collect();
        }
        if let Some(names) = scan.aliases.get(subject) {
            // Aliases may name each other; sudo refuses loops, this only must end.
            if depth > 8 {
                return Vec::new();
            }
            return names
                .iter()
                .flat_map(|n| self.resolve(scan, n, depth + 1))
                .collect();
        }
        if subject == "ALL" {
            return self.users.iter().map(|u| u.login.clone()).collect();
        }
        let found = self.users.iter().filter(|u| u.login == subject);
        found.map(|u| u.login.clone()).collect()
    }

    /// Everyone but root whom a rule names, in the rules' order. Rules by netgroup or `!` name nobody here.
    pub fn standing(&self, scan: &Scan) -> Vec<Standing> {
        let mut all = Vec::new();
        for rule in &scan.rules {
            let mut logins: Vec<String> = rule
                .subjects
                .iter()
                .flat_map(|s| self.resolve(scan, s, 0))
                .collect();
            logins.sort();
            logins.dedup();
            for login in logins {
                let is_root = self.users.iter().any(|u| u.login == login && u.uid == 0);
                if !is_root {
                    all.push(Standing {
                        login,
                        place: rule.place.clone(),
                        rule: rule.text.clone(),
                        nopasswd: rule.nopasswd,
                        all: rule.all,
                    });
                }
            }
        }
        all
    }

    /// Those of [`Accounts::standing`] with all rights whom jit does not manage: sudo must work for them as
    /// before.
    pub fn admins(&self, scan: &Scan) -> Vec<Standing> {
        let managed = self.members(ELIGIBLE_GROUP);
        let mut admins = self.admins_today(scan);
        admins.retain(|a| !managed.contains(&a.login));
        admins
    }

    /// The same with those whom jit manages: who may become root where jit is not wired.
    pub fn admins_today(&self, scan: &Scan) -> Vec<Standing> {
        let mut admins: Vec<Standing> = Vec::new();
        for standing in self.standing(scan) {
            if !standing.all {
                continue;
            }
            match admins.iter_mut().find(|a| a.login == standing.login) {
                // The easier rule is the one that counts.
                Some(known) if standing.nopasswd => *known = standing,
                Some(_) => {}
                None => admins.push(standing),
            }
        }
        admins
    }
}

/// Can this login give a password at all? shadow(5): `!` and `*` are none, an empty field is refused by sshd and
/// sudo's PAM stack.
pub fn has_password(shadow: &str, login: &str) -> bool {
    shadow
        .lines()
        .filter_map(|l| l.split_once(':'))
        .filter(|(name, _)| *name == login)
        .filter_map(|(_, rest)| rest.split(':').next())
        .any(|hash| !hash.is_empty() && !hash.starts_with(['!', '*']))
}

/// What tells whether root can be reached without us.
#[derive(Clone, Debug, Default)]
pub struct RootFacts {
    pub shadow: String,
    /// `/root/.ssh/authorized_keys`
    pub authorized_keys: String,
    pub sshd_installed: bool,
    /// `/etc/ssh/sshd_config` behind its `sshd_config.d`: the first word on a setting counts.
    pub sshd_config: String,
}

/// Ways to root that do not pass us, in words; none is a lock-out in waiting.
pub fn ways_to_root(facts: &RootFacts, admins: &[Standing]) -> Vec<String> {
    let mut ways = Vec::new();
    if has_password(&facts.shadow, "root") {
        ways.push("root has a password".to_owned());
    }
    let key = facts
        .authorized_keys
        .lines()
        .any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
    if key && facts.sshd_installed && root_may_use_ssh(&facts.sshd_config) {
        ways.push("root has an ssh key".to_owned());
    }
    for admin in admins {
        if admin.nopasswd || has_password(&facts.shadow, &admin.login) {
            ways.push(format!("{} may use sudo ({})", admin.login, admin.place));
        }
    }
    ways
}

/// sshd_config(5): the first value counts; without one it is `prohibit-password`, which allows keys.
fn root_may_use_ssh(config: &str) -> bool {
    let value = config
        .lines()
        .take_while(|l| !l.trim_start().to_ascii_lowercase().starts_with("match"))
        .filter_map(|l| {
            let mut words = l
                .split(|c: char| c.is_whitespace() || c == '=')
                .filter(|w| !w.is_empty());
            words
                .next()
                .is_some_and(|w| w.eq_ignore_ascii_case("PermitRootLogin"))
                .then(|| words.next().unwrap_or("").to_ascii_lowercase())
        })
        .next();
    !matches!(value.as_deref(), Some("no" | "forced-commands-only"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sudoers::Rule;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n\
        carol:x:1002:1002::/h:/bin/sh\ndave:x:1003:27::/h:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:carol,alice\njit-eligible:x:990:alice\n";

    fn rule(subjects: &[&str], nopasswd: bool, all: bool) -> Rule {
        Rule {
            place: "/etc/sudoers:1".to_owned(),
            text: "rule".to_owned(),
            subjects: subjects.iter().map(|s| (*s).to_owned()).collect(),
            nopasswd,
            all,
        }
    }

    fn scan(rules: Vec<Rule>) -> Scan {
        Scan {
            rules,
            aliases: [("OPS".to_owned(), vec!["#1003".to_owned()])].into(),
            ..Scan::default()
        }
    }

    fn logins(standing: &[Standing]) -> Vec<&str> {
        standing.iter().map(|s| s.login.as_str()).collect()
    }

    #[test]
    fn members_are_listed_or_primary() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.members("sudo"), ["alice", "carol", "dave"]);
        assert_eq!(accounts.members("#27"), ["alice", "carol", "dave"]);
        assert!(accounts.members("none").is_empty());
    }

    #[test]
    fn admins_are_those_with_all_and_unmanaged() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        let rules = scan(vec![
            rule(&["root"], false, true),
            rule(&["%sudo"], false, true),
            rule(&["OPS"], true, true),
        ]);
        assert_eq!(
            logins(&accounts.standing(&rules)),
            ["alice", "carol", "dave", "dave"]
        );
        let admins = accounts.admins(&rules);
        assert_eq!(logins(&admins), ["carol", "dave"]);
        assert!(!admins[0].nopasswd && admins[1].nopasswd);
        assert!(
            accounts
                .admins(&scan(vec![rule(&["carol"], true, false)]))
                .is_empty()
        );
    }

    #[test]
    fn each_way_to_root_counts_and_none_is_none() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        let admins = accounts.admins(&scan(vec![rule(&["%sudo"], false, true)]));
        let mut facts = RootFacts {
            shadow: "root:*:1::::::\ncarol:!:1::::::\n".to_owned(),
            authorized_keys: "# none\n".to_owned(),
            sshd_installed: true,
            sshd_config: "Include /etc/ssh/sshd_config.d/*.conf\n".to_owned(),
        };
        assert!(ways_to_root(&facts, &admins).is_empty());
        facts.authorized_keys = "ssh-ed25519 AAAA\n".to_owned();
        assert_eq!(ways_to_root(&facts, &admins), ["root has an ssh key"]);
        facts.sshd_config = "permitrootlogin no\nPermitRootLogin yes\n".to_owned();
        assert!(ways_to_root(&facts, &admins).is_empty());
        facts.shadow = "root:$y$x:1::::::\ncarol:$y$x:1::::::\n".to_owned();
        assert_eq!(ways_to_root(&facts, &admins).len(), 2);
    }

    #[test]
    fn an_empty_or_locked_password_is_none() {
        for field in ["", "!", "*", "!$y$x", "!!"] {
            assert!(!has_password(&format!("root:{field}:1"), "root"), "{field}");
        }
    }
}
