//! RELP, as a client: `TXNR SP COMMAND SP LENGTH [SP DATA] LF`. Each command is answered by `rsp` with its number.

/// Answers are short: a status and, to `open`, what the server offers.
const ANSWER: usize = 4096;
/// Numbers have nine digits at most; then it begins anew.
const LAST: u32 = 999_999_999;

/// What we offer: the version, and the one command beside the session's own.
pub const OFFERS: &[u8] = b"relp_version=0\nrelp_software=jit-link\ncommands=syslog";

/// The number after this one.
pub const fn after(number: u32) -> u32 {
    if number >= LAST { 1 } else { number + 1 }
}

/// One command.
pub fn frame(number: u32, command: &str, data: &[u8]) -> Vec<u8> {
    let mut out = format!("{number} {command} {}", data.len()).into_bytes();
    if !data.is_empty() {
        out.push(b' ');
        out.extend_from_slice(data);
    }
    out.push(b'\n');
    out
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// The command with this number was carried out.
    Done(u32),
    /// It was not.
    Refused(u32, String),
    /// The server goes.
    Close,
}

/// Takes whole answers out of what has come.
#[derive(Debug, Default)]
pub struct Answers(Vec<u8>);

impl Answers {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next answer, when it is whole.
    ///
    /// # Errors
    /// What came is no RELP.
    pub fn next(&mut self) -> Result<Option<Said>, String> {
        let bad = || "the receiver does not speak RELP".to_owned();
        let Some((said, length)) = parse(&self.0).map_err(|()| bad())? else {
            return if self.0.len() > ANSWER {
                Err(bad())
            } else {
                Ok(None)
            };
        };
        self.0.drain(..length);
        Ok(Some(said))
    }
}

/// One answer and its bytes; `None`: more must come.
fn parse(bytes: &[u8]) -> Result<Option<(Said, usize)>, ()> {
    let Some((number, at)) = word(bytes, 0)? else {
        return Ok(None);
    };
    let number: u32 = number.parse().map_err(drop)?;
    let Some((command, at)) = word(bytes, at)? else {
        return Ok(None);
    };
    // The length ends with a space before data, and else with the end of the line.
    let digits = bytes[at..]
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let Some(end) = bytes.get(at + digits) else {
        return if digits > 9 { Err(()) } else { Ok(None) };
    };
    let length = std::str::from_utf8(&bytes[at..at + digits]).map_err(drop)?;
    let length: usize = length.parse().map_err(drop)?;
    if length > ANSWER {
        return Err(());
    }
    let mut at = at + digits;
    if *end == b' ' {
        at += 1;
    } else if length > 0 {
        return Err(());
    }
    let Some(newline) = bytes.get(at + length) else {
        return Ok(None);
    };
    if *newline != b'\n' {
        return Err(());
    }
    let data = String::from_utf8_lossy(&bytes[at..at + length]).into_owned();
    let said = match command {
        "rsp" if data.starts_with("200") => Said::Done(number),
        "rsp" => {
            let first = data.lines().next().unwrap_or_default();
            Said::Refused(number, first.chars().filter(|c| !c.is_control()).collect())
        }
        "serverclose" => Said::Close,
        _ => return Err(()),
    };
    Ok(Some((said, at + length + 1)))
}

/// A word of at most 32 bytes that ends with a space, and where the next one begins.
fn word(bytes: &[u8], from: usize) -> Result<Option<(&str, usize)>, ()> {
    let rest = bytes.get(from..).unwrap_or_default();
    match rest.iter().position(|b| *b == b' ') {
        Some(end) if (1..=32).contains(&end) => {
            let text = std::str::from_utf8(&rest[..end]).map_err(drop)?;
            Ok(Some((text, from + end + 1)))
        }
        None if rest.len() <= 32 => Ok(None),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session() {
        assert_eq!(frame(2, "syslog", b"<14>1 x"), b"2 syslog 7 <14>1 x\n");
        assert_eq!(frame(3, "close", b""), b"3 close 0\n");
        let mut answers = Answers::default();
        let all = b"1 rsp 93 200 OK\nrelp_version=0\nrelp_software=librelp,1.10.0,http://librelp.adiscon.com\ncommands=syslog\n2 rsp 6 200 OK\n3 rsp 10 500 no\x1b ok\n4 rsp 0\n0 serverclose 0\n";
        for byte in all.chunks(1) {
            answers.feed(byte);
        }
        assert_eq!(answers.next(), Ok(Some(Said::Done(1))));
        assert_eq!(answers.next(), Ok(Some(Said::Done(2))));
        assert_eq!(
            answers.next(),
            Ok(Some(Said::Refused(3, "500 no ok".into())))
        );
        assert_eq!(answers.next(), Ok(Some(Said::Refused(4, String::new()))));
        assert_eq!(answers.next(), Ok(Some(Said::Close)));
        assert_eq!(answers.next(), Ok(None));
        assert_eq!(after(LAST), 1);
    }

    #[test]
    fn what_is_no_answer_ends_the_session() {
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"x rsp 6 200 OK\n",
            b"1 rsp 99999 200 OK\n",
            b"1 rsp 6 200 OKx",
            b"1 syslog 0\n",
            b"1 rsp x",
            &[b'1'; 40],
        ] {
            let mut answers = Answers::default();
            answers.feed(bad);
            assert!(answers.next().is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_harm(bytes: Vec<u8>) {
            let mut answers = Answers::default();
            answers.feed(&bytes);
            while let Ok(Some(_)) = answers.next() {}
        }
    }
}
