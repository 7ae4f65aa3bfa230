//! Do sudo and su still work for those it must never fail: root and the standing admins? Asked before and after, and
//! compared; what did not work before need not work after.

use crate::program::{self, Ended};
use crate::su::SU;
use std::time::Duration;

/// Does PAM lock logins after failures? Then none is made for a test.
fn counts_failures() -> bool {
    [
        "/etc/pam.d/su",
        "/etc/pam.d/common-auth",
        "/etc/pam.d/system-auth",
    ]
    .iter()
    .filter_map(|file| std::fs::read_to_string(file).ok())
    .any(|text| text.contains("pam_faillock") || text.contains("pam_tally"))
}

const RUNUSER: &str = "/usr/sbin/runuser";
/// PAM stacks with a network behind them are slow at their worst; ours never are.
const PATIENCE: Duration = Duration::from_secs(20);

/// One call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which sudo, or su.
    program: &'static str,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// `sudo -n true` as root.
    Root,
    /// `sudo -n -l` as root.
    RootList,
    /// `sudo -n true` as this standing admin.
    Admin(String),
    /// `su -c true` as root.
    Su,
    /// `su - -c true` as root.
    SuLogin,
    /// `su LOGIN -c true` as this standing admin himself, who gives no password.
    SuSelf(String),
}

impl Probe {
    fn words(&self) -> (&'static str, Vec<&str>) {
        match &self.what {
            What::Root => (self.program, vec!["-n", "true"]),
            What::RootList => (self.program, vec!["-n", "-l"]),
            What::Admin(login) => (RUNUSER, vec!["-u", login, "--", self.program, "-n", "true"]),
            What::Su => (self.program, vec!["-c", "true"]),
            What::SuLogin => (self.program, vec!["-", "-c", "true"]),
            What::SuSelf(login) => (
                RUNUSER,
                vec!["-u", login, "--", self.program, login, "-c", "true"],
            ),
        }
    }

    pub fn describe(&self) -> String {
        let name = self
            .program
            .strip_prefix("/usr/bin/")
            .unwrap_or(self.program);
        match &self.what {
            What::Root => format!("`{name} -n true` as root"),
            What::RootList => format!("`{name} -n -l` as root"),
            What::Admin(login) => format!("`{name} -n true` as {login}"),
            What::Su => format!("`{name} -c true` as root"),
            What::SuLogin => format!("`{name} - -c true` as root"),
            What::SuSelf(login) => format!("`{name} {login} -c true` as {login}"),
        }
    }
}

/// What stderr said, in classes that do not change with a message's details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Silent,
    PasswordNeeded,
    NotAllowed,
    /// sudo complains of its plugins or files.
    Broken,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    code: i32,
    class: Class,
    /// For people.
    said: String,
}

pub fn outcome(ended: &Ended) -> Outcome {
    // A name server that is away is no matter of sudo's, and comes and goes.
    let said: Vec<&str> = ended
        .err
        .lines()
        .filter(|l| !l.contains("unable to resolve host"))
        .collect();
    let err = said.join("\n");
    let err = err.trim();
    let says = |words: &[&str]| words.iter().any(|w| err.contains(w));
    let class = if err.is_empty() {
        Class::Silent
    } else if says(&[
        "plugin",
        "sudo.conf",
        "sudoers:",
        "syntax error",
        "fatal",
        "PAM ",
        "Module is unknown",
        "panicked",
    ]) {
        Class::Broken
    } else if says(&[
        "password is required",
        "terminal is required",
        "authentication is required",
        "Authentication failure",
    ]) {
        Class::PasswordNeeded
    } else if says(&[
        "not in the sudoers",
        "may not run",
        "not allowed",
        "I'm afraid I can't do that",
    ]) {
        Class::NotAllowed
    } else {
        Class::Other
    };
    Outcome {
        code: ended.code,
        class,
        said: ended.last_line().to_owned(),
    }
}

/// The probes of this host and how they end now.
#[derive(Clone, Debug)]
pub struct Baseline(Vec<(Probe, Outcome)>);

