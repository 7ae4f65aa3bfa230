//! `link.toml` as the link needs it. Its shape, and how files of it stand over each other, is in `settings`.

use crate::receivers::Receiver;
use api::{Address, Roots};
use settings::link::{Link, no_address};
use settings::{Fault, Places};
use std::path::PathBuf;

/// Where to find the issuer and the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub issuer: Address,
    /// Who must certify an issuer at an `https:` address.
    pub roots: Roots,
    /// The agent's socket.
    pub agent: PathBuf,
    /// Who gets the journal's records.
    pub receivers: Vec<Receiver>,
}

impl Config {
    /// Reads the files there.
    ///
    /// # Errors
    /// The first fault, with its file, its line and what to write instead.
    pub fn read(places: &Places) -> Result<Self, Fault> {
        let address =
            |link: &Link| Address::parse(&link.issuer).map_err(|_| no_address(&link.issuer));
        let link = places.read(|link| address(link).map(drop))?;
        let issuer = address(&link.value).map_err(|wrong| link.fault(wrong))?;
        let Link {
            ca,
            agent,
            receiver,
            ..
        } = link.value;
        let receivers = receiver.into_iter();
        Ok(Self {
            issuer,
            roots: ca.map_or(Roots::System, Roots::File),
            agent,
            receivers: receivers
                .filter_map(|(name, set)| Receiver::new(name, set))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.toml");
        fs::write(&path, text).unwrap();
        Config::read(&Places::File(path)).map_err(|f| f.to_string())
    }

    #[test]
    fn the_sample_says_the_defaults() {
        let defaults = read("").unwrap();
        assert_eq!(defaults.issuer.to_string(), "unix:/run/jit-issuer/api.sock");
        assert_eq!(defaults.agent, Path::new(wire::paths::LINK_SOCK));
        let sample = include_str!("../../packaging/etc/link.toml");
        assert_eq!(read(sample).unwrap(), defaults);
        let shown = sample.replace("#> ", "");
        assert_ne!(shown, sample);
        assert_eq!(read(&shown).unwrap(), defaults);
        // And the other way to an issuer, which is no default.
        let other = sample.replace("#+ ", "");
        assert_ne!(other, sample);
        let other = read(&other).unwrap();
        assert!(matches!(other.issuer, Address::Https { .. }));
        let mutual = other.receivers[0].tls.as_ref().unwrap();
        assert!(mutual.identity.is_some());
    }

    #[test]
    fn an_issuer_elsewhere_is_certified_by_the_system_or_by_one_file() {
        let config = read("issuer = \"https://issuer.example\"").unwrap();
        assert_eq!(config.issuer.to_string(), "https://issuer.example:443");
        assert_eq!(config.roots, Roots::System);
        let text = "issuer = \"https://issuer.example\"\nca = \"/etc/jit/ca.pem\"";
        let config = read(text).unwrap();
        assert_eq!(config.roots, Roots::File("/etc/jit/ca.pem".into()));
    }

    #[test]
    fn faults_are_one_line() {
        for (text, want) in [
            (
                "isuer = 1",
                "line 1: unknown key `isuer`; did you mean `issuer`?",
            ),
            ("\nissuer = 1", "line 2: invalid type"),
            (
                "\nissuer = \"http://x\"",
                "line 2: \"http://x\" is no issuer address; write unix:",
            ),
            ("ca = \"x\"", "line 1: `ca` is not an absolute path"),
            ("agent = \"x\"", "line 1: `agent` is not an absolute path"),
            ("[", "line 1: "),
        ] {
            let got = read(text).unwrap_err();
            assert!(
                got.contains(&format!("link.toml: {want}")),
                "{text:?}: {got}"
            );
            assert_eq!(got.lines().count(), 1, "{got}");
        }
    }
}
