//! What is exported, before judges that other people wrote: Cloudflare's `tlog_tiles` and `signed_note`, and Go's
//! `golang.org/x/mod`.

use super::*;
use crate::{
    Claimed, Cosigned, Follower, HostKey, Signing, Standing, TreeHead, Witness, WitnessKey, export,
    prove,
};
use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error as TlogError, Hash, HashReader, Tile, TileHashReader, TileReader,
    check_record, record_hash, stored_hash_index, stored_hashes, tree_hash,
};

/// Of logs without seals.
const ORIGIN: &str = "jit/7b2e/0a1b";

fn by<'a>(head: Option<&'a Path>, key: &'a HostKey) -> Signing<'a> {
    let origin = ORIGIN;
    Signing {
        head,
        origin,
        key,
        cosigned: None,
    }
}

fn key() -> HostKey {
    identity().key
}

/// A log of so many entries, one of them longer than an open format's entry, and its export.
fn exported(count: u64) -> (Log, PathBuf, TreeHead, HostKey) {
    let mut log = Log::sealed();
    log.limits.entries = 300;
    let mut journal = log.reopen();
    let long = |n| match n {
        3 => record(n).reason("x".repeat(70_000)),
        n => record(n),
    };
    let records: Vec<_> = (0..count).map(long).collect();
    for batch in records.chunks(50) {
        let _ = journal.append_batch(&drafts(batch)).unwrap();
    }
    let (to, key) = (log.root.path().join("export"), key());
    let head = export(&log.dir(), &to, by(Some(&log.head()), &key)).unwrap();
    (log, to, head, key)
}

fn opened(note: &[u8], vkey: &str) -> Checkpoint {
    let verifier = StandardVerifier::new(vkey).unwrap();
    let note = Note::from_bytes(note).unwrap();
    let known = VerifierList::new(vec![Box::new(verifier)]);
    let (good, _) = note.verify(&known).unwrap();
    assert_eq!(good.len(), 1);
    Checkpoint::from_bytes(note.text()).unwrap()
}

struct Tiles<'a>(&'a Path);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, TlogError> {
        let read = |tile: &Tile| {
            let path = self.0.join(place(tile));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// Path of a tile in a C2SP tree, which has the height in its specification.
fn place(tile: &Tile) -> String {
    format!("tile/{}", tile.path().strip_prefix("tile/8/").unwrap())
}

#[derive(Debug, PartialEq)]
enum Wrong {
    Entry(u64),
    Tile,
    Root,
}

/// Hashes of a tree that is made anew.
#[derive(Default)]
struct Made(Vec<Hash>);

impl HashReader for Made {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, TlogError> {
        let at = |index: &u64| self.0[usize::try_from(*index).unwrap()];
        Ok(indexes.iter().map(at).collect())
    }
}

/// Is the tree of these entries the one that was signed? The reader of tiles leaves some of them unproven where several
/// subtrees end in one tile, as Go's does.
fn is_tree(entries: &[Vec<u8>], root: &Hash) -> bool {
    let mut made = Made::default();
    for (index, entry) in (0..).zip(entries) {
        let hashes = stored_hashes(index, entry, &made).unwrap();
        made.0.extend(hashes);
    }
    tree_hash(entries.len() as u64, &made).unwrap() == *root
}

/// The entries of the tree, or what is not what the checkpoint covers.
fn judge(to: &Path, vkey: &str) -> Result<Vec<Vec<u8>>, Wrong> {
    let checkpoint = opened(
        &std::fs::read(to.join("checkpoint")).expect("checkpoint"),
        vkey,
    );
    let name = vkey.split('+').next().unwrap();
    let origin = name.split("/epoch/").next().unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.extension()), (origin, ""));
    let (size, tiles) = (checkpoint.size(), Tiles(to));
    let reader = TileHashReader::new(size, *checkpoint.hash(), &tiles);
    let mut entries = Vec::new();
    for first in (0..size).step_by(256) {
        let width = (size - first).min(256);
        let tile = Tile::new(8, 0, first / 256, u32::try_from(width).unwrap(), false);
        let path = place(&tile).replacen("tile/0/", "tile/entries/", 1);
        let bundle = std::fs::read(to.join(&path)).expect(&path);
        let indexes: Vec<u64> = (first..first + width)
            .map(|n| stored_hash_index(0, n))
            .collect();
        let hashes = reader.read_hashes(&indexes).map_err(|_| Wrong::Tile)?;
        let mut rest = &bundle[..];
        for (index, hash) in (first..).zip(hashes) {
            let (length, more) = rest.split_first_chunk::<2>().unwrap();
            let (entry, more) = more.split_at(usize::from(u16::from_be_bytes(*length)));
            if record_hash(entry) != hash {
                return Err(Wrong::Entry(index));
            }
            entries.push(entry.to_vec());
            rest = more;
        }
        assert!(rest.is_empty());
    }
    let whole = is_tree(&entries, checkpoint.hash());
    if whole { Ok(entries) } else { Err(Wrong::Root) }
}

