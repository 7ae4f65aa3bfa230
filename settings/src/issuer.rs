//! `issuer.toml`: where an issuer keeps and finds things, and how much it takes.

use crate::login::Login;
use crate::outgoing::{Hook, MOST_HOOKS, MOST_OIDC, Oidc, Outgoing, Ticket};
use crate::{Settings, Wrong, absolute};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `issuer.toml`. That `https.url` is an address is looked at by whoever reads it, with `api::Address`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Issuer {
    pub socket: PathBuf,
    pub state_dir: PathBuf,
    pub roles: PathBuf,
    /// Group of the policy's approvers of whom two must sign a policy that gives more; none: nobody is asked.
    pub policy_review: Option<String>,
    /// Login whose process may hand in requests and read streams, beside root.
    pub link_user: String,
    /// None: only the socket of this box.
    pub https: Option<Https>,
    pub limits: Limits,
    /// What holds for every call that the issuer makes by itself.
    pub outgoing: Outgoing,
    /// Who is told of what becomes of requests, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, Hook>,
    /// Who is asked about tickets; none: nobody.
    pub ticket: Option<Ticket>,
    /// Who asks from a CI, by a name of the entry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub oidc: BTreeMap<String, Oidc>,
    /// Where people log in; none: nowhere.
    pub login: Option<Login>,
}

/// For hosts elsewhere. The files are read at the start and at each reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Https {
    /// None: at the socket that systemd hands over.
    pub listen: Option<SocketAddr>,
    /// PEM: the issuer's certificate, then those between it and its authority.
    pub cert: PathBuf,
    /// PEM: its key; others must not be able to read it.
    pub key: PathBuf,
    /// `https://HOST[:PORT]` as hosts reach it; for enrolment tokens.
    pub url: Option<String>,
    /// PEM: the authorities that hosts must believe; none: those of their systems. Goes into enrolment tokens.
    pub ca: Option<PathBuf>,
}

/// How much the issuer takes at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// For each host; at least 1.
    pub requests_per_minute: u32,
    /// For each user of a host; at least 1.
    pub requests_per_minute_of_user: u32,
    /// Open streams in all; at least 1.
    pub streams: usize,
    /// Open connections over HTTPS in all; at least 1.
    pub connections: usize,
    /// Of them, of one address; at least 1.
    pub connections_per_address: usize,
    /// Seconds after which a host whose journal says nothing new is silent; 1 to 86400. Hosts say something each minute.
    pub silent_s: u64,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            socket: "/run/jit-issuer/api.sock".into(),
            state_dir: "/var/lib/jit-issuer".into(),
            roles: "/etc/jit/policy/roles.toml".into(),
            policy_review: None,
            link_user: "jit-link".to_owned(),
            https: None,
            limits: Limits::default(),
            outgoing: Outgoing::default(),
            hooks: BTreeMap::new(),
            ticket: None,
            oidc: BTreeMap::new(),
            login: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_minute: 120,
            requests_per_minute_of_user: 60,
            streams: 1000,
            connections: 4096,
            connections_per_address: 1024,
            silent_s: 150,
        }
    }
}

/// What to say of an `https.url` that hosts elsewhere cannot reach.
#[must_use]
pub fn no_url(url: &str) -> Wrong {
    let what = format!("{url:?} is not the address of an issuer elsewhere");
    Wrong::new("https.url", what, "write https://HOST[:PORT]")
}

impl Settings for Issuer {
    const NAME: &'static str = "issuer";

    fn check(&self) -> Result<(), Wrong> {
        absolute("socket", &self.socket)?;
        absolute("state_dir", &self.state_dir)?;
        absolute("roles", &self.roles)?;
        if let Some(https) = &self.https {
            absolute("https.cert", &https.cert)?;
            absolute("https.key", &https.key)?;
            if let Some(ca) = &https.ca {
                absolute("https.ca", ca)?;
            }
        }
        self.outgoing.check()?;
        if self.hooks.len() > MOST_HOOKS {
            let what = format!("{} hooks", self.hooks.len());
            return Err(Wrong::new("hooks", what, format!("at most {MOST_HOOKS}")));
        }
        for (name, hook) in &self.hooks {
            hook.check(name)?;
        }
        if self.oidc.len() > MOST_OIDC {
            let what = format!("{} entries", self.oidc.len());
            return Err(Wrong::new("oidc", what, format!("at most {MOST_OIDC}")));
        }
        for (name, oidc) in &self.oidc {
            oidc.check(name)?;
        }
        if let Some(login) = &self.login {
            login.check()?;
        }
        if let Some(ticket) = &self.ticket {
            ticket.check()?;
        }
        let limits = &self.limits;
        if !(1..=86_400).contains(&limits.silent_s) {
            let key = "limits.silent_s";
            let what = format!("`{key}` must be 1 to 86400");
            return Err(Wrong::new(key, what, "write seconds within these"));
        }
        for (key, none) in [
            ("requests_per_minute", limits.requests_per_minute == 0),
            (
                "requests_per_minute_of_user",
                limits.requests_per_minute_of_user == 0,
            ),
            ("streams", limits.streams == 0),
            ("connections", limits.connections == 0),
            (
                "connections_per_address",
                limits.connections_per_address == 0,
            ),
        ] {
            if none {
                let what = format!("`{key}` of 0 would refuse everything");
                return Err(Wrong::new(
                    &format!("limits.{key}"),
                    what,
                    "write 1 or more",
                ));
            }
        }
        Ok(())
    }
}
