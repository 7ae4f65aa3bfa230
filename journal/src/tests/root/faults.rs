//! Every system call of the journal's work fails once: on a new log, on one that a crash has left with a torn tail, and while the
//! oldest entries are given up. What was acknowledged must be there afterwards, and the log must be whole and go on.
//!
//! The calls are those that strace sees the same work make, so a new one is covered by itself. strace holds the one thread that
//! works, and nothing else of the test.

use super::*;
use crate::record::kind;
use crate::{given_up, prunable};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::panic;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

/// Logs that are worked on at the same time: mostly they wait for the disk.
const LANES: usize = 4;
/// Entries of a segment.
const LIMIT: u64 = 3;
/// Entries that each work appends.
const APPENDED: usize = 8;
const DAY_MS: u64 = 86_400_000;

/// Not failed: `close`, whose answer goes to nobody (and std ends the process when that of a folder fails, which no kernel lets it);
/// the wait for the start and the thread's own end; and the allocator's, which cannot be told from a thread's stack. The journal maps
/// no memory itself.
const NOT_OURS: [&str; 14] = [
    "close",
    "exit",
    "restart_syscall",
    "futex",
    "sched_yield",
    "rt_sigprocmask",
    "sigaltstack",
    "rseq",
    "set_robust_list",
    "brk",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
];
/// Calls that may need room.
const NEED_ROOM: [&str; 9] = [
    "fallocate",
    "fdatasync",
    "fsync",
    "mkdir",
    "openat",
    "pwrite64",
    "rename",
    "sync_file_range",
    "write",
];
/// Calls that a signal may cut short.
const CUT_SHORT: [&str; 10] = [
    "fallocate",
    "fdatasync",
    "flock",
    "fsync",
    "getrandom",
    "openat",
    "pread64",
    "pwrite64",
    "read",
    "write",
];

/// How a call fails.
fn errors(call: &str) -> Vec<&'static str> {
    let mut errors = vec!["EIO"];
    if NEED_ROOM.contains(&call) {
        errors.push("ENOSPC");
    }
    if CUT_SHORT.contains(&call) {
        errors.push("EINTR");
    }
    match call {
        "openat" => errors.push("EMFILE"),
        "ioctl" => errors.extend(["EPERM", "EOPNOTSUPP"]),
        "fallocate" => errors.push("EOPNOTSUPP"),
        "sync_file_range" => errors.extend(["EPERM", "ENOSYS"]),
        _ => {}
    }
    errors
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    New,
    Torn,
    Prune,
}

/// Index of an entry that has a receipt, and the number in its record.
type Acknowledged = (u64, u64);

impl Work {
    /// The log before, and what is acknowledged in it.
    fn prepare(self) -> (Flagged, Vec<Acknowledged>) {
        let mut log = Flagged::new();
        log.0.sealed = true;
        log.0.limits.entries = LIMIT;
        let before = match self {
            Self::New => return (log, Vec::new()),
            Self::Torn => 0..5,
            Self::Prune => 0..8,
        };
        let indexes = fill(&mut log.open().0, before.clone());
        if self == Self::Torn {
            let last = log.0.segments().pop().unwrap();
            let mut file = std::fs::OpenOptions::new().append(true).open(last).unwrap();
            std::io::Write::write_all(&mut file, b"\xffJ\x02torn").unwrap();
        }
        (log, indexes.into_iter().zip(before).collect())
    }

    /// What meets the fault. An error is an answer; what is acknowledged counts.
    fn run(self, log: &Flagged) -> Vec<Acknowledged> {
        let Ok((mut journal, _)) = log.try_open() else {
            return Vec::new();
        };
        if self == Self::Prune {
            let later = Timestamp {
                unix_ms: now().unix_ms + 31 * DAY_MS,
                ..now()
            };
            if let Ok(Some(first)) = prunable(&log.0.dir(), later.unix_ms, 2 * LIMIT) {
                let _ = journal.prune(first, 30, Record::new(kind::PRUNE, later));
            }
            let _ = given_up(&log.0.dir());
        }
        (100..100 + APPENDED as u64)
            .filter_map(|number| Some((journal.append(&record(number)).ok()?.index(), number)))
            .collect()
    }
}

/// Does the work in a thread that strace holds, with this to inject. Returns what was acknowledged, and the trace.
fn traced(work: Work, log: &Flagged, inject: Option<&str>) -> (Vec<Acknowledged>, String) {
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let worker = scope.spawn(move || {
            let name = std::fs::read_link("/proc/thread-self").unwrap();
            tell.send(name).unwrap();
            gone.recv().unwrap();
            work.run(log)
        });
        let name = told.recv().unwrap();
        let trace = log.0.root.path().join("trace");
        let mut strace = Command::new("strace")
            .arg("-o")
            .arg(&trace)
            .arg("-p")
            .arg(name.file_name().unwrap())
            .args(inject.iter().flat_map(|inject| ["-e", inject]))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached = said.next().unwrap().unwrap();
        assert!(attached.ends_with("attached"), "{attached}");
        go.send(()).unwrap();
        let acknowledged = worker.join().unwrap();
        strace.wait().unwrap();
        (acknowledged, std::fs::read_to_string(trace).unwrap())
    })
}

