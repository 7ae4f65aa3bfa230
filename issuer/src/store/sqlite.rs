//! SQLite: WAL, `synchronous=FULL`, one connection.

use super::row::{bad, int, uint};
use super::{
    Answered, Asked, Given, Granted, Head, Host, Joining, Letter, Logged, Minted, NewBreakglass,
    Next, Outbox, Recorded, Revoking, Sent, Settled, Signed, Store, StoredPolicy, Token, Waiting,
    Witnessed, answered, hosts, outbox, waiting, witness,
};
use crate::error::Error;
use crate::hooks::event::{Happened, More, Of};
use api::{HostSays, Kind, Seen, Standing, Status};
use rusqlite::{Connection, OptionalExtension, Row, Savepoint, TransactionBehavior, params};
use settings::outgoing::What;
use statement::claims::{Jwk, Target};
use statement::digest::sha256_b64;
use statement::limits::MAX_LIFE;
use statement::people::Need;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Each step brings a store from one version to the next; an empty file has version 0.
const STEPS: [&str; 10] = [
    include_str!("schema.sql"),
    include_str!("schema2.sql"),
    include_str!("schema3.sql"),
    include_str!("schema4.sql"),
    include_str!("schema5.sql"),
    include_str!("schema6.sql"),
    include_str!("schema7.sql"),
    include_str!("schema8.sql"),
    include_str!("schema9.sql"),
    include_str!("schema10.sql"),
];

pub struct Sqlite {
    db: Connection,
    /// None: nobody is told.
    outbox: Option<Outbox>,
}

