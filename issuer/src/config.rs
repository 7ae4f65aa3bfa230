//! `/etc/jit/issuer.toml`. Every key has a default; an unknown one is an error.

use crate::error::Error;
use crate::files;
use api::Address;
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the file is unless told otherwise.
pub const PATH: &str = "/etc/jit/issuer.toml";
const FILE_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
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
}

/// For hosts elsewhere. The files are read at the start and at each reload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// For each host; at least 1.
    pub requests_per_minute: u32,
    /// For each user of a host; at least 1.
    pub requests_per_minute_of_user: u32,
    /// Open streams in all; at least 1.
    pub streams: usize,
    /// Open connections over HTTPS in all, and of one address; at least 1.
    pub connections: usize,
    pub connections_per_address: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: "/run/jit-issuer/api.sock".into(),
            state_dir: "/var/lib/jit-issuer".into(),
            roles: "/etc/jit/policy/roles.toml".into(),
            policy_review: None,
            link_user: "jit-link".to_owned(),
            https: None,
            limits: Limits::default(),
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
        }
    }
}

impl Config {
    /// Reads a file; the defaults when there is none.
    ///
    /// # Errors
    /// [`Error::Config`] with the line, [`Error::File`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        match files::read_text(path, FILE_MAX) {
            Ok(text) => Self::parse(&text).map_err(|why| Error::Config {
                path: path.to_owned(),
                why,
            }),
            Err(Error::File { why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(e) => Err(e),
        }
    }

    /// # Errors
    /// One line that says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start).min(text.len());
            let before = text.as_bytes().get(..at).unwrap_or_default();
            let line = 1 + before.iter().filter(|b| **b == b'\n').count();
            let what = e.message().lines().next().unwrap_or("not TOML");
            format!("line {line}: {what}")
        })?;
        let mut paths = vec![
            ("socket", &config.socket),
            ("state_dir", &config.state_dir),
            ("roles", &config.roles),
        ];
        if let Some(https) = &config.https {
            paths.extend([("cert", &https.cert), ("key", &https.key)]);
            paths.extend(https.ca.as_ref().map(|ca| ("ca", ca)));
            let away = |url| Address::parse(url).is_ok_and(|a| a.is_away());
            if https.url.as_ref().is_some_and(|url| !away(url)) {
                return Err("`url` is not https://HOST[:PORT]".to_owned());
            }
        }
        for (key, path) in paths {
            if !path.is_absolute() {
                return Err(format!("`{key}` is not an absolute path"));
            }
        }
        let Limits {
            requests_per_minute,
            requests_per_minute_of_user,
            streams,
            connections,
            connections_per_address,
        } = config.limits;
        if [requests_per_minute, requests_per_minute_of_user].contains(&0)
            || [streams, connections, connections_per_address].contains(&0)
        {
            return Err("a limit of 0 would refuse everything".to_owned());
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_says_the_defaults() {
        let sample = include_str!("../../packaging/etc/issuer.toml");
        assert_eq!(Config::parse(sample), Ok(Config::default()));
        // The same with every key that the sample only shows.
        let shown: String = sample
            .lines()
            .map(|l| l.strip_prefix("#> ").unwrap_or(l))
            .fold(String::new(), |text, l| text + l + "\n");
        assert_ne!(shown, sample);
        assert_eq!(Config::parse(&shown), Ok(Config::default()));
        // And what is shown of HTTPS, which is no default.
        let https = sample.replace("#+ ", "");
        assert_ne!(https, sample);
        assert!(Config::parse(&https).unwrap().https.is_some());
    }

    #[test]
    fn faults_name_their_line() {
        for (text, want) in [
            ("sockt = 1", "line 1: unknown field `sockt`"),
            ("\nsocket = 1", "line 2: invalid type"),
            ("[limits]\nstreams = -1", "line 2: invalid value"),
            ("[limits]\nstream = 1", "line 2: unknown field `stream`"),
            ("socket = \"a\"", "`socket` is not an absolute path"),
            ("[limits]\nstreams = 0", "a limit of 0"),
            ("[https]\nlisten = \"x\"", "line 2: invalid socket address"),
            (
                "[https]\nlisten = \"0.0.0.0:1\"",
                "line 1: missing field `cert`",
            ),
            (
                "[https]\nlisten = \"0.0.0.0:1\"\ncert = \"c\"\nkey = \"/k\"",
                "`cert` is not an absolute path",
            ),
            (
                "[https]\ncert = \"/c\"\nkey = \"/k\"\nurl = \"http://x\"",
                "`url` is not https:",
            ),
            ("x", "line 1: "),
        ] {
            let got = Config::parse(text).err().unwrap_or_default();
            assert!(got.starts_with(want), "{text:?}: {got}");
        }
    }
}
