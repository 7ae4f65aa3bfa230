//! `on-call.json`: who is on call and when, as the tool that plans it exports it.

use crate::error::{Fault, Source};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Shifts by group.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnCall(BTreeMap<String, Vec<Shift>>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shift {
    login: String,
    /// Unix seconds: on call with `from <= now < until`.
    from: u64,
    until: u64,
}

const FILE: &str = "on-call.json";

impl OnCall {
    pub(crate) fn parse(text: Option<&str>, faults: &mut Vec<Fault>) -> Self {
        let Some(text) = text else {
            return Self::default();
        };
        match serde_json::from_str(text) {
            Ok(groups) => Self(groups),
            Err(e) => {
                let said = e.to_string();
                let what = said.split(" at line ").next().unwrap_or(&said);
                let (what, hint) = Source::explain(what);
                faults.push(Fault::new(FILE, e.line(), what, hint));
                Self::default()
            }
        }
    }

    /// Who is on call then. A group of the file is always there, perhaps empty.
    pub(crate) fn at(&self, now: u64) -> BTreeMap<String, Vec<String>> {
        let on = |shifts: &Vec<Shift>| {
            let shifts = shifts.iter().filter(|s| s.from <= now && now < s.until);
            shifts.map(|s| s.login.clone()).collect()
        };
        self.0.iter().map(|(g, s)| (g.clone(), on(s))).collect()
    }
}
