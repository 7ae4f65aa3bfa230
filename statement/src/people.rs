//! Who is who, and whose word counts: the trust statement's map of people. Persons are compared, never names or
//! keys: one with two keys or two logins is still one.

use crate::Refused;
use crate::claims::Grant;
use crate::keys::KeyRing;
use crate::sshsig::{NAMESPACE, SshKey, SshSig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most approvals in a bundle.
pub const MAX_APPROVALS: usize = 16;

/// Somebody, by every name and key the root keys know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// 1..=64 bytes.
    pub id: String,
    /// Groups of approvers; ≤ 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Accounts on hosts; ≤ 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// ≤ 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PersonKey>,
}

/// A login with its uid on the hosts of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub login: String,
    pub uid: u32,
    /// The part of a host's id between `spiffe://` and `/host/`.
    pub domain: String,
}

/// A key a person approves with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonKey {
    /// Type and base64, as in a `.pub` file without the comment.
    pub ssh: String,
    /// Unix seconds: counts for grants with `nbf <= iat < exp`, and no longer than `exp`.
    pub nbf: u64,
    pub exp: u64,
}

/// So many persons of this group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    pub group: String,
    /// 1..=16.
    pub count: u32,
}

/// One approval as it travels beside a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub fmt: Format,
    /// Id of the person.
    pub by: String,
    /// The armoured signature over the request's bytes.
    pub sig: String,
}

/// How an approval is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Sshsig,
}

/// Somebody who has approved: verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    pub person: String,
    pub groups: Vec<String>,
    /// Unix seconds; from then on his word no longer counts.
    pub until: u64,
    /// He asked for it himself: the root keys let his own approval count, and nobody else gave this one.
    pub own: bool,
}

/// The map, ready to be asked. Made only from a verified trust statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct People {
    list: Vec<Person>,
    by_account: BTreeMap<Account, usize>,
    by_key: BTreeMap<Vec<u8>, (usize, u64, u64)>,
}

impl People {
    /// Refuses a map in which a name, an account or a key stands for two.
    pub(crate) fn new(list: &[Person]) -> Result<People, Refused> {
        let twice = |what: &str| {
            Err(Refused::Trust {
                why: format!("{what} is listed twice"),
            })
        };
        let mut people = People {
            list: list.to_vec(),
            ..People::default()
        };
        let mut ids = BTreeSet::new();
        for (n, person) in list.iter().enumerate() {
            if !ids.insert(&person.id) {
                return twice("a person");
            }
            for account in &person.accounts {
                if people.by_account.insert(account.clone(), n).is_some() {
                    return twice("an account");
                }
            }
            for key in &person.keys {
                let blob = SshKey::parse(&key.ssh)?.blob().to_vec();
                let entry = (n, key.nbf, key.exp);
                if people.by_key.insert(blob, entry).is_some() {
                    return twice("a person's key");
                }
            }
        }
        Ok(people)
    }

    /// Who has this account on that host.
    pub(crate) fn of_account(&self, login: &str, uid: u32, host: &str) -> Option<&Person> {
        let account = Account {
            login: login.to_owned(),
            uid,
            domain: trust_domain(host).unwrap_or_default().to_owned(),
        };
        self.list.get(*self.by_account.get(&account)?)
    }

    /// The end of the key of this id.
    pub(crate) fn until_of_kid(&self, kid: &str) -> Option<u64> {
        let keys = self.list.iter().flat_map(|p| &p.keys);
        let mut same = keys.filter(|k| SshKey::parse(&k.ssh).is_ok_and(|key| key.kid() == kid));
        same.next().map(|k| k.exp)
    }

    /// The person of this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Person> {
        self.list.iter().find(|person| person.id == id)
    }

    /// Whose key it is, and its times.
    pub(crate) fn of_key(&self, key: &SshKey) -> Option<(&Person, u64, u64)> {
        let (n, nbf, exp) = self.by_key.get(key.blob())?;
        Some((self.list.get(*n)?, *nbf, *exp))
    }
}

