//! What the administrator set for this host: limits (`ceiling.toml`) and manners (`agent.toml`). The shape of the files, and
//! how they stand over each other, is in `settings`.

use settings::agent::Agent as Manners;
use settings::ceiling::Ceiling;
use settings::{Fault, Places};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Read whole, or not at all: a fault in one file leaves nothing usable, and then nothing is given.
#[derive(Clone, Debug)]
pub struct Config {
    pub ceiling: Arc<Ceiling>,
    pub manners: Manners,
    /// `ceiling.max_stale_s` and the like, with their values, to say what a reload changed.
    keys: BTreeMap<String, String>,
}

/// Reads the files of this host.
///
/// # Errors
/// The first fault, with its file, its line and what to write instead.
pub fn load() -> Result<Config, Fault> {
    let places = Places::host();
    let ceiling = places.read::<Ceiling>(|_| Ok(()))?;
    let manners = places.read::<Manners>(|_| Ok(()))?;
    let named = |of: &'static str| {
        move |e: settings::Entry| (format!("{of}.{}", e.key), e.value.to_string())
    };
    let keys = ceiling.entries().into_iter().map(named("ceiling"));
    let keys = keys
        .chain(manners.entries().into_iter().map(named("agent")))
        .collect();
    Ok(Config {
        ceiling: Arc::new(ceiling.value),
        manners: manners.value,
        keys,
    })
}

impl Config {
    /// The keys whose values differ.
    #[must_use]
    pub fn changed(&self, before: &Config) -> Vec<String> {
        let all = self.keys.keys().chain(before.keys.keys());
        let mut keys: Vec<String> = all
            .filter(|k| self.keys.get(*k) != before.keys.get(*k))
            .cloned()
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_its_keys() {
        let with = |keys: &[(&str, &str)]| Config {
            ceiling: Arc::default(),
            manners: Manners::default(),
            keys: keys
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        };
        let before = with(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert!(before.changed(&before).is_empty());
        let after = with(&[("a", "1"), ("b", "0"), ("d", "4")]);
        assert_eq!(after.changed(&before), ["b", "c", "d"]);
    }
}
