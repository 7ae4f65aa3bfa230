//! The table in `spoiled.txt`: one wrong value each.

use crate::Cases;
use crate::grants::Making;
use crate::world::*;
use serde::Serialize;
use serde_json::{Value, json};

struct Row<'a> {
    what: &'a str,
    name: &'a str,
    expect: &'a str,
    says: &'a str,
    pointer: &'a str,
    value: Value,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    let lines = include_str!("spoiled.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.splitn(6, " | ").collect();
            let [what, name, expect, says, pointer, value] = fields[..] else {
                panic!("{line}")
            };
            let value = serde_json::from_str(&expand(value)).unwrap();
            Row {
                what,
                name,
                expect,
                says,
                pointer,
                value,
            }
        })
}

/// Writes out the last `@text N` and `@list N VALUE`; either may stand at the end of a value.
fn expand(value: &str) -> String {
    let Some((before, call)) = value.rsplit_once('@') else {
        return value.to_owned();
    };
    let (name, rest) = call.split_once(' ').unwrap();
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let times: usize = rest[..digits].parse().unwrap();
    let after = &rest[digits..];
    let whole = match name {
        "text" => format!("{before}{:?}{after}", "x".repeat(times)),
        "list" => {
            // One JSON value, then whatever follows it.
            let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
            let one = values.next().unwrap().unwrap();
            format!(
                "{before}{}{}",
                Value::Array(vec![one; times]),
                &after[values.byte_offset()..]
            )
        }
        _ => panic!("{name}"),
    };
    expand(&whole)
}

pub fn grants(cases: &mut Cases, world: &World) {
    const DETAIL: &str = "/authorization_details/0";
    let asked = tree(&request()).to_string();
    for row in rows() {
        let spoiled = match row.what {
            "grant" => with(&grant(), row.pointer, row.value),
            "detail" => with(&grant(), &format!("{DETAIL}{}", row.pointer), row.value),
            "scoped" => {
                let scoped = with(
                    &with(&detail(), "/shell", json!(false)),
                    "/commands",
                    json!([]),
                );
                with(&grant(), DETAIL, with(&scoped, row.pointer, row.value))
            }
            _ => continue,
        };
        let bundle = Making {
            grant: spoiled,
            request: asked.clone(),
            world,
        }
        .bundle();
        cases.refuse(row.name, row.expect, row.says, bundle);
    }
    let mut refuse = |name: &str, says: &str, details: Value| {
        let grant = with(&grant(), "/authorization_details", details);
        let bundle = Making {
            grant,
            request: asked.clone(),
            world,
        }
        .bundle();
        cases.refuse(name, "limit", says, bundle);
    };
    refuse(
        "nine details",
        "authorization_details",
        vec![tree(&detail()); 9].into(),
    );
    let other = with(&detail(), "/uid", json!(1001));
    refuse(
        "details of two users",
        "one login",
        json!([detail(), other]),
    );
}

/// The rows of `what`, over `good` and signed by `over`.
pub fn others(
    cases: &mut Cases,
    what: &str,
    good: &impl Serialize,
    over: impl Fn(Value) -> String,
) {
    for row in rows().filter(|row| row.what == what) {
        let input = over(with(good, row.pointer, row.value));
        cases.refuse(row.name, row.expect, row.says, input);
    }
}
