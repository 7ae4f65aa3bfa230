//! Grants whose claims are not the JSON they must be.

use crate::Cases;
use crate::grants::Making;
use crate::world::*;
use serde_json::Value;

pub fn claims(cases: &mut Cases, world: &World) {
    let m = Making::new(world, &request(), &grant());
    let payload = m.payload();
    let spoil = |from: &str, to: &str| {
        assert!(payload.contains(from), "{from}");
        m.with_payload(&payload.replacen(from, to, 1))
    };
    let exp = format!(r#""exp":{}"#, T0 + 901);
    for (name, says, to) in [
        (
            "exp as text",
            "expected u64",
            format!(r#""exp":"{}""#, T0 + 901),
        ),
        (
            "exp as a float",
            "floating point",
            format!(r#""exp":{}.0"#, T0 + 901),
        ),
        (
            "exp with an exponent",
            "floating point",
            r#""exp":1.8e9"#.to_owned(),
        ),
        ("exp negative", "integer `-1`", r#""exp":-1"#.to_owned()),
        ("exp minus zero", "floating point", r#""exp":-0"#.to_owned()),
        ("exp null", "invalid type: null", r#""exp":null"#.to_owned()),
        ("exp true", "expected u64", r#""exp":true"#.to_owned()),
        (
            "exp in a list",
            "expected u64",
            format!(r#""exp":[{}]"#, T0 + 901),
        ),
        (
            "exp above 64 bits",
            "floating point",
            r#""exp":18446744073709551616"#.to_owned(),
        ),
        (
            "exp with a leading zero",
            "invalid number",
            r#""exp":01"#.to_owned(),
        ),
        (
            "exp not a number",
            "expected value",
            r#""exp":NaN"#.to_owned(),
        ),
        ("exp twice", "repeated member", format!("{exp},{exp}")),
        (
            "exp twice, other value first",
            "repeated member",
            format!(r#""exp":1,{exp}"#),
        ),
        (
            "exp twice, once escaped",
            "repeated member",
            format!(r#""\u0065xp":1,{exp}"#),
        ),
        (
            "exp missing",
            "missing field `exp`",
            r#""jti":"x""#.to_owned(),
        ),
    ] {
        let to = if name == "exp missing" {
            String::new()
        } else {
            to
        };
        let from = if name == "exp missing" {
            format!("{exp},")
        } else {
            exp.clone()
        };
        cases.refuse(name, "json", says, spoil(&from, &to));
    }
    cases.refuse(
        "unknown claim",
        "json",
        "unknown field",
        spoil("{", r#"{"admin":true,"#),
    );
    cases.refuse(
        "unknown claim twice",
        "json",
        "repeated member",
        spoil("{", r#"{"x":{"y":1,"y":2},"#),
    );
    cases.refuse(
        "claim in other case",
        "json",
        "unknown field",
        spoil(r#""exp""#, r#""Exp""#),
    );
    cases.refuse(
        "unknown member of a detail",
        "json",
        "unknown field",
        spoil(r#""doors""#, r#""all":true,"doors""#),
    );
    cases.refuse(
        "member of a detail twice",
        "json",
        "repeated member",
        spoil(r#""doors""#, r#""doors":[],"doors""#),
    );
    cases.refuse(
        "member of policy twice",
        "json",
        "repeated member",
        spoil(r#""rule""#, r#""rule":"x","rule""#),
    );
    cases.refuse(
        "ticket null",
        "json",
        "null",
        spoil("{", r#"{"ticket":null,"#),
    );
    cases.refuse(
        "data after the claims",
        "json",
        "trailing",
        m.with_payload(&format!("{payload}0")),
    );
    cases.refuse(
        "second claims",
        "json",
        "trailing",
        m.with_payload(&format!("{payload}{payload}")),
    );
    cases.refuse(
        "zero byte after",
        "json",
        "trailing",
        m.with_payload(&format!("{payload}\0")),
    );
    cases.refuse(
        "byte order mark",
        "json",
        "expected value",
        m.with_payload(&format!("\u{feff}{payload}")),
    );
    cases.refuse(
        "comment",
        "json",
        "expected value",
        m.with_payload(&format!("/* */{payload}")),
    );
    cases.refuse(
        "trailing comma",
        "json",
        "trailing comma",
        m.with_payload(&format!("{},}}", &payload[..payload.len() - 1])),
    );
    cases.refuse(
        "cut",
        "json",
        "EOF",
        m.with_payload(&payload[..payload.len() - 1]),
    );
    cases.refuse(
        "lone surrogate",
        "json",
        "hex escape",
        spoil("look at", r"\ud800"),
    );
    cases.refuse(
        "deep",
        "json",
        "recursion",
        m.with_payload(&"[".repeat(400)),
    );
    cases.refuse("claims are a list", "json", "invalid", m.with_payload("[]"));

    cases.refuse(
        "door as a map",
        "json",
        "null",
        spoil(r#""sudo""#, r#"{"sudo":null}"#),
    );
    for member in [
        "ver",
        "iss",
        "iat",
        "epoch",
        "aud",
        "jti",
        "seq",
        "sub",
        "nbf",
        "max_stale",
        "role",
        "req_hash",
        "mode",
        "policy",
        "reason",
        "authorization_details",
    ] {
        let grant = without(&serde_json::from_str::<Value>(&payload).unwrap(), member);
        cases.refuse(
            &format!("{member} missing"),
            "json",
            &format!("missing field `{member}`"),
            m.with_payload(&grant.to_string()),
        );
    }
    for member in ["type", "login", "uid", "doors", "auth", "record", "on_end"] {
        let mut grant = tree(&grant());
        grant["authorization_details"][0]
            .as_object_mut()
            .unwrap()
            .remove(member)
            .unwrap();
        let bundle = Making {
            grant,
            request: m.request.clone(),
            world,
        }
        .bundle();
        cases.refuse(
            &format!("detail without {member}"),
            "json",
            &format!("missing field `{member}`"),
            bundle,
        );
    }
}
