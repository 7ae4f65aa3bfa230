//! The part that runs in a host: one line of JSON asks, one line answers.

mod calls;
pub mod gate;
mod load;
mod watch;

use std::io::BufRead;

use serde_json::{Value, json};

/// Answers until standard input ends.
pub fn serve() {
    let mut held = calls::Held::default();
    let mut fleet = None;
    for line in std::io::stdin().lock().lines() {
        let question: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = match question["op"].as_str().unwrap_or("") {
            "calls" => calls::timed(&question),
            "hold" => held.start(&question),
            "reap" => held.reap(),
            "gate" => gate::ours(&question),
            "raw" => gate::raw(&question),
            "watch" => watch::end(&question),
            "fleet" => load::Fleet::new(&question).map(|new| {
                fleet = Some(new);
                json!({})
            }),
            "enrol" => with(&mut fleet, |f| f.enrol(&question)),
            "connect" => with(&mut fleet, |f| f.connect(&question)),
            "fan-out" => with(&mut fleet, |f| f.fan_out(&question)),
            other => Err(format!("nothing is known of {other:?}")),
        };
        let answer = answer.unwrap_or_else(|why| json!({ "wrong": why }));
        println!("{answer}");
    }
}

fn with(
    fleet: &mut Option<load::Fleet>,
    act: impl FnOnce(&mut load::Fleet) -> Result<Value, String>,
) -> Result<Value, String> {
    act(fleet.as_mut().ok_or("no fleet yet")?)
}

/// Words of a command line.
pub fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|w| w.as_str().unwrap_or_default().to_owned())
        .collect()
}

pub fn number(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| format!("{value} is no number"))
}
