//! The shape of `roles.toml`. Unknown keys are faults; every value keeps its place in the text.

use crate::duration;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use statement::detail::{Auth, Command, Door, OnEnd, Record, Witnessed};
use statement::people::Need;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub default: Spanned<String>,
    pub roles: BTreeMap<Spanned<String>, Spanned<Role>>,
    #[serde(default)]
    pub approve: Vec<Spanned<Rule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Role {
    /// Life of a grant when none is asked for; absent = the lower of 15 minutes and `max`.
    pub default: Option<Spanned<Seconds>>,
    pub max: Spanned<Seconds>,
    pub max_stale: Option<Spanned<MaybeZero>>,
    pub doors: Spanned<Vec<Door>>,
    #[serde(default)]
    pub groups: Vec<Spanned<String>>,
    pub runas: Option<Spanned<Wide<Spanned<String>>>>,
    pub commands: Option<Spanned<Wide<Spanned<Command>>>>,
    #[serde(default)]
    pub shell: bool,
    #[serde(default)]
    pub sudoedit: Vec<Spanned<String>>,
    #[serde(default)]
    pub cwd: Vec<Spanned<String>>,
    #[serde(default)]
    pub env: Vec<Spanned<String>>,
    #[serde(default)]
    pub tty: bool,
    #[serde(default)]
    pub once: bool,
    pub auth: Option<Auth>,
    pub record: Option<Spanned<Record>>,
    pub on_end: Option<OnEnd>,
    #[serde(default)]
    pub unlock: Vec<Spanned<String>>,
    /// When the journal's witness must have seen it.
    pub witnessed: Option<Witnessed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Shown in the grant as the rule that decided; absent = its number.
    pub name: Option<Spanned<String>>,
    pub roles: Vec<Spanned<String>>,
    /// Absent = everyone.
    pub logins: Option<Vec<Spanned<String>>>,
    pub effect: Spanned<Effect>,
    /// Who must approve, one group after the other; with `approve` alone.
    pub levels: Option<Spanned<Vec<Need>>>,
    /// Longest life that this rule gives.
    pub max: Option<Spanned<Seconds>>,
    pub witness: Option<Spanned<String>>,
    pub record: Option<Spanned<Record>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    Automatic,
    Approve,
    Deny,
}

/// At least one second.
pub(crate) struct Seconds(pub u64);

/// Also `0s`.
pub(crate) struct MaybeZero(pub u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Duration(duration::parse)).map(Self)
    }
}

impl<'de> Deserialize<'de> for MaybeZero {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Duration(duration::parse_or_zero))
            .map(Self)
    }
}

struct Duration(fn(&str) -> Result<u64, duration::Bad>);

impl Visitor<'_> for Duration {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration in quotes, as \"90s\", \"15m\" or \"1h\"")
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<u64, E> {
        (self.0)(v).map_err(|bad| {
            let sentence = bad.to_string();
            let (what, hint) = sentence
                .split_once(": ")
                .unwrap_or((&sentence, "as in \"90s\", \"15m\" or \"1h\""));
            E::custom(format!("{v:?}: {what}; {hint}"))
        })
    }
}

/// `"ALL"` or a list. Not serde's untagged form: that loses the place and the reason of a fault in the list.
pub(crate) enum Wide<T> {
    All,
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wide<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = Wide<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"ALL\" or a list")
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Wide<T>, E> {
                if v == "ALL" {
                    Ok(Wide::All)
                } else {
                    Err(E::custom(format!(
                        "{v:?} is neither \"ALL\" nor a list; write \"ALL\" or [ … ]"
                    )))
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Wide<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Wide::List(list))
            }
        }
        d.deserialize_any(V(PhantomData))
    }
}

/// A name that people read: not empty, not too long, no control characters.
pub(crate) fn plain(s: &str, max: usize) -> bool {
    !s.is_empty() && s.len() <= max && !s.chars().any(char::is_control)
}
