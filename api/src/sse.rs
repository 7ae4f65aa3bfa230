//! Server-sent events (WHATWG HTML §9.2), the small part both ends need: `id`, `event`, `data`, comments.

use crate::types::{Event, Kind};
use std::collections::VecDeque;
use std::fmt;

/// Bytes of one event. No statement is longer than 64 KiB; twice this fits a frame of the link's socket.
pub const EVENT_MAX: usize = 96 * 1024;

/// Why a stream makes no sense. It is not read on after one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    TooLong,
    NotText,
    /// An event without a known name, with a bad number, or a heartbeat with one.
    Event,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "an event of the stream is too long",
            Self::NotText => "the stream is not UTF-8",
            Self::Event => "an event of the stream is malformed",
        })
    }
}

impl std::error::Error for Bad {}

/// The bytes of one event.
///
/// # Errors
/// [`Bad::Event`] for data with a carriage return, which the format cannot carry unchanged;
/// [`Bad::TooLong`] for what a reader would refuse.
pub fn encode(event: &Event) -> Result<String, Bad> {
    if event.data.contains('\r') {
        return Err(Bad::Event);
    }
    let mut out = String::with_capacity(event.data.len() + 64);
    if let Some(n) = event.id {
        out.push_str("id: ");
        out.push_str(&n.to_string());
        out.push('\n');
    }
    out.push_str("event: ");
    out.push_str(event.kind.name());
    out.push('\n');
    for line in event.data.split('\n') {
        out.push_str("data: ");
        out.push_str(line);
        out.push('\n');
    }
    out.push('\n');
    if out.len() > EVENT_MAX {
        return Err(Bad::TooLong);
    }
    Ok(out)
}

/// Turns bytes, cut anywhere, into events. Holds at most [`EVENT_MAX`] bytes of an unfinished event.
#[derive(Debug, Default)]
pub struct Reader {
    /// The unfinished line.
    line: Vec<u8>,
    /// Bytes of the unfinished event.
    size: usize,
    id: Option<u64>,
    name: Option<Kind>,
    data: Option<String>,
    /// A field was bad; told when the event is complete, or never for an event without data.
    bad: bool,
    done: VecDeque<Event>,
}

impl Reader {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Bad`]; the stream must be given up then.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Bad> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (head, tail) = bytes.split_at(end);
            self.take(head)?;
            self.grow(1)?;
            let line = std::mem::take(&mut self.line);
            self.end_of_line(&line)?;
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.take(bytes)
    }

    /// The next finished event.
    pub fn pop(&mut self) -> Option<Event> {
        self.done.pop_front()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        self.grow(bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn grow(&mut self, by: usize) -> Result<(), Bad> {
        self.size = self.size.saturating_add(by);
        if self.size > EVENT_MAX {
            return Err(Bad::TooLong);
        }
        Ok(())
    }

    fn end_of_line(&mut self, line: &[u8]) -> Result<(), Bad> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return self.end_of_event();
        }
        let line = std::str::from_utf8(line).map_err(|_| Bad::NotText)?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => match value.parse() {
                Ok(n) => self.id = Some(n),
                Err(_) => self.bad = true,
            },
            "event" => match Kind::from_name(value) {
                Some(k) => self.name = Some(k),
                None => self.bad = true,
            },
            "data" => match &mut self.data {
                Some(d) => {
                    d.push('\n');
                    d.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments have an empty name; other fields are ignored, as the format says.
            _ => {}
        }
        Ok(())
    }

    fn end_of_event(&mut self) -> Result<(), Bad> {
        self.size = 0;
        let id = self.id.take();
        let kind = self.name.take();
        let bad = std::mem::take(&mut self.bad);
        let Some(data) = self.data.take() else {
            return Ok(());
        };
        match kind {
            Some(kind) if !bad && id.is_none() == (kind == Kind::State) => {
                self.done.push_back(Event { id, kind, data });
                Ok(())
            }
            _ => Err(Bad::Event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8], cut: usize) -> Result<Vec<Event>, Bad> {
        let mut r = Reader::default();
        let mut out = Vec::new();
        for part in text.chunks(cut.max(1)) {
            r.push(part)?;
            while let Some(e) = r.pop() {
                out.push(e);
            }
        }
        Ok(out)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            n in any::<u64>(),
            data in "[^\r]{0,200}",
            cut in 1usize..50,
            heart in any::<bool>(),
        ) {
            let kind = if heart { Kind::State } else { Kind::Grant };
            let e = Event { id: (!heart).then_some(n), kind, data };
            let text = encode(&e).expect("encode").repeat(2);
            prop_assert_eq!(read(text.as_bytes(), cut), Ok(vec![e.clone(), e]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, 7);
        }
    }

    #[test]
    fn comments_unknown_fields_and_crlf_are_read_over() {
        let text = b": hello\r\nretry: 5\r\nid: 7\r\nevent: policy\r\ndata: x\r\n\r\n\n: bye\n\n";
        let want = Event {
            id: Some(7),
            kind: Kind::Policy,
            data: "x".to_owned(),
        };
        assert_eq!(read(text, 3), Ok(vec![want]));
    }

    #[test]
    fn malformed_events_are_refused() {
        for text in [
            "id: 1\nevent: nonsense\ndata: x\n\n",
            "id: 1\ndata: x\n\n",
            "id: -1\nevent: grant\ndata: x\n\n",
            "id: 99999999999999999999\nevent: grant\ndata: x\n\n",
            "event: grant\ndata: x\n\n",
            "id: 1\nevent: state\ndata: x\n\n",
        ] {
            assert_eq!(read(text.as_bytes(), 1000), Err(Bad::Event), "{text:?}");
        }
        assert_eq!(read(b"data: \xff\n\n", 1000), Err(Bad::NotText));
    }

    #[test]
    fn the_longest_event_passes_and_one_byte_more_does_not() {
        let mut e = Event {
            id: None,
            kind: Kind::State,
            data: String::new(),
        };
        let room = EVENT_MAX - encode(&e).expect("empty").len();
        e.data = "x".repeat(room);
        let text = encode(&e).expect("fits");
        assert!(read(text.as_bytes(), 4096) == Ok(vec![e.clone()]));
        let longer = text.replacen('x', "xx", 1);
        assert!(read(longer.as_bytes(), 4096) == Err(Bad::TooLong));
        e.data.push('x');
        assert_eq!(encode(&e), Err(Bad::TooLong));

        // Without an end, whatever the lines are.
        assert_eq!(read(&vec![b'x'; EVENT_MAX + 2], 4096), Err(Bad::TooLong));
        assert_eq!(
            read(&b"data: x\n".repeat(EVENT_MAX / 8 + 1), 4096),
            Err(Bad::TooLong)
        );
        assert_eq!(read(&b":\n".repeat(EVENT_MAX), 4096), Err(Bad::TooLong));
    }

    #[test]
    fn a_carriage_return_cannot_be_carried() {
        let e = Event {
            id: Some(1),
            kind: Kind::Trust,
            data: "a\rb".to_owned(),
        };
        assert_eq!(encode(&e), Err(Bad::Event));
    }
}
