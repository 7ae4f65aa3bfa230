//! All stored grants, by id and by whose they are: what is asked about one person does not look at everybody's.

use super::Stored;
use super::stored::Whole;
use crate::store::grants::GrantFile;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;

#[derive(Default)]
pub struct Grants {
    all: BTreeMap<String, Stored>,
    /// Ids by uid. A stored grant is one person's ([`Stored::load`], also when it starts), and never becomes another's.
    of: HashMap<u32, BTreeSet<String>>,
}

impl Grants {
    pub fn insert(&mut self, id: String, stored: Stored) {
        self.remove(&id);
        let uid = stored.file.uid;
        self.of.entry(uid).or_default().insert(id.clone());
        self.all.insert(id, stored);
    }

    pub fn remove(&mut self, id: &str) -> Option<Stored> {
        let stored = self.all.remove(id)?;
        if let Some(ids) = self.of.get_mut(&stored.file.uid) {
            ids.remove(id);
            if ids.is_empty() {
                self.of.remove(&stored.file.uid);
            }
        }
        Some(stored)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Stored> {
        self.all.get_mut(id)
    }

    /// One that was not put by.
    pub fn whole(&self, id: &str) -> Option<(&GrantFile, &Whole)> {
        let stored = self.all.get(id)?;
        Some((&stored.file, stored.whole()?))
    }

    /// One person's.
    pub fn of(&self, uid: u32) -> impl Iterator<Item = &Stored> {
        let ids = self.of.get(&uid).into_iter().flatten();
        ids.filter_map(|id| self.all.get(id))
    }
}

/// For looks at all of them.
impl Deref for Grants {
    type Target = BTreeMap<String, Stored>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}
