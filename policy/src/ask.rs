//! What a request asks of the policy: all that a rule may look at.

use serde::{Deserialize, Serialize};
use statement::detail::Detail;
use std::collections::BTreeMap;

/// One request. As JSON it is what rules get as `input` and what a recording of requests holds, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub requester: Requester,
    pub host: Host,
    pub role: String,
    /// Seconds of life.
    pub duration: u64,
    #[serde(default)]
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Unix seconds of the decision.
    #[serde(default)]
    pub at: u64,
    /// What the role stands for, or the part of it that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// Who asks, as his host says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    pub login: String,
    #[serde(default)]
    pub uid: u32,
}

/// Where the right is to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Ask {
    /// The least that a table of rules looks at.
    #[must_use]
    pub fn new(role: &str, login: &str, duration: u64) -> Self {
        Self {
            requester: Requester {
                login: login.to_owned(),
                uid: 0,
            },
            role: role.to_owned(),
            duration,
            ..Self::default()
        }
    }
}

/// The request as rules see it: with the time in parts and who is on call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Input {
    #[serde(flatten)]
    ask: Ask,
    time: Time,
    /// Logins by group.
    on_call: BTreeMap<String, Vec<String>>,
}

/// UTC, so that no rule depends on where the issuer runs.
#[derive(Clone, Debug, Serialize)]
struct Time {
    /// `2026-11-20`
    date: String,
    /// `mon` … `sun`
    weekday: &'static str,
    hour: i8,
    minute: i8,
}

impl Input {
    /// None when the time is none.
    pub(crate) fn new(ask: Ask, on_call: BTreeMap<String, Vec<String>>) -> Option<Self> {
        let seconds = i64::try_from(ask.at).ok()?;
        let at = jiff::Timestamp::from_second(seconds).ok()?;
        let at = jiff::tz::Offset::UTC.to_datetime(at);
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let day = usize::try_from(at.weekday().to_monday_zero_offset()).ok()?;
        let time = Time {
            date: at.date().to_string(),
            weekday: days.get(day)?,
            hour: at.hour(),
            minute: at.minute(),
        };
        Some(Self { ask, time, on_call })
    }

    pub(crate) fn ask(&self) -> &Ask {
        &self.ask
    }
}
