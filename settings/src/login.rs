//! `[login]` in `issuer.toml`: the OpenID provider at which people log in with their browsers.

use crate::Wrong;
use crate::outgoing::url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A provider for people of the trust statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// `iss` of its tokens, where the rest is found as OpenID Connect Discovery says.
    pub issuer: String,
    /// Name of jitctl there: a public client without a secret. `aud` of the tokens.
    pub client_id: String,
    /// The member of a token that says who it is.
    #[serde(default = "sub")]
    pub claim: String,
    /// Its texts, and the ids of the persons that they stand for.
    pub people: BTreeMap<String, String>,
    /// Further members of the tokens and their texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// What is asked for beside `openid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What these people sign is taken only together with a token.
    #[serde(default = "yes")]
    pub required: bool,
}

fn sub() -> String {
    "sub".to_owned()
}

const fn yes() -> bool {
    true
}

impl Login {
    /// Whether this person is one of them.
    #[must_use]
    pub fn knows(&self, person: &str) -> bool {
        self.people.values().any(|id| id == person)
    }

    pub(crate) fn check(&self) -> Result<(), Wrong> {
        let wrong = |key: &str, what: String, hint: &str| {
            Err(Wrong::new(
                &format!("login.{key}"),
                format!("login: {what}"),
                hint,
            ))
        };
        url("login.issuer", &self.issuer)?;
        if self.issuer.contains('?') {
            let what = format!("{:?} has a query", self.issuer);
            return wrong("issuer", what, "write it as its tokens say it");
        }
        for (key, text) in [("client_id", &self.client_id), ("claim", &self.claim)] {
            if text.is_empty() {
                return wrong(key, format!("`{key}` is empty"), "write what it is");
            }
        }
        if self.people.is_empty() {
            let hint = "say who is who, as people = { \"248289761001\" = \"alice\" }";
            return wrong("people", "nobody could log in".to_owned(), hint);
        }
        if self
            .people
            .iter()
            .any(|(who, id)| who.is_empty() || id.is_empty())
        {
            let what = "a name in `people` is empty".to_owned();
            return wrong("people", what, "say who is who");
        }
        let is_scope = |s: &String| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic());
        if !self.scopes.iter().all(is_scope) {
            let what = "a scope is one word".to_owned();
            return wrong("scopes", what, "write a list, as [\"email\"]");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::Issuer;
    use crate::{Text, stack};
    use std::path::Path;

    fn login(text: &str) -> Result<Login, String> {
        let text = format!("[login]\n{text}");
        let read = stack::<Issuer>(&[Text::new(Path::new("f"), &text)], |_| Ok(()));
        read.map(|s| s.value.login.unwrap())
            .map_err(|f| f.to_string())
    }

    const LEAST: &str = "issuer = \"https://id.example.org/a\"\nclient_id = \"jit\"\n";

    #[test]
    fn the_least_that_is_said_means_the_strictest() {
        let one = login(&format!("{LEAST}people = {{ \"a.b@c\" = \"alice\" }}")).unwrap();
        assert_eq!((one.claim.as_str(), one.required), ("sub", true));
        assert!(one.knows("alice") && !one.knows("a.b@c"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let people = format!("{LEAST}people = {{ x = \"alice\" }}\n");
        for (text, want) in [
            (LEAST.to_owned(), "`people` is missing"),
            (format!("{LEAST}people = {{}}"), "nobody could log in"),
            (format!("{LEAST}people = {{ x = \"\" }}"), "is empty"),
            (people.replace("https", "ftp"), "cannot be called"),
            (people.replace("org/a", "org/a?b"), "has a query"),
            (people.replace("\"jit\"", "\"\""), "`client_id` is empty"),
            (format!("{people}scopes = [\"a b\"]"), "one word"),
            (format!("{people}secret = \"x\""), "unknown key `secret`"),
        ] {
            let got = login(&text).unwrap_err();
            assert!(got.contains(want), "{text:?}: {got}");
        }
    }
}
