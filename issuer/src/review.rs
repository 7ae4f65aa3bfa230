//! Four eyes for a policy that gives more: before it counts, the requests of the past are decided by it and by the one
//! in force. When one that was denied would not be any more, or fewer people would be asked, two people of the
//! reviewing group *of the policy in force* must have signed the new one. So must they when it changes that group.

use crate::error::Error;
use crate::out;
use crate::requests;
use crate::store::{Core, Db, Recorded};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::replay::{Change, replay};
use policy::{Ask, Policy, dir};
use statement::claims::Request;
use std::path::Path;

/// Requests of the past that are looked at.
const RECORDED: u32 = 2000;
/// Whoever wrote it and whoever looked at it.
const PERSONS: usize = 2;

/// Refuses a policy that needs a look which nobody took.
///
/// # Errors
/// [`Error::Policy`] with what would be given and what to do; the store's.
pub async fn look(
    db: &Db,
    group: Option<&str>,
    old: Option<&Policy>,
    new: &Policy,
    file: &Path,
    text: &str,
) -> Result<(), Error> {
    let Some(old) = old.filter(|old| old.digest() != new.digest()) else {
        return Ok(());
    };
    let asks = db.call(recorded).await?;
    let (a, b) = (old.clone(), new.clone());
    let changes = tokio::task::spawn_blocking(move || replay(&a, &b, asks.iter()))
        .await
        .map_err(|_| Error::Worker)?;
    let wider: Vec<&Change> = changes.iter().filter(|c| c.widens()).collect();
    let what = wider.first().map(|first| example(wider.len(), first));
    let Some(group) = group.filter(|g| old.approvers().has(g)) else {
        if let Some(what) = what {
            let why = match group {
                None => "policy_review is not set",
                Some(_) => "the policy in force has no such group",
            };
            out::warn(format_args!("{what}; nobody had to look at it: {why}"));
        }
        return Ok(());
    };
    let what = match what {
        Some(what) => what,
        None if old.approvers().same(new.approvers(), group) => return Ok(()),
        None => format!("the policy changes the group {group}"),
    };
    let fault = |why: String| Error::Policy {
        path: file.to_owned(),
        why,
    };
    let folder = file.parent().unwrap_or(Path::new("/"));
    let signatures = dir::reviews(folder).map_err(|e| fault(e.to_string()))?;
    let who = old
        .approvers()
        .signed(group, text.as_bytes(), &signatures)
        .map_err(|why| fault(format!("{what}, and reviews/ cannot be used: {why}")))?;
    let names: Vec<&str> = who.iter().copied().collect();
    let names = names.join(", ");
    if who.len() < PERSONS {
        let signed = if names.is_empty() { "nobody" } else { &names };
        return Err(fault(format!(
            "{what}; {PERSONS} people of {group} must sign it, and {signed} did: jitctl policy bundle > policy.json; ssh-keygen -Y sign -n {} -f KEY policy.json; put each policy.json.sig into reviews/ as NAME.sig",
            policy::approvers::POLICY_NAMESPACE
        )));
    }
    out::info(format_args!("{what}; signed by {names}"));
    Ok(())
}

fn example(count: usize, first: &Change) -> String {
    let ask = &first.ask;
    format!(
        "{count} recorded requests would be given more than before, as {} to {} on {}: {} instead of {}",
        ask.role,
        ask.requester.login.escape_debug(),
        ask.host.name.escape_debug(),
        first.new,
        first.old
    )
}

/// As the policy would see them now. They were authentic when they came.
fn recorded(core: &mut Core) -> Result<Vec<Ask>, Error> {
    let mut asks = Vec::new();
    for one in core.store.recorded(RECORDED)? {
        let host = core.store.host(&one.host)?;
        if let (Some(host), Some(request)) = (host, claims(&one))
            && let Some(first) = request.authorization_details.first()
        {
            asks.push(requests::ask(&host, &request, first, one.at));
        }
    }
    Ok(asks)
}

fn claims(recorded: &Recorded) -> Option<Request> {
    let payload = recorded.jws.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