impl Baseline {
    /// # Errors
    /// A probe cannot be made at all; a sentence without the full stop.
    pub fn take(sudos: &[&'static str], su: bool, admins: &[String]) -> Result<Baseline, String> {
        let of = |&program: &&'static str| {
            [What::Root, What::RootList]
                .into_iter()
                .chain(admins.iter().cloned().map(What::Admin))
                .map(move |what| Probe { program, what })
        };
        // One failed attempt of one admin, at his own login: most hosts count them.
        let himself = admins.first().filter(|_| !counts_failures());
        let of_su = [What::Su, What::SuLogin]
            .into_iter()
            .chain(himself.cloned().map(What::SuSelf))
            .map(|what| Probe { program: SU, what })
            .filter(|_| su);
        sudos
            .iter()
            .flat_map(of)
            .chain(of_su)
            .map(|probe| {
                let outcome = make(&probe)?;
                Ok((probe, outcome))
            })
            .collect::<Result<_, _>>()
            .map(Baseline)
    }

    /// Makes every probe again.
    ///
    /// # Errors
    /// The first that ends otherwise than before.
    pub fn compare(&self) -> Result<Vec<String>, String> {
        let mut done = Vec::new();
        for (probe, before) in &self.0 {
            same(probe, before, &make(probe)?)?;
            done.push(probe.describe());
        }
        Ok(done)
    }
}

fn make(probe: &Probe) -> Result<Outcome, String> {
    let (program, args) = probe.words();
    program::run(program, &args, PATIENCE).map(|ended| outcome(&ended))
}

fn same(probe: &Probe, before: &Outcome, after: &Outcome) -> Result<(), String> {
    if (before.code, before.class) == (after.code, after.class) {
        return Ok(());
    }
    // What was broken may be repaired; nothing else may change, not even to the easier.
    if before.class == Class::Broken && after.class != Class::Broken {
        return Ok(());
    }
    Err(format!(
        "{} ended with {} before and ends with {} now ({})",
        probe.describe(),
        before.code,
        after.code,
        after.said
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, err: &str) -> Outcome {
        outcome(&Ended {
            code,
            out: String::new(),
            err: err.to_owned(),
        })
    }

    #[test]
    fn messages_of_both_sudos_fall_into_their_class() {
        for (err, class) in [
            ("", Class::Silent),
            ("sudo: a password is required\n", Class::PasswordNeeded),
            ("bob is not in the sudoers file.\n", Class::NotAllowed),
            ("sudo: fatal error, unable to load plugins\n", Class::Broken),
            ("sudo: /etc/sudo.conf is group writable\n", Class::Broken),
            ("/etc/jit/sudoers:3:1: syntax error\n", Class::Broken),
            (
                "sudo: PAM account management error: Permission denied\n",
                Class::Broken,
            ),
            (
                "sudo: unable to resolve host x: Name or service not known\n",
                Class::Silent,
            ),
            (
                "sudo: interactive authentication is required\n",
                Class::PasswordNeeded,
            ),
            (
                "Password: su: Authentication failure\n",
                Class::PasswordNeeded,
            ),
            ("su: Module is unknown\n", Class::Broken),
            ("something else\n", Class::Other),
        ] {
            assert_eq!(ended(1, err).class, class, "{err}");
        }
    }

    #[test]
    fn only_a_change_is_a_failure() {
        let of = |what| Probe {
            program: "/usr/bin/sudo",
            what,
        };
        let (root, carol) = (of(What::Root), of(What::Admin("carol".to_owned())));
        let password = ended(1, "sudo: a password is required");
        assert!(same(&root, &password, &password).is_ok());
        let fine = ended(0, "");
        let failure = same(&carol, &fine, &password).unwrap_err();
        assert!(failure.contains("carol") && failure.contains("password is required"));
        // The same code with other words is a change too: warnings on every sudo.
        assert!(
            same(
                &root,
                &fine,
                &ended(0, "sudo: /etc/sudo.conf is group writable")
            )
            .is_err()
        );
        // No longer being asked for a password is a change as well.
        assert!(same(&root, &password, &fine).is_err());
        let broken = ended(0, "sudo: /etc/sudo.conf is group writable");
        assert!(same(&root, &broken, &fine).is_ok());
        assert!(same(&root, &broken, &ended(1, "sudo: fatal error")).is_err());
    }
}