impl Sqlite {
    /// Opens a file that exists (an empty one is given the schema).
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Schema`] for a file of another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags =
            rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(Duration::from_secs(2))?;
        db.pragma_update(None, "trusted_schema", false)?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = tx.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
        let missing = usize::try_from(found)
            .ok()
            .and_then(|n| STEPS.get(n..))
            .ok_or(Error::Schema(found))?;
        for step in missing {
            tx.execute_batch(step)?;
        }
        tx.pragma_update(None, "user_version", STEPS.len() as i64)?;
        tx.commit()?;
        Ok(Self { db, outbox: None })
    }

    /// # Errors
    /// [`Error::Damaged`] with what SQLite found.
    pub fn check(&self) -> Result<(), Error> {
        let found: String = self
            .db
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found == "ok" {
            Ok(())
        } else {
            Err(Error::Damaged(found))
        }
    }
}

/// A transaction; while there is one around several calls, a part of it that can fail by itself.
fn begin(db: &mut Connection) -> Result<Savepoint<'_>, Error> {
    Ok(db.savepoint()?)
}

impl Store for Sqlite {
    fn begin(&mut self) -> Result<(), Error> {
        // Immediate: take the write lock now, not at the first write.
        Ok(self.db.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn has_begun(&self) -> bool {
        !self.db.is_autocommit()
    }

    fn commit(&mut self) -> Result<(), Error> {
        let kept = self.db.execute_batch("COMMIT");
        if kept.is_err() && !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK")?;
        }
        Ok(kept?)
    }

    fn host(&mut self, id: &str) -> Result<Option<Host>, Error> {
        hosts::one(&self.db, "id = ?1", id)
    }

    fn host_by_kid(&mut self, kid: &str) -> Result<Option<Host>, Error> {
        hosts::one(&self.db, "kid = ?1", kid)
    }

    fn enrol(&mut self, host: &Host) -> Result<bool, Error> {
        let tx = begin(&mut self.db)?;
        let stored = hosts::put(&tx, host)?;
        tx.commit()?;
        Ok(stored)
    }

    fn hosts(&mut self) -> Result<Vec<Host>, Error> {
        hosts::all(&self.db)
    }

    fn receipt(&mut self, host: &str, seen: &Seen) -> Result<(), Error> {
        hosts::receipt(&self.db, host, seen)
    }

    fn receipts(&mut self) -> Result<BTreeMap<String, Seen>, Error> {
        hosts::receipts(&self.db)
    }

    fn witnessed(&mut self, host: &str) -> Result<Option<Witnessed>, Error> {
        witness::one(&self.db, host)
    }

    fn all_witnessed(&mut self) -> Result<BTreeMap<String, Witnessed>, Error> {
        witness::all(&self.db)
    }

    fn keep_witnessed(
        &mut self,
        host: &str,
        witnessed: &Witnessed,
        ends: Option<&str>,
    ) -> Result<(), Error> {
        let tx = begin(&mut self.db)?;
        witness::keep(&tx, host, witnessed, ends)?;
        tx.commit()?;
        Ok(())
    }

    fn is_closed(&mut self, origin: &str) -> Result<bool, Error> {
        witness::is_closed(&self.db, origin)
    }

    fn reach(&mut self, host: &str) -> Result<u64, Error> {
        hosts::reach(&self.db, host)
    }

    fn rename(&mut self, id: &str, name: &str) -> Result<bool, Error> {
        hosts::rename(&self.db, id, name)
    }

    fn part(&mut self, id: &str, at: u64) -> Result<bool, Error> {
        hosts::part(&self.db, id, at)
    }

    fn add_token(&mut self, token: &Token, now: u64) -> Result<(), Error> {
        let tx = begin(&mut self.db)?;
        hosts::add_token(&tx, token, now)?;
        Ok(tx.commit()?)
    }

    fn token(&mut self, hash: &str, now: u64) -> Result<Option<Token>, Error> {
        hosts::token(&self.db, hash, now)
    }

    fn join(
        &mut self,
        hash: &str,
        key: &Jwk,
        kid: &str,
        now: u64,
        sign: &mut dyn FnMut(&Host) -> Result<String, Error>,
    ) -> Result<Joining, Error> {
        let tx = begin(&mut self.db)?;
        let joining = hosts::join(&tx, hash, key, kid, now, sign)?;
        // What was refused has changed nothing.
        tx.commit()?;
        Ok(joining)
    }

    fn settled(&mut self, hash: &str) -> Result<Option<Settled>, Error> {
        settled(&self.db, hash)
    }

    fn deny(&mut self, asked: &Asked, detail: &str) -> Result<Settled, Error> {
        let tx = begin(&mut self.db)?;
        if let Some(before) = settled(&tx, &asked.hash)? {
            return Ok(before);
        }
        let settled = insert_request(&tx, asked, Status::Denied, detail)?;
        tell(&tx, &self.outbox, What::Denied, asked, More::Detail(detail))?;
        tx.commit()?;
        Ok(settled)
    }

    fn grant(
        &mut self,
        asked: &Asked,
        mint: &mut dyn FnMut(u64) -> Result<Minted, Error>,
    ) -> Result<Settled, Error> {
        let tx = begin(&mut self.db)?;
        if let Some(before) = settled(&tx, &asked.hash)? {
            return Ok(before);
        }
        let seq = count(&tx, "grant_seq", 1)?;
        let minted = mint(seq)?;
        let settled = insert_request(&tx, asked, Status::Accepted, "")?;
        let n = append(
            &tx,
            Kind::Grant,
            Some(&asked.host),
            Some(minted.exp),
            asked.at,
            &minted.bundle,
        )?;
        tx.execute(
            "INSERT INTO granted (jti, seq, request, host, sub, exp, n)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                minted.jti,
                int(seq)?,
                asked.hash,
                asked.host,
                asked.sub,
                int(minted.exp)?,
                int(n)?
            ],
        )?;
        let more = More::Grant(&minted.jti, minted.exp);
        tell(&tx, &self.outbox, What::Granted, asked, more)?;
        tx.commit()?;
        Ok(settled)
    }

    fn wait(
        &mut self,
        asked: &Asked,
        until: u64,
        levels: &[Need],
        waiting_for: &str,
    ) -> Result<bool, Error> {
        let tx = begin(&mut self.db)?;
        let added = waiting::put(&tx, asked, until, levels, waiting_for)?;
        if added {
            let more = More::Waiting(waiting_for, until);
            tell(&tx, &self.outbox, What::Waiting, asked, more)?;
        }
        tx.commit()?;
        Ok(added)
    }

    fn waiting(&mut self, hash: &str) -> Result<Option<Waiting>, Error> {
        waiting::one(&self.db, "hash", hash)
    }

    fn waiting_called(&mut self, id: &str) -> Result<Option<Waiting>, Error> {
        waiting::one(&self.db, "id", id)
    }

    fn open(&mut self) -> Result<Vec<Waiting>, Error> {
        waiting::open(&self.db)
    }

    fn open_count(&mut self, host: &str, sub: &str) -> Result<(u64, u64, u64), Error> {
        waiting::count(&self.db, host, sub)
    }

    fn waits(&mut self, hash: &str, levels: &[Need], waiting_for: &str) -> Result<(), Error> {
        let tx = begin(&mut self.db)?;
        if waiting::waits(&tx, hash, levels, waiting_for)? {
            let outbox = self.outbox.as_ref();
            outbox::put_waiting(&tx, outbox, hash, What::Waiting, None)?;
        }
        Ok(tx.commit()?)
    }

    fn approve(&mut self, hash: &str, given: &Given) -> Result<(), Error> {
        let tx = begin(&mut self.db)?;
        if waiting::approve(&tx, hash, given)? {
            let by = Some(given.person.as_str());
            outbox::put_waiting(&tx, self.outbox.as_ref(), hash, What::Approved, by)?;
        }
        Ok(tx.commit()?)
    }

    fn close(&mut self, asked: &Asked, to: Standing, detail: &str) -> Result<Settled, Error> {
        let tx = begin(&mut self.db)?;
        if let Some(before) = settled(&tx, &asked.hash)? {
            return Ok(before);
        }
        waiting::close(&tx, &asked.hash, to, detail)?;
        let settled = insert_request(&tx, asked, Status::Denied, detail)?;
        let what = match to {
            Standing::Withdrawn => What::Withdrawn,
            Standing::Expired => What::Expired,
            _ => What::Denied,
        };
        tell(&tx, &self.outbox, what, asked, More::Detail(detail))?;
        tx.commit()?;
        Ok(settled)
    }

    fn expire(&mut self, now: u64) -> Result<(), Error> {
        for asked in waiting::overdue(&self.db, now)? {
            self.close(&asked, Standing::Expired, "Nobody decided it in its time.")?;
        }
        Ok(())
    }

    fn granted(&mut self, jti: &str) -> Result<Option<Granted>, Error> {
        let found = self.db.query_row(
            "SELECT g.host, g.sub, g.exp, request.jws, EXISTS (
                 SELECT 1 FROM revocation AS r WHERE (r.kind = 'grant' AND r.target = g.jti)
                 OR (r.n > g.n AND ((r.kind = 'sub' AND r.target = g.sub)
                                 OR (r.kind = 'host' AND r.target = g.host)
                                 OR (r.kind = 'issued_before' AND CAST(r.target AS INTEGER) > request.at)
                                 OR (r.kind = 'kid' AND r.target IN (
                                         SELECT kid FROM host WHERE id = g.host))
                                 OR (r.kind = 'kid' AND r.target NOT IN (SELECT kid FROM host)
                                     AND r.target NOT IN (SELECT kid FROM person_key)))))
             FROM granted AS g JOIN request ON request.hash = g.request WHERE g.jti = ?1",
            [jti],
            |row| {
                Ok(Granted {
                    host: row.get(0)?,
                    sub: row.get(1)?,
                    exp: uint(row, 2)?,
                    request: row.get(3)?,
                    revoked: row.get(4)?,
                })
            },
        );
        Ok(found.optional()?)
    }

    fn granted_for(&mut self, hash: &str) -> Result<Option<String>, Error> {
        let found = self.db.query_row(
            "SELECT jti FROM granted WHERE request = ?1",
            [hash],
            |row| row.get(0),
        );
        Ok(found.optional()?)
    }

    fn settled_called(&mut self, id: &str) -> Result<Vec<Asked>, Error> {
        let mut query = self.db.prepare_cached(
            "SELECT hash, id, host, sub, at, jws FROM request
             WHERE id = ?1 OR hash = (SELECT request FROM granted WHERE jti = ?1)",
        )?;
        let rows = query.query_map([id], waiting::asked)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn host_says(&mut self, host: &str, hash: &str, says: &HostSays) -> Result<(), Error> {
        self.db.execute(
            "INSERT INTO host_said (request, active, why)
             SELECT request, ?3, ?4 FROM granted WHERE request = ?2 AND host = ?1
             ON CONFLICT DO NOTHING",
            params![host, hash, says.active, says.why],
        )?;
        Ok(())
    }

    fn host_said(&mut self, hash: &str) -> Result<Option<HostSays>, Error> {
        let found = self.db.query_row(
            "SELECT active, why FROM host_said WHERE request = ?1",
            [hash],
            |row| {
                Ok(HostSays {
                    active: row.get(0)?,
                    why: row.get(1)?,
                })
            },
        );
        Ok(found.optional()?)
    }

    fn persons_key(&mut self, kid: &str) -> Result<(), Error> {
        self.db.execute(
            "INSERT INTO person_key (kid) VALUES (?1) ON CONFLICT DO NOTHING",
            [kid],
        )?;
        Ok(())
    }

    fn revoke(
        &mut self,
        target: &Target,
        by: u32,
        at: u64,
        sign: &mut dyn FnMut(&Next) -> Result<Signed, Error>,
    ) -> Result<Revoking, Error> {
        let tx = begin(&mut self.db)?;
        let time = match target {
            Target::IssuedBefore(t) => t.to_string(),
            _ => String::new(),
        };
        let (kind, id, latest) = match target {
            // A break-glass grant begins at the latest when its statement's time is over.
            Target::Grant(jti) => (
                "grant",
                jti,
                "SELECT max(exp) FROM (SELECT exp FROM granted WHERE jti = ?1
                 UNION ALL SELECT exp + 43200 FROM breakglass WHERE id = ?1)",
            ),
            Target::Sub(sub) => ("sub", sub, "SELECT max(exp) FROM granted WHERE sub = ?1"),
            Target::Host(host) => ("host", host, "SELECT max(exp) FROM granted WHERE host = ?1"),
            // Whether there is such a key, and what it may still sign, the caller knows.
            Target::Kid(kid) => (
                "kid",
                kid,
                "SELECT max(exp) FROM granted WHERE ?1 IS NOT NULL",
            ),
            Target::IssuedBefore(_) => (
                "issued_before",
                &time,
                "SELECT max(exp) FROM granted WHERE ?1 IS NOT NULL",
            ),
            Target::Approver(_) => return Ok(Revoking::Unknown),
        };
        let latest: Option<i64> = tx.query_row(latest, [id], |row| row.get(0))?;
        let known = match target {
            Target::Host(host) => hosts::one(&tx, "id = ?1", host)?.is_some(),
            Target::Kid(_) | Target::IssuedBefore(_) => true,
            _ => latest.is_some(),
        };
        if !known {
            return Ok(Revoking::Unknown);
        }
        // A grant and a key need it once. A subject or a host may have new grants since the last time.
        let before: Option<u64> = tx
            .query_row(
                "SELECT serial FROM revocation WHERE kind IN ('grant', 'kid') AND kind = ?1 AND target = ?2",
                params![kind, id],
                |row| uint(row, 0),
            )
            .optional()?;
        if let Some(serial) = before {
            return Ok(Revoking::Before { serial });
        }
        // It also ends what extends the grant by now: no life that begins by now ends later.
        let extended = match target {
            Target::Grant(_) | Target::IssuedBefore(_) => at + MAX_LIFE,
            _ => 0,
        };
        let prev = rev_head(&tx)?;
        let next = Next {
            serial: count(&tx, "revocation", 1)?,
            prev,
            reach: latest.map_or(0, i64::cast_unsigned).max(at).max(extended),
        };
        let signed = sign(&next)?;
        let n = append(&tx, Kind::Revocation, None, None, at, &signed.jws)?;
        tx.execute(
            "INSERT INTO revocation (serial, hash, kind, target, by_uid, n)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![int(next.serial)?, signed.hash, kind, id, by, int(n)?],
        )?;
        let outbox = self.outbox.as_ref();
        outbox::put_revoked(&tx, outbox, target, (kind, id), next.serial)?;
        tx.commit()?;
        Ok(Revoking::Done {
            serial: next.serial,
        })
    }

    fn kid_revoked(&mut self, kid: &str) -> Result<bool, Error> {
        Ok(self.db.query_row(
            "SELECT EXISTS (SELECT 1 FROM revocation WHERE kind = 'kid' AND target = ?1)",
            [kid],
            |row| row.get(0),
        )?)
    }

    fn add_trust(&mut self, doc: &str, at: u64) -> Result<bool, Error> {
        let tx = begin(&mut self.db)?;
        let there: bool = tx.query_row(
            "SELECT EXISTS (SELECT 1 FROM log WHERE kind = 'trust' AND blob = ?1)",
            [doc],
            |row| row.get(0),
        )?;
        if !there {
            append(&tx, Kind::Trust, None, None, at, doc)?;
            tx.commit()?;
        }
        Ok(!there)
    }

    fn add_breakglass(&mut self, new: &NewBreakglass<'_>, at: u64) -> Result<bool, Error> {
        let tx = begin(&mut self.db)?;
        let there: bool = tx.query_row(
            "SELECT EXISTS (SELECT 1 FROM breakglass WHERE id = ?1)",
            [new.id],
            |row| row.get(0),
        )?;
        if !there {
            let (host, exp) = (Some(new.host), Some(new.exp));
            let n = append(&tx, Kind::Breakglass, host, exp, at, new.doc)?;
            tx.execute(
                "INSERT INTO breakglass (id, host, exp, n) VALUES (?1, ?2, ?3, ?4)",
                params![new.id, new.host, int(new.exp)?, int(n)?],
            )?;
            let (id, host, exp) = (new.id, new.host, new.exp);
            let of = Of::Breakglass { id, host, exp };
            let what = What::Breakglass;
            outbox::put(&tx, self.outbox.as_ref(), &Happened { what, of })?;
            tx.commit()?;
        }
        Ok(!there)
    }

    fn recorded(&mut self, limit: u32) -> Result<Vec<Recorded>, Error> {
        let mut query = self
            .db
            .prepare_cached("SELECT host, jws, at FROM request ORDER BY at DESC, hash LIMIT ?1")?;
        let rows = query.query_map([limit], |row| {
            Ok(Recorded {
                host: row.get(0)?,
                jws: row.get(1)?,
                at: uint(row, 2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn policy(&mut self) -> Result<Option<StoredPolicy>, Error> {
        let found = self.db.query_row(
            "SELECT ver, digest, text, blob FROM policy JOIN log USING (n) ORDER BY ver DESC LIMIT 1",
            [],
            |row| {
                Ok(StoredPolicy {
                    ver: uint(row, 0)?,
                    digest: row.get(1)?,
                    text: row.get(2)?,
                    jws: row.get(3)?,
                })
            },
        );
        Ok(found.optional()?)
    }

    fn add_policy(
        &mut self,
        text: &str,
        digest: &str,
        at: u64,
        sign: &mut dyn FnMut(u64) -> Result<String, Error>,
    ) -> Result<u64, Error> {
        let tx = begin(&mut self.db)?;
        let ver = count(&tx, "policy_ver", 1)?;
        let jws = sign(ver)?;
        let n = append(&tx, Kind::Policy, None, None, at, &jws)?;
        tx.execute(
            "INSERT INTO policy (ver, digest, text, n) VALUES (?1, ?2, ?3, ?4)",
            params![int(ver)?, digest, text, int(n)?],
        )?;
        tx.commit()?;
        Ok(ver)
    }

    fn log(&mut self, after: u64, limit: u32) -> Result<Vec<Logged>, Error> {
        let mut query = self.db.prepare_cached(
            "SELECT n, kind, host, blob FROM log WHERE n > ?1 ORDER BY n LIMIT ?2",
        )?;
        let rows = query.query_map(params![int(after)?, limit], logged)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn log_of(
        &mut self,
        host: &str,
        after: u64,
        now: u64,
        limit: u32,
    ) -> Result<Vec<Logged>, Error> {
        let mut query = self.db.prepare_cached(
            "SELECT n, kind, host, blob FROM log
             WHERE n > ?1 AND (host IS NULL OR host = ?2) AND (exp IS NULL OR exp > ?3)
               AND (kind <> 'policy' OR n = (SELECT max(n) FROM policy))
               AND (kind NOT IN ('trust', 'breakglass') OR at >= (SELECT enrolled_at FROM host WHERE id = ?2))
             ORDER BY n LIMIT ?4",
        )?;
        let rows = query.query_map(params![int(after)?, host, int(now)?, limit], logged)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn head(&mut self) -> Result<Head, Error> {
        let tx = begin(&mut self.db)?;
        Ok(Head {
            n: value(&tx, "log")?,
            rev_serial: value(&tx, "revocation")?,
            rev_head: rev_head(&tx)?,
            policy_ver: value(&tx, "policy_ver")?,
        })
    }

    fn copy_to(&mut self, path: &Path) -> Result<(), Error> {
        let path = path
            .to_str()
            .ok_or_else(|| Error::file(path)(std::io::ErrorKind::InvalidFilename.into()))?;
        self.db.execute("VACUUM INTO ?1", [path])?;
        Ok(())
    }

    fn tell(&mut self, outbox: Outbox) -> Result<usize, Error> {
        let names: Vec<&str> = outbox.hooks.iter().map(|(name, _)| name.as_str()).collect();
        let forgotten = outbox::keep_only(&self.db, &names)?;
        self.outbox = Some(outbox);
        Ok(forgotten)
    }

    fn outbox_due(&mut self, hook: &str, now_ms: u64, limit: u32) -> Result<Vec<Letter>, Error> {
        outbox::due(&self.db, hook, now_ms, limit)
    }

    fn outbox_next(&mut self, hook: &str) -> Result<Option<u64>, Error> {
        outbox::next(&self.db, hook)
    }

    fn outbox_sent(&mut self, sent: &[Sent]) -> Result<(), Error> {
        let tx = begin(&mut self.db)?;
        for one in sent {
            match one.again_at {
                None => outbox::done(&tx, one.seq)?,
                Some(at) => outbox::later(&tx, one.seq, at)?,
            }
        }
        Ok(tx.commit()?)
    }

    fn answered(&mut self, of: (u32, &str), since: u64) -> Result<Option<Answered>, Error> {
        answered::one(&self.db, of, since)
    }

    fn keep_answer(
        &mut self,
        of: (u32, &str),
        answered: &Answered,
        times: (u64, u64),
    ) -> Result<(), Error> {
        let tx = begin(&mut self.db)?;
        answered::put(&tx, of, answered, times)?;
        Ok(tx.commit()?)
    }

    fn reserve_state_seq(&mut self, count_of: u64) -> Result<u64, Error> {
        let tx = begin(&mut self.db)?;
        let last = count(&tx, "state_seq", count_of)?;
        tx.commit()?;
        Ok(last - count_of + 1)
    }
}

/// Writes down what became of a request, for those who are to be told.
fn tell(
    tx: &Connection,
    outbox: &Option<Outbox>,
    what: What,
    asked: &Asked,
    more: More<'_>,
) -> Result<(), Error> {
    let of = Of::Request(asked, more);
    outbox::put(tx, outbox.as_ref(), &Happened { what, of })
}

/// Adds to a counter and returns its new value.
fn count(tx: &Connection, name: &str, by: u64) -> Result<u64, Error> {
    Ok(tx.query_row(
        "INSERT INTO counter (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = value + ?2 RETURNING value",
        params![name, int(by)?],
        |row| uint(row, 0),
    )?)
}

fn value(tx: &Connection, name: &str) -> Result<u64, Error> {
    let found = tx
        .query_row("SELECT value FROM counter WHERE name = ?1", [name], |row| {
            uint(row, 0)
        })
        .optional()?;
    Ok(found.unwrap_or(0))
}

fn append(
    tx: &Connection,
    kind: Kind,
    host: Option<&str>,
    exp: Option<u64>,
    at: u64,
    blob: &str,
) -> Result<u64, Error> {
    let n = count(tx, "log", 1)?;
    let exp = exp.map(int).transpose()?;
    tx.execute(
        "INSERT INTO log (n, kind, host, exp, at, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![int(n)?, kind.name(), host, exp, int(at)?, blob],
    )?;
    Ok(n)
}

fn rev_head(tx: &Connection) -> Result<String, Error> {
    let hash = tx
        .query_row(
            "SELECT hash FROM revocation ORDER BY serial DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(hash.unwrap_or_else(|| sha256_b64(b"")))
}

fn insert_request(
    tx: &Connection,
    asked: &Asked,
    status: Status,
    detail: &str,
) -> Result<Settled, Error> {
    let word = match status {
        Status::Accepted => "accepted",
        Status::Denied => "denied",
        Status::Pending => "pending",
    };
    tx.execute(
        "INSERT INTO request (hash, id, host, sub, at, jws, status, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            asked.hash,
            asked.id,
            asked.host,
            asked.sub,
            int(asked.at)?,
            asked.jws,
            word,
            detail
        ],
    )?;
    // Where it waited for people it waits no more.
    let standing = match status {
        Status::Accepted => Standing::Approved,
        _ => Standing::Denied,
    };
    waiting::close(tx, &asked.hash, standing, detail)?;
    Ok(Settled {
        id: asked.id.clone(),
        status,
        detail: detail.to_owned(),
    })
}

fn settled(db: &Connection, hash: &str) -> Result<Option<Settled>, Error> {
    let found = db.query_row(
        "SELECT id, status, detail FROM request WHERE hash = ?1",
        [hash],
        |row| {
            let status: String = row.get(1)?;
            Ok(Settled {
                id: row.get(0)?,
                status: if status == "accepted" {
                    Status::Accepted
                } else {
                    Status::Denied
                },
                detail: row.get(2)?,
            })
        },
    );
    Ok(found.optional()?)
}

fn logged(row: &Row<'_>) -> rusqlite::Result<Logged> {
    let kind: String = row.get(1)?;
    Ok(Logged {
        n: uint(row, 0)?,
        kind: Kind::from_name(&kind).ok_or_else(|| bad(1, kind))?,
        host: row.get(2)?,
        blob: row.get(3)?,
    })
}
