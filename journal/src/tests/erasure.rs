//! Old keys are gone from the memory of the process that used them.

use super::*;
use crate::merkle::sha256_of;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

const ROOT: &str = "JOURNAL_TEST_KEYS";
/// Only the parent makes seeds from it in its own memory; the child reads them one by one from a pipe.
const SECRET: &[u8] = b"seeds of a test";

/// Bytes of a needle.
const HALF: usize = 16;

fn seed_of(epoch: u64) -> [u8; 32] {
    sha256_of(&[SECRET, &epoch.to_be_bytes()])
}

/// In the child: the seed that its parent knows. Elsewhere none.
pub fn known_seed(epoch: u64, seed: &mut [u8; 32]) -> bool {
    let Some(root) = std::env::var_os(ROOT) else {
        return false;
    };
    // Straight into the caller's array: no copy of ours is to be found later.
    let file = std::fs::File::open(Path::new(&root).join("seeds")).unwrap();
    file.read_exact_at(seed, epoch * 32).unwrap();
    true
}

#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let root = PathBuf::from(root);
    let log = Limits::default();
    let (dir, head) = (root.join("journal"), root.join("head"));
    let opened = recover::open(&dir, &head, &now(), Some(identity()), AppendOnly::Off, log);
    let (mut journal, _) = opened.unwrap();
    let (mut lines, mut line) = (std::io::stdin().lock(), String::new());
    loop {
        let receipt = journal.append(&record(0)).unwrap();
        writeln!(std::io::stdout(), "epoch {}", receipt.index() + 1).unwrap();
        line.clear();
        if lines.read_line(&mut line).unwrap() == 0 {
            return;
        }
    }
}

/// How often each of the needles is in the memory of a process.
fn search(pid: u32, needles: &[Vec<u8>]) -> Vec<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = vec![0; needles.len()];
    let mut first = vec![Vec::new(); 256];
    for (number, needle) in needles.iter().enumerate() {
        first[usize::from(needle[0])].push(number);
    }
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let at = |text| u64::from_str_radix(text, 16).unwrap();
        let mut data = vec![0; usize::try_from(at(to) - at(from)).unwrap()];
        // What the kernel itself keeps there cannot be read.
        let Ok(size) = memory.read_at(&mut data, at(from)) else {
            continue;
        };
        data.truncate(size);
        // Most pages were never touched.
        for at in (0..size).step_by(4096) {
            let page = &data[at..size.min(at + 4096 + HALF - 1)];
            if page[..page.len().min(4096)] == [0; 4096][..page.len().min(4096)] {
                continue;
            }
            for window in page.windows(HALF) {
                if let Some(number) = first[usize::from(window[0])]
                    .iter()
                    .find(|number| needles[**number] == window)
                {
                    found[*number] += 1;
                }
            }
        }
    }
    found
}

/// The seed of an epoch and what it becomes in RFC 8032, as ring keeps it: the scalar that signs, and the prefix. In halves,
/// since the allocator writes over the first bytes of what it is given back.
fn secrets(epoch: u64) -> Vec<Vec<u8>> {
    let seed = seed_of(epoch);
    let hash = ring::digest::digest(&ring::digest::SHA512, &seed);
    let mut all = [&seed, hash.as_ref()].concat();
    let scalar = &mut all[32..64];
    scalar[0] &= 0b1111_1000;
    scalar[31] = scalar[31] & 0b0111_1111 | 0b0100_0000;
    all.chunks(HALF).map(<[u8]>::to_vec).collect()
}

#[test]
fn no_old_key_is_left_in_memory() {
    let root = tempfile::tempdir().unwrap();
    let seeds: Vec<u8> = (0..64).flat_map(seed_of).collect();
    std::fs::write(root.path().join("seeds"), seeds).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::erasure::child", "--nocapture"])
        .env(ROOT, root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for round in 1..12_u64 {
        let line = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(at) = line.find("epoch ") {
                break line[at..].to_owned();
            }
        };
        assert_eq!(line, format!("epoch {round}"));
        // The receipt is out: the key that sealed this entry must be gone, the one it names is there, and no seed.
        let needles: Vec<_> = (1..=round).flat_map(secrets).collect();
        let found = search(child.id(), &needles);
        for (epoch, found) in (1..).zip(found.chunks(96 / HALF)) {
            let (seed, key) = found.split_at(32 / HALF);
            let note = format!("{round}: of the key of epoch {epoch} {found:?}");
            assert!(seed.iter().all(|count| *count == 0), "{note}");
            // Else the search would find nothing at all.
            let there = epoch == round;
            assert!(key.iter().all(|count| (*count > 0) == there), "{note}");
        }
        input.write_all(b"go\n").unwrap();
    }
    drop(input);
    child.wait().unwrap();
}
