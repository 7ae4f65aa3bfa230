//! Checkpoints that a receiver got: this host's signed word of how many records there were, and of the chain value behind the
//! last of them. They show a cut, or another log, also where the receiver has none of the records that are gone.

use journal::Entry;
use serde_json::{Value, json};
use statement::claims::Purpose;
use statement::keys::PublicKey;
use statement::{Refused, digest, verify_host_auth};

/// As it came: `body` and `word`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    body: String,
    word: Option<String>,
}

/// All entries, and index and chain value with which each segment begins.
type Log<'a> = (&'a [Entry], &'a [(u64, [u8; 32])]);

/// What the comparison showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Those that were compared.
    pub compared: u64,
    /// Nobody's word: from before this host was enrolled, or signed with a key that it no longer has.
    pub unsigned: u64,
    /// Those that name an entry before the first one that is kept.
    pub pruned: u64,
    /// Sentences.
    pub faults: Vec<String>,
}

impl Checked {
    /// What is needed to compare them is not there.
    pub fn impossible(why: &str) -> Self {
        Self {
            faults: vec![format!(
                "the receiver's checkpoints cannot be compared: {why}"
            )],
            ..Self::default()
        }
    }
}

impl Checkpoint {
    /// `None`: it is no checkpoint.
    pub fn read(record: &Value) -> Option<Self> {
        if record["type"] != "checkpoint" || !record["index"].is_null() {
            return None;
        }
        Some(Self {
            body: record["body"].as_str().unwrap_or_default().to_owned(),
            word: record["word"].as_str().map(str::to_owned),
        })
    }

    /// Is it the word of who holds this key? `None`: it is nobody's, or another key's.
    fn is_signed(&self, key: &PublicKey) -> Option<bool> {
        match verify_host_auth(self.word.as_deref()?, key) {
            Ok(word) => Some(
                word.purpose == Purpose::Receipt
                    && word.aud.starts_with("siem:")
                    && word.body == Some(digest::sha256_b64(self.body.as_bytes())),
            ),
            Err(Refused::UnknownKey { .. }) => None,
            Err(_) => Some(false),
        }
    }
}

impl Checked {
    pub fn to_json(&self) -> Value {
        json!({ "compared": self.compared, "unsigned": self.unsigned, "pruned": self.pruned, "faults": self.faults })
    }
}

/// Compares with all entries of the journal, whose name is `origin`, and with the beginnings of its segments.
pub fn compare(checkpoints: &[Checkpoint], origin: &str, key: &PublicKey, log: Log<'_>) -> Checked {
    let mut checked = Checked::default();
    for checkpoint in checkpoints {
        match checkpoint.is_signed(key) {
            None => {
                checked.unsigned += 1;
                continue;
            }
            Some(false) => {
                let fault = "a checkpoint of the receiver is not what this host signed";
                checked.faults.push(fault.to_owned());
                continue;
            }
            Some(true) => {}
        }
        let body: Value = serde_json::from_str(&checkpoint.body).unwrap_or_default();
        let (at, of) = (&body["time"], body["origin"].as_str().unwrap_or_default());
        let next = body["next"].as_u64().unwrap_or(0);
        let fault = if of == origin {
            match compared(next, body["chain"].as_str().unwrap_or_default(), log) {
                Found::Same => None,
                Found::Pruned => {
                    checked.pruned += 1;
                    continue;
                }
                Found::Other(what) => Some(what.to_owned()),
            }
        } else {
            Some(format!("they were in {of}, and this is {origin}"))
        };
        checked.compared += 1;
        checked.faults.extend(
            fault.map(|what| {
                format!("at {at} this host said that there were {next} entries; {what}")
            }),
        );
    }
    checked
}

