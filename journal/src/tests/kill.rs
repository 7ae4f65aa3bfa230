//! A process that opens the log, appends and tells every receipt, killed again and again, at any moment of it.
//! `JIT_KILL_ROUNDS` says how often; `make test-long` kills a thousand.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const ROOT: &str = "JOURNAL_TEST_ROOT";
const LIMITS: Limits = Limits {
    entries: 50,
    bytes: 1 << 20,
};

/// The whole log is checked after each kill, so that a long run begins a new one now and then.
const KILLS_A_LOG: usize = 25;

/// The child: nothing to do in an ordinary test run.
#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let root = PathBuf::from(root);
    let (dir, head) = (root.join("journal"), root.join("head"));
    let (mut journal, recovery) = recover::open(
        &dir,
        &head,
        &now(),
        Some(identity()),
        AppendOnly::Off,
        LIMITS,
    )
    .unwrap();
    assert_eq!(recovery.faults, []);
    let mut out = std::io::stdout().lock();
    for number in 0.. {
        let batch: Vec<_> = (0..number % 4 + 1).map(record).collect();
        for receipt in journal.append_batch(&drafts(&batch)).unwrap() {
            let chain = crate::text::hex(receipt.chain());
            writeln!(out, "ack {} {chain}", receipt.index()).unwrap();
        }
        out.flush().unwrap();
    }
}

/// How often it is killed.
fn rounds() -> u64 {
    let text = std::env::var("JIT_KILL_ROUNDS").unwrap_or_else(|_| "100".into());
    let rounds = text.parse().ok().filter(|rounds| *rounds > 0);
    rounds.unwrap_or_else(|| panic!("JIT_KILL_ROUNDS={text} is no number of kills"))
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let rounds: Vec<u64> = (1..=rounds()).collect();
    let acknowledged: usize = rounds.chunks(KILLS_A_LOG).map(kill).sum();
    println!("{} kills, {acknowledged} acknowledged", rounds.len());
}

/// A log and so many kills: says how many entries were acknowledged.
fn kill(rounds: &[u64]) -> usize {
    let log = Log {
        sealed: true,
        ..Log::at(tempfile::tempdir().unwrap())
    };
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    for round in rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill::child", "--nocapture"])
            .env(ROOT, log.root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        // Killed some time after some acknowledgements, or after none: then it may still be opening the log.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wanted = (round * 7 % 31).saturating_sub(8);
        let mut note = |line: std::io::Result<String>| {
            let line = line.unwrap();
            // The first one stands behind what the harness says of the test.
            let Some((index, chain)) = line
                .split_once("ack ")
                .and_then(|(_, rest)| rest.split_once(' '))
            else {
                return 0;
            };
            // The last line may be cut.
            if chain.len() == 64 {
                acknowledged.push((index.parse().unwrap(), chain.to_owned()));
            }
            1
        };
        while wanted > 0 {
            wanted -= note(lines.next().expect("the child ended by itself"));
        }
        std::thread::sleep(Duration::from_micros(round * 1009 % 8192));
        child.kill().unwrap();
        for line in lines {
            note(line);
        }
        child.wait().unwrap();
        // Killed before it made the folder there is no log.
        if log.dir().exists() || !acknowledged.is_empty() {
            assert_eq!(named(&log.check()), [], "round {round}");
        }
    }
    for pair in acknowledged.windows(2) {
        assert!(pair[0].0 < pair[1].0, "an index was used twice");
    }
    let (journal, recovery) = log.open();
    assert_eq!(recovery.faults, []);
    drop(journal);
    let mut chains = std::collections::BTreeMap::new();
    for path in log.segments() {
        let data = std::fs::read(&path).unwrap();
        let mut at = 0;
        while let crate::frame::Decoded::Frame(frame) = crate::frame::decode(&data[at..]) {
            if frame.head.kind == crate::frame::Kind::Entry {
                chains.insert(frame.head.index, crate::text::hex(&frame.chain));
            }
            at += frame.size();
        }
    }
    let readable: std::collections::BTreeSet<_> =
        log.entries().iter().map(|entry| entry.index).collect();
    for (index, chain) in &acknowledged {
        assert_eq!(chains.get(index), Some(chain), "entry {index}");
        assert!(readable.contains(index), "entry {index}");
    }
    acknowledged.len()
}
