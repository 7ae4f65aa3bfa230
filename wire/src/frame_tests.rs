use super::*;
use crate::cli;
use crate::gate::{Door, PamPhase, Reply, Request, Subject};
use proptest::prelude::*;

fn request(service: &[u8]) -> Request {
    Request::Pam {
        subject: Subject {
            login: Text::from("alice"),
            uid: 1000,
        },
        door: Door::Sudo,
        phase: PamPhase::Auth,
        service: Text::from(service),
        tty: None,
        last_gate: false,
        target: None,
    }
}

fn body_of(frame: &[u8]) -> &[u8] {
    let head: [u8; HEAD] = frame[..HEAD].try_into().unwrap();
    let len = body_len(head, usize::MAX).unwrap();
    assert_eq!(len, frame.len() - HEAD);
    &frame[HEAD..]
}

#[test]
fn the_bytes_on_the_wire_are_fixed() {
    let frame = encode(&Reply::Done, GATE_REPLY).unwrap();
    assert_eq!(frame, b"\0\0\0\x19{\"v\":1,\"m\":{\"re\":\"done\"}}");
}

#[test]
fn a_message_without_members_takes_none() {
    use crate::link::{Answer, Down, Up};
    fn strict<T: serde::de::DeserializeOwned + std::fmt::Debug + PartialEq>(m: &str, expected: &T) {
        let body = |m: &str| format!("{{\"v\":1,\"m\":{m}}}");
        assert_eq!(decode::<T>(body(m).as_bytes()).as_ref(), Ok(expected));
        let more = m.replacen('}', r#","x":1}"#, 1);
        let refused = decode::<T>(body(&more).as_bytes());
        assert!(
            matches!(&refused, Err(FrameError::Malformed(why)) if why.contains("unknown field")),
            "{more}: {refused:?}"
        );
    }
    strict(r#"{"re":"done"}"#, &Reply::Done);
    strict(r#"{"op":"host-key"}"#, &cli::Request::HostKey);
    strict(r#"{"up":"connected"}"#, &Up::Connected);
    strict(r#"{"down":"not-enrolled"}"#, &Down::NotEnrolled);
    strict(r#"{"answer":"accepted"}"#, &Answer::Accepted);
}

#[test]
fn a_message_at_the_cap_fits_and_one_byte_more_does_not() {
    let frame = encode(&request(b"sudo"), GATE_REQUEST).unwrap();
    let len = frame.len() - HEAD;
    assert_eq!(encode(&request(b"sudo"), len).unwrap(), frame);
    assert!(matches!(
        encode(&request(b"sudo"), len - 1),
        Err(FrameError::TooLarge { cap, .. }) if cap == len - 1
    ));
}

#[test]
fn a_megabyte_of_argv_fits_or_is_refused_cleanly() {
    let argv = |byte: u8, word: usize| {
        let argv = vec![Text(vec![byte; word]); (1 << 20) / (word + 1)];
        encode(&argv, GATE_REQUEST)
    };
    assert!(argv(b'a', 127 << 10).is_ok());
    assert!(argv(b'a', 7).is_ok());
    assert!(argv(0xff, 127 << 10).is_ok());
    for refused in [argv(0x01, 127 << 10), argv(b'a', 1), argv(0xff, 1)] {
        assert!(matches!(refused, Err(FrameError::TooLarge { .. })));
    }
}

#[test]
fn a_length_of_zero_or_above_the_cap_is_refused_before_the_body() {
    assert_eq!(body_len([0, 0, 0, 0], 10), Err(FrameError::Empty));
    assert_eq!(body_len([0, 0, 0, 10], 10), Ok(10));
    assert!(body_len([0, 0, 0, 11], 10).is_err());
    assert_eq!(
        body_len([0xff; 4], GATE_REQUEST),
        Err(FrameError::TooLarge {
            len: 0xffff_ffff,
            cap: GATE_REQUEST
        })
    );
}

#[test]
fn garbage_is_refused() {
    let bad: [&[u8]; 13] = [
        b"",
        b"{}",
        b"null",
        b"\xff\xfe",
        b"{\"v\":1}",
        b"{\"m\":{\"re\":\"done\"}}",
        b"{\"v\":1,\"m\":{\"re\":\"done\"}",
        b"{\"v\":1,\"m\":{\"re\":\"done\"}} x",
        b"{\"v\":1,\"m\":{\"re\":\"done\"}}{}",
        b"{\"v\":1,\"v\":1,\"m\":{\"re\":\"done\"}}",
        b"{\"v\":1,\"m\":{\"re\":\"done\"},\"x\":0}",
        b"{\"v\":\"1\",\"m\":{\"re\":\"done\"}}",
        b"{\"v\":1,\"m\":{\"re\":\"\x1b[2J\"}}",
    ];
    for body in bad {
        assert!(
            matches!(decode::<Reply>(body), Err(FrameError::Malformed(_))),
            "{}",
            Text::from(body)
        );
    }
}

#[test]
fn unknown_and_repeated_members_of_a_message_are_refused() {
    for bad in [
        r#"{"v":1,"m":{"re":"deny","text":"no","why":"no"}}"#,
        r#"{"v":1,"m":{"re":"deny","text":"no","text":"yes"}}"#,
        r#"{"v":1,"m":{"re":"deny","re":"deny","text":"no"}}"#,
        r#"{"v":1,"m":{"text":"no"}}"#,
        r#"{"v":1,"m":{"re":"allow-all"}}"#,
        r#"{"v":1,"m":{"re":"deny"}}"#,
    ] {
        assert!(decode::<Reply>(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn another_version_is_named_even_if_its_message_is_unknown() {
    for body in [
        r#"{"v":2,"m":{"re":"done"}}"#,
        r#"{"v":2,"m":{"re":"something-new","n":1}}"#,
    ] {
        assert_eq!(
            decode::<Reply>(body.as_bytes()),
            Err(FrameError::Version(2))
        );
    }
}

#[test]
fn an_error_carries_no_control_character_and_is_short() {
    let body = format!(
        "{{\"v\":1,\"m\":{{\"re\":\"\\u001b[2J{}\"}}}}",
        "x".repeat(5000)
    );
    let shown = decode::<Reply>(body.as_bytes()).unwrap_err().to_string();
    assert!(!shown.chars().any(char::is_control), "{shown}");
    assert!(shown.chars().count() < 250, "{shown}");
}

#[test]
fn a_lying_length_makes_no_buffer() {
    let mut incoming = Incoming::new(LINK);
    // The largest claim the cap lets pass, and then only ten bytes.
    let mut bytes = u32::try_from(LINK).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(&[b' '; 10]);
    assert_eq!(incoming.feed(&bytes), Ok(14));
    assert!(incoming.take().is_none());
    assert!(incoming.body.capacity() < 1024);
    assert!(incoming.wants() <= CHUNK);
}

#[test]
fn reads_never_pass_the_end_of_a_frame() {
    let one = encode(&request(b"sudo"), GATE_REQUEST).unwrap();
    let two = encode(&request(b"sudo-i"), GATE_REQUEST).unwrap();
    let stream: Vec<u8> = [one.clone(), two.clone()].concat();
    let mut incoming = Incoming::new(GATE_REQUEST);
    let mut at = 0;
    let mut bodies = Vec::new();
    while at < stream.len() {
        let end = (at + incoming.wants()).min(stream.len());
        at += incoming.feed(&stream[at..end]).unwrap();
        bodies.extend(incoming.take());
    }
    assert_eq!(bodies, [body_of(&one).to_vec(), body_of(&two).to_vec()]);
    assert!(incoming.is_empty());
}

proptest! {
    #[test]
    fn any_message_survives_in_any_pieces(words: Vec<Vec<u8>>, cut in 1usize..40) {
        let message = cli::Request::Elevate(cli::Elevate {
            role: None,
            seconds: Some(60),
            reason: "disk full".into(),
            ticket: None,
            start_at: None,
            command: Some(words.into_iter().map(Text).collect()),
        });
        let frame = encode(&message, CLI_REQUEST).unwrap();
        let mut incoming = Incoming::new(CLI_REQUEST);
        for piece in frame.chunks(cut) {
            prop_assert!(incoming.take().is_none());
            prop_assert_eq!(incoming.feed(piece), Ok(piece.len()));
        }
        let body = incoming.take().unwrap();
        prop_assert_eq!(decode::<cli::Request>(&body), Ok(message));
    }

    #[test]
    fn any_body_is_decoded_or_refused(body: Vec<u8>) {
        let _ = decode::<Request>(&body);
    }

    #[test]
    fn a_changed_byte_never_becomes_another_uid(at in 0usize..200, byte: u8) {
        // Whatever still decodes says exactly what its bytes say: decode then encode gives the same meaning.
        let mut frame = encode(&request(b"sudo"), GATE_REQUEST).unwrap();
        let at = HEAD + at % (frame.len() - HEAD);
        frame[at] = byte;
        if let Ok(message) = decode::<Request>(&frame[HEAD..]) {
            let again = encode(&message, GATE_REQUEST).unwrap();
            prop_assert_eq!(decode::<Request>(body_of(&again)), Ok(message));
        }
    }
}
