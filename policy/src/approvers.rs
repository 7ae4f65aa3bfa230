//! Groups of approvers: `approvers/GROUP` in the format of OpenSSH's `allowed_signers`, so that `ssh-keygen -Y verify`
//! checks an approval with the very same file.
//!
//! The issuer asks these people. A host believes the trust statement alone: this list can only be narrower.

use crate::error::Fault;
use statement::people::Need;
use statement::sshsig::{NAMESPACE, SshKey, SshSig};
use std::collections::{BTreeMap, BTreeSet};

/// Namespace of signatures over a policy's archive.
pub const POLICY_NAMESPACE: &str = "jit-policy-v1@jitctl";

const PERSONS: usize = 512;

/// Keys of persons, by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvers {
    groups: BTreeMap<String, BTreeMap<String, BTreeSet<Vec<u8>>>>,
}

impl Approvers {
    pub(crate) fn parse<'a>(
        files: impl Iterator<Item = (&'a str, &'a str)>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut all = Self::default();
        let mut owners: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for (group, text) in files {
            let path = format!("approvers/{group}");
            match one(text, &mut owners) {
                Ok(persons) => drop(all.groups.insert(group.to_owned(), persons)),
                Err((line, what, hint)) => faults.push(Fault::new(&path, line, what, hint)),
            }
        }
        all
    }

    /// Names of the groups, each with its persons.
    pub fn groups(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.groups
            .iter()
            .map(|(group, persons)| (group.as_str(), persons.keys().map(String::as_str).collect()))
    }

    /// Why these levels can never be filled. A policy without groups leaves that to the trust statement.
    pub(crate) fn lacking(&self, levels: &[Need]) -> Option<String> {
        if self.groups.is_empty() {
            return None;
        }
        levels.iter().find_map(|need| {
            let Some(persons) = self.groups.get(&need.group) else {
                return Some(format!("there is no group {:?}", need.group));
            };
            let count = usize::try_from(need.count).unwrap_or(usize::MAX);
            (persons.len() < count)
                .then(|| format!("group {:?} has {} of {count}", need.group, persons.len()))
        })
    }

    /// Whether there is such a group.
    #[must_use]
    pub fn has(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Whether a key may fill a place of a group. A policy without groups leaves that to the trust statement.
    #[must_use]
    pub fn admits(&self, group: &str, key: &SshKey) -> bool {
        self.groups.is_empty()
            || self
                .groups
                .get(group)
                .is_some_and(|persons| persons.values().any(|keys| keys.contains(key.blob())))
    }

    /// Whether a group is the same in another policy.
    #[must_use]
    pub fn same(&self, other: &Self, group: &str) -> bool {
        self.groups.get(group) == other.groups.get(group)
    }

    /// The persons of a group who signed these bytes as a policy, each once.
    ///
    /// # Errors
    /// A signature that is none, is another's, or is over something else.
    pub fn signed(
        &self,
        group: &str,
        archive: &[u8],
        signatures: &[String],
    ) -> Result<BTreeSet<&str>, String> {
        let Some(persons) = self.groups.get(group) else {
            return Err(format!("there is no group {group:?}"));
        };
        let mut who = BTreeSet::new();
        for text in signatures {
            let signature = SshSig::parse(text).map_err(|e| e.to_string())?;
            let by = persons
                .iter()
                .find(|(_, keys)| keys.contains(signature.key().blob()));
            let Some((person, _)) = by else {
                return Err(format!("a signature is by nobody of group {group:?}"));
            };
            signature
                .verify(POLICY_NAMESPACE, archive)
                .map_err(|e| format!("the signature of {person}: {e}"))?;
            who.insert(person.as_str());
        }
        Ok(who)
    }
}

type Flaw = (usize, String, &'static str);
type Persons = BTreeMap<String, BTreeSet<Vec<u8>>>;

fn one(text: &str, owners: &mut BTreeMap<Vec<u8>, String>) -> Result<Persons, Flaw> {
    let mut persons = Persons::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let flaw = |what: String, hint| (n + 1, what, hint);
        let (person, blob) = entry(line).map_err(|(what, hint)| flaw(what, hint))?;
        let owner = owners.entry(blob.clone()).or_insert_with(|| person.clone());
        if *owner != person {
            let what = format!("the key of {person} is also {owner}'s");
            return Err(flaw(what, "one key is one person's"));
        }
        persons.entry(person).or_default().insert(blob);
    }
    match persons.len() {
        0 => Err((
            1,
            "nobody is in it".to_owned(),
            "add a line: PERSON ssh-ed25519 AAAA…",
        )),
        n if n > PERSONS => Err((1, "too many people".to_owned(), "at most 512 in a group")),
        _ => Ok(persons),
    }
}

/// `PERSON [namespaces="…"] TYPE BASE64 [COMMENT]`
fn entry(line: &str) -> Result<(String, Vec<u8>), (String, &'static str)> {
    let mut words = line.split_ascii_whitespace();
    let person = words.next().unwrap_or_default();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    if !person.bytes().all(good) || person.len() > 64 {
        let what = format!("{person:?} is not one person's name");
        return Err((what, "letters, digits and ._-@, no list and no pattern"));
    }
    let mut kind = words.next().unwrap_or_default();
    if let Some(list) = kind.strip_prefix("namespaces=") {
        let mut names = list.trim_matches('"').split(',');
        if !names.any(|n| n == NAMESPACE) {
            let what = format!("the namespaces of {person} leave out {NAMESPACE}");
            return Err((what, "add it, or drop namespaces="));
        }
        kind = words.next().unwrap_or_default();
    }
    let key = format!("{kind} {}", words.next().unwrap_or_default());
    let key = SshKey::parse(&key).map_err(|e| {
        let what = format!("{person} has no key here that can approve: {e}");
        (
            what,
            "write PERSON TYPE BASE64, as in a .pub file; of options only namespaces=",
        )
    })?;
    Ok((person.to_owned(), key.blob().to_vec()))
}
