//! Facts about a process, as `/proc` tells them.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A bound for a broken run, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what no descriptor tells of.
#[track_caller]
pub fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "it never came to hold");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// `S`leeping, `R`unning, s`T`opped, `Z`ombie, …; `X` for none at all.
pub fn state(pid: i32) -> char {
    stat(pid).map_or('X', |stat| stat[0].chars().next().expect("a state"))
}

/// Continues what stands still. It may have been killed meanwhile.
pub fn go_on(pid: i32) {
    if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGCONT) {
        assert_eq!(error, Errno::ESRCH);
    }
}

/// The fields after the name, which may contain anything.
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// Who is told of its end.
pub fn parent(pid: i32) -> i32 {
    stat(pid).expect("it is there")[1].parse().expect("a pid")
}

/// Its children, zombies among them.
pub fn children(pid: i32) -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|child| stat(*child).is_some_and(|stat| stat[1] == pid.to_string())).collect()
}

pub fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").count()
}

/// Resident memory in KiB.
pub fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// An open descriptor.
#[derive(Debug)]
pub struct Descriptor {
    pub number: i32,
    /// `socket:[1234]`, `/dev/null`, …
    pub target: PathBuf,
    pub close_on_exec: bool,
    pub blocks: bool,
}

pub fn descriptors(pid: i32) -> Vec<Descriptor> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let descriptor = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        let flags = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
        let flags = u32::from_str_radix(&flags, 8).ok()?;
        let (close_on_exec, blocks) = (flags & 0o2_000_000 != 0, flags & 0o4_000 == 0);
        Some(Descriptor { number, target: fs::read_link(entry.path()).ok()?, close_on_exec, blocks })
    };
    entries.filter_map(descriptor).collect()
}

/// How many descriptors it has open: without a look at each, for there may be thousands.
pub fn open(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count()
}

/// What one of its descriptors leads to.
pub fn target(pid: i32, number: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("it is open")
}

/// The inodes of its listening TCP sockets, in order.
pub fn listening(pid: i32) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("it lives");
    let listens = |line: &&str| line.split_whitespace().nth(3) == Some("0A");
    let inodes = table.lines().filter(listens).filter_map(|line| line.split_whitespace().nth(9));
    let held: Vec<_> = descriptors(pid).into_iter().map(|it| it.target.to_string_lossy().into_owned()).collect();
    let mut ours: Vec<_> = inodes.map(|inode| format!("socket:[{inode}]")).filter(|it| held.contains(it)).collect();
    ours.sort();
    ours
}

/// Device and inode of a path, without following it.
pub fn file(path: &std::path::Path) -> (u64, u64) {
    let file = fs::symlink_metadata(path).expect("it is there");
    (file.dev(), file.ino())
}

/// Device and inode of its working directory.
pub fn directory(pid: i32) -> (u64, u64) {
    let directory = fs::metadata(format!("/proc/{pid}/cwd")).expect("it lives");
    (directory.dev(), directory.ino())
}
