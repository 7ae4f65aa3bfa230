//! Bytes to and from a Unix socket of a host, as a process of the host that has chosen uids: what an attacker who owns
//! that user could send.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Arguments: user, effective user, path. Says one line when it is connected, then passes bytes both ways.
const PROGRAM: &str = r"
import os, pwd, socket, sys, threading
user, effective, path = sys.argv[1:]
p, e = pwd.getpwnam(user), pwd.getpwnam(effective)
os.initgroups(user, p.pw_gid)
os.setresgid(p.pw_gid, p.pw_gid, p.pw_gid)
os.setresuid(p.pw_uid, e.pw_uid, e.pw_uid)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(path)
except OSError as error:
    os.write(1, (str(error) + '\n').encode())
    sys.exit(1)
os.write(1, b'connected\n')
def back():
    try:
        while data := s.recv(65536):
            os.write(1, data)
    except OSError:
        pass
    os._exit(0)
threading.Thread(target=back).start()
try:
    while data := os.read(0, 65536):
        s.sendall(data)
except OSError:
    pass
os._exit(0)
";

/// One connection. Dropping it closes it.
pub struct Carrier {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<Vec<u8>>,
    /// Received and not yet taken.
    held: Vec<u8>,
}

impl Carrier {
    /// # Errors
    /// The connection was refused: the kernel's sentence.
    pub(crate) fn open(
        mut entering: Command,
        user: &str,
        effective: &str,
        path: &str,
    ) -> Result<Self, String> {
        let mut child = entering
            .args(["python3", "-c", PROGRAM, user, effective, path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 in the host");
        let to = child.stdin.take();
        let mut out = child.stdout.take().expect("its output");
        let (tell, from) = channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = out.read(&mut buffer) {
                if tell.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut carrier = Self {
            child,
            to,
            from,
            held: Vec::new(),
        };
        let mut line = String::new();
        while !line.ends_with('\n') {
            let byte = carrier.take(1, crate::host::LIMIT).expect("a first line");
            line.push(char::from(byte[0]));
        }
        match line.trim() {
            "connected" => Ok(carrier),
            why => Err(why.to_owned()),
        }
    }

    /// Sends bytes. `false` when the other end has closed already.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        let to = self.to.as_mut().expect("an open connection");
        to.write_all(bytes).and_then(|()| to.flush()).is_ok()
    }

    /// The next `count` bytes; `None` when the other end closed before. Fails the test after `limit`.
    #[track_caller]
    pub fn take(&mut self, count: usize, limit: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + limit;
        while self.held.len() < count {
            match self
                .from
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.held.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("nothing came within {limit:?}"),
            }
        }
        let rest = self.held.split_off(count);
        Some(std::mem::replace(&mut self.held, rest))
    }

    /// Waits until the other end closes, and returns what it still said.
    #[track_caller]
    pub fn closed(&mut self, limit: Duration) -> Vec<u8> {
        let deadline = Instant::now() + limit;
        loop {
            match self
                .from
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.held.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.held),
                Err(RecvTimeoutError::Timeout) => panic!("still open after {limit:?}"),
            }
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