/// Runs one of `tests/attacks/journal/tree` on the export.
fn attack(script: &str, to: &Path, index: u64) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attacks/journal/tree");
    let mut command = std::process::Command::new(scripts.join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = command.arg(to).arg(index.to_string()).status().unwrap();
    assert!(ran.success(), "{script}");
}

#[test]
fn rust_judges_accept_the_export_and_name_a_flipped_entry() {
    let (log, to, head, _) = exported(600);
    let origin = format!("jit/7b2e/{}", crate::log_name(&log.dir()).unwrap());
    assert_eq!((head.size, &head.origin), (600, &origin));
    let entries = judge(&to, &head.keys[0].vkey()).unwrap();
    // Also by the key that the log itself destroyed.
    assert_eq!(head.keys[1].name, format!("{origin}/epoch/11"));
    assert_eq!(judge(&to, &head.keys[1].vkey()).unwrap(), entries);
    for (stored, entry) in log.entries().iter().zip(&entries) {
        if stored.index == 3 {
            let whole = std::fs::read(to.join("records/3.json")).unwrap();
            assert_eq!(whole, stored.json.as_bytes());
            let hash = crate::text::hex(&crate::merkle::sha256(&whole));
            let stands = format!(r#"{{"length":{},"sha256":"{hash}"}}"#, whole.len());
            assert_eq!(stands.as_bytes(), entry);
        } else {
            assert_eq!(stored.json.as_bytes(), entry);
        }
    }
    let judged = |script| {
        let edited = log.root.path().join(script);
        let mut copy = std::process::Command::new("cp");
        let copied = copy.arg("-r").args([&to, &edited]);
        assert!(copied.status().unwrap().success());
        attack(script, &edited, 443);
        judge(&edited, &head.keys[0].vkey()).unwrap_err()
    };
    assert_eq!(judged("edit-a-bundle.py"), Wrong::Entry(443));
    assert!(matches!(
        judged("edit-a-tile.py"),
        Wrong::Entry(443) | Wrong::Tile
    ));
    let both = judged("edit-a-bundle-and-its-tile.py");
    assert!(matches!(both, Wrong::Root | Wrong::Tile), "{both:?}");
}

#[test]
fn sizes_at_the_edges_of_a_tile_are_whole_trees() {
    for count in [1, 255, 256, 257, 512] {
        let (_log, to, head, _) = exported(count);
        let entries = judge(&to, &head.keys[0].vkey()).unwrap();
        assert_eq!(entries.len() as u64, count);
    }
}

/// The entry's own proof convinces the judge, and for no other text.
fn proven(log: &Log, index: u64, key: &HostKey) {
    let (proof, head) = prove(&log.dir(), index, by(None, key)).unwrap();
    let (top, note) = proof.split_once("\n\n").unwrap();
    let mut lines = top.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    assert_eq!(lines.next(), Some(format!("index {index}").as_str()));
    let path: Vec<Hash> = lines.map(|l| Hash::parse_hash(l).unwrap()).collect();
    let tree = opened(note.as_bytes(), &head.keys[0].vkey());
    let mut entries = log.entries().into_iter();
    let json = entries.find(|entry| entry.index == index).unwrap().json;
    let leaf = crate::merkle::leaf_text(json.as_bytes());
    let prove = |leaf| check_record(&path, tree.size(), *tree.hash(), index, leaf);
    prove(record_hash(&leaf)).unwrap();
    assert!(prove(record_hash(b"another")).is_err());
}

#[test]
fn a_proof_holds_for_its_entry_only() {
    let (log, _, _, key) = exported(300);
    for index in [0, 3, 255, 256, 299] {
        proven(&log, index, &key);
    }
    let past = prove(&log.dir(), 300, by(None, &key));
    assert!(matches!(past, Err(Error::NoEntry { size: 300, .. })));
}

#[test]
fn proofs_of_what_was_not_pruned_hold() {
    let (log, key) = (Log::sealed(), identity().key);
    fill(&mut log.reopen(), 0..300);
    for first in [8, 88, 100, 228, 256] {
        let time = Timestamp {
            unix_ms: now().unix_ms + 31 * 86_400_000,
            ..now()
        };
        let record = Record::new(crate::kind::PRUNE, time);
        let _receipt = log.reopen().prune(first, 30, record).unwrap();
        for file in crate::given_up(&log.dir()).unwrap() {
            std::fs::remove_file(file).unwrap();
        }
        for index in (first..log.entries().last().unwrap().index).step_by(41) {
            proven(&log, index, &key);
        }
        let gone = prove(&log.dir(), first - 1, by(None, &key));
        assert!(matches!(gone, Err(Error::Pruned { first: at }) if at == first));
        let whole = export(&log.dir(), &log.root.path().join("again"), by(None, &key));
        assert!(matches!(whole, Err(Error::Pruned { .. })));
    }
}

/// A log, what its witness cosigned of it a while ago, and the witness's key.
fn cosigned() -> (Log, Cosigned, Witness) {
    let (log, _, _, key) = exported(300);
    let pkcs8 = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new());
    let witness = Witness::from_pkcs8("local.0a1b/witness", pkcs8.unwrap().as_ref()).unwrap();
    let name = format!("jit/7b2e/{}", crate::log_name(&log.dir()).unwrap());
    let follower = Follower::open(&log.dir(), 270).unwrap();
    let checkpoint =
        crate::signed_checkpoint(&key, &crate::origin(&name, 2), 270, &follower.root());
    let claimed = Claimed::parse(&checkpoint).unwrap();
    let kept = Cosigned {
        v: 1,
        log: name,
        generation: 2,
        cosignature: witness.cosign(&claimed, 1_700_000_000),
        checkpoint,
        at: 1_700_000_000,
        witness: witness.key().vkey(),
    };
    (log, kept, witness)
}

