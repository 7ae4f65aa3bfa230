//! `/etc/jit/link.toml`. Every key has a default; an unknown one is an error.

use api::{Address, Roots};
use serde::Deserialize;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the file is unless told otherwise.
pub const PATH: &str = "/etc/jit/link.toml";
/// On one box.
const ISSUER: &str = "unix:/run/jit-issuer/api.sock";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub issuer: Address,
    /// Who must certify an issuer at an `https:` address.
    pub roots: Roots,
    /// The agent's socket.
    pub agent: PathBuf,
}

/// One file; what it does not say, an earlier one or the default does.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    issuer: Option<String>,
    /// PEM; none: the system's.
    ca: Option<PathBuf>,
    agent: Option<PathBuf>,
}

/// Why the configuration cannot be used.
#[derive(Debug)]
pub enum Error {
    Read(PathBuf, io::Error),
    Wrong(PathBuf, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Wrong(path, why) => write!(f, "{}: {why}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

impl Config {
    /// Reads a file, then in the order of their names those of the directory beside it (`link.toml.d/*.toml`), which
    /// overrule it; the defaults when there is none.
    ///
    /// # Errors
    /// [`Error`], one line with the place of the fault.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut directory = path.as_os_str().to_owned();
        directory.push(".d");
        let mut paths = vec![path.to_owned()];
        match fs::read_dir(&directory) {
            Ok(entries) => {
                let mut more: Vec<PathBuf> = entries
                    .filter_map(|e| Some(e.ok()?.path()))
                    .filter(|p| p.extension().is_some_and(|e| e == "toml"))
                    .collect();
                more.sort();
                paths.extend(more);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::Read(directory.into(), e)),
        }
        let mut all = File::default();
        for path in &paths {
            let text = match fs::read_to_string(path) {
                Ok(text) => text,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::Read(path.clone(), e)),
            };
            let wrong = |why| Error::Wrong(path.clone(), why);
            all = File::parse(&text).map_err(wrong)?.over(all);
            // Each must make sense together with those before it, so that the faulty one is named.
            all.config().map_err(wrong)?;
        }
        all.config()
            .map_err(|why| Error::Wrong(path.to_owned(), why))
    }

    /// # Errors
    /// One line that says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        File::parse(text)?.config()
    }
}

impl File {
    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start).min(text.len());
            let before = text.as_bytes().get(..at).unwrap_or_default();
            let line = 1 + before.iter().filter(|b| **b == b'\n').count();
            let what = e.message().lines().next().unwrap_or("not TOML");
            format!("line {line}: {what}")
        })
    }

    /// An authority belongs to the issuer it stands beside: another issuer does not inherit it.
    fn over(self, before: Self) -> Self {
        let ca = match self.issuer {
            Some(_) => self.ca,
            None => self.ca.or(before.ca),
        };
        Self {
            issuer: self.issuer.or(before.issuer),
            ca,
            agent: self.agent.or(before.agent),
        }
    }

    fn config(&self) -> Result<Config, String> {
        let issuer = self.issuer.as_deref().unwrap_or(ISSUER);
        let agent = self
            .agent
            .clone()
            .unwrap_or_else(|| wire::paths::LINK_SOCK.into());
        if !agent.is_absolute() {
            return Err("`agent` is not an absolute path".to_owned());
        }
        if self.ca.as_ref().is_some_and(|ca| !ca.is_absolute()) {
            return Err("`ca` is not an absolute path".to_owned());
        }
        Ok(Config {
            issuer: Address::parse(issuer).map_err(|e| e.to_string())?,
            roots: self.ca.clone().map_or(Roots::System, Roots::File),
            agent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_says_the_defaults() {
        let defaults = Config::parse("").unwrap();
        assert_eq!(defaults.issuer.to_string(), "unix:/run/jit-issuer/api.sock");
        assert_eq!(defaults.agent, Path::new("/run/jit/link.sock"));
        let sample = include_str!("../../packaging/etc/link.toml");
        assert_eq!(Config::parse(sample).unwrap(), defaults);
        let shown = sample.replace("#> ", "");
        assert_ne!(shown, sample);
        assert_eq!(Config::parse(&shown).unwrap(), defaults);
        // And the other way to an issuer, which is no default.
        let other = sample.replace("#+ ", "");
        assert_ne!(other, sample);
        assert!(matches!(
            Config::parse(&other).unwrap().issuer,
            Address::Https { .. }
        ));
    }

    #[test]
    fn an_issuer_elsewhere_is_certified_by_the_system_or_by_one_file() {
        let config = Config::parse("issuer = \"https://issuer.example\"").unwrap();
        assert_eq!(config.issuer.to_string(), "https://issuer.example:443");
        assert_eq!(config.roots, Roots::System);
        let text = "issuer = \"https://issuer.example\"\nca = \"/etc/jit/ca.pem\"";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.roots, Roots::File("/etc/jit/ca.pem".into()));
    }

    #[test]
    fn files_beside_it_overrule_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.toml");
        assert_eq!(Config::read(&path).unwrap(), Config::parse("").unwrap());
        let beside = dir.path().join("link.toml.d");
        fs::create_dir(&beside).unwrap();
        let put = |name: &str, text: &str| fs::write(beside.join(name), text).unwrap();
        fs::write(
            &path,
            "agent = \"/a\"\nissuer = \"https://a\"\nca = \"/ca\"",
        )
        .unwrap();
        put("2.toml", "issuer = \"https://b\"");
        put("1.toml", "issuer = \"https://c\"");
        put("3.txt", "nonsense");
        let config = Config::read(&path).unwrap();
        assert_eq!(config.agent, Path::new("/a"));
        assert_eq!(config.issuer, Address::parse("https://b").unwrap());
        assert_eq!(config.roots, Roots::System);
        put("4.toml", "ca = \"/other\"");
        let config = Config::read(&path).unwrap();
        assert_eq!(config.roots, Roots::File("/other".into()));
        put("5.toml", "isuer = 1");
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains("5.toml: line 1"), "{error}");
    }

    #[test]
    fn faults_are_one_line() {
        for (text, want) in [
            ("isuer = 1", "line 1: unknown field `isuer`"),
            ("\nissuer = 1", "line 2: invalid type"),
            ("issuer = \"http://x\"", "\"http://x\" is no issuer address"),
            ("ca = \"x\"", "`ca` is not an absolute path"),
            ("agent = \"x\"", "`agent` is not an absolute path"),
            ("[", "line 1: "),
        ] {
            let got = Config::parse(text).unwrap_err();
            assert!(got.starts_with(want), "{text:?}: {got}");
        }
    }
}