/// How often the untouched work makes each call.
fn calls(work: Work) -> BTreeMap<String, usize> {
    let (log, _) = work.prepare();
    let (acknowledged, trace) = traced(work, &log, None);
    assert_eq!(acknowledged.len(), APPENDED, "{work:?}");
    let mut calls = BTreeMap::new();
    for line in trace.lines() {
        let Some((call, _)) = line.split_once('(') else {
            continue;
        };
        // The rest of a call that was waited in when strace came.
        let resumed = call.starts_with('<');
        if !resumed && !NOT_OURS.contains(&call) {
            *calls.entry(call.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// One fault, and what is left. Says whether the fault was met.
fn fail_once(work: Work, call: &str, error: &str, number: usize) -> bool {
    let note = format!("{work:?}: {call} {error} at {number}");
    let (log, mut acknowledged) = work.prepare();
    let inject = format!("inject={call}:error={error}:when={number}");
    let (new, trace) = traced(work, &log, Some(&inject));
    let count = new.len();
    acknowledged.extend(new);
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery.faults, [], "{note}");
    fill(&mut journal, 50..52);
    whole(&log, &acknowledged, &note);
    let anew = || {
        let mut entries = log.0.entries().into_iter();
        entries.any(|entry| entry.json.contains("\"type\":\"recovery\""))
    };
    match (call, error) {
        ("fdatasync" | "sync_file_range", "EIO") => {
            assert!(count == APPENDED && anew(), "{note}: a new segment");
        }
        ("fdatasync" | "sync_file_range", "ENOSPC") if work != Work::Prune => {
            assert_eq!(count, APPENDED - 1, "{note}: a full disk gives no receipt");
        }
        // There is no such call: that is no fault.
        ("sync_file_range", "EPERM" | "ENOSYS") => {
            let none = work == Work::Torn || !anew();
            assert!(count == APPENDED && none, "{note}: in the same segment");
        }
        _ => {}
    }
    // Whoever could not read all of it gives up less.
    let files = given_up(&log.0.dir()).unwrap();
    let most = if work == Work::Prune { 2 } else { 0 };
    assert!(files.len() <= most, "{note}: {files:?}");
    for file in &files {
        chattr("-ai", file);
        std::fs::remove_file(file).unwrap();
    }
    if !files.is_empty() {
        let first = LIMIT * files.len() as u64;
        acknowledged.retain(|(index, _)| *index >= first);
        whole(&log, &acknowledged, &note);
    }
    drop(journal);
    assert_eq!(log.open().1, Recovery::default(), "{note}");
    let met = trace.contains("(INJECTED)");
    if !met {
        println!("{note} was not met");
    }
    met
}

/// The log has no fault, and all of this.
fn whole(log: &Flagged, acknowledged: &[Acknowledged], note: &str) {
    let report = log.0.check();
    assert_eq!(named(&report), [], "{note}: {:?}", report.faults);
    let entries = log.0.entries();
    for (index, number) in acknowledged {
        let entry = entries.iter().find(|entry| entry.index == *index);
        let expected = record(*number).to_json().unwrap();
        // Behind it stands the key that it names.
        let begins = |entry: &Entry| entry.json.starts_with(&expected[..expected.len() - 1]);
        assert!(entry.is_some_and(begins), "{note}: entry {index}");
    }
}

#[test]
fn every_system_call_failed_once() {
    let all = [Work::New, Work::Torn, Work::Prune];
    // What is done once in a process is done then.
    for work in all {
        calls(work);
    }
    let mut faults = Vec::new();
    for work in all {
        let calls = calls(work);
        println!("{work:?}: {calls:?}");
        for (call, most) in calls {
            for error in errors(&call) {
                faults.extend((1..=most).map(|number| (work, call.clone(), error, number)));
            }
        }
    }
    // A lock that cannot be let go goes with its file, of which every process that another lane just starts has a copy.
    let (alone, beside): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| fault.1 == "flock");
    // None: it went wrong, and said so.
    let fail = |(work, call, error, number): &&(Work, String, &str, usize)| {
        panic::catch_unwind(|| fail_once(*work, call, error, *number)).ok()
    };
    let mut done: Vec<Option<bool>> = alone.iter().map(fail).collect();
    done.extend(thread::scope(|scope| {
        let lane = |at| {
            let share = beside.iter().skip(at).step_by(LANES);
            move || share.map(fail).collect::<Vec<_>>()
        };
        let lanes: Vec<_> = (0..LANES).map(|at| scope.spawn(lane(at))).collect();
        let done = lanes.into_iter().flat_map(|lane| lane.join().unwrap());
        done.collect::<Vec<_>>()
    }));
    let wrong = done.iter().filter(|done| done.is_none()).count();
    let met = done.iter().filter(|done| **done == Some(true)).count();
    println!("{met} of {} faults met, {wrong} went wrong", faults.len());
    assert_eq!(wrong, 0);
    // How often the machine is asked for its processors is not the journal's choice.
    assert!(met * 100 >= faults.len() * 98, "too few were met");
}