/// The part of tlog-cosignature that `signed_note` leaves to its callers, over its own key ids and signature lines.
struct CosignatureJudge {
    name: String,
    id: u32,
    key: Vec<u8>,
}

impl CosignatureJudge {
    fn new(vkey: &str) -> Self {
        let mut parts = vkey.splitn(3, '+');
        let name = parts.next().unwrap().to_owned();
        let id = u32::from_str_radix(parts.next().unwrap(), 16).unwrap();
        let key = crate::note::from_base64(parts.next().unwrap()).unwrap();
        assert_eq!((id, key[0]), (signed_note::key_id(&name, &key), 4));
        Self { name, id, key }
    }
}

impl Verifier for CosignatureJudge {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, msg: &[u8], sig: &[u8]) -> bool {
        let (time, sig) = sig.split_at(8);
        let time = u64::from_be_bytes(time.try_into().unwrap());
        let signed = [format!("cosignature/v1\ntime {time}\n").as_bytes(), msg].concat();
        let key =
            ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, &self.key[1..]);
        key.verify(&signed, sig).is_ok()
    }
}

#[test]
fn a_foreign_judge_verifies_the_cosignature_of_an_export() {
    let (log, kept, witness) = cosigned();
    let key = key();
    let to = log.root.path().join("witnessed");
    let signing = Signing {
        cosigned: Some(&kept),
        ..by(None, &key)
    };
    let tree = export(&log.dir(), &to, signing).unwrap();
    assert_eq!(
        (tree.size, tree.witness.as_ref()),
        (270, Some(witness.key()))
    );
    assert_eq!(judge(&to, &tree.keys[0].vkey()).unwrap().len(), 270);
    let note = Note::from_bytes(tree.note.as_bytes()).unwrap();
    let judged = |vkey: &str| {
        let judge: Box<dyn Verifier> = Box::new(CosignatureJudge::new(vkey));
        note.verify(&VerifierList::new(vec![judge])).is_ok()
    };
    assert!(judged(&witness.key().vkey()));
    let stranger = WitnessKey {
        public: key.public(),
        ..witness.key().clone()
    };
    assert!(!judged(&stranger.vkey()));
    let (proof, _) = prove(&log.dir(), 269, signing).unwrap();
    assert!(proof.ends_with(&kept.cosignature));
    let past = prove(&log.dir(), 270, signing);
    assert!(matches!(past, Err(Error::NoEntry { size: 270, .. })));
}

