//! `issuer.toml`. Its shape, and how files of it stand over each other, is in `settings`.

use crate::error::Error;
use crate::outgoing::Url;
use api::Address;
use settings::issuer::no_url;
pub use settings::issuer::{Https, Issuer as Config, Limits};
pub use settings::outgoing::Ticket;
use settings::{Places, Wrong};

/// Reads the files there.
///
/// # Errors
/// [`Error::Settings`]
pub fn read(places: &Places) -> Result<Config, Error> {
    let read = places.read(check).map_err(Error::Settings)?;
    Ok(read.value)
}

/// That hosts can reach what they are told to, and we those that are to be told.
fn check(config: &Config) -> Result<(), Wrong> {
    let hooks = config.hooks.iter();
    let hooks = hooks.map(|(name, hook)| (format!("hooks.{name}.url"), &hook.url));
    let ticket = config
        .ticket
        .iter()
        .map(|t| ("ticket.url".to_owned(), &t.url));
    let oidc = config.oidc.iter();
    let oidc = oidc.map(|(name, one)| (format!("oidc.{name}.issuer"), &one.issuer));
    let login = config.login.iter();
    let login = login.map(|one| ("login.issuer".to_owned(), &one.issuer));
    for (key, url) in hooks.chain(ticket).chain(oidc).chain(login) {
        Url::parse(url).map_err(|what| Wrong::new(&key, what, "write https://HOST[:PORT]/PATH"))?;
    }
    match config.https.as_ref().and_then(|https| https.url.as_ref()) {
        Some(url) if !Address::parse(url).is_ok_and(|a| a.is_away()) => Err(no_url(url)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::{Text, stack};
    use std::path::Path;

    fn parse(text: &str) -> Result<Config, String> {
        let read = stack(&[Text::new(Path::new("f"), text)], check);
        read.map(|s| s.value).map_err(|f| f.to_string())
    }

    #[test]
    fn the_sample_says_the_defaults() {
        let sample = include_str!("../../packaging/etc/issuer.toml");
        assert_eq!(parse(sample), Ok(Config::default()));
        // The same with every key that the sample only shows.
        let shown: String = sample
            .lines()
            .map(|l| l.strip_prefix("#> ").unwrap_or(l))
            .fold(String::new(), |text, l| text + l + "\n");
        assert_ne!(shown, sample);
        assert_eq!(parse(&shown), Ok(Config::default()));
        // And what is shown of HTTPS, which is no default.
        let https = sample.replace("#+ ", "");
        assert_ne!(https, sample);
        assert!(parse(&https).unwrap().https.is_some());
    }

    #[test]
    fn faults_name_their_line() {
        for (text, want) in [
            (
                "sockt = 1",
                "line 1: unknown key `sockt`; did you mean `socket`?",
            ),
            ("\nsocket = 1", "line 2: invalid type"),
            ("[limits]\nstreams = -1", "line 2: invalid value"),
            ("[limits]\nstream = 1", "line 2: unknown key `stream`"),
            ("socket = \"a\"", "line 1: `socket` is not an absolute path"),
            (
                "[limits]\nstreams = 0",
                "line 2: `streams` of 0 would refuse everything",
            ),
            ("[https]\nlisten = \"x\"", "line 2: invalid socket address"),
            (
                "[https]\nlisten = \"0.0.0.0:1\"",
                "line 1: `cert` is missing",
            ),
            (
                "[https]\nlisten = \"0.0.0.0:1\"\ncert = \"c\"\nkey = \"/k\"",
                "line 3: `https.cert` is not an absolute path",
            ),
            (
                "[https]\ncert = \"/c\"\nkey = \"/k\"\nurl = \"http://x\"",
                "line 4: \"http://x\" is not the address",
            ),
            ("x", "line 1: "),
        ] {
            let got = parse(text).err().unwrap_or_default();
            assert!(got.starts_with(&format!("f: {want}")), "{text:?}: {got}");
        }
    }
}