/// Verifies the approvals of a grant on host `host`: each is signed by a key of the person it names, over exactly these
/// bytes, by a key valid at the grant's `iat`; no two are one person's, and none is the requester's where the root keys
/// do not say that his own counts. Whether they are enough is not said here: see [`met`].
pub(crate) fn verify(
    approvals: &[Approval],
    grant: &Grant,
    request: &[u8],
    ring: &KeyRing,
    host: &str,
) -> Result<Vec<Approver>, Refused> {
    let refuse = |why: String| Err(Refused::Approval { why });
    if approvals.is_empty() {
        return refuse("the bundle carries no approvals".to_owned());
    }
    if approvals.len() > MAX_APPROVALS {
        return refuse(format!(
            "the bundle carries more than {MAX_APPROVALS} approvals"
        ));
    }
    // Limits make all details name one account. Somebody unknown could be one of the approvers under another name.
    let requester = grant
        .authorization_details
        .first()
        .and_then(|d| ring.people.of_account(&d.login, d.uid, host));
    let requester = requester.ok_or_else(unknown_requester)?;
    let asked = (grant.role.as_str(), requester);
    let mut seen = BTreeSet::new();
    let mut approvers = Vec::new();
    for approval in approvals {
        let approver = one(approval, grant.iat, request, ring, asked)?;
        if !seen.insert(approver.person.clone()) {
            return refuse(format!("{} has approved twice", approver.person));
        }
        approvers.push(approver);
    }
    Ok(approvers)
}

pub(crate) fn unknown_requester() -> Refused {
    Refused::Approval {
        why: "the trust statement does not say who the requester is".to_owned(),
    }
}

/// One approval of a request for `role`, with a key that is valid at `at`: by somebody else than the requester, or by
/// himself where the root keys say so for that role. Issuer and hosts both ask this, and nothing else says it.
pub(crate) fn one(
    approval: &Approval,
    at: u64,
    request: &[u8],
    ring: &KeyRing,
    (role, requester): (&str, &Person),
) -> Result<Approver, Refused> {
    let refuse = |why: String| Err(Refused::Approval { why });
    let signature = SshSig::parse(&approval.sig)?;
    let known = ring.people.of_key(signature.key());
    let Some((person, nbf, exp)) = known.filter(|(p, ..)| p.id == approval.by) else {
        return refuse(format!("{:?} has no such key", approval.by));
    };
    if at < nbf || at >= exp {
        return refuse(format!(
            "the key of {} was not valid when the grant was made",
            person.id
        ));
    }
    signature.verify(NAMESPACE, request)?;
    let own = person.id == requester.id;
    if own && !ring.own_approval_counts(role) {
        return refuse(format!("{} has approved the own request", person.id));
    }
    Ok(Approver {
        person: person.id.clone(),
        groups: person.groups.clone(),
        until: exp,
        own,
    })
}

/// Whether these persons fill all needs, each person at most one place: two of `dev` and one of `security` are three
/// persons.
///
/// # Errors
/// The sentence that says what is missing.
pub fn met(needs: &[Need], approvers: &[Approver]) -> Result<(), String> {
    if missing(needs, approvers).is_empty() {
        return Ok(());
    }
    let had: Vec<&str> = approvers.iter().map(|a| a.person.as_str()).collect();
    Err(format!(
        "{} must approve, and only {} did",
        in_words(needs),
        if had.is_empty() {
            "nobody".to_owned()
        } else {
            had.join(", ")
        }
    ))
}

/// What these persons leave open of the needs, with as many places filled as can be; empty when they fill them all.
pub fn missing(needs: &[Need], approvers: &[Approver]) -> Vec<Need> {
    let places: Vec<&str> = needs
        .iter()
        .flat_map(|n| (0..n.count).map(|_| n.group.as_str()))
        .collect();
    // Place taken by each person. Augmenting paths: a new place may move earlier persons to other places of theirs, and a
    // place that is taken once stays so.
    let mut taken: Vec<Option<usize>> = vec![None; approvers.len()];
    let mut open: Vec<Need> = Vec::new();
    for place in 0..places.len() {
        let mut tried = vec![false; approvers.len()];
        if fill(place, &places, approvers, &mut taken, &mut tried) {
            continue;
        }
        match open.iter_mut().find(|n| n.group == places[place]) {
            Some(need) => need.count += 1,
            None => open.push(Need {
                group: places[place].to_owned(),
                count: 1,
            }),
        }
    }
    open
}

/// `2 of dev and 1 of security`
pub fn in_words(needs: &[Need]) -> String {
    let words: Vec<String> = needs
        .iter()
        .map(|n| format!("{} of {}", n.count, n.group))
        .collect();
    words.join(" and ")
}

fn fill(
    place: usize,
    places: &[&str],
    approvers: &[Approver],
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for person in 0..approvers.len() {
        let fits = approvers[person].groups.iter().any(|g| g == places[place]);
        if !fits || std::mem::replace(&mut tried[person], true) {
            continue;
        }
        let free = match taken[person] {
            None => true,
            Some(other) => fill(other, places, approvers, taken, tried),
        };
        if free {
            taken[person] = Some(place);
            return true;
        }
    }
    false
}

/// `spiffe://<domain>/…`
pub fn trust_domain(id: &str) -> Option<&str> {
    let (domain, _) = id.strip_prefix("spiffe://")?.split_once('/')?;
    Some(domain)
}
