//! A record as an event of OCSF 1.8.0. The mapping has a version of its own, [`MAPPING`]; a SIEM that asks for more than
//! it says finds the whole record in `raw_data`, and what has no place of its own in `unmapped`.

use super::syslog::{Sender, severity};
use serde_json::{Map, Value, json};

/// Of OCSF.
const VERSION: &str = "1.8.0";
/// Changes when the same record becomes another event.
pub const MAPPING: &str = "jit-ocsf-1";

/// Classes of OCSF 1.8.0 and their activities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// `base_event`: no class fits.
    Base,
    /// `authentication`, Account Switch.
    Switch,
    /// `authentication`, Logoff.
    SwitchBack,
    /// `entity_management` with this activity.
    Entity(u64),
    /// `detection_finding`, Create.
    Finding,
    /// `application_lifecycle` with this activity.
    Life(u64),
}

impl Class {
    /// Where a record belongs.
    fn of(record: &Value) -> Self {
        match record["type"].as_str().unwrap_or_default() {
            "use" => Self::Switch,
            "refused" if !record["command"].is_null() => Self::Switch,
            "close" => Self::SwitchBack,
            "request" | "refused" => Self::Entity(1),
            "extend" | "policy" | "trust" | "enrol" => Self::Entity(3),
            "grant" => Self::Entity(10),
            "end" | "revocation" => Self::Entity(11),
            "alert" | "recovery" | "escape" => Self::Finding,
            "breakglass" if record["decision"] != "received" => Self::Finding,
            "start" => Self::Life(3),
            "stop" => Self::Life(4),
            _ => Self::Base,
        }
    }

    /// Category, class, activity.
    const fn numbers(self) -> (u64, u64, u64) {
        match self {
            Self::Base => (0, 0, 99),
            Self::Switch => (3, 3002, 7),
            Self::SwitchBack => (3, 3002, 2),
            Self::Entity(activity) => (3, 3004, activity),
            Self::Finding => (2, 2004, 1),
            Self::Life(activity) => (6, 6002, activity),
        }
    }
}

/// The event.
pub fn event(sender: &Sender, index: u64, text: &str, record: &Value) -> Value {
    let class = Class::of(record);
    let (category, class_uid, activity) = class.numbers();
    let kind = record["type"].as_str().unwrap_or("unknown");
    let refused = record["decision"] == "deny" || kind == "refused";
    let mut event = json!({
        "activity_id": activity,
        "category_uid": category,
        "class_uid": class_uid,
        "type_uid": class_uid * 100 + activity,
        "severity_id": match severity(record) { 1 => 5, 2 => 4, 3 | 4 => 3, _ => 1 },
        // Of a finding: that it is new.
        "status_id": if refused && class != Class::Finding { 2 } else { 1 },
        "time": record["time"].as_str().and_then(unix_ms).unwrap_or(0),
        "message": format!("jit {kind}"),
        "metadata": {
            "version": VERSION,
            "log_version": MAPPING,
            "log_name": sender.origin,
            "sequence": index,
            "uid": format!("{}#{index}", sender.origin),
            "event_code": kind,
            "profiles": ["host"],
            "product": { "name": "jit", "vendor_name": "jit", "version": env!("CARGO_PKG_VERSION") },
        },
        "device": { "hostname": sender.host, "type_id": 0 },
        "raw_data": text,
    });
    let mut more = Map::new();
    let mut put = |name: &str, value: Value| drop(more.insert(name.to_owned(), value));
    let user = user(record);
    if activity == 99 {
        put("activity_name", kind.into());
    }
    match class {
        Class::Switch | Class::SwitchBack => {
            put("user", user);
            put("account_switch_type_id", 1.into());
            put("service", json!({ "name": "sudo" }));
        }
        Class::Entity(_) => {
            put("entity", entity(kind, record));
            put("actor", json!({ "user": user }));
            if record["reason"].is_string() {
                put("comment", record["reason"].clone());
            }
        }
        Class::Finding => {
            let uid = format!("{}#{index}", sender.origin);
            let why = record["detail"]["why"].as_str().unwrap_or(kind);
            put(
                "finding_info",
                json!({ "uid": uid, "title": format!("jit {kind}"), "desc": why }),
            );
        }
        Class::Life(_) => put("app", json!({ "name": "jit-agent", "vendor_name": "jit" })),
        Class::Base => {}
    }
    if refused {
        let why = [&record["detail"]["why"], &record["reason"]];
        if let Some(why) = why.into_iter().find(|w| w.is_string()) {
            put("status_detail", why.clone());
        }
    }
    let told = ["time", "type", "boot_ns", "boot_id", "key", "epoch"];
    let rest: Map<String, Value> = record
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !told.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !rest.is_empty() {
        put("unmapped", rest.into());
    }
    if let Value::Object(event) = &mut event {
        event.append(&mut more);
    }
    event
}

fn user(record: &Value) -> Value {
    let mut user = Map::new();
    if let Some(name) = record["login"].as_str() {
        user.insert("name".into(), name.into());
    }
    if let Some(uid) = record["uid"].as_u64() {
        user.insert("uid".into(), uid.to_string().into());
    }
    if user.is_empty() {
        user.insert("name".into(), "root".into());
    }
    user.into()
}

/// What is asked for, given, changed or ended.
fn entity(kind: &str, record: &Value) -> Value {
    let name = record["role"].as_str();
    let id = [&record["grant"], &record["request"]];
    let id = id.into_iter().find_map(Value::as_str);
    let (kind_id, kind_name) = match kind {
        "policy" => (5, "Policy"),
        "trust" | "enrol" | "revocation" => (99, kind),
        _ => (99, "grant"),
    };
    json!({
        "name": name.unwrap_or(kind),
        "uid": id.unwrap_or(kind),
        "type_id": kind_id,
        "type": kind_name,
    })
}

/// Milliseconds since 1970 of an RFC 3339 time in UTC.
fn unix_ms(time: &str) -> Option<i64> {
    let digits = |from: usize, to: usize| -> Option<i64> {
        let part = time.get(from..to)?;
        let all = part.bytes().all(|b| b.is_ascii_digit());
        all.then(|| part.parse().ok()).flatten()
    };
    let at = |at: usize, wanted: &str| time.get(at..at + 1) == Some(wanted);
    let shape = at(4, "-") && at(7, "-") && at(10, "T") && at(13, ":") && at(16, ":");
    if !shape || !time.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let ms = if at(19, ".") { digits(20, 23)? } else { 0 };
    // Days before the month in a year that begins in March, so that the leap day is its last.
    let shifted = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + of_year - 719_468;
    let seconds = days * 86_400 + digits(11, 13)? * 3600 + digits(14, 16)? * 60 + digits(17, 19)?;
    Some(seconds * 1000 + ms)
}

#[cfg(test)]
mod tests;
