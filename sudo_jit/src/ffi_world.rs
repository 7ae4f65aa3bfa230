//! The real world of the gates: agent's socket, user database, sudo's conversation, the clocks.

#![allow(unsafe_code, reason = "the C edge")]

use crate::ffi::{CONV_ERROR_MSG, CONV_INFO_MSG, ConvMessage, ConvReply, Conversation};
use crate::say;
use crate::world::{Now, Stream, World};
use core::ptr;
use std::ffi::CString;
use std::time::{Duration, Instant};
use wire::client::{self, CallError};
use wire::gate::{Reply, Request, Subject};
use wire::{frame, nss, paths};

/// Inside sudo.
pub struct Host {
    pub conversation: Option<Conversation>,
}

impl World for Host {
    fn ask(&self, request: &Request, budget: Duration) -> Result<Reply, CallError> {
        let deadline = Instant::now() + budget;
        client::call(paths::GATE_SOCK, request, frame::GATE, deadline)
    }

    fn eligible(&self, user: &Subject) -> Result<bool, String> {
        let login = &user.login;
        match nss::user_by_name(login.as_bytes()).map_err(|e| e.to_string())? {
            Some(entry) if entry.uid == user.uid => entry.eligible().map_err(|e| e.to_string()),
            Some(entry) => Err(format!(
                "\"{login}\" has uid {}, not {}",
                entry.uid, user.uid
            )),
            None => Err(format!("there is no user \"{login}\"")),
        }
    }

    fn say(&self, stream: Stream, text: &str) {
        let (Some(conversation), Ok(text)) = (self.conversation, CString::new(say::lines(text)))
        else {
            return;
        };
        if text.is_empty() {
            return;
        }
        let msg_type = match stream {
            Stream::Error => CONV_ERROR_MSG,
            Stream::Output => CONV_INFO_MSG,
        };
        let message = ConvMessage {
            msg_type,
            timeout: 0,
            msg: text.as_ptr(),
        };
        let mut reply = ConvReply {
            reply: ptr::null_mut(),
        };
        // SAFETY: one message and one reply, alive during the call; a message asks nothing, so sudo leaves the
        // reply alone. The text is data: conversation formats nothing.
        unsafe { conversation(1, &raw const message, &raw mut reply, ptr::null_mut()) };
    }

    fn now(&self) -> Option<Now> {
        let wall = clock(libc::CLOCK_REALTIME)?;
        let boot = clock(libc::CLOCK_BOOTTIME)?;
        let boot_ns = u64::try_from(boot.as_nanos()).ok()?;
        Some(Now {
            wall_s: wall.as_secs(),
            boot_ns,
        })
    }
}

/// The clock's time since its zero; `None` when it cannot be read or lies before that.
fn clock(id: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours and outlives the call.
    if unsafe { libc::clock_gettime(id, &raw mut time) } != 0 {
        return None;
    }
    Some(Duration::new(
        u64::try_from(time.tv_sec).ok()?,
        u32::try_from(time.tv_nsec).ok()?,
    ))
}
