//! `GET /v1/openapi.json`: the calls in OpenAPI 3.1, kept by hand; tests hold it against the table and against answers.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("openapi.json");

pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use super::DOCUMENT;
    use crate::http::table;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn it_has_the_calls_of_the_table_and_no_others() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let said: BTreeSet<(String, String, bool)> = paths
            .iter()
            .flat_map(|(path, calls)| {
                calls
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(move |(method, call)| {
                        let away = call["x-jit-over-https"].as_bool().unwrap();
                        (method.to_uppercase(), path.clone(), away)
                    })
            })
            .collect();
        assert_eq!(said, table::calls());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let named = DOCUMENT.split("\"#/components/schemas/").skip(1);
        let mut names: BTreeSet<&str> = named.map(|rest| rest.split('"').next().unwrap()).collect();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for schema in schemas.keys() {
            assert!(names.remove(schema.as_str()), "nobody uses {schema}");
        }
        assert_eq!(names, BTreeSet::new());
    }
}
