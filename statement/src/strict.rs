//! Strict JSON: one text, one meaning.
//!
//! serde alone is not enough. It refuses repeated members in structs but keeps the last one in maps, reads a
//! struct from an array of its values, an enum from `{"name":null}`, and an `Option` from `null`. Here the text
//! becomes a tree first (repeats, floats, negative numbers, `null` and trailing data refused at any depth), then
//! the type, and then the type is written again and must have the same shape as the tree.

use crate::Refused;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Parses `bytes`; `what` names them in the refusal.
pub(crate) fn parse<T: DeserializeOwned + Serialize>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, Refused> {
    let refuse = |why: String| Refused::Json { what, why };
    let Tree(tree) = serde_json::from_slice(bytes).map_err(|e| refuse(e.to_string()))?;
    let parsed = T::deserialize(&tree).map_err(|e| refuse(e.to_string()))?;
    let back = serde_json::to_value(&parsed).map_err(|e| refuse(e.to_string()))?;
    if same_shape(&tree, &back) {
        Ok(parsed)
    } else {
        Err(refuse(
            "a member has another form than it must have".to_owned(),
        ))
    }
}

/// `read` says the same as `written`. A member that is left out when it is empty may still have been spelled out.
fn same_shape(read: &Value, written: &Value) -> bool {
    match (read, written) {
        (Value::Object(r), Value::Object(w)) => r.iter().all(|(name, value)| match w.get(name) {
            Some(other) => same_shape(value, other),
            None => {
                *value == Value::Bool(false) || matches!(value, Value::Array(a) if a.is_empty())
            }
        }),
        (Value::Array(r), Value::Array(w)) => {
            r.len() == w.len() && r.iter().zip(w).all(|(a, b)| same_shape(a, b))
        }
        (r, w) => r == w,
    }
}

/// A JSON value without repeated members, `null`, floats or negative numbers.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Tree)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array, a string, true, false or a whole number from 0")
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = seq.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom(format_args!("repeated member {name:?}")));
            }
            let Tree(value) = map.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
