//! Round trips over the gate socket, as sudo's plugin makes them; beside them the same bytes to a program that thinks
//! nothing and answers at once.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::frame::{GATE, HEAD, encode};
use wire::gate::{Door, Reply, Request, Subject};
use wire::paths::GATE_SOCK;

use super::calls::micros;
use super::number;

const PATIENCE: Duration = Duration::from_secs(10);
const ECHO_SOCK: &str = "/run/jit-bench.sock";

/// "Does a grant for sudo live?", asked by `clients` at once, `calls` times each.
pub fn ours(question: &Value) -> Result<Value, String> {
    let request = request(question)?;
    round_trips(question, || {
        let deadline = Instant::now() + PATIENCE;
        match wire::client::call::<_, Reply>(GATE_SOCK, &request, GATE, deadline) {
            Ok(Reply::State { active: true, .. }) => Ok(()),
            Ok(other) => Err(format!("the answer is {other:?}")),
            Err(e) => Err(e.to_string()),
        }
    })
}

/// The same connection, request and answer in size, from a process that only waits for them.
pub fn raw(question: &Value) -> Result<Value, String> {
    let frame = encode(&request(question)?, GATE.request).map_err(|e| e.to_string())?;
    let mut echo = start_echo()?;
    let result = round_trips(question, || {
        let mut stream = UnixStream::connect(ECHO_SOCK).map_err(|e| e.to_string())?;
        stream.write_all(&frame).map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
        (answer.len() == frame.len())
            .then_some(())
            .ok_or_else(|| "half an answer".to_owned())
    });
    let ended = echo.kill().and_then(|()| echo.wait());
    ended.map_err(|e| e.to_string())?;
    result
}

fn request(question: &Value) -> Result<Request, String> {
    let uid = u32::try_from(number(&question["uid"])?).map_err(|e| e.to_string())?;
    let login = question["login"].as_str().ok_or("no login")?.into();
    Ok(Request::Open {
        subject: Subject { login, uid },
        door: Door::Sudo,
        intent: false,
    })
}

fn round_trips(
    question: &Value,
    call: impl Fn() -> Result<(), String> + Sync,
) -> Result<Value, String> {
    let (clients, calls) = (number(&question["clients"])?, number(&question["calls"])?);
    let clients = usize::try_from(clients).map_err(|e| e.to_string())?;
    // Sockets, caches and the other side's memory are warm when the clock starts.
    (0..20).try_for_each(|_| call())?;
    let gate = Barrier::new(clients + 1);
    let (all, took) = thread::scope(|scope| {
        let client = || {
            gate.wait();
            let mut us = Vec::new();
            for _ in 0..calls {
                let start = Instant::now();
                call()?;
                us.push(micros(start.elapsed()));
            }
            Ok::<_, String>(us)
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        gate.wait();
        let begun = Instant::now();
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.join().map_err(|_| "a client panicked")??);
        }
        Ok::<_, String>((all, begun.elapsed()))
    })?;
    Ok(json!({ "us": all, "took_us": micros(took) }))
}

fn start_echo() -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let child = Command::new(program).args(["echo", ECHO_SOCK]).spawn();
    let child = child.map_err(|e| e.to_string())?;
    let begun = Instant::now();
    while UnixStream::connect(ECHO_SOCK).is_err() {
        if begun.elapsed() > PATIENCE {
            return Err("the echo does not start".to_owned());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(child)
}

/// Takes a frame, gives it back, closes. One thread, as the agent has one.
pub fn echo(path: &str) {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).expect("a socket");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a client");
        let mut head = [0; HEAD];
        if stream.read_exact(&mut head).is_err() {
            continue;
        }
        let mut frame = head.to_vec();
        frame.resize(HEAD + u32::from_be_bytes(head) as usize, 0);
        let answered = stream
            .read_exact(&mut frame[HEAD..])
            .and_then(|()| stream.write_all(&frame));
        drop(answered);
    }
}