#[test]
fn what_is_no_more_what_was_cosigned_is_named() {
    let (log, kept, _) = cosigned();
    let stands = |kept: &Cosigned, entries| kept.stands_in(&log.dir(), entries).unwrap();
    assert_eq!(stands(&kept, 300), Standing::Whole);
    assert_eq!(stands(&kept, 269), Standing::Rollback);
    let other = Log::sealed();
    fill(&mut other.reopen(), 0..280);
    assert_eq!(kept.stands_in(&other.dir(), 280).unwrap(), Standing::Fork);
    let (key, to) = (key(), other.root.path().join("export"));
    let signing = Signing {
        cosigned: Some(&kept),
        ..by(None, &key)
    };
    let refused = export(&other.dir(), &to, signing).unwrap_err();
    assert!(refused.to_string().contains("fork"), "{refused}");
    assert!(!to.join("checkpoint").exists());
    let mut forged = kept.clone();
    forged.at += 1;
    assert_eq!(forged.verified(), None);
}

#[test]
fn a_log_with_a_fault_is_not_signed() {
    let log = filled(9);
    let path = &log.segments()[1];
    let mut data = std::fs::read(path).unwrap();
    let at = frames(path)[2].start + 40;
    data[at] ^= 1;
    std::fs::write(path, data).unwrap();
    let to = log.root.path().join("export");
    let refused = export(&log.dir(), &to, by(None, &key())).unwrap_err();
    let Error::Unsound(fault) = refused else {
        panic!("{refused}")
    };
    assert_eq!((fault.kind, fault.index), (FaultKind::Edited, Some(5)));
    assert!(!to.join("checkpoint").exists());
}

#[test]
fn a_log_that_lost_its_seals_is_not_signed() {
    let (log, key) = (filled(1), key());
    let Error::Unsound(fault) = prove(&log.dir(), 0, by(None, &key)).unwrap_err() else {
        panic!("signed")
    };
    assert_eq!(fault.kind, FaultKind::SealMissing);
}

#[test]
fn a_name_that_would_break_the_note_is_refused() {
    let log = filled(0);
    let key = key();
    let signing = Signing {
        origin: "x y\n",
        ..by(None, &key)
    };
    let to = log.root.path().join("export");
    let refused = export(&log.dir(), &to, signing).unwrap_err();
    assert!(matches!(refused, Error::Origin), "{refused}");
}

#[cfg(feature = "go-tests")]
mod go {
    use super::*;
    use std::process::Command;

    fn built(at: &Path) -> PathBuf {
        let program = at.join("judge");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/judge.go");
        let build = Command::new("go")
            .args(["build", "-o"])
            .args([&program, &source])
            // Debian's packages of Go libraries, nothing from elsewhere.
            .env("GOPATH", "/usr/share/gocode")
            .env("GO111MODULE", "off")
            .env("GOCACHE", at.join("cache"))
            .output()
            .expect("golang-go and golang-golang-x-mod-dev");
        assert!(build.status.success(), "{build:?}");
        program
    }

    #[test]
    fn the_go_judge_accepts_the_export_and_names_a_flipped_entry() {
        let (log, to, head, key) = exported(600);
        let program = built(log.root.path());
        let (proof, _) = prove(&log.dir(), 299, by(None, &key)).unwrap();
        let file = log.root.path().join("proof.299");
        std::fs::write(&file, proof).unwrap();
        let judged = || {
            let vkey = head.keys[0].vkey();
            let out = Command::new(&program)
                .arg(&to)
                .arg(vkey)
                .arg(&file)
                .output();
            let out = out.unwrap();
            (out.status.code(), String::from_utf8(out.stdout).unwrap())
        };
        let good = "proved 299 of 600\ngood 600\n".to_owned();
        assert_eq!(judged(), (Some(0), good));
        attack("edit-a-bundle.py", &to, 443);
        let named = "proved 299 of 600\nentry 443 is not what was logged\n".to_owned();
        assert_eq!(judged(), (Some(1), named));
        // Flipped back, and once more with a tile that fits.
        attack("edit-a-bundle.py", &to, 443);
        attack("edit-a-bundle-and-its-tile.py", &to, 443);
        let (code, said) = judged();
        assert_eq!(code, Some(1));
        assert!(
            said.contains("inconsistent tile") || said.contains("not the tree"),
            "{said}"
        );
    }
}
