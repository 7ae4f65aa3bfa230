//! What a Rego decision says. Anything but exactly these keys and values is a denial.

use crate::file::{self, Seconds};
use crate::outcome::{Effect, Outcome, Terms};
use serde::Deserialize;
use serde_json::Value;
use statement::detail::Record;
use statement::people::Need;

const NAME_MAX: usize = 64;
const REASON_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    effect: file::Effect,
    /// Shown in the grant as the rule that decided.
    rule: Option<String>,
    /// Of a denial, for the user.
    reason: Option<String>,
    levels: Option<Vec<Need>>,
    max: Option<Seconds>,
    witness: Option<String>,
    record: Option<Record>,
}

/// The outcome, or the sentence that denies.
pub(crate) fn outcome(value: Value) -> Result<Outcome, String> {
    let not_understood =
        |why: &str| format!("The policy's decision is not understood, so it denies: {why}.");
    let answer: Answer =
        serde_json::from_value(value).map_err(|e| not_understood(&e.to_string()))?;
    let terms = Terms {
        max_s: answer.max.map(|s| s.0),
        witness: answer.witness,
        record: answer.record,
    };
    let rule = answer.rule.unwrap_or_else(|| "rego".to_owned());
    if !file::plain(&rule, NAME_MAX) {
        return Err(not_understood("bad `rule`"));
    }
    let reason = answer.reason.as_deref();
    if reason.is_some_and(|r| !file::plain(r, REASON_MAX)) {
        return Err(not_understood("bad `reason`"));
    }
    if terms
        .witness
        .as_ref()
        .is_some_and(|w| !file::plain(w, NAME_MAX))
    {
        return Err(not_understood("bad `witness`"));
    }
    let effect = Effect::new(answer.effect, answer.levels, &terms)
        .map_err(|flaw| not_understood(&format!("{}; {}", flaw.what, flaw.hint)))?;
    if reason.is_some() && !matches!(effect, Effect::Deny) {
        return Err(not_understood("`reason` is for denials"));
    }
    let why = || {
        reason.map_or_else(
            || format!("The policy's rule {rule:?} denies it."),
            str::to_owned,
        )
    };
    Ok(effect.outcome(rule.clone(), terms, why))
}
