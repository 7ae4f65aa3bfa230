//! The check of the fuzz target, fed for a bounded time with what is nearly right.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[path = "../../fuzz/checks/frame.rs"]
mod check;

use proptest::prelude::*;
use wire::frame::{self, HEAD};
use wire::gate::{Door, Reply, Request, Subject};

fn messages() -> Vec<Vec<u8>> {
    let subject = Subject {
        login: "alice".into(),
        uid: 1001,
    };
    let asked = Request::Refused {
        subject,
        door: Door::Sudo,
        by: "G1".into(),
        message: "no".into(),
        argv: vec!["sudo".into(), "id".into()],
        cwd: None,
        tty: Some("/dev/pts/0".into()),
    };
    let body = |frame: Vec<u8>| frame[HEAD..].to_vec();
    vec![
        body(frame::encode(&asked, frame::GATE_REQUEST).unwrap()),
        body(frame::encode(&Reply::Done, frame::GATE_REPLY).unwrap()),
        br#"{"v":1,"m":{"op":"elevate","reason":"x","for":"1"}}"#.to_vec(),
        br#"{"v":1,"m":{"up":"connected"}}"#.to_vec(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_is_refused_or_comes_back_as_it_was(
        good in prop::sample::select(messages()), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4),
        noise in any::<Vec<u8>>(),
    ) {
        let mut bytes = good;
        for (at, byte, insert) in edits {
            let at = at.index(bytes.len());
            if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        }
        check::frame(&bytes);
        check::frame(&noise);
    }
}
