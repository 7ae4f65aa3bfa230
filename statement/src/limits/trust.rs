//! Limits of a trust statement's rules and people.

use super::forms::{account, role_name, time};
use super::rule;
use crate::Refused;
use crate::detail::AllOr;
use crate::people::{Need, Person};
use crate::sshsig::SshKey;
use crate::trust::Rules;
use std::collections::BTreeSet;

/// Places that one role's needs may have together.
const MAX_PLACES: u32 = 16;

pub(super) fn rules(rules: &Rules) -> Result<(), Refused> {
    if let AllOr::List(roles) = &rules.automatic {
        rule(roles.len() <= 64, "rules.automatic", "at most 64")?;
        roles.iter().try_for_each(|r| role_name(r))?;
        let both = roles.iter().any(|r| rules.approval.contains_key(r));
        rule(!both, "rules", "a role is automatic or approved, not both")?;
    }
    rule(rules.approval.len() <= 64, "rules.approval", "at most 64")?;
    for (role, wanted) in &rules.approval {
        role_name(role)?;
        needs(wanted)?;
    }
    // A role that nobody must approve has no approvals to count.
    let own = &rules.self_approval;
    rule(
        own.iter().all(|r| rules.approval.contains_key(r)),
        "rules.self_approval",
        "only roles of rules.approval",
    )?;
    let mut seen = BTreeSet::new();
    rule(
        own.iter().all(|r| seen.insert(r)),
        "rules.self_approval",
        "each role once",
    )
}

/// Who must approve: 1 to 4 groups, at most 16 persons together.
pub fn needs(wanted: &[Need]) -> Result<(), Refused> {
    rule(
        (1..=4).contains(&wanted.len()),
        "rules.approval",
        "1 to 4 groups",
    )?;
    wanted
        .iter()
        .try_for_each(|n| name(&n.group, "rules.approval"))?;
    let each = wanted.iter().all(|n| (1..=MAX_PLACES).contains(&n.count));
    // Each is small, so the sum cannot overflow.
    let all = each && wanted.iter().map(|n| n.count).sum::<u32>() <= MAX_PLACES;
    rule(all, "rules.approval", "1 to 16 persons")
}

pub(super) fn person(person: &Person) -> Result<(), Refused> {
    name(&person.id, "people.id")?;
    rule(person.groups.len() <= 16, "people.groups", "at most 16")?;
    person
        .groups
        .iter()
        .try_for_each(|g| name(g, "people.groups"))?;
    rule(person.accounts.len() <= 32, "people.accounts", "at most 32")?;
    for one in &person.accounts {
        account(&one.login, "people.accounts")?;
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let good = (1..=255).contains(&one.domain.len()) && one.domain.bytes().all(word);
        rule(good, "people.accounts", "not a trust domain")?;
    }
    rule(person.keys.len() <= 8, "people.keys", "at most 8")?;
    for key in &person.keys {
        SshKey::parse(&key.ssh)?;
        time(key.exp, "people.keys")?;
        rule(key.nbf < key.exp, "people.keys", "exp after nbf")?;
    }
    Ok(())
}

/// Of a person or of a group of approvers.
fn name(text: &str, member: &'static str) -> Result<(), Refused> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    let good = (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(allowed);
    rule(
        good,
        member,
        "1 to 64 of letters, digits and ._-@, a letter or digit first",
    )
}
