//! ID tokens (OpenID Connect). Of a CI: for a person who has an entry in `[oidc.NAME]`, his key alone asks for nothing. Of
//! people, from `[login]`: a token lets its person look, deny and give back, and where `required` is set his key alone asks
//! for nothing and approves nothing.
//!
//! A token only lets a caller in: it gives no right, stands for no signature and never reaches a host. `docs/how-to/ci.md`,
//! `docs/how-to/login.md`.

mod keys;
mod login;
mod pinned;
mod verify;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::outgoing::Outgoing;
use keys::Keys;
use login::Login;
use pinned::Pinned;
use statement::keys::KeyRing;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// All whose tokens mean something here.
pub struct Oidc {
    entries: Vec<Entry>,
    login: Option<Login>,
    clock: Arc<dyn Clock>,
}

/// One of a CI.
struct Entry {
    name: String,
    person: String,
    pinned: Pinned,
}

impl Oidc {
    /// # Errors
    /// [`Error::Tls`] without cryptography to verify with; [`Error::Config`] for an issuer that cannot be called and a person whom
    /// the trust statement does not know.
    pub fn new(
        config: &Config,
        ring: &KeyRing,
        outgoing: &Outgoing,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        verify::install();
        let mut keys: BTreeMap<String, Arc<Keys>> = BTreeMap::new();
        let mut pinned = |issuer: &str, audience: &str, claims: &BTreeMap<String, String>| {
            let of_issuer = match keys.get(issuer) {
                Some(known) => Arc::clone(known),
                None => {
                    let new = Keys::new(issuer, outgoing.clone(), Arc::clone(&clock))?;
                    let new = Arc::new(new);
                    keys.insert(issuer.to_owned(), Arc::clone(&new));
                    new
                }
            };
            Ok::<_, Error>(Pinned {
                issuer: issuer.to_owned(),
                audience: audience.to_owned(),
                claims: claims.clone(),
                keys: of_issuer,
            })
        };
        let mut entries = Vec::new();
        for (name, one) in &config.oidc {
            known(ring, &format!("oidc.{name}.person"), &one.person)?;
            entries.push(Entry {
                name: name.clone(),
                person: one.person.clone(),
                pinned: pinned(&one.issuer, &one.audience, &one.claims)?,
            });
        }
        let login = match &config.login {
            Some(one) => {
                for person in one.people.values() {
                    known(ring, "login.people", person)?;
                }
                let pinned = pinned(&one.issuer, &one.client_id, &one.claims)?;
                Some(Login::new(one.clone(), pinned))
            }
            None => None,
        };
        Ok(Self {
            entries,
            login,
            clock,
        })
    }

    /// Where people log in, if they can.
    pub fn login(&self) -> Option<api::Login> {
        self.login.as_ref().map(Login::public)
    }

    /// Whose token this is: one of a person who logged in.
    ///
    /// # Errors
    /// The sentence for the caller.
    pub async fn person(&self, token: &str) -> Result<String, String> {
        let Some(login) = &self.login else {
            return Err("Nobody logs in at this issuer; sign the call with a key.".to_owned());
        };
        let person = login.person(token, self.now()).await;
        person.map(str::to_owned).map_err(|why| again(&why))
    }

    /// That `person` may ask with his key: from where one of his entries says, or logged in; one of whom no token is wanted needs
    /// none.
    ///
    /// # Errors
    /// The sentence for whoever asked.
    pub async fn admits(&self, person: &str, token: Option<&str>) -> Result<(), String> {
        let mut his = self.entries.iter().filter(|e| e.person == person);
        let Some(first) = his.next() else {
            return self.signs(person, token).await;
        };
        let logs_in = self.login.as_ref().is_some_and(|l| l.wants(person));
        let Some(token) = token else {
            return Err(format!(
                "{person} asks with an ID token of the CI beside the key (--id-token-file)."
            ));
        };
        let mut why = String::new();
        for entry in std::iter::once(first).chain(his) {
            match entry.pinned.claims(token, self.now()).await {
                Ok(_) => return Ok(()),
                Err(e) => why = format!("The ID token is refused by oidc.{}: {e}.", entry.name),
            }
        }
        match logs_in {
            true => self.signs(person, Some(token)).await,
            false => Err(why),
        }
    }

    /// That `person` may sign: where it is wanted of him, only while he is logged in.
    ///
    /// # Errors
    /// The sentence for the caller.
    pub async fn signs(&self, person: &str, token: Option<&str>) -> Result<(), String> {
        let Some(login) = self.login.as_ref().filter(|l| l.wants(person)) else {
            return Ok(());
        };
        let Some(token) = token else {
            return Err(format!(
                "The key of {person} counts only while he is logged in: run `jitctl login`."
            ));
        };
        match login.person(token, self.now()).await {
            Ok(id) if id == person => Ok(()),
            Ok(id) => Err(format!(
                "The key is {person}'s, and the login {id}'s: run `jitctl login` as {person}."
            )),
            Err(why) => Err(again(&why)),
        }
    }

    fn now(&self) -> u64 {
        self.clock.unix_ms() / 1000
    }
}

fn again(why: &str) -> String {
    format!("The login is refused: {why}. Run `jitctl login`.")
}

/// One of whom nobody knows would want a token of nobody: more would be open than whoever wrote it believes.
fn known(ring: &KeyRing, key: &str, person: &str) -> Result<(), Error> {
    match ring.person(person) {
        Some(_) => Ok(()),
        None => Err(Error::Config {
            path: Path::new("issuer.toml").to_owned(),
            why: format!(
                "{key}: the trust statement knows no person {person:?}; correct the name, or have the person added"
            ),
        }),
    }
}