enum Found {
    Same,
    /// They are no longer here.
    Pruned,
    Other(&'static str),
}

/// Are the first `next` entries, whose last has this chain value, the ones here?
fn compared(next: u64, chain: &str, (entries, begins): Log<'_>) -> Found {
    let Some(last) = next.checked_sub(1) else {
        return Found::Same;
    };
    // Whether they may be gone is for the check of the log itself.
    if entries.first().is_some_and(|first| last < first.index) {
        return Found::Pruned;
    }
    let Ok(at) = entries.binary_search_by_key(&last, |entry| entry.index) else {
        return Found::Other("the last of them is not here");
    };
    let is = |of: &[u8; 32]| of.iter().map(|b| format!("{b:02x}")).collect::<String>() == chain;
    // Behind the last entry of a segment the word may name the beginning of the next one instead.
    let begins = begins.iter().any(|(first, of)| *first == next && is(of));
    match is(&entries[at].chain) || begins {
        true => Found::Same,
        false => Found::Other("these are others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statement::claims::{HostAuth, Typ};
    use statement::sign::Signer;

    const ORIGIN: &str = "jit/host/log";

    fn entries(count: u64) -> Vec<Entry> {
        let entry = |index: u64| Entry {
            index,
            json: "{}".into(),
            chain: [u8::try_from(index).unwrap(); 32],
            file: "one".into(),
            offset: 0,
        };
        (0..count).map(entry).collect()
    }

    fn said(signer: &Signer, origin: &str, next: u64, last: u8) -> Checkpoint {
        let chain = format!("{last:02x}").repeat(32);
        let body = json!({"time": "T", "origin": origin, "next": next, "chain": chain}).to_string();
        let word = HostAuth {
            ver: 1,
            iss: "spiffe://local.test/host/one".into(),
            aud: "siem:mine".into(),
            iat: 1_900_000_000,
            exp: 1_900_000_060,
            jti: "01JABCDEFGHJKMNPQRSTVWXYZ0".into(),
            purpose: Purpose::Receipt,
            body: Some(digest::sha256_b64(body.as_bytes())),
        };
        let word = Some(signer.sign(Typ::HostAuth, &word).unwrap());
        Checkpoint { body, word }
    }

    #[test]
    fn a_cut_another_log_and_a_forged_word_are_told() {
        let (host, other) = (signer(), signer());
        let log = entries(9);
        let begins = [(0, [90; 32]), (9, [99; 32])];
        let judge = |checkpoint: &Checkpoint| {
            let all = std::slice::from_ref(checkpoint);
            compare(all, ORIGIN, &host.public(), (&log, &begins))
        };
        let right = judge(&said(&host, ORIGIN, 5, 4));
        assert_eq!((right.compared, right.faults.len()), (1, 0), "{right:?}");
        let fault = |checkpoint: &Checkpoint, text: &str| {
            let found = judge(checkpoint).faults;
            assert!(found.len() == 1 && found[0].contains(text), "{found:?}");
        };
        fault(&said(&host, ORIGIN, 10, 9), "the last of them is not here");
        fault(&said(&host, ORIGIN, 5, 7), "these are others");
        // The word may name the beginning of the next segment, also of one that has no entry yet.
        for last in [8, 99] {
            assert_eq!(judge(&said(&host, ORIGIN, 9, last)).faults, [""; 0]);
        }
        fault(&said(&host, ORIGIN, 9, 7), "these are others");
        fault(&said(&host, ORIGIN, 5, 99), "these are others");
        let pruned = compare(
            &[said(&host, ORIGIN, 2, 77)],
            ORIGIN,
            &host.public(),
            (&log[3..], &begins),
        );
        assert_eq!((pruned.compared, pruned.pruned), (0, 1), "{pruned:?}");
        fault(&said(&host, "jit/host/old", 5, 4), "jit/host/old");
        let mut forged = said(&host, ORIGIN, 5, 4);
        forged.body = forged.body.replace(":5", ":4");
        fault(&forged, "not what this host signed");
        // From before the host had its present key; nothing is made of it, and that is told.
        assert_eq!(judge(&said(&other, ORIGIN, 10, 9)).unsigned, 1);
        let mut unsigned = said(&host, ORIGIN, 10, 9);
        unsigned.word = None;
        assert_eq!(judge(&unsigned).unsigned, 1);
    }

    fn signer() -> Signer {
        Signer::generate().unwrap().0
    }

    #[test]
    fn what_is_no_checkpoint_is_a_record() {
        assert!(Checkpoint::read(&json!({"type": "checkpoint", "next": 3})).is_some());
        assert!(Checkpoint::read(&json!({"type": "checkpoint", "index": 3})).is_none());
        assert!(Checkpoint::read(&json!({"type": "use", "index": 3})).is_none());
    }
}
