//! `[outgoing]`, `[hooks.NAME]` and `[ticket]` in `issuer.toml`: whom the issuer calls by itself, and whom it never may.

use crate::receiver::is_name;
use crate::{Wrong, absolute};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Hooks that are told at once.
pub const MOST_HOOKS: usize = 8;

/// What holds for every call that the issuer makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outgoing {
    /// Networks that may be called though they are not public, as `10.1.0.0/16` or one address.
    pub allow: Vec<String>,
    /// PEM: who must have certified those that are called; none: one of the system's.
    pub ca: Option<PathBuf>,
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Is the address one of it? One of IPv4 that is written as IPv6 counts as what it is.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(one)) => {
                let shift = 32 - u32::from(self.bits);
                let left = |a: u32| a.checked_shr(shift).unwrap_or(0);
                left(net.to_bits()) == left(one.to_bits())
            }
            (IpAddr::V6(net), IpAddr::V6(one)) => {
                let shift = 128 - u32::from(self.bits);
                let left = |a: u128| a.checked_shr(shift).unwrap_or(0);
                left(net.to_bits()) == left(one.to_bits())
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let bad = || format!("{text:?} is no network");
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|b| *b <= most).ok_or_else(bad)?,
        };
        Ok(Self { address, bits })
    }
}

impl Outgoing {
    /// What `allow` names; what is no network was refused when it was read.
    #[must_use]
    pub fn networks(&self) -> Vec<Network> {
        self.allow.iter().filter_map(|n| n.parse().ok()).collect()
    }

    pub(crate) fn check(&self) -> Result<(), Wrong> {
        if let Some(ca) = &self.ca {
            absolute("outgoing.ca", ca)?;
        }
        for one in &self.allow {
            one.parse::<Network>().map_err(|what| {
                let hint = "write an address, or one with its bits as 10.1.0.0/16";
                Wrong::new("outgoing.allow", what, hint)
            })?;
        }
        Ok(())
    }
}

/// What a hook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A request waits for people; again when it waits for the next level.
    Waiting,
    /// One person approved.
    Approved,
    /// By a rule, or by a person.
    Denied,
    Granted,
    Withdrawn,
    /// Nobody decided it in its time.
    Expired,
    Revoked,
    /// A break-glass statement was handed in for a host.
    Breakglass,
}

impl What {
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Approved,
        Self::Denied,
        Self::Granted,
        Self::Withdrawn,
        Self::Expired,
        Self::Revoked,
        Self::Breakglass,
    ];

    /// As it is written in settings and in the type of an event.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Granted => "granted",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Breakglass => "breakglass",
        }
    }
}

/// One hook; its name is the table's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// `https://…`; `http://` only to this box's loopback, where `outgoing.allow` names it.
    pub url: String,
    /// A file of `whsec_…` secrets, one a line: each signs. Others must not be able to read it.
    pub secret_file: PathBuf,
    /// Of what it is told.
    #[serde(default = "everything")]
    pub events: Vec<What>,
}

fn everything() -> Vec<What> {
    What::ALL.to_vec()
}

impl Hook {
    pub(crate) fn check(&self, name: &str) -> Result<(), Wrong> {
        if !is_name(name) {
            let what = format!("{name:?} is no name of a hook");
            let hint = "lower-case letters, digits and `-`, at most 32";
            return Err(Wrong::new(&format!("hooks.{name}"), what, hint));
        }
        url(&format!("hooks.{name}.url"), &self.url)?;
        absolute(&format!("hooks.{name}.secret_file"), &self.secret_file)?;
        if self.events.is_empty() {
            let key = format!("hooks.{name}.events");
            let what = format!("hook {name} would be told of nothing");
            return Err(Wrong::new(&key, what, "name events, or leave the line out"));
        }
        Ok(())
    }
}

/// Who is asked whether a request's ticket bears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// As of a hook.
    pub url: String,
    /// As of a hook.
    pub secret_file: PathBuf,
    /// For which it is asked; none: for every role.
    #[serde(default)]
    pub roles: Vec<String>,
    /// A request without a ticket, or whose ticket cannot be checked, is denied.
    #[serde(default = "yes")]
    pub required: bool,
}

const fn yes() -> bool {
    true
}

impl Ticket {
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        url("ticket.url", &self.url)?;
        absolute("ticket.secret_file", &self.secret_file)
    }
}

/// From where a person of the trust statement asks: a CI that signs ID tokens. One who has such an entry asks with a token that
/// one of his entries takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Id of the person.
    pub person: String,
    /// `iss` of its tokens, where its keys are found as OpenID Connect Discovery says.
    pub issuer: String,
    /// `aud` of its tokens.
    pub audience: String,
    /// Further members of its tokens and their texts; at least one, so that not everybody at that CI is meant.
    pub claims: BTreeMap<String, String>,
}

