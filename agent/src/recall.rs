//! What the journal remembers of stored grants and requests. State files can be put back from a copy, the journal only goes
//! on: what has ended, was used or was answered stays so.

use journal::kind;
use serde::Deserialize;
use std::collections::HashSet;

/// What happened, by the journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// Grants that ended.
    pub ended: HashSet<String>,
    /// Grants by which a command ran.
    pub used: HashSet<String>,
    /// Requests that were answered, by a grant or by a no.
    pub answered: HashSet<String>,
}

/// The members of a record that tell.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    grant: Option<String>,
    request: Option<String>,
    decision: Option<String>,
}

impl Recalled {
    /// Take one record in, as stored. One that cannot be read tells nothing.
    pub fn hear(&mut self, json: &str) {
        let Ok(told) = serde_json::from_str::<Told>(json) else {
            return;
        };
        let allowed = told.decision.as_deref() == Some("allow");
        match (told.kind.as_str(), told.grant, told.request) {
            (kind::END | kind::PROOF, Some(grant), _) => drop(self.ended.insert(grant)),
            (kind::USE, Some(grant), _) if allowed => drop(self.used.insert(grant)),
            (kind::GRANT, _, Some(request)) | (kind::REFUSED, None, Some(request)) => {
                self.answered.insert(request);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(list: &[&str]) -> HashSet<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn ends_uses_and_answers_are_remembered() {
        let mut r = Recalled::default();
        for json in [
            r#"{"type":"grant","grant":"G1","request":"R1","decision":"allow"}"#,
            r#"{"type":"use","grant":"G1","request":"R1","decision":"allow"}"#,
            r#"{"type":"refused","request":"R2","decision":"deny"}"#,
            r#"{"type":"refused","grant":"G3","decision":"deny"}"#,
            r#"{"type":"request","request":"R4"}"#,
            r#"{"type":"end","grant":"G2","request":"R5"}"#,
            r#"{"type":"proof","grant":"G4"}"#,
            "rubbish",
        ] {
            r.hear(json);
        }
        assert_eq!(r.ended, set(&["G2", "G4"]));
        assert_eq!(r.used, set(&["G1"]));
        assert_eq!(r.answered, set(&["R1", "R2"]));
    }
}
