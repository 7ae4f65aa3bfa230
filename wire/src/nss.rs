//! Who someone is, by the user database (NSS) at this moment.
//!
//! A shell keeps the group list it was started with, so the kernel's list is never asked: a user added to
//! `jit-eligible` a second ago is managed, one removed is not (see sudo.conf(5), `group_source`). An error is
//! doubt, never a no. The lookups wait as long as the database makes them wait, as sudo's own do.

use crate::{Text, sys};
use std::ffi::CString;
use std::fmt;
use std::io;

/// Who is in this group may ask for grants and is subject to the gates: eligible, managed.
pub const ELIGIBLE_GROUP: &str = "jit-eligible";

/// Why the database gave no answer.
#[derive(Debug)]
pub enum NssError {
    /// A lookup failed.
    Lookup { what: Text, why: io::Error },
    /// No name of a user or group can look like this.
    BadName(Text),
    /// There is no such login.
    NoSuchUser(Text),
}

impl fmt::Display for NssError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NssError::Lookup { what, why } => {
                write!(f, "the user database failed on \"{what}\": {why}")
            }
            NssError::BadName(name) => write!(f, "\"{name}\" cannot be a name"),
            NssError::NoSuchUser(login) => write!(f, "there is no user \"{login}\""),
        }
    }
}

impl std::error::Error for NssError {}

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub login: Text,
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

impl User {
    /// Is this user managed? Root never is.
    pub fn eligible(&self) -> Result<bool, NssError> {
        if self.uid == 0 {
            return Ok(false);
        }
        in_group(self.login.as_bytes(), self.gid, ELIGIBLE_GROUP)
    }
}

/// The user who started this program, also when it is set-uid.
pub fn real_uid() -> u32 {
    sys::real_uid()
}

/// `None`: the database answers that nobody has this uid.
pub fn user_by_uid(uid: u32) -> Result<Option<User>, NssError> {
    let found = sys::user_by_uid(uid).map_err(|why| failed(&uid.to_string(), why))?;
    Ok(found.map(User::from))
}

/// `None`: the database answers that nobody has this name.
pub fn user_by_name(login: &[u8]) -> Result<Option<User>, NssError> {
    let found = sys::user_by_name(&c_name(login)?).map_err(|why| failed(login, why))?;
    Ok(found.map(User::from))
}

/// Is the user with this login and primary group in `group`? A group that does not exist has no members; so it
/// looks, too, when the database that holds it is gone and another one answers in its place.
pub fn in_group(login: &[u8], primary: u32, group: &str) -> Result<bool, NssError> {
    let c_login = c_name(login)?;
    let found =
        sys::group(&c_name(group.as_bytes())?, &c_login).map_err(|why| failed(group, why))?;
    let Some((gid, listed)) = found else {
        return Ok(false);
    };
    // getgrouplist passes over a source that does not answer; the group's own list is a second witness.
    if listed || gid == primary {
        return Ok(true);
    }
    let groups = sys::groups_of(&c_login, primary).map_err(|why| failed(login, why))?;
    Ok(groups.contains(&gid))
}

/// Is this login managed? Root never is.
pub fn eligible(login: &[u8]) -> Result<bool, NssError> {
    match user_by_name(login)? {
        Some(user) => user.eligible(),
        None => Err(NssError::NoSuchUser(login.into())),
    }
}

impl From<sys::Passwd> for User {
    fn from(entry: sys::Passwd) -> User {
        User {
            login: Text(entry.name),
            uid: entry.uid,
            gid: entry.gid,
        }
    }
}

fn failed(what: &(impl AsRef<[u8]> + ?Sized), why: io::Error) -> NssError {
    NssError::Lookup {
        what: what.as_ref().into(),
        why,
    }
}

/// An empty name and one with a NUL never reach the database.
fn c_name(name: &[u8]) -> Result<CString, NssError> {
    match CString::new(name) {
        Ok(c_name) if !name.is_empty() => Ok(c_name),
        _ => Err(NssError::BadName(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::process::Command;

    const NOBODY_HAS_THIS: u32 = 3_999_999_999;

    #[test]
    fn root_is_found_both_ways_and_never_eligible() {
        let root = user_by_uid(0).unwrap().unwrap();
        assert_eq!(root.login, Text::from("root"));
        assert_eq!(user_by_name(b"root").unwrap().unwrap(), root);
        assert!(!eligible(b"root").unwrap());
    }

    #[test]
    fn an_unknown_user_is_an_answer_for_lookups_and_doubt_for_eligibility() {
        assert_eq!(user_by_name(b"no-such-user-x").unwrap(), None);
        assert_eq!(user_by_uid(NOBODY_HAS_THIS).unwrap(), None);
        assert!(matches!(
            eligible(b"no-such-user-x"),
            Err(NssError::NoSuchUser(_))
        ));
    }

    #[test]
    fn a_name_that_c_cannot_hold_is_refused() {
        for bad in [&b""[..], b"ro\0ot"] {
            assert!(matches!(user_by_name(bad), Err(NssError::BadName(_))));
            assert!(matches!(
                in_group(bad, 0, "root"),
                Err(NssError::BadName(_))
            ));
        }
    }

    #[test]
    fn membership_is_by_primary_group_and_by_list() {
        assert!(in_group(b"root", 0, "root").unwrap());
        assert!(!in_group(b"root", 0, "no-such-group-x").unwrap());
        assert!(!in_group(b"nobody", 65534, "root").unwrap());
        // Every member that the local file names.
        for line in fs::read_to_string("/etc/group").unwrap().lines() {
            let fields: Vec<_> = line.split(':').collect();
            let [group, _, _, members] = fields[..] else {
                continue;
            };
            for login in members.split(',').filter(|login| !login.is_empty()) {
                assert!(
                    in_group(login.as_bytes(), NOBODY_HAS_THIS, group).unwrap(),
                    "{login} {group}"
                );
            }
        }
    }

    #[test]
    fn without_a_free_descriptor_there_is_doubt_and_no_answer() {
        // In a child: the limit belongs to the whole process.
        const CHILD: &str = "WIRE_TEST_DESCRIPTORS";
        if std::env::var_os(CHILD).is_some() {
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            assert!(matches!(
                in_group(b"nobody", 65534, "root"),
                Err(NssError::Lookup { .. })
            ));
            assert!(matches!(
                user_by_uid(NOBODY_HAS_THIS),
                Err(NssError::Lookup { .. })
            ));
            let call = || {
                let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
                crate::client::call::<_, u8>("/nothing/here", &1, crate::frame::GATE, deadline)
            };
            use crate::client::CallError;
            assert!(matches!(call(), Err(CallError::NoDescriptor)));
            files.pop();
            assert!(matches!(call(), Err(CallError::NotRunning)));
            return;
        }
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 40 && exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg("nss::tests::without_a_free_descriptor_there_is_doubt_and_no_answer")
            .env(CHILD, "1")
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{shown}");
        assert!(shown.contains("1 passed"), "{shown}");
    }
}