/// Entries at most.
pub const MOST_OIDC: usize = 64;

impl Oidc {
    pub(crate) fn check(&self, name: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, what: &str, hint: &str| {
            let key = format!("oidc.{name}.{key}");
            Err(Wrong::new(&key, format!("oidc {name}: {what}"), hint))
        };
        if !is_name(name) {
            let what = format!("{name:?} is no name of an entry");
            let hint = "lower-case letters, digits and `-`, at most 32";
            return Err(Wrong::new(&format!("oidc.{name}"), what, hint));
        }
        url(&format!("oidc.{name}.issuer"), &self.issuer)?;
        for (key, text) in [("person", &self.person), ("audience", &self.audience)] {
            if text.is_empty() {
                return wrong(key, &format!("`{key}` is empty"), "write what it is");
            }
        }
        if self.claims.is_empty() {
            let hint = "pin what only your jobs have, as claims = { repository = \"org/app\" }";
            return wrong("claims", "everybody at that CI would be meant", hint);
        }
        Ok(())
    }
}

/// Looks like something that can be called; the caller of it looks closer.
pub(crate) fn url(key: &str, url: &str) -> Result<(), Wrong> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let good = |rest: &str| {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        !host.is_empty()
            && !host.contains('@')
            && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
    };
    if rest.is_some_and(good) {
        return Ok(());
    }
    // Not the URL: what it says may be a secret.
    let what = "this URL cannot be called";
    Err(Wrong::new(key, what, "write https://HOST[:PORT]/PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::Issuer;
    use crate::{Text, stack};
    use std::path::Path;

    fn issuer(text: &str) -> Result<Issuer, String> {
        let read = stack::<Issuer>(&[Text::new(Path::new("f"), text)], |_| Ok(()));
        read.map(|s| s.value).map_err(|f| f.to_string())
    }

    #[test]
    fn networks_hold_what_begins_as_they_do() {
        let holds = |net: &str, one: &str| {
            let net: Network = net.parse().unwrap();
            net.holds(one.parse().unwrap())
        };
        assert!(holds("10.1.0.0/16", "10.1.255.255"));
        assert!(!holds("10.1.0.0/16", "10.2.0.0"));
        assert!(holds("10.1.0.0/16", "::ffff:10.1.2.3"));
        assert!(holds("127.0.0.1", "127.0.0.1") && !holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "fe80::1"));
        assert!(holds("::/0", "fe80::1") && holds("::1", "::1"));
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "localhost",
            "1.2.3.4/-1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hook_and_its_defaults() {
        let text = "[hooks.chat]\nurl = \"https://chat.example.org/in?a=1\"\nsecret_file = \"/s\"";
        let hook = issuer(text).unwrap().hooks.remove("chat").unwrap();
        assert_eq!(hook.events, What::ALL);
        for what in What::ALL {
            let events = format!("{text}\nevents = [\"{}\"]", what.name());
            assert_eq!(issuer(&events).unwrap().hooks["chat"].events, [what]);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let hook = |url: &str, more: &str| {
            format!("[hooks.chat]\nurl = \"{url}\"\nsecret_file = \"/s\"\n{more}")
        };
        for (text, want) in [
            (hook("ftp://x/", ""), "f: line 2: this URL cannot be called"),
            (hook("https:///x", ""), "cannot be called"),
            (hook("https://u:p@x/", ""), "cannot be called"),
            (hook("https://x/#y", ""), "cannot be called"),
            (hook("https://x/", "events = []"), "told of nothing"),
            (
                hook("https://x/", "events = [\"wating\"]"),
                "did you mean `waiting`?",
            ),
            (hook("https://x/", "secret = \"x\""), "unknown key `secret`"),
            (
                hook("https://x/", "").replace("\"/s\"", "\"s\""),
                "absolute",
            ),
            (
                hook("https://x/", "").replace("chat", "\"A b\""),
                "is no name",
            ),
            (
                "[outgoing]\nallow = [\"10.0.0.0/99\"]".to_owned(),
                "is no network",
            ),
            ("[outgoing]\nca = \"ca\"".to_owned(), "absolute"),
            (
                "[ticket]\nurl = \"https://x/\"".to_owned(),
                "`secret_file` is missing",
            ),
            (
                "[ticket]\nurl = \"x\"\nsecret_file = \"/s\"".to_owned(),
                "cannot be called",
            ),
            (
                "[ticket]\nurl = \"https://x/\"\nsecret_file = \"s\"".to_owned(),
                "absolute",
            ),
        ] {
            let got = issuer(&text).unwrap_err();
            assert!(got.contains(want), "{text:?}: {got}");
        }
        let many: String = (0..9)
            .map(|n| hook("https://x/", "").replace("chat", &format!("h{n}")))
            .collect();
        assert!(issuer(&many).unwrap_err().contains("at most 8"));
    }
}
