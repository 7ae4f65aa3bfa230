//! `[receiver.NAME]` in `link.toml`: who gets the journal's records.

use crate::Wrong;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Receivers that are fed at once.
pub const MOST: usize = 8;

/// How records travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// RFC 5425.
    Tls,
    /// RFC 6587, octet counting; anybody on the way can read and change it.
    Tcp,
    RelpTls,
    Relp,
}

impl Transport {
    /// Does the receiver acknowledge each record?
    #[must_use]
    pub fn relp(self) -> bool {
        matches!(self, Self::Relp | Self::RelpTls)
    }

    #[must_use]
    pub fn tls(self) -> bool {
        matches!(self, Self::Tls | Self::RelpTls)
    }
}

/// What a message says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An OCSF 1.8.0 event, with the record in it.
    #[default]
    Ocsf,
    /// The record as `jitctl log show --json` prints it.
    Json,
}

/// One receiver; its name is the table's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// `HOST:PORT`, `[V6]:PORT`.
    pub address: String,
    pub transport: Transport,
    #[serde(default)]
    pub format: Format,
    /// PEM; none: the system's.
    pub ca: Option<PathBuf>,
    /// Who this host is; with `key`.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Without a protocol that acknowledges: what was sent so many seconds ago, on a connection that still stands, has arrived.
    #[serde(default = "settle_s")]
    pub settle_s: u64,
}

const fn settle_s() -> u64 {
    60
}

/// Lower-case letters, digits and `-`, at most 32.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(good)
}

impl Receiver {
    /// Host and port, where `address` is both.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(String, u16)> {
        let (host, port) = self.address.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|p| *p > 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|h| h.contains(':'))?,
            None => host,
        };
        let bare = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic());
        let v6 = host.contains(':') == self.address.starts_with('[');
        (bare && v6).then(|| (host.to_owned(), port))
    }

    pub(crate) fn check(&self, name: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, what: &str, hint: &str| {
            let key = format!("receiver.{name}.{key}");
            Err(Wrong::new(&key, format!("receiver {name}: {what}"), hint))
        };
        if !is_name(name) {
            let what = format!("{name:?} is no name of a receiver");
            let hint = "lower-case letters, digits and `-`, at most 32";
            return Err(Wrong::new(&format!("receiver.{name}"), what, hint));
        }
        if self.host_and_port().is_none() {
            return wrong("address", "`address` is not HOST:PORT", "write HOST:PORT");
        }
        let files = [
            ("ca", &self.ca),
            ("certificate", &self.certificate),
            ("key", &self.key),
        ];
        for (key, path) in files {
            let Some(path) = path else { continue };
            if !path.is_absolute() {
                let what = format!("`{key}` is not an absolute path");
                return wrong(key, &what, "write the whole path, from /");
            }
            if !self.transport.tls() {
                let what = format!("`{key}` is for the transports tls and relp-tls");
                return wrong(key, &what, "take it out, or write another transport");
            }
        }
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("key", "`certificate` and `key` go together", "write both");
        }
        if !(10..=3600).contains(&self.settle_s) {
            return wrong("settle_s", "`settle_s` is 10 to 3600", "write seconds");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;
    use crate::{Text, stack};

    fn link(text: &str) -> Result<Link, String> {
        let text = Text::new(std::path::Path::new("link.toml"), text);
        let read = stack::<Link>(&[text], |_| Ok(()));
        read.map(|s| s.value).map_err(|f| f.to_string())
    }

    fn one(text: &str) -> Result<Receiver, String> {
        let base = "address = \"siem.example:6514\"\ntransport = \"tls\"\n";
        let mut whole: toml::Table = toml::from_str(base).unwrap();
        whole.extend(toml::from_str::<toml::Table>(text).unwrap());
        let mut link = link(&format!("[receiver.siem]\n{whole}"))?;
        Ok(link.receiver.remove("siem").unwrap())
    }

    #[test]
    fn a_receiver_and_its_defaults() {
        let r = one("").unwrap();
        assert_eq!(r.host_and_port(), Some(("siem.example".into(), 6514)));
        assert_eq!((r.format, r.settle_s), (Format::Ocsf, 60));
        let r = one("transport = \"relp\"\naddress = \"[fd00::1]:20514\"").unwrap();
        assert_eq!(r.host_and_port(), Some(("fd00::1".into(), 20514)));
        assert!(r.transport.relp() && !r.transport.tls());
        one("ca = \"/ca\"\ncertificate = \"/c\"\nkey = \"/k\"").unwrap();
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, want) in [
            ("address = \"siem\"", "HOST:PORT"),
            ("address = \"siem:0\"", "HOST:PORT"),
            ("address = \"fd00::1:6514\"", "HOST:PORT"),
            ("address = \":6514\"", "HOST:PORT"),
            ("transport = \"udp\"", "unknown value `udp`"),
            ("ca = \"x\"", "absolute"),
            ("transport = \"tcp\"\nca = \"/x\"", "is for the transports"),
            ("key = \"/x\"", "go together"),
            ("settle_s = 1", "10 to 3600"),
            ("setle_s = 1", "did you mean `settle_s`?"),
        ] {
            let got = one(text).unwrap_err();
            assert!(got.contains(want), "{text:?}: {got}");
        }
        let named = |name: &str| {
            link(&format!(
                "[receiver.{name}]\naddress = \"h:1\"\ntransport = \"tcp\""
            ))
        };
        assert!(named("\"A b\"").unwrap_err().contains("is no name"));
        assert!(named("\"\"").unwrap_err().contains("is no name"));
        let many: String = (0..9)
            .map(|n| format!("[receiver.r{n}]\naddress = \"h:1\"\ntransport = \"tcp\"\n"))
            .collect();
        assert!(link(&many).unwrap_err().contains("at most 8"));
    }

    #[test]
    fn a_later_file_overrules_by_name_and_key() {
        let text = |name: &str, text: &str| Text::new(std::path::Path::new(name), text);
        let texts = [
            text(
                "link.toml",
                "[receiver.a]\naddress = \"h:1\"\ntransport = \"tcp\"\n[receiver.b]\naddress = \"h:2\"\ntransport = \"tcp\"",
            ),
            text("1.toml", "[receiver.a]\naddress = \"h:3\""),
        ];
        let link = stack::<Link>(&texts, |_| Ok(())).unwrap().value;
        let got: Vec<_> = link
            .receiver
            .iter()
            .map(|(name, r)| (name.as_str(), r.address.as_str()))
            .collect();
        assert_eq!(got, [("a", "h:3"), ("b", "h:2")]);
    }
}
