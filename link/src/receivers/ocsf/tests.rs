use super::*;

#[test]
fn times() {
    for (time, want) in [
        ("1970-01-01T00:00:00.000Z", Some(0)),
        ("2026-11-20T13:56:03.120Z", Some(1_795_182_963_120)),
        ("2024-02-29T23:59:59.999Z", Some(1_709_251_199_999)),
        ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
        ("2026-11-20 13:56:03.120Z", None),
        ("yesterday", None),
        ("2026-11-20T13:56:03.120+01:00", None),
    ] {
        assert_eq!(unix_ms(time), want, "{time}");
    }
}

fn made(record: &Value) -> Value {
    let sender = Sender {
        host: "web1".into(),
        origin: "jit/h/l".into(),
    };
    event(&sender, 3, &record.to_string(), record)
}

#[test]
fn each_type_has_its_class() {
    for (kind, type_uid) in [
        ("use", 300_207),
        ("close", 300_202),
        ("request", 300_401),
        ("extend", 300_403),
        ("grant", 300_410),
        ("end", 300_411),
        ("refused", 300_401),
        ("alert", 200_401),
        ("start", 600_203),
        ("stop", 600_204),
        ("clock", 99),
        ("proof", 99),
        ("not-known", 99),
    ] {
        let event = made(&json!({ "type": kind, "login": "alice", "uid": 7 }));
        assert_eq!(event["type_uid"], type_uid, "{kind}");
        let sum =
            event["class_uid"].as_u64().unwrap() * 100 + event["activity_id"].as_u64().unwrap();
        assert_eq!(sum, type_uid, "{kind}");
        assert_eq!(event["metadata"]["event_code"], kind);
    }
    let event =
        made(&json!({ "type": "refused", "command": ["/bin/id"], "detail": { "why": "no" } }));
    assert_eq!(
        (&event["type_uid"], &event["status_id"]),
        (&json!(300_207), &json!(2))
    );
    assert_eq!(event["status_detail"], "no");
    for (decision, type_uid, severity) in [
        ("allow", 200_401, 5),
        ("deny", 200_401, 5),
        ("received", 99, 1),
    ] {
        let event = made(&json!({ "type": "breakglass", "decision": decision }));
        assert_eq!(
            (&event["type_uid"], &event["severity_id"]),
            (&json!(type_uid), &json!(severity)),
            "{decision}"
        );
    }
}

/// All types of records, and one that is not known.
const TYPES: [&str; 26] = [
    "start",
    "stop",
    "request",
    "grant",
    "extend",
    "refused",
    "use",
    "list",
    "close",
    "end",
    "proof",
    "escape",
    "revocation",
    "policy",
    "trust",
    "config",
    "enrol",
    "clock",
    "heartbeat",
    "witness",
    "breakglass",
    "alert",
    "prune",
    "probe",
    "recovery",
    "not-known",
];

/// What the schema requires: members of every event, of each class, of each object that is there.
#[track_caller]
fn fits_the_schema(event: &Value) {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../tests/siem/ocsf-1.8.0.json")).unwrap();
    let names = |of: &Value| -> Vec<String> {
        let names = of.as_array().unwrap().iter();
        names.map(|n| n.as_str().unwrap().to_owned()).collect()
    };
    let class = &schema["classes"][event["class_uid"].to_string()];
    assert!(class.is_object(), "a class that is not in use: {event}");
    for name in names(&schema["every"]) {
        let known = event[&name].is_u64() || name == "metadata";
        assert!(known, "{name} of {event}");
    }
    assert_eq!(event["category_uid"], class["category_uid"], "{event}");
    let of = |list: &Value, name: &str| {
        let known = list.as_array().unwrap().contains(&event[name]);
        assert!(known, "{name} of {event}");
    };
    of(&schema["severity_id"], "severity_id");
    of(&class["activity_id"], "activity_id");
    of(&class["status_id"], "status_id");
    let has = |object: &Value, rule: &Value, what: &str| {
        let there = |name: &String| object.get(name).is_some_and(|v| !v.is_null());
        assert!(
            names(&rule["required"]).iter().all(there),
            "{what} of {event}"
        );
        let one = names(&rule["one_of"]);
        assert!(one.is_empty() || one.iter().any(there), "{what} of {event}");
    };
    has(event, class, "a member");
    for (path, rule) in schema["objects"].as_object().unwrap() {
        let object = event.pointer(&format!("/{}", path.replace('.', "/")));
        if let Some(object) = object {
            has(object, rule, path);
        }
    }
    // What "other" is has to be said beside it.
    let other = event["activity_id"] != 99 || event["activity_name"].is_string();
    assert!(other, "{event}");
}

#[test]
fn each_type_has_what_its_class_requires() {
    for kind in TYPES {
        let full = json!({
            "type": kind, "time": "2026-11-20T13:56:03.120Z", "login": "alice", "uid": 7, "decision": "deny",
            "grant": "G", "request": "R", "role": "one", "reason": "r", "command": ["/bin/id"],
            "detail": { "code": "burst", "why": "no" },
        });
        for record in [json!({ "type": kind }), full] {
            for decision in [
                Value::Null,
                json!("allow"),
                json!("deny"),
                json!("received"),
            ] {
                let mut record = record.clone();
                record["decision"] = decision;
                fits_the_schema(&made(&record));
            }
        }
    }
}

#[test]
fn what_was_refused_is_a_failure_and_a_finding_is_new() {
    for (kind, status) in [("use", 2), ("request", 2), ("breakglass", 1), ("alert", 1)] {
        let event = made(&json!({ "type": kind, "decision": "deny" }));
        assert_eq!(event["status_id"], status, "{kind}");
    }
    assert_eq!(
        made(&json!({ "type": "use", "decision": "allow" }))["status_id"],
        1
    );
}

#[test]
fn nothing_of_a_record_is_lost() {
    let record = json!({ "type": "use", "reason": "r", "detail": { "x": 1 } });
    let event = made(&record);
    assert_eq!(event["raw_data"], record.to_string());
    assert_eq!(event["unmapped"]["detail"]["x"], 1);
}
