//! When a grant is over: the right as the gate answers, the membership as the name service says, the processes as the
//! kernel reports their end.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, User, getgrouplist};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use wire::frame::GATE;
use wire::gate::{Door, Reply, Request, Subject};
use wire::paths::GATE_SOCK;

use super::calls::{members, micros, quiet};
use super::{number, words};

/// Between two looks at what announces its end to nobody.
const LOOK: Duration = Duration::from_millis(1);

/// Waits for the end of the right of all `logins` and of all processes in `cgroups`, and says how many milliseconds after its
/// cause the last of each was gone: after the moment `at_ms` of the clock, or after the start of the command `act`.
pub fn end(question: &Value) -> Result<Value, String> {
    let users = words(&question["logins"]);
    let users = users.iter().map(|login| match User::from_name(login) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(format!("no user {login}")),
        Err(e) => Err(e.to_string()),
    });
    let users = users.collect::<Result<Vec<_>, _>>()?;
    let group = question["group"].as_str().ok_or("no group")?;
    let group = Group::from_name(group).map_err(|e| e.to_string())?;
    let group = group.ok_or("no such group")?;
    let limit = Duration::from_millis(number(&question["limit_ms"])?);
    let agent = question["agent"].as_bool().unwrap_or(true);
    let held = held(&words(&question["cgroups"]))?;
    for user in &users {
        if !is_member(user, group.gid)? {
            return Err(format!("{} is no member to begin with", user.name));
        }
    }
    let begun = match question["at_ms"].as_u64() {
        Some(at) => {
            let at = UNIX_EPOCH + Duration::from_millis(at);
            let left = at.duration_since(SystemTime::now());
            // Watching begins before the end: what comes too early would be seen, too.
            let left = left.map_err(|_| "the grant is over before it was watched".to_owned())?;
            thread::sleep(left.saturating_sub(Duration::from_millis(50)));
            let left = at.duration_since(SystemTime::now()).unwrap_or_default();
            Instant::now() + left
        }
        None => act(&question["act"], users.first().ok_or("no user")?)?,
    };
    let ms = |at: Instant| {
        let late = at.saturating_duration_since(begun);
        let early = begun.saturating_duration_since(at);
        (micros(late) - micros(early)) / 1000.0
    };
    let until = begun + limit;
    let (right, membership, file, processes) = thread::scope(|scope| {
        let right = scope.spawn(|| {
            let gone = || until_all(&users, until, "the right", has_no_right);
            agent.then(gone).transpose()
        });
        let membership = scope.spawn(|| {
            until_all(&users, until, "the membership", |user| {
                is_member(user, group.gid).map(|yes| !yes)
            })
        });
        // What the name service answers from; it answers when systemd has time for it.
        let file = scope.spawn(|| {
            until_all(&users, until, "the file of the membership", |user| {
                let file = format!("/run/userdb/{}:{}.membership", user.name, group.name);
                Ok(!Path::new(&file).exists())
            })
        });
        let processes = ended(&held, until);
        let panicked = "a watcher panicked";
        let right = right.join().map_err(|_| panicked)??;
        let membership = membership.join().map_err(|_| panicked)??;
        let file = file.join().map_err(|_| panicked)??;
        Ok::<_, String>((right, membership, file, processes?))
    })?;
    Ok(json!({
        "right_ms": right.map(ms),
        "membership_ms": ms(membership),
        "file_ms": ms(file),
        "processes_ms": ms(processes),
        "processes": held.len(),
    }))
}

/// Starts the command that ends the grant, as the user himself or as root; nobody waits for it here.
fn act(act: &Value, user: &User) -> Result<Instant, String> {
    let argv = words(&act["argv"]);
    let mut command = quiet(&argv)?;
    if act["as_user"].as_bool() == Some(true) {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|e| format!("{argv:?}: {e}"))?;
    thread::spawn(move || child.wait());
    Ok(begun)
}

/// Every process of the grants, held so that its end is seen and no other is taken for it.
fn held(cgroups: &[String]) -> Result<Vec<OwnedFd>, String> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| e.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for cgroup in cgroups {
        for pid in members(cgroup)? {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or("no process number")?;
            all.push(pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.to_string())?);
        }
    }
    if all.is_empty() {
        return Err("no process runs with the grant".to_owned());
    }
    Ok(all)
}

/// When the last of them ended.
fn ended(held: &[OwnedFd], until: Instant) -> Result<Instant, String> {
    let mut left: Vec<&OwnedFd> = held.iter().collect();
    loop {
        let time = until.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Err(format!("{} processes live on", left.len()));
        }
        let mut fds: Vec<_> = left
            .iter()
            .map(|fd| PollFd::new(*fd, PollFlags::IN))
            .collect();
        let time = rustix::event::Timespec::try_from(time).map_err(|e| e.to_string())?;
        poll(&mut fds, Some(&time)).map_err(|e| e.to_string())?;
        let over: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
        let mut over = over.iter();
        left.retain(|_| over.next() == Some(&false));
        if left.is_empty() {
            return Ok(Instant::now());
        }
    }
}

/// When it was over for the last of them. What is over stays so: one is looked at after the other.
fn until_all(
    users: &[User],
    until: Instant,
    what: &str,
    over: impl Fn(&User) -> Result<bool, String>,
) -> Result<Instant, String> {
    for user in users {
        while !over(user)? {
            if Instant::now() > until {
                return Err(format!("{what} of {} is still there", user.name));
            }
            thread::sleep(LOOK);
        }
    }
    Ok(Instant::now())
}

fn has_no_right(user: &User) -> Result<bool, String> {
    let request = Request::Open {
        subject: Subject {
            login: user.name.as_str().into(),
            uid: user.uid.as_raw(),
        },
        door: Door::Sudo,
        intent: false,
    };
    let deadline = Instant::now() + Duration::from_secs(3);
    match wire::client::call::<_, Reply>(GATE_SOCK, &request, GATE, deadline) {
        Ok(Reply::State { active, .. }) => Ok(!active),
        Ok(other) => Err(format!("the answer is {other:?}")),
        // An agent that is late has not said it: it is asked again, within the limit.
        Err(_) => Ok(false),
    }
}

fn is_member(user: &User, group: Gid) -> Result<bool, String> {
    let login = CString::new(user.name.as_str()).map_err(|e| e.to_string())?;
    let groups = getgrouplist(&login, user.gid).map_err(|e| e.to_string())?;
    Ok(groups.contains(&group))
}
